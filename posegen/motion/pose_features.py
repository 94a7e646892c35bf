"""Motions as ACTOR takes them: rotations and the root's way (Petrovich et al., 2021, arXiv:2104.05670, Section 3).

A frame has 25 rows of 6 numbers: the first two rows of each joint's rotation matrix, and in the last row the root's
translation in metres since the first frame, and three zeros.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from posegen.errors import MotionError
from posegen.motion import rotations
from posegen.motion.anatomy import FACE, HEAD_TOP, REST
from posegen.motion.floor import floor_height
from posegen.motion.kinematics import Posed, forward_kinematics
from posegen.motion.motion import Motion
from posegen.skeletons import A2M_18, SMPL_24, SMPL_24_PARENTS

NUM_ROWS = len(SMPL_24) + 1
NUM_FEATURES = 6
JointSet = Literal["smpl24", "a2m18"]
"""Joints that recognisers take: SMPL's, or those of Action2Motion."""

_HEEL = (0.0, -0.05, -0.04)
"""Metres from the ankle to the heel, in the ankle's axes, of the body `REST`."""


def motion_features(motion: Motion) -> np.ndarray:
    """Return a motion as float32 (T, 25, 6). Raises MotionError where it has no rotations."""
    if motion.rot6d is None:
        raise MotionError("rot6d is missing: the motion has joints alone; find rotations for it first")
    root = np.zeros((len(motion), 1, NUM_FEATURES), np.float32)
    root[:, 0, :3] = motion.trans - motion.trans[0]
    return np.concatenate([motion.rot6d, root], axis=1)


def rest_of(motion: Motion) -> np.ndarray:
    """Return the skeleton (24, 3) that a motion's rotations pose. Raises MotionError where it has none."""
    if motion.rest is None:
        raise MotionError("rest is missing, the skeleton that the rotations pose")
    return motion.rest


def features_to_motion(features: np.ndarray, rest: np.ndarray, fps: float) -> Motion:
    """Return the motion of features (T, 25, 6), on a floor at y = 0 as far as its feet tell, facing where it faces."""
    motion = Motion.from_rotations(features[:, :-1], features[:, -1, :3], rest, fps)
    up = np.array([0.0, floor_height(motion.joints), 0.0], np.float32)
    return replace(motion, joints=motion.joints - up)


def pose_features(features: Tensor, rest: Tensor, *, translate: bool = True) -> Posed:
    """Pose skeletons as a batch of features says.

    Args:
        features: (N, T, 25, 6); six numbers need not be rows of a rotation.
        rest: (N, 24, 3) metres, the pelvis at the origin.
        translate: Whether the root goes where it goes; otherwise it stays at the origin.
    """
    local, root = local_pose(features, translate=translate)
    return forward_kinematics(local, rest[:, None], root)


def local_pose(features: Tensor, *, translate: bool = True) -> tuple[Tensor, Tensor]:
    """Return rotations (..., 24, 3, 3), and the root's way (..., 3), of features (..., 25, 6)."""
    root = features[..., -1, :3]
    return rotations.rot6d_rows_to_matrix(features[..., :-1, :]), root if translate else torch.zeros_like(root)


def recognized_joints(features: Tensor, rest: Tensor, joints: JointSet) -> Tensor:
    """Return what a recogniser sees of features (N, T, 25, 6) on bodies (N, 24, 3), in metres.

    Joints of SMPL (N, T, 24, 3) start with the root at the origin and go where it goes; the 18 of Action2Motion
    (N, T, 18, 3) have it there in every frame (Petrovich et al., 2021, published code).
    """
    if joints == "a2m18":
        return _a2m_joints(pose_features(features, rest, translate=False), rest)
    posed = pose_features(features, rest).joints
    return posed - posed[:, :1, :1]


def _a2m_joints(posed: Posed, rest: Tensor) -> Tensor:
    """The joints of `A2M_18` (N, T, 18, 3), about the middle of the hips; what SMPL-24 lacks is where heads have it."""
    points = dict(zip(SMPL_24, posed.joints.unbind(dim=-2), strict=True))
    turned = dict(zip(SMPL_24, posed.rotations.unbind(dim=-3), strict=True))
    scale = (_bones_in_all(rest) / _bones_in_all(rest.new_tensor(REST)))[:, None, None]  # (N, 1, 1)

    def beside(joint: str, offset: tuple[float, float, float]) -> Tensor:
        return points[joint] + scale * (turned[joint] @ rest.new_tensor(offset))

    points |= {
        "mid_hip": (points["left_hip"] + points["right_hip"]) / 2,
        "neck": (points["left_shoulder"] + points["right_shoulder"]) / 2,
        "nose": beside("head", FACE["nose"]),
        "head_top": beside("head", (0.0, HEAD_TOP, 0.0)),
        "left_heel": beside("left_ankle", _HEEL),
        "right_heel": beside("right_ankle", _HEEL),
    }
    found = torch.stack([points[name] for name in A2M_18], dim=-2)
    return found - found[..., :1, :]


def _bones_in_all(rest: Tensor) -> Tensor:
    """The length (...) of all bones of bodies (..., 24, 3): how large they are."""
    bones = rest[..., 1:, :] - rest[..., list(SMPL_24_PARENTS[1:]), :]
    return bones.norm(dim=-1).sum(dim=-1)
