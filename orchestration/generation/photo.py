"""``posegen animate PHOTO``: the person of one photo, or of a video, in motion and in exact colours, without a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count, groupby
from pathlib import Path

import numpy as np

from orchestration.generation.output import (
    GeneratedVideos,
    OutputSettings,
    PlannedVideo,
    write_contact_sheet,
    write_frames,
)
from posegen.inference.photo_video import PhotoVideo, plan_photo_videos
from posegen.inference.requested_codes import ColorSettings
from posegen.inference.requested_motions import MotionSettings
from posegen.inference.run_video import PoseSequence
from posegen.inference.shown_person import PhotoSettings
from posegen.motion.motion import Motion
from posegen.motion.rendering import MotionRenderer


def animate_photo(
    path: Path,
    *,
    moves: MotionSettings,
    output: OutputSettings,
    colors: ColorSettings,
    view: PhotoSettings,
    on_frame: Callable[[int, int], None] = lambda done, total: None,
) -> GeneratedVideos:
    """Write videos of the person of a photo, or of a video, in motions and in the colours given.

    Args:
        path: The photo, or a video of the person.
        moves: The motions; none where the view has poses.
        output: Where the videos are written.
        colors: Colours of the clothes; a garment without one keeps the photo's pixels.
        view: Size of the video, which person, and a driving video.
        on_frame: Called after each frame with the number of frames that are written, and of all.

    Raises:
        PosegenError: See `plan_photo_videos`, or a video cannot be written. Nothing is written then.
    """
    inputs = path, view, moves, colors
    if colors.num_videos == 1:  # before the work is done; with --sample, what is wrong with it is named first
        output.require_place_for(moves.num_motions if view.poses is None else 1)
        names = moves.names if view.poses is None else [view.poses.stem]
        output.require_videos([output.path(name) for name in names], *inputs, pages=moves.page)
    planned = plan_photo_videos(path, moves, colors, view)
    output.require_place_for(len(planned.videos))
    output.require_videos([output.path(video.name) for video in planned.videos], *inputs, pages=moves.page)
    videos, sheets, done = [], [], count(1)
    total = sum(len(video.poses.keypoints) for video in planned.videos)
    for _, of_movement in groupby(planned.videos, key=lambda video: id(video.movement)):
        made, strips = [], []
        for video in of_movement:
            made.append(PlannedVideo(output.path(video.name), _poses(video, moves, view)))
            strips += write_frames(made[-1:], _counted(video, lambda: on_frame(next(done), total)))
        sheets.append(write_contact_sheet(planned.image, made, strips))
        videos += made
    return GeneratedVideos.of(videos, sheets, planned.color_notes, planned.findings)


def _counted(video: PhotoVideo, on_frame: Callable[[], None]) -> Iterator[dict[int, np.ndarray]]:
    for frame in video.frames():
        yield {0: frame}
        on_frame()


def _poses(video: PhotoVideo, moves: MotionSettings, view: PhotoSettings) -> PoseSequence:
    movement = video.movement
    motion = movement.source if isinstance(movement.source, Motion) else None
    return PoseSequence(
        movement.name,
        video.poses.keypoints,
        movement.fps,
        movement.times,
        figure=MotionRenderer(motion, view.height_and_width) if motion and moves.stick_figures else None,
        motion=motion if moves.page else None,
    )
