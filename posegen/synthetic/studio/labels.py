"""Labels of the studio's frames: joints, person mask, garments and edges."""

from __future__ import annotations

import cv2
import numpy as np

from posegen.motion.cameras import PinholeCamera
from posegen.skeletons import OPENPOSE_18
from posegen.synthetic.studio.skeleton import BONES

SAMPLES = 2
"""Samples per pixel along x, and along y."""

UPPER, LOWER = 1, 2
"""Garment labels; 0 is neither."""

# How far below the visible surface a joint lies when nothing else is before it, in heights.
_DEPTH = {
    "nose": 0.02, "eye": 0.02, "ear": 0.03, "neck": 0.06, "shoulder": 0.045,
    "elbow": 0.04, "wrist": 0.03, "hip": 0.085, "knee": 0.05, "ankle": 0.035,
}  # fmt: skip
_SLACK = 0.035  # metres

# Strengths of edges: between person and background, between materials, where the body hides itself, in patterns.
_SILHOUETTE, _OUTLINE, _OCCLUSION, _PAINT = 255, 215, 200, 110
BACKGROUND = 80
"""Strength of an edge between two parts of the empty studio."""
_EDGE_CLASS = np.array([0, 1, 1, 2, 3, 4, 5], np.uint8)  # by material: face and skin belong together


def limb_of_bone() -> np.ndarray:
    """Return which limb each bone belongs to: 0 trunk and head, 1 and 2 arms, 3 and 4 legs; (B,) uint8."""
    arm, leg = ("upper_arm", "forearm", "hand"), ("thigh", "shin", "foot")
    limbs = np.zeros(len(BONES), np.uint8)
    for index, bone in enumerate(BONES):
        side, _, name = bone.partition("_")
        if name in arm + leg:
            limbs[index] = (1 if name in arm else 3) + (side == "right")
    return limbs


def see_joints(
    joints: np.ndarray, depth: np.ndarray, camera: PinholeCamera, corner: tuple[int, int], height: float
) -> np.ndarray:
    """Return OpenPose keypoints (T, 18, 3) float32 of world joints (T, 18, 3) of a person of this height.

    `depth` (T, h, w) holds the metres to what the samples see, in a window of the image that begins at the pixel
    `corner` (row, column). Confidence is 1 for a visible joint and 0.5 for one behind another part of the body;
    joints outside of the image are (0, 0, 0).
    """
    projected = camera.project(joints)
    x, y, z = np.moveaxis(projected, -1, 0)
    limits = camera.canvas[1] - 0.5, camera.canvas[0] - 0.5
    inside = (x >= -0.5) & (x < limits[0]) & (y >= -0.5) & (y < limits[1])
    column = np.clip(((x + 0.5 - corner[1]) * SAMPLES).astype(int), 0, depth.shape[2] - 1)
    row = np.clip(((y + 0.5 - corner[0]) * SAMPLES).astype(int), 0, depth.shape[1] - 1)
    surface = depth[np.arange(len(joints))[:, None], row, column]
    allowed = height * np.array([_DEPTH[name.rpartition("_")[2]] for name in OPENPOSE_18]) + _SLACK
    confidence = np.where(z - surface < allowed, 1.0, 0.5)
    return np.where(inside[..., None], np.stack([x, y, confidence], axis=-1), 0).astype(np.float32)


def masks_and_garments(coverage: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the person mask (H, W) uint8 0 or 255 and garment labels (H, W) uint8.

    `coverage` (H, W, 3) is the share of each pixel that the person, the upper and the lower garment cover.
    """
    person, upper, lower = np.moveaxis(coverage, -1, 0)
    mask = person >= 0.5
    dressed = mask & (upper + lower >= 0.5)
    garments = np.where(upper >= lower, np.uint8(UPPER), np.uint8(LOWER)) * dressed
    return mask.astype(np.uint8) * np.uint8(255), garments


def label_edges(
    material: np.ndarray, limb: np.ndarray, tone: np.ndarray, depth: np.ndarray, pixel: float
) -> np.ndarray:
    """Return edge strengths (H, W) uint8, two pixels wide, from images (H, W) of what each pixel sees.

    An edge runs along the silhouette, between materials, where the depth jumps (`pixel` is the size of a pixel in
    metres, since surfaces seen at a slant change depth, too), and, weaker, where the painted tone changes.
    """
    kind = _EDGE_CLASS[material]
    edges = np.zeros(material.shape, np.uint8)
    for axis in (0, 1):
        near, far = neighbours(axis)
        jump = np.abs(depth[near] - depth[far])
        other = limb[near] != limb[far]
        legs = np.minimum(limb[near], limb[far]) >= 3
        strength = (tone[near] != tone[far]) * np.uint8(_PAINT)
        occluded = (jump > 0.03 + 2.5 * pixel) | (other & (legs | (jump > 0.006 + pixel)))
        strength = np.where(occluded, np.uint8(_OCCLUSION), strength)
        strength = np.where(kind[near] != kind[far], np.uint8(_OUTLINE), strength)
        strength = np.where((material[near] == 0) != (material[far] == 0), np.uint8(_SILHOUETTE), strength)
        for where in (near, far):
            np.maximum(edges[where], strength, out=edges[where])
    return edges


def neighbours(axis: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Return the indices of all pixels with a next one along an axis, and of those next ones."""
    everything, front, back = slice(None), slice(None, -1), slice(1, None)
    if axis == 0:
        return (front, everything), (back, everything)
    return (everything, front), (everything, back)


def soften(edges: np.ndarray) -> np.ndarray:
    """Return lines (H, W) uint8 with the soft profile of a learned detector's, their peaks kept."""
    blurred = cv2.GaussianBlur(edges, (3, 3), 0.55)
    return np.minimum(blurred * np.float32(1.3), 255).astype(np.uint8)
