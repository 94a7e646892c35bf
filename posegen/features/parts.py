"""The ten rigid parts of the body as rough geometric shapes on a pose.

Shapes and proportions are those of Deformable GAN (Siarohin et al., 2018, arXiv:1801.00055, Section 3.2, and its
published code), all relative to the length of the torso. Only the torso itself differs: Deformable GAN lets it
cover the whole image, so that the background moves with it; here it is a body part like the others.
"""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np

from posegen.errors import ConfigError
from posegen.features.stick_figure import require_one_pose
from posegen.skeletons import PART_LIMBS, PARTS, joint_indices

TORSO, HEAD = PARTS.index("torso"), PARTS.index("head")
"""Channels of the two parts that are not limbs; the eight limbs follow them."""

TORSO_JOINTS = joint_indices(["right_shoulder", "left_shoulder", "left_hip", "right_hip"])
"""Corners of the torso, in order around it."""

FACE_JOINTS = joint_indices(["nose", "right_eye", "left_eye", "right_ear", "left_ear"])
"""Joints that show where the head is."""

_LIMB_PARTS = PARTS[2:]
_NEAR_JOINTS = joint_indices([PART_LIMBS[part][0] for part in _LIMB_PARTS])
_FAR_JOINTS = joint_indices([PART_LIMBS[part][1] for part in _LIMB_PARTS])
_IS_OUTER = np.array([part.endswith(("calf", "forearm")) for part in _LIMB_PARTS])
_NEAR_EXTENSION = 0.1  # limbs reach beyond both ends by shares of their length ...
_INNER_EXTENSION = 0.1
_OUTER_EXTENSION = 0.5  # ... and calves and forearms far enough to hold feet and hands
_HALF_WIDTH = 0.2
_HEAD_HALF_SIZE = 0.4
_TORSO_MARGIN = 0.1
# What people measure, in torso lengths; the shapes above are wider.
_HEAD_RADIUS = 0.3
_USUAL_HALF_WIDTHS = (0.18, 0.18, 0.13, 0.13, 0.12, 0.12, 0.09, 0.09)  # of the limbs
_WITHIN_TORSO = 0.8


def torso_size(keypoints: np.ndarray) -> np.ndarray:
    """Length of the torso in pixels: the root mean square distance from shoulder to hip over the visible sides.

    Keypoints (..., 18, 3) to (...,) float64; 0 where neither side has both its shoulder and its hip.
    """
    corners = np.asarray(keypoints, np.float64)[..., TORSO_JOINTS, :]
    shoulders, hips = corners[..., :2, :], corners[..., :1:-1, :]  # (..., 2, 3), right and left
    visible = (shoulders[..., 2] > 0) & (hips[..., 2] > 0)
    squares = ((hips - shoulders)[..., :2] ** 2).sum(axis=-1)
    return np.sqrt((squares * visible).sum(axis=-1) / np.maximum(visible.sum(axis=-1), 1))


def is_usable(keypoints: np.ndarray) -> np.ndarray:
    """Return True for each pose (..., 18, 3) with both shoulders and both hips, which all parts need."""
    return np.asarray((keypoints[..., TORSO_JOINTS, 2] > 0).all(axis=-1))


def limb_quads(
    keypoints: np.ndarray, size: np.ndarray, outer_extension: float = _OUTER_EXTENSION
) -> tuple[np.ndarray, np.ndarray]:
    """Rectangles around the eight limbs, 0.4 torsos wide and somewhat longer than the bone.

    Args:
        keypoints: (..., 18, 3).
        size: (...,) length of the torso.
        outer_extension: Share of their length by which calves and forearms reach beyond ankle and wrist.

    Returns:
        Vertices (..., 8, 4, 2) float64 in the order of `PARTS`, the two at the near end first; those of a limb of
        no length coincide. And which limbs are there, (..., 8) bool: both joints seen, and a torso to measure by.
    """
    keypoints = np.asarray(keypoints, np.float64)
    near, far = keypoints[..., _NEAR_JOINTS, :], keypoints[..., _FAR_JOINTS, :]  # (..., 8, 3)
    present = (near[..., 2] > 0) & (far[..., 2] > 0) & (size > 0)[..., None]
    far_extension = np.where(_IS_OUTER, outer_extension, _INNER_EXTENSION)[:, None]
    start = near[..., :2] + _NEAR_EXTENSION * (near - far)[..., :2]
    end = far[..., :2] + far_extension * (far[..., :2] - start)
    direction = start - end
    length = np.linalg.norm(direction, axis=-1, keepdims=True)
    normal = np.stack([-direction[..., 1], direction[..., 0]], axis=-1) / np.maximum(length, 1e-12)
    side = _HALF_WIDTH * size[..., None, None] * normal
    return np.stack([start + side, start - side, end - side, end + side], axis=-2), present


