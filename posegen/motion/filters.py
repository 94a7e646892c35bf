"""Filters against the jitter of estimators that see one frame at a time.

Rotations are filtered as six numbers, which have no jumps, and made rotations again; joints are posed by them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from posegen.motion.motion import Motion


def one_euro(motion: Motion, min_cutoff: float = 0.004, beta: float = 0.7) -> Motion:
    """Return a motion filtered by One-Euro (Casiez et al., 2012): the slower something moves, the more it is held.

    Time is counted in frames and the defaults are VIBE's; PARE's `beta` is 1.0. It is causal, so it lags.

    Args:
        motion: With rotations or of joints alone.
        min_cutoff: Of what rests, in cycles per frame.
        beta: How much the cutoff grows with the speed.
    """

    def smooth(values: np.ndarray) -> np.ndarray:
        return _one_euro(values, min_cutoff, beta)

    return _filter(motion, smooth)


def savitzky_golay(motion: Motion, window: int = 9, order: int = 3) -> Motion:
    """Return a motion filtered by polynomials that are fitted to windows (Savitzky and Golay, 1964): it does not lag.

    Args:
        motion: With rotations or of joints alone.
        window: Frames of a window, odd; of the whole motion where that is shorter.
        order: Of the polynomials, less than `window`.
    """
    from scipy.signal import savgol_filter  # here, since it takes half as long to import as PyTorch

    size = min(window, (len(motion) - 1) // 2 * 2 + 1)
    return _filter(motion, lambda values: savgol_filter(values, size, min(order, size - 1), axis=0))


def _filter(motion: Motion, smooth: Callable[[np.ndarray], np.ndarray]) -> Motion:
    """Filter rotations and the root, or joints where there are no rotations."""
    if motion.rot6d is None or motion.rest is None:
        return replace(motion, joints=smooth(motion.joints.astype(float)).astype(np.float32), rot6d=None)
    trans = smooth(motion.trans.astype(float)).astype(np.float32)
    posed = Motion.from_rotations(smooth(motion.rot6d.astype(float)), trans, motion.rest, motion.fps)
    return replace(motion, joints=posed.joints, rot6d=posed.rot6d)


def _one_euro(values: np.ndarray, min_cutoff: float, beta: float, speed_cutoff: float = 1.0) -> np.ndarray:
    """Filter (T, …), each number by itself."""
    smoothed = values.copy()
    speed = np.zeros_like(values[0])
    keep = _share(np.full_like(speed, speed_cutoff))
    for frame in range(1, len(values)):
        speed = keep * (values[frame] - smoothed[frame - 1]) + (1 - keep) * speed
        share = _share(min_cutoff + beta * np.abs(speed))
        smoothed[frame] = share * values[frame] + (1 - share) * smoothed[frame - 1]
    return smoothed


def _share(cutoff: np.ndarray) -> np.ndarray:
    """Return the weight of a new value at a cutoff in cycles per frame."""
    turn = 2 * np.pi * cutoff
    return turn / (turn + 1)


FILTERS: dict[str, Callable[[Motion], Motion]] = {"one-euro": one_euro, "savitzky-golay": savitzky_golay}
"""Filters by name, with their default parameters."""
