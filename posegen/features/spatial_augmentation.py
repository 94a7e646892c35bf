"""Frames that are moved, and the joints in them: brought close to a person, or turned and shifted at random.

What behaviour-driven synthesis does to the pictures that show a person (Blattmann et al., 2021, arXiv:2103.04677,
published code).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import cv2
import numpy as np

from posegen.errors import ConfigError
from posegen.features.stick_figure import require_one_pose

Augmentation = Literal["none", "affine", "rotation"]
Moved = tuple[np.ndarray, np.ndarray]
"""A frame (H, W, 3) uint8 and joints (18, 3), those that are no longer in it zero."""

_MARGIN = 0.1  # of the longer side, at each of its ends
_TURN = 30.0  # degrees, to either side
_SHIFT = 0.3  # of the width, to either side
_SCALE = (0.7, 1.0)
_LARGEST_TURN = 90.0


class PoseBox(NamedTuple):
    """Whole pixels from the first inside to the first beyond; a part of it may be outside the frame."""

    left: int
    top: int
    right: int
    bottom: int


def box_of_pose(keypoints: np.ndarray, size: tuple[int, int]) -> PoseBox:
    """Find the box about the joints that are seen, of the proportions of a frame: a square in square frames.

    The longer side reaches a tenth beyond the joints at both ends; the other one lies about their middle.

    Args:
        keypoints: (18, 3).
        size: (H, W) of the frame.

    Raises:
        ConfigError: The keypoints have another shape, or none is seen.
    """
    require_one_pose(keypoints)
    seen = keypoints[keypoints[:, 2] > 0, :2].astype(np.float64)
    if not len(seen):
        raise ConfigError("no joint is seen, expected at least one of the person to be cropped")
    proportions = np.array(size[::-1])  # x, y like the joints
    low, high = seen.min(axis=0), seen.max(axis=0)
    extent = high - low
    longer = int(np.argmax(extent / proportions))
    start = int(np.floor(low[longer] - _MARGIN * extent[longer]))
    side = max(int(np.ceil(high[longer] + _MARGIN * extent[longer])) - start, 1)
    sides = np.maximum(np.round(side * proportions / proportions[longer]).astype(int), 1)
    starts = np.floor((low + high - sides) / 2).astype(int)
    starts[longer] = start
    return PoseBox(*starts.tolist(), *(starts + sides).tolist())


def crop_to_person(image: np.ndarray, keypoints: np.ndarray) -> Moved:
    """Enlarge a frame to what is in the `box_of_pose`, mirrored where that reaches beyond the frame.

    Raises PosegenError as `box_of_pose`.
    """
    height, width = image.shape[:2]
    box = box_of_pose(keypoints, (height, width))
    scale_x, scale_y = width / (box.right - box.left), height / (box.bottom - box.top)
    matrix = np.array([[scale_x, 0, (0.5 - box.left) * scale_x - 0.5], [0, scale_y, (0.5 - box.top) * scale_y - 0.5]])
    return _move(image, keypoints, matrix, cv2.BORDER_REFLECT_101)


def _move_affinely(image: np.ndarray, keypoints: np.ndarray, rng: np.random.Generator) -> Moved:
    """Turn by up to 30°, shift by up to 0.3 of the width, shrink to 0.7 at least; what comes into sight is black."""
    height, width = image.shape[:2]
    centre = (width - 1) / 2, (height - 1) / 2
    matrix = cv2.getRotationMatrix2D(centre, rng.uniform(-_TURN, _TURN), rng.uniform(*_SCALE))
    matrix[0, 2] += width * rng.uniform(-_SHIFT, _SHIFT)
    return _move(image, keypoints, matrix, cv2.BORDER_CONSTANT)


def _turn(image: np.ndarray, keypoints: np.ndarray, rng: np.random.Generator) -> Moved:
    """Turn by up to 90°, mirrored where that reaches beyond the frame."""
    height, width = image.shape[:2]
    centre = (width - 1) / 2, (height - 1) / 2
    matrix = cv2.getRotationMatrix2D(centre, rng.uniform(-_LARGEST_TURN, _LARGEST_TURN), 1.0)
    return _move(image, keypoints, matrix, cv2.BORDER_REFLECT_101)


AUGMENTATIONS: dict[Augmentation, Callable[[np.ndarray, np.ndarray, np.random.Generator], Moved]] = {
    "none": lambda image, keypoints, rng: (image, keypoints),
    "affine": _move_affinely,
    "rotation": _turn,
}
"""Random spatial augmentations of a frame: DeepFashion's, Market's, or none."""


def _move(image: np.ndarray, keypoints: np.ndarray, matrix: np.ndarray, border: int) -> Moved:
    """Move a frame and its joints by a matrix (2, 3) from pixels of the frame to those of the result."""
    height, width = image.shape[:2]
    moved = cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=border)
    xy = keypoints[:, :2] @ matrix[:, :2].T + matrix[:, 2]
    inside = ((xy >= -0.5) & (xy < np.array([width, height]) - 0.5)).all(axis=1) & (keypoints[:, 2] > 0)
    joints = np.where(inside[:, None], np.column_stack([xy, keypoints[:, 2]]), 0.0)
    return moved, joints.astype(keypoints.dtype)
