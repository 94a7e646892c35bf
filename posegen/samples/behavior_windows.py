"""Samples of behaviour: windows of postures, and others of the same and of another action beside them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from posegen.datasets.dataset import Split
from posegen.datasets.motions import MotionDataset
from posegen.errors import DatasetError, PosegenError
from posegen.motion.editing import posture_placement
from posegen.motion.to_openpose import h36m_joints
from posegen.samples.epoch_plan import Arrays, EpochSettings, shuffled
from posegen.skeletons import H36M_17

_LEAST_STD = 1e-4  # metres: a coordinate that moves less stands still, as published


@dataclass(frozen=True)
class WindowTriple:
    """One line of a plan of behaviour: numbers of windows, which count through all motions of a split."""

    window: int
    matched: int
    """Of the same action."""
    paired: int
    """Of another action."""


@dataclass(frozen=True)
class Scale:
    """Mean and standard deviation that normalize postures."""

    mean: np.ndarray
    """(17, 3) metres."""
    std: np.ndarray
    """(17, 3) metres, 1 where a coordinate stands still."""


@dataclass(frozen=True, kw_only=True)
class WindowSettings:
    """Choice of windows, and the odds of each."""

    num_frames: int = 50
    """Frames of a window after its first."""
    least_frames: int | None = None
    """Frames of the shortest motion that is taken. One that is shorter than a window is one window, which is filled up
    with its frames backwards and forwards again. By default a whole window, as published: shorter ones are left out."""
    even: bool = False
    """Draw every action equally often, then every motion of it, then its windows; otherwise every window equally often,
    as published, and long motions more often than short ones."""
    canonical: bool = True
    """Put each window's first pelvis above the origin and its hips towards +z; otherwise postures are where they were
    in the world, as published."""

    @property
    def shortest(self) -> int:
        """Frames of the shortest motion that is taken."""
        return self.num_frames + 1 if self.least_frames is None else self.least_frames


class BehaviorWindows:
    """Windows of consecutive postures, one for each frame at which one can begin (Blattmann et al., 2021).

    Keys: ``motion`` (num_frames + 1, 17, 3) metres, joints of `posegen.skeletons.H36M_17`, and ``length`` its frames
    that are not filled up; ``matched`` and ``matched_length`` a window of the same action; ``paired`` a window of
    another action, or of any where there is but one; ``action`` the action's place in `actions`. Motions that are too
    short are left out, see `describe_left_out`.

    Args:
        dataset: Motions.
        split: ``train`` or ``test``.
        settings: What an epoch takes.
        actions: By name; motions of others are left out. Raises DatasetError where no window is left.
        windows: Which windows.
    """

    def __init__(
        self,
        dataset: MotionDataset,
        split: Split,
        settings: EpochSettings,
        *,
        actions: Sequence[str],
        windows: WindowSettings = WindowSettings(),
    ):
        self.dataset, self.windows, self.num_frames = dataset, windows, windows.num_frames
        self.settings, self.actions = settings, list(actions)
        fitting = [entry for entry in dataset.split(split) if entry.action in self.actions]
        self.entries = [entry for entry in fitting if entry.num_frames >= windows.shortest]
        self._too_short = Counter(entry.action for entry in fitting if entry.num_frames < windows.shortest)
        if not self.entries:
            longest = max((entry.num_frames for entry in fitting), default=0)
            raise DatasetError(
                f"{dataset.folder} has no motion of {', '.join(actions)} with the {windows.shortest} frames of a "
                f"window in the split {split!r}, the longest has {longest}: lower num_frames"
            )
        counts = np.array([max(entry.num_frames - self.num_frames, 1) for entry in self.entries])
        self._ends = np.cumsum(counts)  # (M,): of each motion's windows
        self._firsts = self._ends - counts
        labels = [self.actions.index(entry.action) for entry in self.entries]
        self._labels = np.repeat(labels, counts)  # (W,): of each window's action
        self._lengths = np.repeat([min(entry.num_frames, self.num_frames + 1) for entry in self.entries], counts)
        self._persons = np.unique([entry.person for entry in self.entries], return_inverse=True)[1]
        self._motions = {label: np.flatnonzero(np.array(labels) == label) for label in labels}
        self._read: dict[int, np.ndarray] = {}

    def plan(self, epoch: int) -> list[WindowTriple]:
        rng = np.random.default_rng([self.settings.seed, epoch])
        if self.windows.even:
            return self._plan_evenly(rng)
        windows = shuffled(len(self._labels), self.settings.epoch_size, rng)
        matched, paired = np.empty_like(windows), np.empty_like(windows)
        for label in np.unique(self._labels):
            rows = self._labels[windows] == label
            same = np.flatnonzero(self._labels == label)
            others = np.flatnonzero(self._labels != label)
            matched[rows] = rng.choice(same, rows.sum())
            paired[rows] = rng.choice(others if len(others) else same, rows.sum())
        return [
            WindowTriple(*numbers) for numbers in zip(windows.tolist(), matched.tolist(), paired.tolist(), strict=True)
        ]

    def load(self, sample: WindowTriple) -> Arrays:
        return {
            "motion": self.window(sample.window),
            "length": np.array(self.lengths[sample.window]),
            "matched": self.window(sample.matched),
            "matched_length": np.array(self.lengths[sample.matched]),
            "paired": self.window(sample.paired),
            "action": np.array(self._labels[sample.window]),
        }

    @property
    def present(self) -> list[str]:
        """The `actions` of which there is a window."""
        return [self.actions[label] for label in np.unique(self._labels)]

    def describe_left_out(self) -> str:
        """Say how many motions of each action are shorter than a window; "" where none is."""
        totals = Counter(entry.action for entry in self.entries) + self._too_short
        counts = (f"{self._too_short[one]} of {totals[one]} {one}" for one in self.actions if self._too_short[one])
        return ", ".join(counts)

    @property
    def labels(self) -> np.ndarray:
        """(W,) of each window, its action's place in `actions`."""
        return self._labels

    @property
    def people(self) -> np.ndarray:
        """(W,) of each window, a number that stands for its person."""
        return np.asarray(self._persons[self.locate(np.arange(len(self._labels)))[0]])

    @property
    def lengths(self) -> np.ndarray:
        """(W,) of each window, its frames that are not filled up."""
        return self._lengths

    def locate(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return which of the `entries` each of windows (N,) is cut from, and the frame that it begins with."""
        motions = np.searchsorted(self._ends, numbers, side="right")
        return motions, numbers - self._firsts[motions]

    def window(self, number: int) -> np.ndarray:
        """Return the postures (num_frames + 1, 17, 3) of a window in metres."""
        motion, start = self.locate(np.array(number))
        return self._cut(int(motion), int(start))

    def scale(self) -> Scale:
        """Mean and standard deviation over windows that follow each other through every motion of the split."""
        windows = np.concatenate(
            [
                self._cut(motion, max(min(start, entry.num_frames - self.num_frames - 1), 0))
                for motion, entry in enumerate(self.entries)
                for start in range(0, entry.num_frames - 1, max(self.num_frames, 1))
            ]
        ).astype(np.float64)
        std = windows.std(axis=0)
        return Scale(windows.mean(axis=0), np.where(std < _LEAST_STD, 1.0, std))

    def _plan_evenly(self, rng: np.random.Generator) -> list[WindowTriple]:
        labels = np.unique(self._labels)
        kinds = labels[shuffled(len(labels), self.settings.epoch_size or len(self._labels), rng)]
        plan = []
        for label in kinds:
            motion, window = self._draw(label, rng)
            _, matched = self._draw(label, rng, not_by=self._persons[motion])
            others = labels[labels != label]
            _, paired = self._draw(rng.choice(others) if len(others) else label, rng)
            plan.append(WindowTriple(window, matched, paired))
        return plan

    def _draw(self, label: int, rng: np.random.Generator, not_by: int | None = None) -> tuple[int, int]:
        """Draw a motion of an action, by another person where there is one, and one of its windows."""
        motions = self._motions[label]
        if not_by is not None:
            others = motions[self._persons[motions] != not_by]
            motions = others if len(others) else motions
        motion = int(motions[rng.integers(len(motions))])
        return motion, int(rng.integers(self._firsts[motion], self._ends[motion]))

    def _cut(self, motion: int, start: int) -> np.ndarray:
        window = self._joints(motion)[start : start + self.num_frames + 1]
        window = window[back_and_forth(len(window), self.num_frames + 1)]
        return posture_placement(window[0], H36M_17).to_canonical(window) if self.windows.canonical else window

    def _joints(self, index: int) -> np.ndarray:
        """Joints (T, 17, 3) of a whole motion, read once."""
        if index not in self._read:
            entry = self.entries[index]
            try:
                self._read[index] = h36m_joints(self.dataset.read(entry)).astype(np.float32)
            except PosegenError as error:
                raise DatasetError(f"{self.dataset.folder}/motions/{entry.motion_id}.npz: {error}") from error
        return self._read[index]


def back_and_forth(length: int, num_frames: int) -> np.ndarray:
    """Rows (num_frames,) that go through `length` frames to the last one, back to the first one, and so on."""
    rows = np.arange(num_frames) % max(2 * (length - 1), 1)
    return np.minimum(rows, 2 * (length - 1) - rows)
