"""Reject implausible joints of a clip: limbs that are too long, and bodies that grow or jump within a frame.

Joints that are dropped are bridged by `posegen.perception.smoothing` where the gap is short.
"""

from __future__ import annotations

import numpy as np

from posegen.skeletons import LIMBS, OPENPOSE_18, joint_indices

_LONGEST = {"hip": 0.45, "knee": 0.36, "ankle": 0.36, "shoulder": 0.22, "elbow": 0.27, "wrist": 0.26, "nose": 0.24}
"""Of bones by the joint at their far end, in sides of BlazePose's square: half as much again as a grown-up's."""
_HEAD = 0.16  # likewise of a bone of the head
_WINDOW = 7  # frames over which the size of a body is known: nobody grows in a quarter of a second
_GROWTH = 1.5  # of the median around a frame, from which the frame's own size is wrong

_NEAR, _FAR = np.array([joint_indices(limb) for limb in LIMBS]).T
_REACH = np.array([_LONGEST.get(OPENPOSE_18[far].rsplit("_", 1)[-1], _HEAD) for far in _FAR])


def steady_sizes(sizes: np.ndarray) -> np.ndarray:
    """Return the median of sizes (T,) over the frames around each that have one; 0 is none."""
    known = np.where(sizes > 0, sizes, np.nan)
    padded = np.pad(known, _WINDOW // 2, constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)
    found = np.zeros(len(sizes))
    some = np.isfinite(windows).any(axis=1)
    found[some] = np.nanmedian(windows[some], axis=1)
    return found


def drop_implausible(keypoints: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Mark as missing the joints whose bones are longer than anybody's, and frames whose body is of another size.

    Args:
        keypoints: (T, 18, 3) in pixels; (0, 0, 0) is missing.
        sizes: (T,) side, in pixels, of the square around the body that BlazePose looks at; 0 where nobody is seen.

    Returns:
        A new (T, 18, 3).
    """
    steady = steady_sizes(sizes)
    kept = keypoints.copy()
    ratio = sizes / np.maximum(steady, 1e-9)
    kept[(sizes > 0) & ((ratio > _GROWTH) | (ratio < 1 / _GROWTH))] = 0
    for near, far, reach in zip(_NEAR, _FAR, _REACH, strict=True):  # from the trunk outwards
        both = (kept[:, near, 2] > 0) & (kept[:, far, 2] > 0)
        length = np.linalg.norm(kept[:, near, :2] - kept[:, far, :2], axis=-1)
        kept[both & (steady > 0) & (length > reach * steady), far] = 0
    return kept
