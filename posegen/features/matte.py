"""Soft borders of a person: a mask that follows the picture's edges, and colours without what is behind."""

from __future__ import annotations

import cv2
import numpy as np

_EPSILON = 1e-3  # of squared intensities in [0, 1]: smaller differences of colour are no edges
_RADIUS = 1 / 192  # of the height of the picture
_CONTRAST = 2.0


def soft_matte(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return the opacity (H, W) float32 in [0, 1] of a person of whom the mask (H, W) uint8 is roughly known.

    Args:
        image: (H, W, 3) uint8 RGB.
        mask: Probability × 255.
    """
    radius = max(round(image.shape[0] * _RADIUS), 1)
    matte = refine_mask(image, cv2.GaussianBlur(mask, (0, 0), radius / 2), radius)
    return np.clip(_CONTRAST * (matte - 0.5) + 0.5, 0, 1)


def refine_mask(image: np.ndarray, mask: np.ndarray, radius: int) -> np.ndarray:
    """Let a mask follow the edges of its picture by a guided filter (He, Sun and Tang, 2010).

    Args:
        image: (H, W, 3) uint8 RGB.
        mask: (H, W) uint8 probability × 255.
        radius: Pixels around each pixel that are looked at.

    Returns:
        (H, W) float32 in [0, 1].
    """
    guide = image.astype(np.float32) / 255
    target = mask.astype(np.float32) / 255
    mean_guide, mean_target = _mean(guide, radius), _mean(target, radius)
    products = guide[..., :, None] * guide[..., None, :]  # (H, W, 3, 3)
    covariance = _mean(products.reshape(*mask.shape, 9), radius).reshape(products.shape)
    covariance -= mean_guide[..., :, None] * mean_guide[..., None, :]
    covariance += _EPSILON * np.eye(3, dtype=np.float32)
    shared = _mean(guide * target[..., None], radius) - mean_guide * mean_target[..., None]
    slope = np.linalg.solve(covariance, shared[..., None])[..., 0]
    offset = mean_target - (slope * mean_guide).sum(axis=-1)
    refined = (_mean(slope, radius) * guide).sum(axis=-1) + _mean(offset, radius)
    return np.clip(refined, 0, 1)


def nearest_known(known: np.ndarray) -> np.ndarray:
    """Return the number (H, W) int of the known pixel that is nearest to each pixel; `known` (H, W) bool has one."""
    _, labels = cv2.distanceTransformWithLabels(
        (~known).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    numbers = np.flatnonzero(known)
    by_label = np.zeros(labels.max() + 1, np.int64)
    by_label[labels.ravel()[numbers]] = numbers
    return by_label[labels]


def _mean(values: np.ndarray, radius: int) -> np.ndarray:
    """Mean over squares of 2 × radius + 1 pixels around each pixel, of (H, W) or (H, W, C)."""
    size = (2 * radius + 1, 2 * radius + 1)
    if values.ndim == 2:
        return cv2.blur(values, size)
    planes = [cv2.blur(np.ascontiguousarray(values[..., c]), size) for c in range(values.shape[2])]
    return np.stack(planes, axis=-1)
