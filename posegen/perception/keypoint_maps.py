"""Postprocess keypoints of all pose backends: map them into the footage, and choose the person to follow."""

from __future__ import annotations

import numpy as np


def map_keypoints(keypoints: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Move keypoints (..., J, 3) by a (2, 3) affine; missing joints stay (0, 0, 0)."""
    mapped = keypoints.copy()
    mapped[..., :2] = keypoints[..., :2] @ affine[:, :2].T + affine[:, 2]
    mapped[keypoints[..., 2] <= 0] = 0
    return mapped


def drop_outside(keypoints: np.ndarray, height: int, width: int) -> np.ndarray:
    """Mark joints of (..., J, 3) outside an image as missing: nothing in the picture shows where they are."""
    x, y = keypoints[..., 0], keypoints[..., 1]
    inside = (x >= -0.5) & (x <= width - 0.5) & (y >= -0.5) & (y <= height - 0.5)
    return np.where(inside[..., None], keypoints, 0).astype(keypoints.dtype)


def prominence(center: np.ndarray, size: float, height: int, width: int) -> float:
    """Return how much a person at `center` (x, y) looks like the subject of an image: large and central."""
    middle = np.array([width - 1, height - 1]) / 2
    return size * float(1 - np.linalg.norm(center - middle) / np.hypot(width, height))
