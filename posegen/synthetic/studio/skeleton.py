"""The bones of a body: which part of it follows which joint of SMPL-24.

World axes: x to the right of the image, y up, z towards the camera, in metres; the floor is y = 0. A person who
faces the camera looks along +z and has the left arm at +x. A bone's own axes are those of
`posegen.synthetic.actions.body_angles.rest_axes`, turned with its joint.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from posegen.motion.kinematics import global_rotations
from posegen.motion.motion import Motion
from posegen.motion.rotations import rot6d_rows_to_matrix
from posegen.skeletons import OPENPOSE_18, SMPL_24
from posegen.synthetic.actions.body_angles import rest_axes
from posegen.synthetic.actions.take import SIDES

_TRUNK = {"pelvis": "pelvis", "abdomen": "spine1", "chest": "spine3", "neck": "neck", "head": "head"}
_LIMBS = {
    "upper_arm": "shoulder", "forearm": "elbow", "hand": "wrist", "thigh": "hip", "shin": "knee", "foot": "ankle",
}  # fmt: skip
_JOINTS = _TRUNK | {f"{side}_{bone}": f"{side}_{joint}" for side in SIDES for bone, joint in _LIMBS.items()}
BONES: tuple[str, ...] = tuple(_JOINTS)

_JOINT_BONES = {joint: bone for bone, joint in _LIMBS.items()}
_FACE = {"nose": (0.0, 0.040, 0.062), "eye": (0.0185, 0.054, 0.047), "ear": (0.045, 0.044, 0.0)}
ANKLE = 0.04
"""Height of the ankle above the sole, of a body of height 1."""
_HEEL, _TOES = -0.03, 0.1125  # where a sole ends behind and before the ankle, of a body of height 1
_CHEST = 0.05  # how far the chest's joint is above where the chest begins, of a body of height 1


@dataclass(frozen=True)
class Skeleton:
    """The pose of every bone in every frame."""

    rotations: np.ndarray
    """(T, B, 3, 3): columns are the bone's axes in the world."""
    origins: np.ndarray
    """(T, B, 3): the joint where the bone starts, in the world."""

    def points(self, bone: str, offset: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> np.ndarray:
        """Return the world position (T, 3) of a point given in a bone's axes."""
        index = BONES.index(bone)
        return self.origins[:, index] + self.rotations[:, index] @ np.array(offset)

    def joints(self, height: float) -> np.ndarray:
        """Return the world positions (T, 18, 3) of the OpenPose joints of a person of this height."""
        return np.stack([self._joint(name, height) for name in OPENPOSE_18], axis=1)

    def _joint(self, name: str, height: float) -> np.ndarray:
        if name == "neck":
            return (self._joint("left_shoulder", height) + self._joint("right_shoulder", height)) / 2
        side, _, joint = name.rpartition("_")
        if joint in _JOINT_BONES:
            return self.points(f"{side}_{_JOINT_BONES[joint]}")
        x, y, z = _FACE[joint]
        return self.points("head", (-x * height if side == "right" else x * height, y * height, z * height))


def rest_joints(height: float, *, legs: float, shoulders: float, hips: float) -> np.ndarray:
    """Return an adult's joints (24, 3) in metres in a T-pose, the pelvis at the origin, between the hips.

    Segment lengths are fractions of stature (Drillis and Contini, 1966). `legs`, `shoulders` and `hips` are relative to
    the average; the trunk makes up for longer legs, so that the stature stays.
    """
    trunk = 1 + (1 - legs) * 0.49 / 0.355
    chest = 0.14 * trunk
    middle = {"pelvis": 0.0, "spine1": 0.05 * trunk, "spine2": chest, "spine3": chest + _CHEST, "neck": 0.305 * trunk}
    points = {name: (0.0, y, 0.0) for name, y in (middle | {"head": middle["neck"] + 0.05}).items()}
    hip, leg, shoulder, arms = 0.051 * hips, 0.245 * legs, 0.102 * shoulders, chest + 0.13
    points |= {
        "hip": (hip, 0.0, 0.0), "knee": (hip, -leg, 0.0), "ankle": (hip, -2 * leg, 0.0),
        "foot": (hip, -2 * leg - ANKLE + 0.009, 0.075), "collar": (0.3 * shoulder, arms - 0.005, 0.0),
        "shoulder": (shoulder, arms, 0.0), "elbow": (shoulder + 0.166, arms, 0.0),
        "wrist": (shoulder + 0.311, arms, 0.0), "hand": (shoulder + 0.36, arms, 0.0),
    }  # fmt: skip
    rest = []
    for name in SMPL_24:
        side, _, joint = name.rpartition("_")
        x, y, z = points[joint] if side else points[name]
        rest.append((-x if side == "right" else x, y, z))
    return height * np.array(rest)


def skeleton_of(motion: Motion, height: float) -> Skeleton:
    """Return the bones of a body of this height that moves so, with rotations of its own joints."""
    local = rot6d_rows_to_matrix(torch.as_tensor(motion.rot6d, dtype=torch.float64))
    joints = [SMPL_24.index(joint) for joint in _JOINTS.values()]
    rotations = global_rotations(local).numpy()[:, joints] @ np.stack([rest_axes(name) for name in _JOINTS.values()])
    origins = motion.joints.astype(float)[:, joints]
    chest = BONES.index("chest")
    origins[:, chest] -= _CHEST * height * rotations[:, chest, :, 1]  # its parts are measured from the waist
    return Skeleton(rotations, origins)


def sole_heights(skeleton: Skeleton, height: float) -> np.ndarray:
    """Return the height (T,) in metres of the lowest point of both soles."""
    points = [
        skeleton.points(f"{side}_foot", (0.0, end * height, -ANKLE * height))[:, 1]
        for side in SIDES
        for end in (_HEEL, _TOES)
    ]
    return np.min(points, axis=0)
