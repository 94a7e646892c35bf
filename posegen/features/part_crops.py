"""Parts of a body, each turned upright in a window of its own: what a person looks like, whatever the posture.

The "in-plane normalisation" of the VUNet (Esser et al., 2018, arXiv:1804.04694, Section 3.2 and published code).
"""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np

from posegen.features.stick_figure import require_one_pose
from posegen.skeletons import PART_LIMBS, joint_indices

Torso = Literal["corners", "neck"]
"""Crop of the torso: by its four corners, or from the hips up to the neck."""
CROPPED_PARTS: tuple[str, ...] = (
    "torso",
    "head",
    "right_upper_arm",
    "right_forearm",
    "left_upper_arm",
    "left_forearm",
    "right_thigh",
    "right_calf",
    "left_thigh",
    "left_calf",
)
"""The parts, in the order of their crops."""

_TORSO_CORNERS = joint_indices(["right_hip", "right_shoulder", "left_shoulder", "left_hip"])
_SHOULDERS = joint_indices(["right_shoulder", "left_shoulder"])
_NOSE, _NECK = joint_indices(["nose", "neck"])
_LIMBS = [joint_indices(PART_LIMBS[part]) for part in CROPPED_PARTS[2:]]
_LIMB_HALF_WIDTH = 0.25  # of its length
_HEAD_HALF_WIDTH = 0.5
_LEAST_AREA = 1.0  # square pixels: less has no inside to be looked at


def crop_homographies(
    keypoints: np.ndarray, size: tuple[int, int], window: tuple[int, int], torso: Torso = "corners"
) -> tuple[np.ndarray, np.ndarray]:
    """Find how each part of a pose is laid into a window.

    The torso's corners go to those of the window, right hip first, so that it lies on its side, as published for 18
    joints. Or it stands upright and reaches as high as the neck, as published for Human3.6M's joints; where no neck is
    seen, up to the shoulders. The head is a square from between the shoulders to as far beyond the nose, or on the
    shoulders where no nose is seen. A limb is a rectangle along its bone, half as wide as long; one of which a single
    joint is seen goes from there straight down to the bottom of the image.

    Args:
        keypoints: (18, 3).
        size: (H, W) of the image.
        window: (h, w).
        torso: By its four ``corners``, or up to the ``neck``.

    Returns:
        (10, 3, 3) float64, from pixels (x, y, 1) of the image to pixels of the window, in the order of
        `CROPPED_PARTS`, zeros for a part that is not seen; and (10,) bool, which are.

    Raises:
        PosegenError: The keypoints have another shape.
    """
    require_one_pose(keypoints)
    keypoints = np.asarray(keypoints, np.float64)
    height, width = window
    corners = np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float32)
    trunk = _torso(keypoints) if torso == "corners" else _torso_to_neck(keypoints)
    quads = [trunk, _head(keypoints), *(_limb(keypoints[limb], size[0]) for limb in _LIMBS)]
    homographies, seen = np.zeros((len(quads), 3, 3)), np.zeros(len(quads), bool)
    for part, quad in enumerate(quads):
        if quad is not None and cv2.contourArea(cv2.convexHull(quad)) >= _LEAST_AREA:
            # Limbs lie a pixel higher and further left, as published.
            target = corners - 1 if part >= len(quads) - len(_LIMBS) else corners
            homographies[part] = cv2.getPerspectiveTransform(quad, target)
            seen[part] = np.isfinite(homographies[part]).all() and abs(np.linalg.det(homographies[part])) > 0
    homographies[~seen] = 0.0
    return homographies, seen


def crop_body_parts(
    image: np.ndarray, keypoints: np.ndarray, window: tuple[int, int], torso: Torso = "corners"
) -> np.ndarray:
    """Cut the ten parts of a person out of an image.

    Args:
        image: (H, W, 3) uint8.
        keypoints: (18, 3).
        window: (h, w) of each crop.
        torso: See `crop_homographies`.

    Returns:
        (h, w, 30) uint8, three channels a part; zeros where a part is not seen. What lies beyond the image looks like
        its border.
    """
    height, width = window
    crops = np.zeros((len(CROPPED_PARTS), height, width, 3), np.uint8)
    homographies, seen = crop_homographies(keypoints, image.shape[:2], window, torso)
    for part in np.flatnonzero(seen):
        crops[part] = cv2.warpPerspective(
            image, homographies[part], (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
    return np.concatenate([*crops], axis=-1)


def _torso(keypoints: np.ndarray) -> np.ndarray | None:
    corners = keypoints[_TORSO_CORNERS]
    return corners[:, :2].astype(np.float32) if (corners[:, 2] > 0).all() else None


def _torso_to_neck(keypoints: np.ndarray) -> np.ndarray | None:
    """Corners of the torso, its sides prolonged to a line through the neck that is parallel to the shoulders."""
    corners = keypoints[_TORSO_CORNERS]
    if not (corners[:, 2] > 0).all():
        return None
    right_hip, right_shoulder, left_shoulder, left_hip = corners[:, :2]
    neck = keypoints[_NECK, :2] if keypoints[_NECK, 2] > 0 else right_shoulder
    across = left_shoulder - right_shoulder
    tops = []
    for hip, shoulder in ((right_hip, right_shoulder), (left_hip, left_shoulder)):
        slope = _cross(shoulder - hip, across)
        if not slope:
            return None
        tops.append(hip + _cross(neck - hip, across) / slope * (shoulder - hip))
    return np.stack([*tops, left_hip, right_hip]).astype(np.float32)


def _cross(a: np.ndarray, b: np.ndarray) -> float:
    """The third coordinate of the vector product of vectors (2,)."""
    return float(a[0] * b[1] - a[1] * b[0])


def _head(keypoints: np.ndarray) -> np.ndarray | None:
    shoulders, nose = keypoints[_SHOULDERS], keypoints[_NOSE]
    if not (shoulders[:, 2] > 0).all():
        return None
    (right_x, right_y), (left_x, left_y) = shoulders[:, :2]
    neck = shoulders[:, :2].mean(axis=0)
    if nose[2] > 0:
        axis = 2 * (nose[:2] - neck)
    else:
        axis = np.array([left_y - right_y, right_x - left_x])  # as long as the shoulders are wide, and across them
        axis = axis if axis[1] <= 0 else -axis  # upwards in the image
    return _rectangle(neck + axis, neck, _HEAD_HALF_WIDTH)[[3, 0, 1, 2]]


def _limb(joints: np.ndarray, height: int) -> np.ndarray | None:
    """Corners of a limb between two joints (2, 3) in an image of a height."""
    seen = joints[:, 2] > 0
    if not seen.any():
        return None
    near, far = joints[:, :2]
    if not seen.all():
        near = joints[int(seen[1]), :2]
        far = np.array([near[0], max(height - 1.0, near[1])])
    return _rectangle(near, far, _LIMB_HALF_WIDTH)


def _rectangle(near: np.ndarray, far: np.ndarray, half_width: float) -> np.ndarray:
    """Corners (4, 2) around a line, half as wide as a share of its length, those at the near and far ends by turns."""
    along = far - near
    side = half_width * np.array([along[1], -along[0]])
    return np.stack([near - side, far - side, far + side, near + side]).astype(np.float32)
