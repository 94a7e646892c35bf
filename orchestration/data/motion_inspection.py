"""Looks into files of motions: their format and fields, who does what, and how good the motions are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from orchestration.data.motion_files import ReadSettings
from orchestration.runtime.progress import ProgressCallback, ignore_progress
from posegen.datasets.motion_formats import FORMATS, MotionSource, detect, read
from posegen.datasets.motion_formats.fields import Field, list_fields
from posegen.errors import MissingRateError, PosegenError
from posegen.motion.motion import Motion
from posegen.motion.quality import Quality, measure_quality

MOST = 200
"""Motions of a file that are looked into, evenly chosen."""


@dataclass(frozen=True)
class MeasuredMotion:
    """Measurements of one motion."""

    frames: int
    fps: float
    tracks: int
    """Number of tracks that an estimator found."""
    gaps: int
    """Runs of frames that are filled in."""
    longest_gap: int
    """Frames."""
    up: str
    """The axis that was up in the file, and who says so; empty where it has the world's or a camera's."""
    unit: float | None
    """Metres of the file's unit, where it has one."""
    quality: Quality
    posed: float | None
    """Metres, median: joints from where the rotations pose them; None without rotations."""


@dataclass(frozen=True)
class Inspection:
    """Content of a file or folder."""

    path: Path
    format: str
    fields: list[Field]
    motions: list[MotionSource]
    measured: list[MeasuredMotion]
    """Of some of the motions, see `MOST`."""
    broken: dict[str, str]
    """Reasons by motion."""
    notes: list[str]
    """Changes and guesses made while reading the motions, one line each."""
    unknown_rate: str
    """Reason why nothing could be measured, if the frame rate is unknown."""

    @property
    def summary(self) -> str:
        """Format in words."""
        return FORMATS[self.format].summary

    @property
    def people(self) -> int:
        """Number of people, 0 if it is unknown."""
        return len({motion.person for motion in self.motions if motion.person})

    def counts(self) -> dict[str, Counter[str]]:
        """Motions by action, where somebody says it, and by split, which is empty where nobody does."""
        actions = sorted({motion.action for motion in self.motions if motion.action})
        return {
            action: Counter(motion.split or "" for motion in self.motions if motion.action == action)
            for action in actions
        }


def inspect_motions(
    path: Path, settings: ReadSettings, *, alone: bool = True, on_progress: ProgressCallback = ignore_progress
) -> Inspection:
    """Look into a file, or a folder that is one dataset. A body of unknown unit is looked at as one of 1.70 m.

    Args:
        path: The file or folder.
        settings: How it is read.
        alone: Whether it is the only one, whose own frame rate `ReadSettings.fps` overrules.
        on_progress: Called after every motion.

    Raises:
        FileNotFoundError: There is nothing.
        PosegenError: It is of no known format, or broken as a whole.
    """
    name = settings.format or detect(path)
    motions = read(path, replace(settings.options, overrule=alone, guess_height=True), name)
    measured: list[MeasuredMotion] = []
    notes: dict[str, None] = {}
    broken: dict[str, str] = {}
    unknown_rate = ""
    chosen = _choose(motions)
    for done, motion in enumerate(chosen, start=1):
        try:
            loaded = motion.load()
            notes |= dict.fromkeys(loaded.notes)
            measured.append(_measure(loaded))
        except MissingRateError as error:
            unknown_rate = str(error)
            break
        except PosegenError as error:
            broken[motion.name] = str(error)
            if len(motions) == 1:
                raise
        if len(chosen) > 1:
            on_progress(done, len(chosen))
    return Inspection(path, str(name), list_fields(path), motions, measured, broken, list(notes), unknown_rate)


def _choose(motions: Sequence[MotionSource]) -> list[MotionSource]:
    rows = np.linspace(0, len(motions) - 1, min(len(motions), MOST)).astype(int)
    return [motions[row] for row in rows]


def _measure(motion: Motion) -> MeasuredMotion:
    gaps = _runs(~motion.valid)
    return MeasuredMotion(
        frames=len(motion),
        fps=motion.fps,
        tracks=int(motion.meta.get("tracks", 1)),
        gaps=len(gaps),
        longest_gap=max(gaps, default=0),
        up=str(motion.meta.get("up", "")),
        unit=motion.meta.get("unit"),
        quality=measure_quality(motion),
        posed=_distance_to_posed(motion),
    )


def _runs(mask: np.ndarray) -> list[int]:
    """Lengths of the runs of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(int)))
    return [int(end - start) for start, end in zip(edges[::2], edges[1::2], strict=True)]


def _distance_to_posed(motion: Motion) -> float | None:
    if motion.rot6d is None or motion.rest is None:
        return None
    posed = Motion.from_rotations(motion.rot6d, motion.trans, motion.rest, motion.fps)
    return float(np.median(np.linalg.norm(posed.joints - motion.joints, axis=-1)))
