"""What is behind a person: seen in other frames, or made up from what is around."""

from __future__ import annotations

import cv2
import numpy as np

from posegen.features.body_pose import BodyPoses

_SURE = 40  # of 255: less is background
_GROW = 0.02  # of the picture's height, around the person: hair, fingers, soft shadows
_GRAIN_RADIUS = 1.0


def fill_background(image: np.ndarray, person: np.ndarray, pose: BodyPoses) -> np.ndarray:
    """Make up what is behind a person, (H, W, 3) uint8.

    Args:
        image: (H, W, 3) uint8 RGB.
        person: (H, W) uint8 probability × 255 of the person.
        pose: One pose; the shadow is searched at its feet.
    """
    grow = max(round(_GROW * image.shape[0]), 2)
    hole = cv2.dilate(
        (person > _SURE).astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * grow + 1,) * 2)
    )
    if hole.all():
        return image.copy()
    smooth = _fill_smoothly(image.astype(np.float32), hole > 0)
    blend = cv2.GaussianBlur(hole.astype(np.float32), (0, 0), grow / 2)[..., None]
    blend = np.where(hole[..., None] > 0, 1.0, np.clip(2 * blend, 0, 1) * 0)
    return np.clip(image * (1 - blend) + smooth * blend, 0, 255).round().astype(np.uint8)


def _fill_smoothly(image: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """Fill a hole from its border by a pyramid: pull averages of what is known up, push them down into the hole."""
    weights = (~hole).astype(np.float32)
    levels = [(image * weights[..., None], weights)]
    while min(levels[-1][1].shape) > 1:
        values, known = levels[-1]
        size = (max((known.shape[1] + 1) // 2, 1), max((known.shape[0] + 1) // 2, 1))
        levels.append(
            (
                cv2.resize(values, size, interpolation=cv2.INTER_AREA),
                cv2.resize(known, size, interpolation=cv2.INTER_AREA),
            )
        )
    filled = levels[-1][0] / np.maximum(levels[-1][1], 1e-6)[..., None]
    for values, known in reversed(levels[:-1]):
        coarse = cv2.resize(filled, known.shape[::-1], interpolation=cv2.INTER_LINEAR)
        here = np.clip(known, 0, 1)[..., None]
        filled = values / np.maximum(known, 1e-6)[..., None] * here + coarse * (1 - here)
    return filled
