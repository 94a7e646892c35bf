"""Motions as numbers on which the places of joints depend linearly: joints and axes in the world.

A frame has 24 rows of 9 numbers: a joint's place in metres since the root's first one, and the first two columns of
its rotation in the world, each `AXIS` metres long, as points that turn with the joint. A mean, a principal component or
a mixture of such motions is nearly a motion: nothing adds up along a limb, as it does with rotations in the parent's
axes. Limbs are rigid again after `world_to_pose_features`, which keeps the axes and the root alone.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from posegen.motion import rotations
from posegen.motion.kinematics import local_rotations
from posegen.motion.pose_features import pose_features
from posegen.skeletons import SMPL_24

WORLD_FEATURES = 9
"""Numbers of a joint."""
AXIS = 0.1
"""Metres: how far from a joint the points are that turn with it, which weighs rotations against places."""
PLACES = slice(3 * len(SMPL_24))
"""The places of all joints among the numbers of a frame, see `flat_world`."""


def world_features(features: Tensor, rest: Tensor) -> Tensor:
    """Pose features (N, T, 25, 6) on bodies (N, 24, 3): (N, T, 24, 9)."""
    posed = pose_features(features, rest)
    joints = posed.joints - posed.joints[..., :1, :1, :]  # (..., T, 24, 3)
    axes = AXIS * posed.rotations[..., :2]  # (..., T, 24, 3, 2)
    return torch.cat([joints, axes[..., 0], axes[..., 1]], dim=-1)


def world_to_pose_features(world: Tensor) -> Tensor:
    """Return the inverse of `world_features`, (..., T, 24, 9) to (..., T, 25, 6), of any numbers: the nearest
    rotations."""
    turned = nearest_rotations(world[..., 3:6], world[..., 6:9])  # (..., T, 24, 3, 3)
    local = rotations.matrix_to_rot6d_rows(local_rotations(turned))  # (..., T, 24, 6)
    root = world[..., :1, :3] - world[..., :1, :1, :3]  # (..., T, 1, 3)
    return torch.cat([local, F.pad(root, (0, 3))], dim=-2)


def nearest_rotations(x: Tensor, y: Tensor) -> Tensor:
    """Rotations (..., 3, 3) whose first two columns are nearest to vectors (..., 3), both alike.

    Gram-Schmidt would keep the first one and move the second alone. The sum and the difference of two unit vectors
    are orthogonal, and so are the axes halfway between them.
    """
    x, y = F.normalize(x, dim=-1), F.normalize(y, dim=-1)
    between, across = F.normalize(x + y, dim=-1), F.normalize(x - y, dim=-1)
    x, y = (between + across) * 0.5**0.5, (between - across) * 0.5**0.5
    return torch.stack([x, y, torch.linalg.cross(x, y)], dim=-1)


def flat_world(world: Tensor) -> Tensor:
    """World features (N, T, 24, 9) as numbers of a frame (N, T, 216): the places of all joints, and then their axes."""
    return torch.cat([world[..., :3].flatten(2), world[..., 3:].flatten(2)], dim=2)


def unflat_world(numbers: Tensor) -> Tensor:
    """Return the inverse of `flat_world`."""
    places, axes = numbers[..., PLACES], numbers[..., PLACES.stop :]
    joints = len(SMPL_24)
    return torch.cat([places.unflatten(2, (joints, 3)), axes.unflatten(2, (joints, WORLD_FEATURES - 3))], dim=3)


def append_world(windows: Tensor, added: Tensor, start: int) -> Tensor:
    """Join motions (N, F, 216) and windows (N, f, 216) that begin at their frame `start`, blended where both are."""
    count = windows.shape[1] - start
    moved = move_world(added, windows[:, start, :3])
    share = torch.linspace(0, 1, count + 2, device=added.device)[1:-1, None]
    blended = torch.lerp(windows[:, start:], moved[:, :count], share)
    return torch.cat([windows[:, :start], blended, moved[:, count:]], dim=1)


def move_world(windows: Tensor, by: Tensor) -> Tensor:
    """Move motions (N, F, 216) by metres (N, 3) or (1, 3)."""
    places = windows[..., PLACES] + by.repeat(1, len(SMPL_24))[:, None]
    return torch.cat([places, windows[..., PLACES.stop :].expand(len(places), -1, -1)], dim=2)
