"""How a person is drawn in a frame: inside the person's outline, and what is left or wrong beside it."""

from __future__ import annotations

import cv2
import numpy as np

from posegen.color.lab import delta_e_2000, rgb_to_lab
from posegen.errors import ConfigError

WRONG = 10.0
"""CIEDE2000 from which a pixel shows another thing, not the same one in other light or in the codec's noise."""
_BLUR = 1.0  # pixels, of both frames, against noise and outlines that are soft in one of them


def grow_masks(masks: np.ndarray, share: float) -> np.ndarray:
    """Dilate masks (T, H, W), uint8 or bool, by a disk whose radius is a share of the height: (T, H, W) bool."""
    radius = max(round(share * masks.shape[1]), 1)
    disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1,) * 2)
    return np.stack([cv2.dilate((mask > 0).astype(np.uint8), disk) > 0 for mask in masks])


def color_distances(fake: np.ndarray, real: np.ndarray, blur: float = _BLUR) -> np.ndarray:
    """CIEDE2000 (H, W) between the pixels of two uint8 frames (H, W, 3), blurred by `blur` pixels first."""
    if fake.shape != real.shape or fake.dtype != np.uint8 or real.dtype != np.uint8:
        raise ConfigError(f"got frames of shapes {fake.shape} and {real.shape}, expected two of one shape, in uint8")
    if blur:
        fake, real = (cv2.GaussianBlur(frame, (0, 0), blur) for frame in (fake, real))
    return delta_e_2000(rgb_to_lab(fake), rgb_to_lab(real))


def wrong_share(fake: np.ndarray, real: np.ndarray, regions: np.ndarray) -> np.ndarray:
    """Share of the pixels of a region that show another thing than they should, one a frame.

    Args:
        fake: (T, H, W, 3) uint8.
        real: The same.
        regions: (T, H, W) bool.

    Returns:
        (T,) in [0, 1]: pixels beyond `WRONG`; NaN in frames whose region is empty.
    """
    shares = np.full(len(fake), np.nan)
    for index, (drawn, true, region) in enumerate(zip(fake, real, regions, strict=True)):
        if region.any():
            shares[index] = (color_distances(drawn, true)[region] > WRONG).mean()
    return shares