def part_shapes(keypoints: np.ndarray, size: tuple[int, int], *, torso: Literal["quad", "full"] = "quad") -> np.ndarray:
    """Fill the shapes of all parts of one pose: the pixels whose centres lie inside.

    Limbs are rectangles, the head is an upright square, the torso the hull of shoulders and hips grown by a tenth
    of its length. A limb seen exactly end-on is a square of 3 pixels. A part with a missing joint is empty; the
    head needs one joint of the face.

    Args:
        keypoints: (18, 3).
        size: (H, W).
        torso: ``quad``, or ``full`` for a torso that covers the image, as Deformable GAN has it.

    Returns:
        (10, H, W) bool, in the order of `PARTS`; shapes overlap.

    Raises:
        PosegenError: The keypoints have another shape.
    """
    require_one_pose(keypoints)
    shapes = np.zeros((len(PARTS), *size), bool)
    length = torso_size(keypoints)
    if torso == "full":
        shapes[TORSO] = True
    elif is_usable(keypoints):
        corners = keypoints[TORSO_JOINTS, :2].astype(np.float32)
        hull = cv2.convexHull(corners)[:, 0].astype(np.float64)  # a turning body crosses its own corners
        _fill(shapes[TORSO], hull, margin=_TORSO_MARGIN * float(length))
    _fill_head(shapes[HEAD], keypoints, float(length))
    quads, present = limb_quads(keypoints, length)
    for limb in np.flatnonzero(present):
        is_point = not np.ptp(quads[limb], axis=0).any()  # and without sides, so that its whole margin fills
        _fill(shapes[2 + limb], quads[limb], margin=float(is_point))
    return shapes


def part_distances(keypoints: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Measure the distance of each pixel from each part of one pose, in the part's usual half widths.

    Args:
        keypoints: (18, 3).
        size: (H, W).

    Returns:
        (10, H, W) float32, in the order of `PARTS`: from the axis of a limb, from the middle of the face, from the hull
        of the torso, within which it is the same everywhere, so that an arm before it can be nearer. Infinite for a
        part with a missing joint, or without a torso to measure by.
    """
    require_one_pose(keypoints)
    distances = np.full((len(PARTS), *size), np.inf, np.float32)
    if not is_usable(keypoints):
        return distances
    length = torso_size(keypoints)
    hull = cv2.convexHull(keypoints[TORSO_JOINTS, :2].round().astype(np.int32))
    distances[TORSO] = _WITHIN_TORSO + _distance(hull, size) / (_TORSO_MARGIN * length)
    face = keypoints[FACE_JOINTS]
    face = face[face[:, 2] > 0, :2]
    if len(face):
        distances[HEAD] = _distance(face.mean(axis=0), size) / (_HEAD_RADIUS * length)
    quads, present = limb_quads(keypoints, length)
    for limb in np.flatnonzero(present):
        axis = quads[limb].reshape(2, 2, 2).mean(axis=1)
        distances[2 + limb] = _distance(axis, size) / (_USUAL_HALF_WIDTHS[limb] * length)
    return distances


def _distance(polygon: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Distance (H, W) in pixels from a convex polygon (K, 2), which may be a line or a point."""
    corners = polygon.round().astype(np.int32).reshape(-1, 1, 2)
    elsewhere = cv2.fillConvexPoly(np.ones(size, np.uint8), corners, 0)
    return cv2.distanceTransform(elsewhere, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)


def part_labels(keypoints: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Label the pixels of a person by body part: shapes inside the mask (Yang et al., 2020, Section 2.2).

    Args:
        keypoints: (18, 3).
        mask: (H, W) bool, or uint8 with 0 outside the person.

    Returns:
        (10, H, W) bool, in the order of `PARTS`. Labels may overlap, which leaves no cracks between parts and
        costs nothing where they are merged by maximum.
    """
    if mask.ndim != 2:
        raise ConfigError(f"mask has shape {mask.shape}, expected (H, W)")
    return part_shapes(keypoints, mask.shape) & (mask > 0)


def _fill_head(canvas: np.ndarray, keypoints: np.ndarray, length: float) -> None:
    """Set the square around the middle of the visible face joints, its position in whole pixels."""
    face = keypoints[FACE_JOINTS]
    face = face[face[:, 2] > 0]
    if not len(face):
        return
    half = int(_HEAD_HALF_SIZE * length)
    x, y = np.floor(face[:, :2].astype(np.float64).mean(axis=0)).astype(int)
    canvas[max(y - half, 0) : max(y + half, 0), max(x - half, 0) : max(x + half, 0)] = True


def _fill(canvas: np.ndarray, polygon: np.ndarray, margin: float) -> None:
    """Set the pixels inside a convex polygon (K, 2), or within a margin of its border."""
    left, top = np.maximum(np.ceil(polygon.min(axis=0) - margin), 0).astype(int)
    right, bottom = np.maximum(np.floor(polygon.max(axis=0) + margin) + 1, 0).astype(int)
    region = canvas[top:bottom, left:right]
    # Shapes are small and many: np.ogrid and np.roll would take longer than all the rest.
    ys, xs = np.arange(top, top + region.shape[0])[:, None], np.arange(left, left + region.shape[1])
    following = np.concatenate([polygon[1:], polygon[:1]])
    x, y = polygon[:, 0, None, None], polygon[:, 1, None, None]  # (K, 1, 1)
    next_x, next_y = following[:, 0, None, None], following[:, 1, None, None]
    side = (x - xs) * (next_y - ys) - (next_x - xs) * (y - ys)  # (K, h, w), which side of each edge
    region |= (side >= 0).all(axis=0) | (side <= 0).all(axis=0)
    if margin:
        edge_x, edge_y = next_x - x, next_y - y
        along = (edge_x * (xs - x) + edge_y * (ys - y)) / np.maximum(edge_x**2 + edge_y**2, 1e-12)
        along = along.clip(0, 1)  # nearest point of the edge, as a share of its length
        distance_squared = (x + along * edge_x - xs) ** 2 + (y + along * edge_y - ys) ** 2
        region |= (distance_squared <= margin**2).any(axis=0)
