"""The pose sequences in which a trained run renders a person: of motions, clips, videos and pose files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from posegen.datasets.clip_files import ClipFile
from posegen.datasets.clips import ClipDataset
from posegen.errors import ConfigError, counted
from posegen.inference.body_measures import BodyMeasures
from posegen.inference.movements import has_poses, open_poses
from posegen.inference.people import find_clips, is_file, is_video_file, measure_person
from posegen.inference.person import Person, body_with_trunk
from posegen.inference.pose_fitting import fit_motion, fit_poses
from posegen.inference.requested_motions import MotionSettings, resolve_motions
from posegen.io.video_reader import video_rate
from posegen.motion.motion import Motion
from posegen.motion.rendering import MotionRenderer


@dataclass(frozen=True, kw_only=True)
class PoseSettings:
    """The pose sequences of the videos."""

    poses: tuple[str, ...]
    """The pose sequences: clips of the dataset, by id, PERSON/ACTION (/2 for the second of several) or a pattern such
    as '*/bow'; or videos whose person leads, or folders of OpenPose's JSON files."""
    frames: int | None = None
    """Frames of each video, the first ones of the poses; by default all."""
    fps: float | None = None
    """Frames per second of the video that OpenPose saw, whose JSON files do not say it."""
    verbatim: bool = False
    """Take the poses in pixels as they are, instead of fitting them to the person."""


@dataclass(frozen=True)
class PoseSequence:
    """The poses of the person in a video."""

    name: str
    """Stem of the video's file, where there are several."""
    keypoints: np.ndarray
    """(T, 18, 3) in pixels of the frames."""
    fps: float
    times: np.ndarray | None = None
    """(T,) seconds, where the frame rate varies."""
    figure: MotionRenderer | None = None
    """The motion that is rendered beside the person, frame by frame."""
    motion: Motion | None = None
    """The motion for a page beside the video."""

    def beginning(self, num_frames: int | None) -> PoseSequence:
        """Return the first frames; all of them for None. Raises ConfigError where there are fewer."""
        if num_frames is None:
            return self
        if not 1 <= num_frames <= len(self.keypoints):
            raise ConfigError(f"{self.name} has {counted(len(self.keypoints), 'frame')}, got --frames {num_frames}")
        times = self.times[:num_frames] if self.times is not None else None
        return replace(self, keypoints=self.keypoints[:num_frames], times=times)


@dataclass(frozen=True)
class PersonOfRun:
    """A person whom a run renders."""

    data: ClipDataset
    """The clips that can be named."""
    content: str
    """Whence the person is: a file or a clip."""
    person: Person

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the frames in pixels."""
        height, width = self.person.image.shape[:2]
        return height, width

    @property
    def rate(self) -> float | None:
        """Frames per second of the clip that the person is from, or of the dataset's first; None without a clip."""
        if is_video_file(self.content):
            return video_rate(Path(self.content))
        if not is_file(self.content):
            return self.data.find(self.content).info.fps
        return self.data.clips[0].info.fps if self.data.clips else None

    def measure(self) -> BodyMeasures:
        """Measure the body. Raises ConfigError where no shoulders are seen."""
        return measure_person(self.data, self.content, self.person)


def sequences_of_motions(subject: PersonOfRun, moves: MotionSettings, seed: int) -> list[PoseSequence]:
    """Fit motions to a person.

    Raises:
        PosegenError: A motion cannot be found or does not fit, or the picture does not show the person's trunk.
    """
    motions = resolve_motions(moves, moves.fps or subject.rate, seed)
    body = body_with_trunk(subject.person)
    return [
        PoseSequence(
            name,
            fit_motion(motion, body, subject.size).keypoints,
            motion.fps,
            figure=MotionRenderer(motion, subject.size) if moves.stick_figures else None,
            motion=motion if moves.page else None,
        )
        for name, motion in motions.items()
    ]


def sequences_of_poses(subject: PersonOfRun, driving: PoseSettings) -> list[PoseSequence]:
    """Fit the poses of clips, videos and pose files to a person; those of the person's own clip stay as they are.

    Raises:
        PosegenError: A clip or a file cannot be found or read.
    """
    files = [name for name in driving.poses if has_poses(name)]
    if files and driving.verbatim:
        raise ConfigError(f"--verbatim takes poses of clips in pixels as they are, got {files[0]}")
    data, content, person = subject.data, subject.content, subject.person
    clips = find_clips(data, [name for name in driving.poses if name not in files])
    own = "" if is_file(content) else data.find(content).clip_id
    kept = {clip.clip_id for clip in clips if driving.verbatim or clip.clip_id == own}
    measures = subject.measure() if files or len(kept) < len(clips) else None

    def shown(clip: ClipFile) -> np.ndarray:
        if clip.clip_id in kept:
            return clip.keypoints
        return fit_poses(clip.keypoints, person.body, subject.size, measures).keypoints

    of_clips = [PoseSequence(clip.clip_id, shown(clip), clip.info.fps, clip.times) for clip in clips]
    found = [*of_clips, *_fit_files(files, driving.fps, measures, subject)]
    return [sequence.beginning(driving.frames) for sequence in found]


def _fit_files(
    files: Sequence[str], fps: float | None, measures: BodyMeasures | None, subject: PersonOfRun
) -> list[PoseSequence]:
    movements = [open_poses(Path(file), fps) for file in files]
    return [
        PoseSequence(one.name, one.fit(subject.person.body, subject.size, measures).keypoints, one.fps, one.times)
        for one in movements
    ]
