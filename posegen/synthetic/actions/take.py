"""One take of an action: how fast, how far and on which side it is done, and what the action makes of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from torch import Tensor

SIDES = ("left", "right")


@dataclass(frozen=True)
class ActionTake:
    """Variation of an action. The defaults are those of a performer who varies nothing, as in the studio."""

    time: np.ndarray
    """(T,) seconds of each frame."""
    period: float = 4.0
    """Seconds from rest to rest, of actions that begin and end there."""
    tempo: float = 1.0
    size: float = 1.0
    """Speed and range of the movement, relative to other performers."""
    side: str = "right"
    """Side of the arm or leg that acts, if only one does."""
    start: float = 0.0
    """Radians: the phase at which actions begin that are always going on, such as walking."""
    noise: np.ndarray | float = 0.0
    """(T, 24, 3) radians that are added to the angles about each joint's x, y and z."""

    def __len__(self) -> int:
        return len(self.time)

    def phase(self, hertz: float) -> np.ndarray:
        """Return the phase (T,) in radians of what is always going on, so often a second."""
        return 2 * np.pi * hertz * self.tempo * self.time + self.start

    def whole_phase(self, hertz: float) -> np.ndarray:
        """Return the phase (T,) in radians of what is done about so often a second, whole times in a period."""
        return 2 * np.pi * max(round(hertz * self.tempo * self.period), 1) * self.time / self.period

    def pulse(self, hertz: float, sharpness: float = 1.0) -> np.ndarray:
        """Return a curve (T,) from 0 to 1 and back, whole times in a period; the sharper, the longer it stays at 0."""
        return ((1 - np.cos(self.whole_phase(hertz))) / 2) ** sharpness

    @property
    def progress(self) -> np.ndarray:
        """(T,) in [0, 1): how much of a period has passed, of actions that begin and end at rest."""
        return np.mod(self.time / self.period, 1.0)


class Footing(NamedTuple):
    """Standing foot and its position."""

    support: np.ndarray
    """(T,): 1 where the left foot stands, 0 where the right one does, 0.5 where both do."""
    anchors: np.ndarray
    """(T, 2): how far left and right foot have gone to the left, in leg lengths."""


class Performance(NamedTuple):
    """Body angles and footing of a take of an action."""

    rotations: Tensor
    """(T, 24, 3, 3) float64 of each joint of SMPL-24 in its parent's axes; the root's in the world's."""
    rise: np.ndarray
    """(T,) how high the lower foot is above the floor: metres, or leg lengths where there is a footing."""
    footing: Footing | None = None
    """None where the lower foot stands, wherever it is."""


Perform = Callable[[ActionTake], Performance]
