"""Clip-level repair of estimated poses: short gaps are bridged and single-frame jumps removed.

A missing joint is (0, 0, 0) and never enters the arithmetic.
"""

from __future__ import annotations

import numpy as np

from posegen.errors import ConfigError
from posegen.skeletons import OPENPOSE_18, joint_indices, swap_left_right

_MIRROR = joint_indices([swap_left_right(name) for name in OPENPOSE_18])
_LIMB_JOINTS = joint_indices([name for name in OPENPOSE_18 if "_" in name and name[-3:] not in ("eye", "ear")])
_DOUBT = 0.02  # share of the distance between left and right that a swapped frame costs


def smooth(keypoints: np.ndarray) -> np.ndarray:
    """Undo left-right swaps, bridge short gaps, remove jumps: (T, 18, 3) in, a new (T, 18, 3) out.

    The median is over 3 frames. Over 5 it jitters less, but at 25 frames a second it cuts the ends off quick
    movements: in rendered jumping jacks the 99th percentile of BlazePose's error grows from 6 pixels to 15.
    """
    return median_filter(fill_gaps(untangle_sides(keypoints)), window=3)


def untangle_sides(keypoints: np.ndarray) -> np.ndarray:
    """Swap left and right of (T, 18, 3) in the frames of `swapped_frames`."""
    return np.where(swapped_frames(keypoints)[:, None, None], keypoints[:, _MIRROR], keypoints)


def swapped_frames(keypoints: np.ndarray) -> np.ndarray:
    """Find the frames (T,) bool of (T, 18, 3) in which swapping left and right makes arms and legs move continuously.

    Estimators that see one frame at a time mistake a person's front for the back now and then, and all limbs
    change sides for some frames. The most likely sequence (Viterbi, 1967) weighs jumps of the joints against a
    small cost of each frame that is swapped, so that the estimator's word holds over long stretches and after
    gaps.
    """
    mirrored = keypoints[:, _MIRROR]
    doubt = _DOUBT * _distance(keypoints, mirrored)  # (T,)
    stay, cross = _distance(keypoints[1:], keypoints[:-1]), _distance(mirrored[1:], keypoints[:-1])  # (T - 1,)
    costs = np.array([0.0, doubt[0]])  # of the best sequences so far that end with the frame as it is, or swapped
    origins = []
    for frame in range(1, len(keypoints)):
        jumps = np.array([[stay[frame - 1], cross[frame - 1]], [cross[frame - 1], stay[frame - 1]]])
        origins.append((costs + jumps).argmin(axis=1))
        costs = (costs + jumps).min(axis=1) + np.array([0.0, doubt[frame]])
    states = [int(costs.argmin())]
    for origin in reversed(origins):
        states.append(int(origin[states[-1]]))
    return np.array(states[::-1], bool)


def _distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Sum (T,) of the distances of the limbs' joints whose both sides were seen in both (T, 18, 3)."""
    seen = (a[..., 2] > 0) & (b[..., 2] > 0)
    paired = seen & seen[:, _MIRROR]
    distances = np.linalg.norm(a[..., :2] - b[..., :2], axis=-1) * paired
    return distances[:, _LIMB_JOINTS].sum(axis=1)


def fill_gaps(keypoints: np.ndarray, max_gap: int = 5) -> np.ndarray:
    """Interpolate every joint of (T, J, 3) linearly over gaps of at most `max_gap` frames.

    Gaps at the beginning or end of the clip stay, for nothing is known on their other side. The confidence is
    interpolated like the position.
    """
    seen = keypoints[..., 2] > 0  # (T, J)
    frames = np.arange(len(keypoints))[:, None]  # (T, 1)
    before = np.maximum.accumulate(np.where(seen, frames, -1), axis=0)  # the last frame that saw the joint
    after = np.minimum.accumulate(np.where(seen, frames, len(keypoints))[::-1], axis=0)[::-1]  # and the next
    gap = ~seen & (before >= 0) & (after < len(keypoints)) & (after - before - 1 <= max_gap)
    frame, joint = np.nonzero(gap)
    start, end = before[frame, joint], after[frame, joint]
    share = ((frame - start) / (end - start))[:, None]
    filled = keypoints.copy()
    filled[frame, joint] = (1 - share) * keypoints[start, joint] + share * keypoints[end, joint]
    return filled


def median_filter(keypoints: np.ndarray, window: int = 5) -> np.ndarray:
    """Replace x and y of every seen joint of (T, J, 3) by their medians over `window` frames around it.

    Only frames that saw the joint count, and the window is cut at the clip's ends. Confidences stay. This is the
    temporal filter of Everybody Dance Now (Chan et al., 2019), made insensitive to missing joints.
    Raises ConfigError for an even window.
    """
    if window < 1 or window % 2 == 0:
        raise ConfigError(f"window must be odd and positive, got {window}")
    seen = keypoints[..., 2] > 0
    known = np.where(seen[..., None], keypoints[..., :2], np.nan)
    padded = np.pad(known, ((window // 2, window // 2), (0, 0), (0, 0)), constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(padded, window, axis=0)  # (T, J, 2, window)
    filtered = keypoints.copy()
    filtered[seen, :2] = np.nanmedian(windows[seen], axis=-1)  # a seen joint is in its own window: no empty one
    return filtered
