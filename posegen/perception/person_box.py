"""Bounding box of the person in a video, for the crop before all other steps."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np

from posegen.io.video_reader import DETAIL_SIDES
from posegen.perception.blazepose import BlazeposeNetworks, follow_landmarks
from posegen.perception.selfie import clean_mask

_MARGIN = 0.05  # of the person's longer side, for hair and fingers that the masks miss


def person_box(frames: Iterable[np.ndarray], aspect: float | None = None) -> tuple[float, float, float, float] | None:
    """Return the box around the person in all of the given frames, or None if nobody was found.

    Args:
        frames: (H, W, 3) uint8 RGB of one size, in order; a dozen spread over a video will do.
        aspect: Width over height to which the box is grown, see `grow_box`.

    Returns:
        x0, y0, x1, y1: edges in pixels of the frames, where a whole frame is (0, 0, W, H).
    """
    resized = []
    width = height = 0
    for frame in frames:
        height, width = frame.shape[:2]
        resized.append(fit_networks(frame))
    boxes = []
    for frame, sighting in zip(resized, follow_landmarks(BlazeposeNetworks(), resized), strict=True):
        if sighting is not None:
            mask = clean_mask(sighting.mask_in_frame(*frame.shape[:2]))
            if mask.any():
                left, top, across, down = cv2.boundingRect(mask)
                boxes.append((left, top, left + across, top + down))
    if not boxes:
        return None
    scale = width / resized[0].shape[1]
    low, high = np.min(boxes, axis=0)[:2] * scale, np.max(boxes, axis=0)[2:] * scale
    margin = _MARGIN * float((high - low).max())
    x0, y0 = np.maximum(low - margin, 0).tolist()
    x1, y1 = np.minimum(high + margin, [width, height]).tolist()
    box = x0, y0, x1, y1
    return box if aspect is None else grow_box(box, aspect, (height, width))


def grow_box(
    box: tuple[float, float, float, float], aspect: float, frame: tuple[int, int]
) -> tuple[float, float, float, float]:
    """Grow a box to an aspect (width over height), and move it into the frame (height, width) as far as it fits.

    What reaches beyond the frame is continued by its border, which shows as streaks: less of it is better.
    """
    sides = np.array([box[2] - box[0], box[3] - box[1]])
    grown = np.maximum(sides, sides[::-1] * [aspect, 1 / aspect])
    room = np.array(frame[::-1]) - grown
    low = (np.array(box[:2]) + np.array(box[2:]) - grown) / 2
    low = np.where(room >= 0, low.clip(0, np.maximum(room, 0)), room / 2)
    (x0, y0), (x1, y1) = low.tolist(), (low + grown).tolist()
    return x0, y0, x1, y1


def fit_networks(frame: np.ndarray) -> np.ndarray:
    """Resize a frame (H, W, 3) so that BlazePose finds people in it and nothing is wasted; the aspect stays."""
    longer = max(frame.shape)
    scale = min(max(longer, DETAIL_SIDES[0]), DETAIL_SIDES[1]) / longer
    size = (max(round(frame.shape[1] * scale), 1), max(round(frame.shape[0] * scale), 1))
    return cv2.resize(frame, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
