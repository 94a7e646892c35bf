"""``posegen generate``, and the rendering of videos that `animate` and `transfer` share with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from orchestration.generation.output import (
    GeneratedVideos,
    OutputSettings,
    PlannedVideo,
    write_contact_sheet,
    write_frames,
)
from posegen.inference.people import load_person, open_clips
from posegen.inference.person import Person
from posegen.inference.renderers import VideoRenderer, load_renderer
from posegen.inference.requested_codes import OWN_COLORS, ChosenCodes, ColorSettings, choose_codes
from posegen.inference.run_video import PersonOfRun, PoseSequence, PoseSettings, sequences_of_poses
from posegen.inference.video_synthesizer import VideoSynthesizer


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
    synthesizer = load_renderer(run, VideoSynthesizer, precision=output.precision)
    data = open_clips(dataset, synthesizer.size)
    subject = PersonOfRun(data, content, load_person(data, content, colors.garments))
    sequences = sequences_of_poses(subject, driving)
    output.require_place_for(len(sequences) * colors.num_videos)
    codes = choose_codes(synthesizer, subject.person, data.info, colors)
    return render_recolored(synthesizer, subject.person, sequences, codes, output, (content, colors))


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
    pages = any(poses.motion is not None for poses in sequences)
    output.require_videos([*(video.path for video in videos), *firsts], *inputs, pages=pages)
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
        for number in range(len(codes.ends)):
            z = codes.of_frames(number, len(poses.keypoints))
            name = poses.name + (f"-{number + 1}" if len(codes.ends) > 1 else "")
            videos.append(RecoloredVideo(output.path(name), poses, z))
    return videos


def render_batch(
    synthesizer: VideoSynthesizer, person: Person, videos: Sequence[RecoloredVideo]
) -> list[list[np.ndarray]]:
    """Render videos as one batch, each frame straight to its file. Returns the frames for the contact sheets."""
    frames = synthesizer.clips(person, [video.poses.keypoints for video in videos], [video.z for video in videos])
    return write_frames(videos, frames)
