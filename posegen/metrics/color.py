"""Accuracy of a requested colour, and side effects of the recolouring."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np

from posegen.color.garment_segmentation import LOWER, NONE, UPPER
from posegen.color.lab import delta_e_2000, rgb_to_lab
from posegen.errors import ConfigError


def mean_ab(images: np.ndarray, region: np.ndarray) -> np.ndarray:
    """Mean LAB (a, b) of the pixels of uint8 images (..., H, W, 3) where `region` (..., H, W) is true: (2,)."""
    return rgb_to_lab(images[region])[:, 1:].mean(axis=0)


def mean_lab(images: np.ndarray, region: np.ndarray) -> np.ndarray:
    """Mean L, a, b (3,) of a region: over its pixels in each frame, then over the frames that show it.

    Unlike in `mean_ab` every frame counts alike, however large the region is in it.

    Args:
        images: (T, H, W, 3) uint8.
        region: (T, H, W) bool.

    Raises:
        ConfigError: Shapes or types are not these, or the region has no pixel.
    """
    _require_frames(images, region)
    shown = np.flatnonzero(region.any(axis=(1, 2)))
    if not len(shown):
        raise ConfigError(f"the region has no pixel in any of {len(images)} frames: leave the clip out")
    return np.mean([rgb_to_lab(images[t][region[t]]).mean(axis=0) for t in shown], axis=0)


def hit(images: np.ndarray, region: np.ndarray, target_ab: np.ndarray) -> float:
    """Measure the distance of a garment from its target (a, b): CIEDE2000, 0 is a hit, about 1 is just noticeable.

    A code changes a and b and leaves the lightness as it is, so the target is taken at the garment's own L.

    Args:
        images: (T, H, W, 3) uint8.
        region: (T, H, W) bool, the garment.
        target_ab: (2,), a and b.

    Raises:
        PosegenError: As `mean_lab`, or the target is not finite or not of this shape.
    """
    target_ab = np.asarray(target_ab, np.float64)
    if target_ab.shape != (2,) or not np.isfinite(target_ab).all():
        raise ConfigError(f"got the target {target_ab.tolist()}, expected finite [a, b]")
    found = mean_lab(images, region)
    return float(delta_e_2000(found, np.array([found[0], *target_ab])))


def share_of_way(before: np.ndarray, after: np.ndarray, target: np.ndarray) -> float:
    """Measure the share of the way that (a, b) went from `before` to `target`: 1 is there, 0 is nowhere, negative is
    away from it."""
    way = target - before
    return float((after - before) @ way / max(way @ way, 1e-12))


def mean_change(before: np.ndarray, after: np.ndarray, region: np.ndarray) -> float:
    """Mean CIEDE2000 between two series of uint8 images (..., H, W, 3) where `region` (..., H, W) is true."""
    return float(delta_e_2000(rgb_to_lab(before[region]), rgb_to_lab(after[region])).mean())


def areas_beside(garment: int, labels: np.ndarray, masks: np.ndarray) -> dict[str, np.ndarray]:
    """Return the areas outside a recoloured garment that `leakage` measures.

    Args:
        garment: `UPPER` or `LOWER`, the one that is recoloured.
        labels: (T, H, W) of `garment_labels`.
        masks: (T, H, W) bool, or uint8 with 0 outside the person.

    Returns:
        (T, H, W) bool each: ``other_garment``; ``skin``, the person without garments, so hair and shoes as well; and
        ``background``.
    """
    if garment not in (UPPER, LOWER) or labels.shape != masks.shape:
        raise ConfigError(
            f"got garment {garment}, labels of shape {labels.shape} and masks of shape {masks.shape}, "
            f"expected garment {UPPER} or {LOWER}, and one shape"
        )
    person = masks > 0
    other = UPPER + LOWER - garment
    return {"other_garment": labels == other, "skin": person & (labels == NONE), "background": ~person}


def leakage(before: np.ndarray, after: np.ndarray, areas: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Measure unwanted changes by recolouring: mean CIEDE2000 over each area's pixels.

    Args:
        before: (T, H, W, 3) uint8.
        after: The same, recoloured.
        areas: (T, H, W) bool by name, such as those of `areas_beside`.

    Returns:
        By name, 0 for no change. An area without a pixel is left out, since nothing can be said of it.
    """
    _require_pair(before, after)
    for region in areas.values():
        _require_frames(before, region)
    return {name: mean_change(before, after, region) for name, region in areas.items() if region.any()}


def texture_kept(before: np.ndarray, after: np.ndarray, region: np.ndarray) -> float:
    """Measure how much of a garment's folds and pattern survives recolouring: the correlation of the gradients of L.

    The region is eroded by a pixel, so that its outline, which both have, does not count.

    Args:
        before: (T, H, W, 3) uint8.
        after: The same, recoloured.
        region: (T, H, W) bool, the garment.

    Returns:
        Normalized correlation Σ g·g' / √(Σ g² Σ g'²) over the pixels of all frames, in [-1, 1]: 1 for the same
        texture at any contrast, 0 for none, -1 for its negative. NaN where `before` is flat: it has none to keep.

    Raises:
        ConfigError: Shapes or types are not these, or no pixel is left of the region.
    """
    _require_pair(before, after)
    _require_frames(before, region)
    inner = [cv2.erode(part.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0 for part in region]
    if not np.any(inner):
        raise ConfigError(f"no pixel is left of a region of {region.sum()} pixels without its outline: leave it out")
    first, second = (
        np.concatenate([_lightness_gradients(image, part) for image, part in zip(images, inner, strict=True)])
        for images in (before, after)
    )
    if not first.any():
        return float("nan")
    return float(first @ second / max(np.linalg.norm(first) * np.linalg.norm(second), 1e-12))


def _lightness_gradients(image: np.ndarray, region: np.ndarray) -> np.ndarray:
    """Central differences of L along y and x, of the K pixels of the region: (2 K,)."""
    lightness = rgb_to_lab(image)[..., 0]  # (H, W)
    return np.concatenate([gradient[region] for gradient in np.gradient(lightness)])


def _require_frames(images: np.ndarray, region: np.ndarray) -> None:
    if images.ndim != 4 or images.dtype != np.uint8 or region.shape != images.shape[:3] or region.dtype != bool:
        raise ConfigError(
            f"got {images.dtype} images of shape {images.shape} and a {region.dtype} region of shape {region.shape}, "
            "expected uint8 (T, H, W, 3) and bool (T, H, W)"
        )


def _require_pair(before: np.ndarray, after: np.ndarray) -> None:
    if before.shape != after.shape or before.dtype != after.dtype:
        raise ConfigError(
            f"got {before.dtype} {before.shape} before and {after.dtype} {after.shape} after, expected two uint8 "
            "arrays of one shape (T, H, W, 3)"
        )
