"""Plans of frames: arrays with a row a sample, so that a million of them are planned in a fraction of a second."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np

from posegen.datasets.clip_files import ClipFile


@dataclass(frozen=True)
class Sample:
    """One line of a plan of frames."""

    clip: int
    """Position of the clip in the list of its split."""
    row: int
    """The frame to make; of a pair, the first."""
    content: int
    """The frame that shows the person."""
    recoloring: int
    """The recolouring of both."""
    estimate: bool
    """True if the feature map is estimated from the content frame, False if it is taken from the frame itself."""
    seed: tuple[int, ...]
    """Seed of the sample's noise."""
    lead: int = 0
    """Number of earlier frames that are generated first."""
    unchanged: bool = False
    """True if the person is shown in the recolouring's colours, so that there is nothing to change."""


_COLUMNS = np.dtype(
    [
        ("clip", np.int32),
        ("row", np.int32),
        ("content", np.int32),
        ("recoloring", np.int32),
        ("estimate", np.bool_),
        ("number", np.int64),
        ("lead", np.int32),
        ("unchanged", np.bool_),
    ]
)


class FramePlan(Sequence[Sample]):
    """The samples of an epoch, in order.

    Args:
        seed: The run's seed and the epoch: with its number, where a sample's noise comes from.
        clip: (N,), see `Sample`.
        columns: The other values of `Sample`, each (N,) or one for all, and ``number``, by default counted from 0. What
            is missing is 0.
    """

    def __init__(self, seed: tuple[int, int], clip: np.ndarray, **columns: np.ndarray | int | bool):
        self.seed = seed
        self.samples = np.zeros(len(clip), _COLUMNS)
        """(N,) with the fields of `Sample`, but for ``number``, the last number of its seed."""
        for name, column in {"clip": clip, "number": np.arange(len(clip)), **columns}.items():
            self.samples[name] = column

    def __len__(self) -> int:
        return len(self.samples)

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> list[Sample]: ...
    def __getitem__(self, index: int | slice) -> Sample | list[Sample]:
        if isinstance(index, slice):
            return [self._sample(values) for values in self.samples[index].tolist()]
        return self._sample(self.samples[index].item())

    def __iter__(self) -> Iterator[Sample]:
        return (self._sample(values) for values in self.samples.tolist())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FramePlan) and self.seed == other.seed and np.array_equal(self.samples, other.samples)

    __hash__ = None  # type: ignore[assignment]  # like that of a list

    def _sample(self, values: Any) -> Sample:
        clip, row, content, recoloring, estimate, number, lead, unchanged = values
        return Sample(clip, row, content, recoloring, estimate, (*self.seed, number), lead, unchanged)


class UsableFrames:
    """The frames with a usable pose of some clips, one after another. Clips that an index knows are not opened.

    Args:
        clips: In the order of their numbers.
    """

    def __init__(self, clips: Sequence[ClipFile]):
        rows = [clip.usable_rows for clip in clips]
        self.counts = np.array([len(one) for one in rows], np.int64)
        """(C,) of each clip."""
        self.rows = np.concatenate([*rows, np.empty(0, np.int64)])
        """(F,) their places in their clips."""
        self.clips = np.repeat(np.arange(len(clips)), self.counts)
        """(F,) the clips' numbers."""
        self._firsts = np.cumsum(self.counts) - self.counts

    def __len__(self) -> int:
        return len(self.rows)

    def pairs(self) -> np.ndarray:
        """(P,) positions of the frames whose next one is usable, too."""
        follows = (np.diff(self.rows) == 1) & (np.diff(self.clips) == 0)
        return np.flatnonzero(follows)

    def leads(self) -> np.ndarray:
        """(F,) how many usable frames lead up to each without a gap."""
        positions = np.arange(len(self))
        follows = np.zeros(len(self), np.bool_)
        follows[self.pairs() + 1] = True
        return positions - np.maximum.accumulate(np.where(follows, 0, positions))

    def at(self, clips: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        """Places (N,) of usable frames by clip (N,) and number among the clip's usable frames (N,)."""
        return self.rows[self._firsts[clips] + numbers]

    def sample_any(self, clips: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Places (N,) of usable frames of clips (N,), any one of each clip's."""
        return self.at(clips, rng.integers(self.counts[clips]))

    def sample_content(self, clips: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return the same, of which half are the first of their clips, as in the evaluation."""
        is_first = rng.random(len(clips)) < 0.5
        return np.where(is_first, self.at(clips, np.zeros_like(clips)), self.sample_any(clips, rng))


def sample_different(counts: np.ndarray, num: int, rng: np.random.Generator) -> np.ndarray:
    """Numbers (N, num) below the counts (N,), of which no row has one twice. Counts are at least `num`."""
    chosen = np.empty((len(counts), num), np.int64)
    for k in range(num):
        # One of those that are left, counted over those that are taken.
        number = rng.integers(counts - k)
        for taken in np.sort(chosen[:, :k], axis=1).T:
            number += number >= taken
        chosen[:, k] = number
    return chosen
