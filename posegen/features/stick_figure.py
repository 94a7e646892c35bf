"""Draws a pose as a stick figure: the three colour channels of a feature map."""

from __future__ import annotations

import cv2
import numpy as np

from posegen.errors import ConfigError
from posegen.skeletons import LIMBS, joint_indices

PALETTE = np.array(
    [
        (255, 0, 85),
        (255, 0, 0),
        (255, 85, 0),
        (255, 170, 0),
        (255, 255, 0),
        (170, 255, 0),
        (85, 255, 0),
        (0, 255, 0),
        (0, 255, 85),
        (0, 255, 170),
        (0, 255, 255),
        (0, 170, 255),
        (0, 85, 255),
        (0, 0, 255),
        (255, 0, 170),
        (170, 0, 255),
        (255, 0, 255),
        (85, 0, 255),
    ],
    np.uint8,
)
"""(18, 3) RGB of each joint, as OpenPose draws its COCO model. A limb has the colour of its second joint."""

_NEAR_JOINTS, _FAR_JOINTS = np.array([joint_indices(limb) for limb in LIMBS]).T
_FRACTION_BITS = 4  # OpenCV draws in fixed point: a sixteenth of a pixel keeps slow motion smooth


def line_width(height: int) -> int:
    """Width of a limb, and radius of a joint, in an image of `height` pixels: 5 at 384, never below 2."""
    return max(2, round(0.012 * height))


def rasterize_stick_figure(keypoints: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Draw joints and the limbs between them on black (Yang et al., 2020, Section 2.1).

    Colours are opaque and not anti-aliased, so that each pixel names one joint. Limbs come first, in the order of
    `LIMBS`, then joints. A limb with a missing end is left out.

    Args:
        keypoints: (18, 3) x, y and confidence.
        size: (H, W) of the drawing.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        PosegenError: The keypoints have another shape.
    """
    require_one_pose(keypoints)
    canvas = np.zeros((*size, 3), np.uint8)
    width = line_width(size[0])
    present = keypoints[:, 2] > 0
    colors = PALETTE.tolist()
    for quad, near, far in zip(_limb_quads(keypoints, width), _NEAR_JOINTS, _FAR_JOINTS, strict=True):
        if present[near] and present[far]:
            cv2.fillConvexPoly(canvas, quad, colors[far], cv2.LINE_8, _FRACTION_BITS)
    centers = _fixed_point(keypoints[:, :2]).tolist()
    for joint in np.flatnonzero(present):
        radius = width << _FRACTION_BITS
        cv2.circle(canvas, centers[joint], radius, colors[joint], cv2.FILLED, cv2.LINE_8, _FRACTION_BITS)
    return canvas


def _limb_quads(keypoints: np.ndarray, width: int) -> np.ndarray:
    """Corners of all limbs, (17, 4, 2) in fixed point.

    Filling a polygon also colours the pixels under its border, which makes up for the pixel taken off the width.
    cv2.line does not take it off and draws 7 pixels for 5.
    """
    near, far = keypoints[_NEAR_JOINTS, :2], keypoints[_FAR_JOINTS, :2]
    direction = far - near
    normal = np.stack([-direction[:, 1], direction[:, 0]], axis=1)
    length = np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-6)
    side = (width - 1) / 2 * normal / length
    return _fixed_point(np.stack([near + side, near - side, far - side, far + side], axis=1))


def _fixed_point(points: np.ndarray) -> np.ndarray:
    return np.rint(points * 2**_FRACTION_BITS).astype(np.int32)


def require_one_pose(keypoints: np.ndarray) -> None:
    """Raise ConfigError unless the keypoints are those of one OpenPose-18 pose, (18, 3)."""
    if keypoints.shape != PALETTE.shape:
        raise ConfigError(f"keypoints have shape {keypoints.shape}, expected (18, 3): x, y and confidence of one pose")
