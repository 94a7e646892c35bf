"""``posegen generate``, and the rendering of videos that `animate` and `transfer` share with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from orchestration.generation.output import (
    GeneratedVideos,
    OutputSettings,
    PlannedVideo,
    PoseSequence,
    write_contact_sheet,
    write_frames,
)
from posegen.datasets.clip_files import ClipFile
from posegen.errors import ConfigError
from posegen.inference.body_measures import BodyMeasures
from posegen.inference.movements import has_poses, open_poses
from posegen.inference.people import find_clips, is_file, load_person, measure_person, open_clips
from posegen.inference.person import Person
from posegen.inference.pose_fitting import fit_poses
from posegen.inference.renderers import VideoRenderer, load_renderer
from posegen.inference.requested_codes import OWN_COLORS, ChosenCodes, ColorSettings, choose_codes
from posegen.inference.video_synthesizer import VideoSynthesizer, interpolate_codes


@dataclass(frozen=True, kw_only=True)
class PoseSettings:
    """The pose sequences of the videos."""

    poses: tuple[str, ...]
    """The pose sequences: clips of the dataset, by id, PERSON/ACTION (/2 for the second of several) or a pattern such
    as '*/bow'; or videos whose person leads, or folders of OpenPose's JSON files."""
    fps: float | None = None
    """Frames per second of the video that OpenPose saw, whose JSON files do not say it."""
    verbatim: bool = False
    """Take the poses in pixels as they are, instead of fitting them to the person."""


@dataclass(frozen=True)
class RecoloredVideo(PlannedVideo):
    """One video to render with colour codes."""

    z: Tensor
    """(Z,) or (T, Z)."""


def generate(
    run: str,
    dataset: str,
    *,
    content: str,
    driving: PoseSettings,
    output: OutputSettings,
    colors: ColorSettings = OWN_COLORS,
) -> GeneratedVideos:
    """Render a person in the pose sequences of clips, in the colours given.

    The poses are fitted to the person, whose size, limbs and place they take; those of the person's own clip stay as
    they are.

    Args:
        run: Run of the stage video_generator or end_to_end.
        dataset: Clip dataset with the clips, of the run's frame size.
        content: The person: an image file, or a video or a clip, of which the first usable frame is taken.
        driving: The pose sequences.
        output: Where the videos are written.
        colors: Colours of the clothes.

    Raises:
        PosegenError: The run, a clip, an image or a colour cannot be found or does not fit. Nothing is written then.
    """
    synthesizer = load_renderer(run, VideoSynthesizer)
    data = open_clips(dataset, synthesizer.size)
    files = [name for name in driving.poses if has_poses(name)]
    clips = find_clips(data, [name for name in driving.poses if name not in files])
    output.require_place_for((len(clips) + len(files)) * colors.num_videos)
    if files and driving.verbatim:
        raise ConfigError(f"--verbatim takes poses of clips in pixels as they are, got {files[0]}")
    person = load_person(data, content, colors.garments)
    own = "" if is_file(content) else data.find(content).clip_id
    kept = {clip.clip_id for clip in clips if driving.verbatim or clip.clip_id == own}
    fitted = {} if len(kept) == len(clips) else _fit_clips(clips, measure_person(data, content, person), person)
    sequences = [
        PoseSequence(
            clip.clip_id,
            clip.keypoints if clip.clip_id in kept else fitted[clip.clip_id],
            clip.info.fps,
            clip.times,
        )
        for clip in clips
    ]
    if files:
        sequences += _fit_files(files, driving.fps, measure_person(data, content, person), person)
    codes = choose_codes(synthesizer, person, data.info, colors)
    return render_recolored(synthesizer, person, sequences, codes, output, (content, colors))


def _fit_files(files: Sequence[str], fps: float | None, measures: BodyMeasures, person: Person) -> list[PoseSequence]:
    """The poses of videos and of OpenPose's files, as the person would show them."""
    height, width = person.image.shape[:2]
    movements = [open_poses(Path(file), fps) for file in files]
    return [
        PoseSequence(one.name, one.fit(person.body, (height, width), measures).keypoints, one.fps, one.times)
        for one in movements
    ]


def _fit_clips(clips: Sequence[ClipFile], measures: BodyMeasures, person: Person) -> dict[str, np.ndarray]:
    """The keypoints (T, 18, 3) of clips, by id, as the person would show them."""
    height, width = person.image.shape[:2]
    return {clip.clip_id: fit_poses(clip.keypoints, person.body, (height, width), measures).keypoints for clip in clips}


def render_recolored(
    synthesizer: VideoSynthesizer,
    person: Person,
    sequences: Sequence[PoseSequence],
    codes: ChosenCodes,
    output: OutputSettings,
    inputs: Sequence[object] = (),
) -> GeneratedVideos:
    """Write a video for each pose sequence and pair of codes, and a contact sheet for each sequence.

    Raises ConfigError, before any, where one of them would replace what is read, see `OutputSettings`.
    """
    videos, count = plan_videos(sequences, codes, output), len(codes.ends)
    firsts = [output.path(poses.name) for poses in sequences]  # whose names the sheets have
    output.require_videos([*(video.path for video in videos), *firsts], *inputs)
    strips = [
        strip
        for start in range(0, len(videos), output.batch)
        for strip in render_batch(synthesizer, person, videos[start : start + output.batch])
    ]
    sheets = [
        write_contact_sheet(person.image, videos[start : start + count], strips[start : start + count])
        for start in range(0, len(videos), count)
    ]
    return GeneratedVideos.of(videos, sheets, codes.notes)


def render_in_own_colors(
    renderer: VideoRenderer,
    person: Person,
    sequences: Sequence[PoseSequence],
    output: OutputSettings,
    inputs: Sequence[object] = (),
) -> GeneratedVideos:
    """Write a video and a contact sheet for each pose sequence, in the colours of the person's image."""
    videos = [PlannedVideo(output.path(poses.name), poses) for poses in sequences]
    output.require_videos([video.path for video in videos], *inputs)
    sheets = []
    for video in videos:
        frames = ({0: frame} for frame in renderer.frames(person, video.poses.keypoints))
        sheets.append(write_contact_sheet(person.image, [video], write_frames([video], frames)))
    return GeneratedVideos.of(videos, sheets)


def plan_videos(sequences: Sequence[PoseSequence], codes: ChosenCodes, output: OutputSettings) -> list[RecoloredVideo]:
    """Plan a video for each pose sequence and pair of codes, in this order."""
    videos = []
    for poses in sequences:
        for number, (start, stop) in enumerate(codes.ends):
            constant = start is stop or torch.equal(start, stop)
            z = start if constant else interpolate_codes(start, stop, len(poses.keypoints))
            name = poses.name + (f"-{number + 1}" if len(codes.ends) > 1 else "")
            videos.append(RecoloredVideo(output.path(name), poses, z))
    return videos


def render_batch(
    synthesizer: VideoSynthesizer, person: Person, videos: Sequence[RecoloredVideo]
) -> list[list[np.ndarray]]:
    """Render videos as one batch, each frame straight to its file. Returns the frames for the contact sheets."""
    frames = synthesizer.clips(person, [video.poses.keypoints for video in videos], [video.z for video in videos])
    return write_frames(videos, frames)
