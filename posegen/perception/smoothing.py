"""Clip-level repair of estimated poses: short gaps are bridged and single-frame jumps removed.

A missing joint is (0, 0, 0) and never enters the arithmetic.
"""

from __future__ import annotations

import numpy as np


def smooth(keypoints: np.ndarray) -> np.ndarray:
    """Bridge gaps of up to 5 frames, then take the median over 5 frames: (T, J, 3) in, a new (T, J, 3) out.

    A joint that appears for a frame or two between gaps has no neighbours to check it against and stays.
    """
    return median_filter(fill_gaps(keypoints))


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
    Raises ValueError for an even window.
    """
    if window < 1 or window % 2 == 0:
        raise ValueError(f"window must be odd and positive, got {window}")
    seen = keypoints[..., 2] > 0
    known = np.where(seen[..., None], keypoints[..., :2], np.nan)
    padded = np.pad(known, ((window // 2, window // 2), (0, 0), (0, 0)), constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(padded, window, axis=0)  # (T, J, 2, window)
    filtered = keypoints.copy()
    filtered[seen, :2] = np.nanmedian(windows[seen], axis=-1)  # a seen joint is in its own window: no empty one
    return filtered
