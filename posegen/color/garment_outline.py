"""Matte of a garment: the share of the garment in the pixels at its outline."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.ndimage import distance_transform_edt

from posegen.features.smoothstep import smoothstep

_CONTRAST = (18.0, 60.0)  # of 8-bit RGB: below, garment and surroundings cannot be told by colour; above, they can


@dataclass(frozen=True)
class GarmentMatte:
    """Share of the garment in each pixel."""

    alpha: np.ndarray
    """(H, W) float32."""
    core: np.ndarray
    """(H, W) bool: pixels of nothing but the garment, away from its outline."""
    is_core: np.ndarray
    """(H, W) bool: pixels that show the garment alone and are recoloured by themselves."""
    source: np.ndarray
    """(H, W) number of the pixel whose shading and pattern is that of the garment's part of a pixel."""
    others: np.ndarray
    """(H, W, 3) float32: the RGB of what a pixel shows besides the garment."""


def make_matte(image: np.ndarray, region: np.ndarray, bare: np.ndarray, band: int) -> GarmentMatte:
    """Find how much garment pixels at its outline show, by their place between its colour and that beside it.

    Skin and hair, `bare` (H, W) bool, are mixed with it in their outermost pixels alone.
    """
    rgb = image.astype(np.float32)
    core, beside = erode(region, band), erode(~region, band)
    garment, source = _nearest_color(rgb, core)
    others, _ = _nearest_color(rgb, beside)
    across = garment - others
    contrast = np.linalg.norm(across, axis=-1)
    by_color = ((rgb - others) * across).sum(-1) / np.maximum(contrast**2, 1)
    inside = cv2.distanceTransform(region.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    outside = cv2.distanceTransform((~region).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    by_place = np.clip(0.5 + np.where(region, inside - 0.5, 0.5 - outside), 0, 1)
    trust = smoothstep(contrast, *_CONTRAST)
    alpha = trust * np.clip(by_color, 0, 1) + (1 - trust) * by_place
    alpha = np.where(core, 1, np.where(beside, 0, alpha)).astype(np.float32)
    # A light along the outline is no gap where cloth is seen beyond it.
    alpha = np.where(region, cv2.morphologyEx(alpha, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8)), alpha)
    near_it = np.where(outside < 1.2, smoothstep(alpha, 0.02, 0.1), smoothstep(alpha, 0.1, 0.5))
    beyond = np.where(bare, smoothstep(alpha, 0.4, 0.8) * (outside < 1.2), near_it)
    alpha = np.where(region, alpha, beyond * alpha).astype(np.float32)
    own = np.arange(region.size).reshape(region.shape)
    is_core = core | (region & (alpha > 0.97))
    # What is left of a mixture without the garment's part, near what is seen beside it.
    rest = (rgb - alpha[..., None] * garment) / np.maximum(1 - alpha[..., None], 0.15)
    others = np.clip(rest, others - 40, others + 40)
    return GarmentMatte(alpha, core, is_core, np.where(is_core, own, source), others)


def erode(region: np.ndarray, width: int) -> np.ndarray:
    """Return a region without a band at its outline; of parts that are thinner than the band, their middle."""
    distance = cv2.distanceTransform(region.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    kernel = np.ones((2 * width + 1, 2 * width + 1), np.uint8)
    middle = region & (distance >= 0.8 * cv2.dilate(distance, kernel))
    return (distance > width) | middle


def _nearest_color(rgb: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Colours (H, W, 3) continued from where they are known, and the number (H, W) of the pixel that each is from."""
    if not known.any():
        return rgb, np.arange(known.size).reshape(known.shape)
    weight = cv2.blur(known.astype(np.float32), (3, 3))[..., None]
    mean = cv2.blur(rgb * known[..., None], (3, 3)) / np.maximum(weight, 1e-6)
    rows, columns = distance_transform_edt(~known, return_distances=False, return_indices=True)
    return mean[rows, columns], rows * known.shape[1] + columns
