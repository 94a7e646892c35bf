"""Regions of pixels that grow."""

from __future__ import annotations

import cv2
import numpy as np


def grow_square(region: np.ndarray, pixels: int) -> np.ndarray:
    """Return a region (H, W) bool grown by some pixels in rows and columns."""
    return cv2.dilate(region.astype(np.uint8), np.ones((2 * pixels + 1,) * 2, np.uint8)) > 0


def grow_round(region: np.ndarray, radius: float) -> np.ndarray:
    """Return a region (H, W) bool grown by a radius in pixels, at least one."""
    side = 2 * max(round(radius), 1) + 1
    return cv2.dilate(region.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))) > 0
