"""How well a colour is hit, and how much else changes with it."""

from __future__ import annotations

import numpy as np

from posegen.color.lab import delta_e_2000, rgb_to_lab


def mean_ab(images: np.ndarray, region: np.ndarray) -> np.ndarray:
    """Mean LAB (a, b) of the pixels of uint8 images (..., H, W, 3) where `region` (..., H, W) is true: (2,)."""
    return rgb_to_lab(images[region])[:, 1:].mean(axis=0)


def share_of_way(before: np.ndarray, after: np.ndarray, target: np.ndarray) -> float:
    """How far (a, b) went from `before` to `target`: 1 is there, 0 is nowhere, negative is away from it."""
    way = target - before
    return float((after - before) @ way / max(way @ way, 1e-12))


def mean_change(before: np.ndarray, after: np.ndarray, region: np.ndarray) -> float:
    """Mean CIEDE2000 between two series of uint8 images (..., H, W, 3) where `region` (..., H, W) is true."""
    return float(delta_e_2000(rgb_to_lab(before[region]), rgb_to_lab(after[region])).mean())
