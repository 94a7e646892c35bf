"""Moves the parts of a body from one pose to another (Yang et al., 2020, Section 2.3).

Each part has an affine map of its own, the least-squares fit between corresponding points of the two poses. Maps
lead from target to source pixels, because that is how an image is resampled.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from posegen.features.parts import FACE_JOINTS, HEAD, TORSO, TORSO_JOINTS, limb_quads, torso_size
from posegen.skeletons import PARTS, joint_indices, swap_left_right

_HEAD_JOINTS = np.concatenate([FACE_JOINTS, joint_indices(["right_shoulder", "left_shoulder"])])
_NUM_FACE_JOINTS = len(FACE_JOINTS)
_MIRRORED_LIMBS = np.array([PARTS.index(swap_left_right(part)) for part in PARTS[2:]]) - 2
_OUTER_EXTENSION = 0.3  # of calves and forearms; their shapes reach further than the fit, as in Deformable GAN
_SINGULAR = 1e-9


class PartAffines(NamedTuple):
    """How each part of a target pose samples the source."""

    matrices: np.ndarray
    """(..., 10, 2, 3) float64: (x, y) in the source is M @ (x, y, 1) in the target; zeros where not valid."""
    valid: np.ndarray
    """(..., 10) bool: the part is seen in both poses, and its map can be inverted."""
    sources: np.ndarray
    """(..., 10) int: part of the source to sample, in the order of `PARTS`; the mirrored limb where its own is not
    seen."""


class PartCrop(NamedTuple):
    """One part of a feature map, cut out at its label's bounding box."""

    image: np.ndarray
    """(h, w, C), zeros outside the label; h and w are 0 where the label is empty."""
    left: int
    """Column of the first pixel in the feature map."""
    top: int
    """Row of the first pixel in the feature map."""


def estimate_affines(source: np.ndarray, target: np.ndarray) -> PartAffines:
    """Fit the map of each part by ordinary least squares (Yang et al., 2020, Section 2.3).

    Correspondences are those of Deformable GAN (Siarohin et al., 2018, Section 3.2), since the two joints of a limb
    leave an affine map open: the corners of the torso; the face joints seen in both poses with both shoulders; the
    corners of the rectangle around a limb. A limb that the source does not show is taken from the other side of the
    body. A target with no torso to measure its limbs by has the source's.

    Args:
        source: (..., 18, 3).
        target: (..., 18, 3); leading dimensions broadcast, so that one source can serve many targets.
    """
    source, target = np.broadcast_arrays(np.asarray(source, np.float64), np.asarray(target, np.float64))
    shape = (*source.shape[:-2], len(PARTS), len(_HEAD_JOINTS))
    points = np.zeros((2, *shape, 2))  # in the target, in the source
    weights = np.zeros(shape)  # 1 for a point that counts
    common = (source[..., 2] > 0) & (target[..., 2] > 0)  # (..., 18)
    for poses, pose in zip(points, (target, source), strict=True):
        poses[..., TORSO, : len(TORSO_JOINTS), :] = pose[..., TORSO_JOINTS, :2]
        poses[..., HEAD, :, :] = pose[..., _HEAD_JOINTS, :2]
    weights[..., TORSO, : len(TORSO_JOINTS)] = common[..., TORSO_JOINTS].all(-1, keepdims=True)
    head = common[..., _HEAD_JOINTS]
    has_head = head[..., :_NUM_FACE_JOINTS].any(-1) & head[..., _NUM_FACE_JOINTS:].all(-1)
    weights[..., HEAD, :] = head & has_head[..., None]

    source_size, target_size = torso_size(source), torso_size(target)
    target_size = np.where(target_size > 0, target_size, source_size)
    quads, present = limb_quads(target, target_size, _OUTER_EXTENSION)
    source_quads, seen = limb_quads(source, source_size, _OUTER_EXTENSION)
    limbs = np.where(seen, np.arange(len(_MIRRORED_LIMBS)), _MIRRORED_LIMBS)  # (..., 8)
    points[0, ..., 2:, :4, :] = quads
    points[1, ..., 2:, :4, :] = np.take_along_axis(source_quads, limbs[..., None, None], axis=-3)
    weights[..., 2:, :4] = (present & np.take_along_axis(seen, limbs, axis=-1))[..., None]

    matrices, valid = fit_affines(points[0], points[1], weights)
    own = np.broadcast_to([TORSO, HEAD], (*limbs.shape[:-1], 2))
    return PartAffines(matrices, valid, np.concatenate([own, limbs + 2], axis=-1))
