"""``posegen animate PHOTO``: the person of one photo, or of a video, in motion and in exact colours, without a run."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

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
    path: Path, *, moves: MotionSettings, output: OutputSettings, colors: ColorSettings, view: PhotoSettings
) -> GeneratedVideos:
    """Write videos of the person of a photo, or of a video, in motions and in the colours given.

    Args:
        path: The photo, or a video of the person.
        moves: The motions; none where the view has poses.
        output: Where the videos are written.
        colors: Colours of the clothes; a garment without one keeps the photo's pixels.
        view: Size of the video, which person, and a driving video.

    Raises:
        PosegenError: See `plan_photo_videos`, or a video cannot be written. Nothing is written then.
    """
    inputs = path, view, moves, colors
    if output.out.suffix:  # before the work is done
        output.require_videos([output.out], *inputs)
    planned = plan_photo_videos(path, moves, colors, view)
    output.require_place_for(len(planned.videos))
    output.require_videos([output.path(video.name) for video in planned.videos], *inputs)
    videos, sheets = [], []
    for _, of_movement in groupby(planned.videos, key=lambda video: id(video.movement)):
        made, strips = [], []
        for video in of_movement:
            made.append(PlannedVideo(output.path(video.name), _poses(video, moves, view)))
            strips += write_frames(made[-1:], ({0: frame} for frame in video.frames()))
        sheets.append(write_contact_sheet(planned.image, made, strips))
        videos += made
    return GeneratedVideos.of(videos, sheets, planned.color_notes, planned.findings)


def _poses(video: PhotoVideo, moves: MotionSettings, view: PhotoSettings) -> PoseSequence:
    movement, figure = video.movement, None
    if moves.stick_figures and isinstance(movement.source, Motion):
        figure = MotionRenderer(movement.source, view.height_and_width)
    return PoseSequence(movement.name, video.poses.keypoints, movement.fps, movement.times, figure)
