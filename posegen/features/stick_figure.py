"""Draws a pose as a stick figure: the three colour channels of a feature map."""

from __future__ import annotations

import cv2
import numpy as np

from posegen.skeletons import LIMBS, joint_indices

PALETTE_NAME = "openpose-coco18"
"""Names `PALETTE`; a checkpoint stores it, because a network only understands the colours that it was trained on."""

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

_LIMB_INDICES = [tuple(joint_indices(limb).tolist()) for limb in LIMBS]
_FRACTION_BITS = 4  # OpenCV draws in fixed point: a sixteenth of a pixel keeps slow motion smooth


def line_width(height: int) -> int:
    """Width of a limb, and radius of a joint, in an image of `height` pixels: 5 at 384, never below 2."""
    return max(2, round(0.012 * height))


def draw_stick_figure(keypoints: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Draw joints and the limbs between them on black (Yang et al., 2020, Section 2.1).

    Colours are opaque and not anti-aliased, so that each pixel names one joint. Limbs come first, in the order of
    `LIMBS`, then joints. A limb with a missing end is left out.

    Args:
        keypoints: (18, 3) x, y and confidence.
        size: (H, W) of the drawing.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        ValueError: The keypoints have another shape.
    """
    require_one_pose(keypoints)
    canvas = np.zeros((*size, 3), np.uint8)
    width = line_width(size[0])
    present = keypoints[:, 2] > 0
    points = np.rint(keypoints[:, :2] * 2**_FRACTION_BITS).astype(int).tolist()
    colors = PALETTE.tolist()
    for near, far in _LIMB_INDICES:
        if present[near] and present[far]:
            cv2.line(canvas, points[near], points[far], colors[far], width, cv2.LINE_8, _FRACTION_BITS)
    for joint in np.flatnonzero(present):
        radius = width * 2**_FRACTION_BITS
        cv2.circle(canvas, points[joint], radius, colors[joint], cv2.FILLED, cv2.LINE_8, _FRACTION_BITS)
    return canvas


def require_one_pose(keypoints: np.ndarray) -> None:
    """Raise ValueError unless the keypoints are those of one OpenPose-18 pose, (18, 3)."""
    if keypoints.shape != PALETTE.shape:
        raise ValueError(f"keypoints have shape {keypoints.shape}, expected (18, 3): x, y and confidence of one pose")
