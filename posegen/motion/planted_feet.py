"""Legs that put their feet where they are known to be, and feet that stay where they stand.

A foot at the end of hip, knee and ankle is wrong by what all three are; its place is known better by itself. Two bones
reach any place that is near enough, and the knee stays in the plane in which it was.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from posegen.motion import rotations
from posegen.motion.kinematics import Posed, forward_kinematics, local_rotations
from posegen.motion.pose_features import pose_features
from posegen.motion.world_features import world_to_pose_features
from posegen.skeletons import SMPL_24, joint_indices

_HIPS, _KNEES, _ANKLES, _BALLS = (
    joint_indices([f"left_{name}", f"right_{name}"], SMPL_24) for name in ("hip", "knee", "ankle", "foot")
)
_REACH = 0.99999  # of a straight leg: its knee is not to be seen to bend
_LOW = 0.04  # metres above the floor at which a foot may stand
_BELOW = 0.05  # share of frames in which the lower foot may be below the floor
_SLOW = 0.4  # metres a second: how fast a low foot of a body in place moves that stands for the most part
_ROUNDS = 2  # of finding which feet stand from where they are, and then where they are
_HELD = 1e3  # how much more the place of a foot counts in a frame that is given


@dataclass(frozen=True)
class Planting:
    """Settings that keep standing feet from sliding."""

    strength: float = 0.0
    """Weight of the way between two frames in which a foot stands; 0 leaves feet as they are."""
    fps: float = 20.0
    """Frames per second of the motion."""
    held: Tensor | None = None
    """(T,) bool, frames in which feet stay where they are."""


def plant_feet(world: Tensor, rest: Tensor, mask: Tensor, planting: Planting) -> Tensor:
    """Return pose features of any numbers, as `world_to_pose_features`, with ankles where the numbers have them.

    Args:
        world: (N, T, 24, 9), see `posegen.motion.world_features`.
        rest: (24, 3) metres, the body.
        mask: (N, T) bool, frames that a motion has.
        planting: Settings, see `steady_ankles`.

    Returns:
        (N, T, 25, 6).
    """
    features = world_to_pose_features(world)
    posed = pose_features(features, rest.expand(len(world), -1, -1))
    root = posed.joints[..., 0, :]
    turned = reach_ankles(posed, world[..., _ANKLES, :3] - world[:, :1, :1, :3])
    if planting.strength:
        posed = forward_kinematics(local_rotations(turned), rest, root)
        turned = reach_ankles(posed, steady_ankles(posed.joints, mask, planting))
    return torch.cat([rotations.matrix_to_rot6d_rows(local_rotations(turned)), features[..., -1:, :]], dim=-2)


def reach_ankles(posed: Posed, ankles: Tensor) -> Tensor:
    """Turn thighs and shins so that ankles come to (..., T, 2, 3), the left one first, or as near as legs reach.

    Returns the rotations (..., T, 24, 3, 3) of all joints in the world; feet keep theirs.
    """
    hips, knees, old = (posed.joints[..., rows, :] for rows in (_HIPS, _KNEES, _ANKLES))
    thigh, shin = knees - hips, old - knees  # (..., T, 2, 3)
    long, short = thigh.norm(dim=-1, keepdim=True), shin.norm(dim=-1, keepdim=True)
    way = ankles - hips
    far = way.norm(dim=-1, keepdim=True)
    reached = far.clamp(min=(long - short).abs() + 1e-4).minimum(_REACH * (long + short))
    ahead = way / far.clamp_min(1e-6)
    along = (long.square() - short.square() + reached.square()) / (2 * reached)
    aside = thigh - (thigh * ahead).sum(dim=-1, keepdim=True) * ahead  # where the knee is beside the way
    bent = (long.square() - along.square()).clamp_min(0).sqrt() * F.normalize(aside, dim=-1)
    new_thigh = along * ahead + bent
    new_shin = reached * ahead - new_thigh
    turned = posed.rotations.clone()
    turned[..., _HIPS, :, :] = rotations.swing(thigh, new_thigh) @ posed.rotations[..., _HIPS, :, :]
    turned[..., _KNEES, :, :] = rotations.swing(shin, new_shin) @ posed.rotations[..., _KNEES, :, :]
    return turned


def steady_ankles(joints: Tensor, mask: Tensor, planting: Planting) -> Tensor:
    """Find where ankles (N, T, 2, 3) are to be for standing feet to slide less.

    The balls of the feet are moved along the floor so as to minimize how far, squared, and the strength times the
    squared way between two frames in which they stand, by iteratively reweighted least squares with the weights of
    Dennis and Welsch (1978). A low foot that is slow, or slower than the body travels, stands: one that swings is
    faster.

    Args:
        joints: (N, T, 24, 3) metres, y up.
        mask: (N, T) bool, frames that a motion has.
        planting: Strength, rate and frames that are held.
    """
    feet = joints[..., _BALLS, :]  # (N, T, 2, 3)
    count = feet.shape[1]
    lower = feet[..., 1].amin(dim=-1).masked_fill(~mask, float("nan"))
    floor = torch.nanquantile(lower, _BELOW, dim=1)[:, None, None]  # (N, 1, 1)
    low = ((feet[..., 1] < floor + _LOW) & mask[..., None]).transpose(1, 2)  # (N, 2, T)
    ground = feet[..., (0, 2)].transpose(1, 2)  # (N, 2, T, 2)
    slow = _SLOW**2 + _travel_speed(joints, mask, planting.fps).square()[:, None, None]  # (N, 1, 1)
    step = torch.eye(count, device=feet.device).diff(dim=0)  # (T - 1, T)
    own = torch.ones(count, device=feet.device)  # (T,)
    if planting.held is not None:
        own = own + _HELD * planting.held.float()
    found = ground
    for _ in range(_ROUNDS):
        speed = found.diff(dim=2).norm(dim=-1) * planting.fps  # (N, 2, T - 1)
        stands = (low[..., 1:] & low[..., :-1]) * torch.exp(-speed.square() / slow)
        gram = torch.diag(own) + step.T @ (planting.strength * stands[..., None] * step)  # (N, 2, T, T)
        found = torch.linalg.solve(gram, own[:, None] * ground)
    moved = found - ground  # (N, 2, T, 2)
    along = torch.stack([moved[..., 0], torch.zeros_like(moved[..., 0]), moved[..., 1]], dim=-1)  # (N, 2, T, 3)
    return joints[..., _ANKLES, :] + along.transpose(1, 2)


def _travel_speed(joints: Tensor, mask: Tensor, fps: float) -> Tensor:
    """Mean speed (N,) of the root along the floor, in metres a second."""
    speed = joints[..., 0, (0, 2)].diff(dim=1).norm(dim=-1) * fps  # (N, T - 1)
    both = mask[:, 1:] & mask[:, :-1]
    return (speed * both).sum(dim=1) / both.sum(dim=1).clamp_min(1)
