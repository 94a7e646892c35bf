"""Postures as directions of bones, from which bodies of any size come back with limbs that keep their length."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from posegen.skeletons import H36M_17, joint_indices, swap_left_right

_ROOT = H36M_17.index("pelvis")
_CHAINS = (
    ("pelvis", "right_hip", "right_knee", "right_ankle"),
    ("pelvis", "left_hip", "left_knee", "left_ankle"),
    ("pelvis", "spine", "neck_base", "nose", "head_top"),
    ("neck_base", "left_shoulder", "left_elbow", "left_wrist"),
    ("neck_base", "right_shoulder", "right_elbow", "right_wrist"),
)
_BONES = tuple(bone for chain in _CHAINS for bone in pairwise(chain))  # parents before children
_NEAR, _FAR = (joint_indices(ends, H36M_17) for ends in zip(*_BONES, strict=True))
_LEGS = [row for row, (_, far) in enumerate(_BONES) if far.endswith(("knee", "ankle"))]
_MIRROR = joint_indices([swap_left_right(name) for name in H36M_17], H36M_17)
DIRECTION_FEATURES = 3 * len(_BONES) + 3
"""Numbers of a posture: unit vectors along its 16 bones, then the pelvis in lengths of a leg."""


class Facing(NamedTuple):
    """Place and heading of bodies."""

    origin: Tensor
    """(N, 3) metres: the pelvis on the ground."""
    cosine: Tensor
    """(N,) of the angle about +y from the front, +z, to where the hips look."""
    sine: Tensor

    def to_front(self, joints: Tensor) -> Tensor:
        """Joints (N, ..., 3) in the world, from the origin and with hips to the front."""
        return _turn(joints - _spread(self.origin, joints), self.cosine, -self.sine)

    def to_world(self, joints: Tensor) -> Tensor:
        """Return the inverse of `to_front`."""
        return _turn(joints, self.cosine, self.sine) + _spread(self.origin, joints)


def find_facing(postures: Tensor) -> Facing:
    """Find where postures (N, 17, 3) of `H36M_17` stand and look."""
    left, right = joint_indices(["left_hip", "right_hip"], H36M_17)
    across = postures[:, left] - postures[:, right]  # (N, 3)
    length = across[:, [0, 2]].norm(dim=1).clamp_min(1e-9)
    origin = postures[:, _ROOT] * postures.new_tensor((1.0, 0.0, 1.0))
    return Facing(origin, across[:, 0] / length, -across[:, 2] / length)


def bone_sizes(postures: Tensor) -> Tensor:
    """Lengths (..., 16) in metres of the bones of postures (..., 17, 3)."""
    return (postures[..., _FAR, :] - postures[..., _NEAR, :]).norm(dim=-1)


def to_directions(joints: Tensor) -> Tensor:
    """Directions (N, T, 51) of motions (N, T, 17, 3) in metres, each by the legs of its own first posture."""
    bones = F.normalize(joints[..., _FAR, :] - joints[..., _NEAR, :], dim=-1)  # (N, T, 16, 3)
    legs = _leg(bone_sizes(joints[:, 0]))[:, None, None]
    return torch.cat([bones.flatten(-2), joints[..., _ROOT, :] / legs], dim=-1)


def from_directions(directions: Tensor, lengths: Tensor) -> Tensor:
    """Joints (N, T, 17, 3) in metres of directions (N, T, 51), whose vectors may have any length above 0.

    Every bone is as long as `lengths` (N, 16) say, in every frame.
    """
    bones = F.normalize(directions[..., :-3].unflatten(-1, (-1, 3)), dim=-1) * lengths[:, None, :, None]
    joints: dict[int, Tensor] = {_ROOT: directions[..., -3:] * _leg(lengths)[:, None, None]}
    for bone, (near, far) in enumerate(zip(_NEAR, _FAR, strict=True)):
        joints[far] = joints[near] + bones[..., bone, :]
    return torch.stack([joints[joint] for joint in range(len(H36M_17))], dim=-2)


def mirror(joints: Tensor) -> Tensor:
    """Swap left and right of joints (..., 17, 3)."""
    return joints[..., _MIRROR, :] * joints.new_tensor((-1.0, 1.0, 1.0))


def _leg(lengths: Tensor) -> Tensor:
    """Mean length (N,) of both legs, from bones (N, 16)."""
    return (lengths[:, _LEGS].sum(dim=1) / 2).clamp_min(1e-6)


def _turn(joints: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Joints (N, ..., 3) turned about +y."""
    c, s = (_spread(x[:, None], joints)[..., 0] for x in (cosine, sine))
    x, y, z = joints.unbind(dim=-1)
    return torch.stack([c * x + s * z, y, c * z - s * x], dim=-1)


def _spread(values: Tensor, like: Tensor) -> Tensor:
    """Values (N, C) for every point of `like` (N, ..., 3)."""
    return values.view(len(values), *[1] * (like.dim() - 2), -1)
