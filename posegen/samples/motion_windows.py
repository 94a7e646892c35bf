"""Samples of motion: windows of so many frames, as the networks of motion take them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import torch

from posegen.datasets.dataset import Split
from posegen.datasets.motions import MotionDataset, MotionEntry
from posegen.errors import ConfigError, DatasetError, MotionError
from posegen.motion.kinematics import markers
from posegen.motion.pose_features import NUM_FEATURES, NUM_ROWS, motion_features, pose_features, rest_of
from posegen.motion.world_features import world_features
from posegen.samples.epoch_plan import Arrays, shuffled

Choice = Literal["consecutive", "random_step", "random"]


@dataclass(frozen=True)
class Crop:
    """One line of a plan of motions."""

    motion: int
    """Position of the motion in the list of its split."""
    rows: np.ndarray
    """(F,) its frames, in order."""


@dataclass(frozen=True, kw_only=True)
class Window:
    """Selection of a motion's frames (Petrovich et al., 2021, published code)."""

    num_frames: int = 60
    """Frames; 0 takes another number each time, from `min_frames` to `max_frames`."""
    min_frames: int = 60
    max_frames: int = 100
    choice: Choice = "consecutive"
    """Consecutive frames, every k-th frame with a random k, or any frames in order."""
    repeat_last: bool = False
    """A motion that is too short repeats its last frame and counts as long enough, as published; otherwise it is
    as long as it is."""
    skip_last_start: bool = False
    """Never begin at the last frame at which a window could begin, as published."""

    def __post_init__(self) -> None:
        if self.num_frames < 0:
            raise ConfigError(f"num_frames must be 0 or more, got {self.num_frames}")
        if not 1 <= self.min_frames <= self.max_frames:
            raise ConfigError(
                f"got min_frames {self.min_frames} and max_frames {self.max_frames}, expected 1 ≤ min ≤ max"
            )

    @property
    def most_frames(self) -> int:
        """Frames that no window exceeds."""
        return self.num_frames or self.max_frames

    def sample_frames(self, length: int, rng: np.random.Generator) -> np.ndarray:
        """Choose the frames (F,) of a motion of `length` frames."""
        count = self.num_frames
        if not count:
            least = self.min_frames if self.repeat_last else min(self.min_frames, length)
            count = int(rng.integers(least, max(min(self.max_frames, length), least) + 1))
        if length <= count:
            rows = np.arange(length)
            return np.concatenate([rows, np.full(count - length, length - 1)]) if self.repeat_last else rows
        if self.choice == "random":
            return np.sort(rng.choice(length, count, replace=False))
        step = 1
        if self.choice == "random_step" and count > 1:
            step = int(rng.integers((length - 1) // (count - 1))) + 1
        starts = length - step * (count - 1)
        return int(rng.integers(max(starts - self.skip_last_start, 1))) + step * np.arange(count)


class MotionCrops:
    """Windows of motions with their actions.

    Keys: ``motion`` (T, 25, 6), see `posegen.motion.pose_features`, the root's translation since the window's first
    frame and zeros behind the last one; ``length`` its frames; ``action`` the action's place in `actions`; ``rest``
    (24, 3) metres, the body at rest.

    Args:
        dataset: Motions with rotations.
        split: ``train``, ``test``, or ``all`` of them.
        actions: By name; motions of others are left out. Raises DatasetError where none is left.
        window: Which frames.
        epoch_size: Samples in an epoch; 0 takes every motion once.
        seed: With the epoch, decides order and windows.
    """

    def __init__(
        self,
        dataset: MotionDataset,
        split: Split | Literal["all"],
        *,
        actions: Sequence[str],
        window: Window,
        epoch_size: int = 0,
        seed: int = 0,
    ):
        self.dataset, self.window = dataset, window
        self.actions = list(actions)
        self.epoch_size, self.seed = epoch_size, seed
        entries = dataset.info.motions if split == "all" else dataset.split(split)
        self.entries = [entry for entry in entries if entry.action in self.actions]
        if not self.entries:
            raise DatasetError(f"{dataset.folder} has no motion of {', '.join(actions)} in the split {split!r}")
        self._read: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def plan(self, epoch: int) -> list[Crop]:
        rng = np.random.default_rng([self.seed, epoch])
        order = shuffled(len(self.entries), self.epoch_size, rng)
        return [Crop(int(index), self.window.sample_frames(self.entries[index].num_frames, rng)) for index in order]

    def load(self, sample: Crop) -> Arrays:
        features, rest = self.features(sample.motion)
        crop = np.zeros((self.window.most_frames, NUM_ROWS, NUM_FEATURES), np.float32)
        crop[: len(sample.rows)] = features[sample.rows]
        crop[: len(sample.rows), -1, :3] -= crop[0, -1, :3].copy()
        return {
            "motion": crop,
            "length": np.array(len(sample.rows)),
            "action": np.array(self.actions.index(self.entries[sample.motion].action)),
            "rest": rest,
        }

    @cached_property
    def mean_rest(self) -> np.ndarray:
        """(24, 3) metres: the mean of all motions' bodies at rest."""
        return np.stack([self.features(index)[1] for index in range(len(self.entries))]).mean(axis=0)

    def features(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Features (T, 25, 6) and rest skeleton (24, 3) of a whole motion, read once."""
        if index not in self._read:
            self._read[index] = _read_features(self.dataset, self.entries[index])
        return self._read[index]


def _read_features(dataset: MotionDataset, entry: MotionEntry) -> tuple[np.ndarray, np.ndarray]:
    try:
        motion = dataset.read(entry)
        return motion_features(motion), rest_of(motion)
    except MotionError as error:
        raise DatasetError(f"{dataset.folder}/motions/{entry.motion_id}.npz: {error}") from error


class PosedCrops(MotionCrops):
    """Windows of motions with the joints and markers of their bodies, besides what `MotionCrops` gives.

    ``surface`` (T, 96, 3) metres about the root, 24 joints and then `posegen.motion.kinematics.markers`; zeros behind
    a motion's end. The whole motions are posed once and kept.
    """

    def load(self, sample: Crop) -> Arrays:
        surface = self._surface(sample.motion)
        crop = np.zeros((self.window.most_frames, *surface.shape[1:]), np.float32)
        crop[: len(sample.rows)] = surface[sample.rows]
        return {**super().load(sample), "surface": crop}

    def _surface(self, index: int) -> np.ndarray:
        if index not in self._surfaces:
            features, rest = (torch.from_numpy(x)[None] for x in self.features(index))
            posed = pose_features(features, rest.float(), translate=False)
            self._surfaces[index] = torch.cat([posed.joints, markers(posed)], dim=-2)[0].numpy()
        return self._surfaces[index]

    @cached_property
    def _surfaces(self) -> dict[int, np.ndarray]:
        return {}


class WorldCrops(MotionCrops):
    """Windows of motions as joints and axes in the world, besides what `MotionCrops` gives.

    ``world`` (T, 24, 9), see `posegen.motion.world_features`, on the mean body of all motions; behind a motion's end
    its last frame stays. The whole motions are posed once and kept. ``window`` () int64 numbers the windows of all
    motions: equal numbers, equal windows.
    """

    def load(self, sample: Crop) -> Arrays:
        world = self.world(sample.motion)
        rows = sample.rows[np.minimum(np.arange(self.window.most_frames), len(sample.rows) - 1)]
        crop = world[rows]
        crop[..., :3] -= crop[0, 0, :3].copy()
        number = np.array(self._frames_before[sample.motion] + sample.rows[0])
        return {**super().load(sample), "world": crop, "window": number}

    def world(self, index: int) -> np.ndarray:
        """World features (T, 24, 9) of a whole motion on the mean body, worked out once."""
        if index not in self._posed:
            features, _ = self.features(index)
            rest = torch.from_numpy(np.asarray(self.mean_rest, np.float32))
            self._posed[index] = world_features(torch.from_numpy(features)[None], rest[None])[0].numpy()
        return self._posed[index]

    @cached_property
    def _frames_before(self) -> np.ndarray:
        """(M,) frames of all motions before each."""
        return np.cumsum([0, *(entry.num_frames for entry in self.entries[:-1])])

    @cached_property
    def _posed(self) -> dict[int, np.ndarray]:
        return {}
