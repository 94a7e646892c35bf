"""From rotations to joints and back, in torch: forward kinematics, rest skeletons and inverse kinematics.

A joint's global rotation is that of its parent times its own; it carries the rest offsets of its children. Shapes
have any leading dimensions, (T,) or (N, T); losses may be taken through `forward_kinematics`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from posegen.motion import rotations
from posegen.motion.anatomy import REST
from posegen.skeletons import SMPL_24, SMPL_24_PARENTS, joint_indices

MARKER_DISTANCE = (0.10, 0.05)
"""Metres from a joint of the body to its markers, and from one of hands, feet and head."""

_PARENTS = [max(parent, 0) for parent in SMPL_24_PARENTS]
_TRIPLES = {"pelvis": ("left_hip", "right_hip", "spine1"), "spine3": ("neck", "left_collar", "right_collar")}
_SPINE = ("spine1", "spine2")
_ROUNDS = 2
# Knees point along the pole and forearms go there, at rest: from it the far bone goes back (-1) or there (1). Where the
# limb is straight, the toes decide, and then the T-pose; their weights are against the sine of the bend.
_POLE = (0.0, 0.0, 1.0)
_LIMBS = {
    "left_hip": (-1, ("left_ankle", "left_foot")),
    "right_hip": (-1, ("right_ankle", "right_foot")),
    "left_shoulder": (1, ("left_wrist",)),
    "right_shoulder": (1, ("right_wrist",)),
}
_TOE_WEIGHT, _REST_WEIGHT = 0.2, 0.1


class Posed(NamedTuple):
    """Result of forward kinematics."""

    joints: Tensor
    """(..., J, 3) metres in the world."""
    rotations: Tensor
    """(..., J, 3, 3) of each joint in the world."""


class RestSkeleton(NamedTuple):
    """A body at rest, as found in data."""

    joints: Tensor
    """(J, 3) metres, the root at the origin."""
    residual: float
    """Metres, root mean square: how much the bones' offsets vary about their means."""


class InverseKinematics(NamedTuple):
    """Rotations that explain joints."""

    rotations: Tensor
    """(..., 24, 3, 3), each in its parent's axes; the root's in the world's."""
    errors: Tensor
    """(..., 24) metres between the joints given and those that forward kinematics makes of the rotations."""


def forward_kinematics(local: Tensor, rest: Tensor, root: Tensor, parents: Sequence[int] = SMPL_24_PARENTS) -> Posed:
    """Pose a skeleton.

    Args:
        local: (..., J, 3, 3) rotation of each joint in its parent's axes; the root's in the world's.
        rest: (J, 3) or (..., J, 3) joints at rest, in metres.
        root: (..., 3) where the root is.
        parents: Of each joint, -1 for the root, which comes first; parents come before their children.
    """
    offsets = rest - rest[..., [max(parent, 0) for parent in parents], :]  # (..., J, 3)
    offsets = offsets.expand(*local.shape[:-2], 3)
    turned, joints = [local[..., :1, :, :]], [root[..., None, :]]
    order, levels = _levels(tuple(parents))
    for children, rows in levels:  # all joints of one depth at once; rows: of their parents among those of the last
        above = turned[-1][..., rows, :, :]  # (..., K, 3, 3)
        turned.append(above @ local[..., children, :, :])
        joints.append(joints[-1][..., rows, :] + (above @ offsets[..., children, :, None])[..., 0])
    return Posed(torch.cat(joints, dim=-2)[..., order, :], torch.cat(turned, dim=-3)[..., order, :, :])


@cache
def _levels(parents: tuple[int, ...]) -> tuple[list[int], list[tuple[list[int], list[int]]]]:
    """Sort joints by depth: return the place of each joint, and for each depth the joints and their parents' rows."""
    level, found = [0], [0]
    levels: list[tuple[list[int], list[int]]] = []
    while True:
        children = [joint for joint, parent in enumerate(parents) if parent in level]
        if not children:
            return [found.index(joint) for joint in range(len(parents))], levels
        levels.append((children, [level.index(parents[joint]) for joint in children]))
        found, level = [*found, *children], children


def global_rotations(local: Tensor, parents: Sequence[int] = SMPL_24_PARENTS) -> Tensor:
    """Return each joint's rotation in the world (..., J, 3, 3) from those in its parent's axes (..., J, 3, 3)."""
    nowhere = local.new_zeros(len(parents), 3)
    return forward_kinematics(local, nowhere, nowhere[0].expand(*local.shape[:-3], 3), parents).rotations


def local_rotations(world: Tensor) -> Tensor:
    """Return SMPL-24's rotations (..., 24, 3, 3) in the parents' axes from those in the world: the inverse of
    `global_rotations`."""
    return torch.cat([world[..., :1, :, :], world[..., _PARENTS[1:], :, :].mT @ world[..., 1:, :, :]], dim=-3)


def markers(posed: Posed) -> Tensor:
    """Return three points (..., 72, 3) about each of 24 joints, along the axes that the joint turns.

    They take the place of SMPL's vertices in a loss: joints alone say nothing of how a bone turns about itself.
    """
    near, far = MARKER_DISTANCE
    ends = ("hand", "foot", "head")
    distance = posed.joints.new_tensor([far if name.endswith(ends) else near for name in SMPL_24])
    points = posed.joints[..., None, :] + distance[:, None, None] * posed.rotations.mT  # (..., 24, 3, 3)
    return points.flatten(-3, -2)


def estimate_rest_skeleton(local: Tensor, joints: Tensor, parents: Sequence[int] = SMPL_24_PARENTS) -> RestSkeleton:
    """Find the skeleton that, posed by rotations, is nearest to joints: each bone's mean offset in its parent's axes.

    Args:
        local: (..., J, 3, 3) rotations as for `forward_kinematics`.
        joints: (..., J, 3) metres in the world, of one body.
        parents: Of each joint.
    """
    above = [max(parent, 0) for parent in parents]
    turned = global_rotations(local, parents)[..., above, :, :]
    offsets = (turned.mT @ (joints - joints[..., above, :])[..., None])[..., 0].reshape(-1, len(parents), 3)
    mean = offsets.mean(dim=0)
    residual = (offsets - mean)[:, 1:].square().sum(dim=-1).mean().sqrt().item()
    return RestSkeleton(_end_to_end(mean, parents), residual)


def rest_from_joints(joints: Tensor) -> RestSkeleton:
    """Find the rest skeleton of a body of which only joints are known: bones as long as they are seen.

    Their directions at rest are those of a T-pose; how hips and collar bones hang on the trunk is taken from the
    joints, since they move with it as one.

    Args:
        joints: (T, 24, 3) metres in the world, of one body.
    """
    neutral = torch.as_tensor(REST, dtype=joints.dtype, device=joints.device)
    lengths = _bones(joints).norm(dim=-1).median(dim=0).values  # (24,)
    bones = _bones(neutral)
    bones = bones * (lengths / bones.norm(dim=-1).clamp_min(1e-9))[:, None]
    found = RestSkeleton(_end_to_end(bones, SMPL_24_PARENTS), 0.0)
    for _ in range(_ROUNDS):
        found = estimate_rest_skeleton(inverse_kinematics(joints, found.joints).rotations, joints)
    return found


def inverse_kinematics(joints: Tensor, rest: Tensor) -> InverseKinematics:
    """Find rotations that pose a skeleton as joints are, in closed form.

    Pelvis and chest turn as the rigid triples of joints on them (Kabsch). The spine between them shares their twist;
    every other bone swings the shortest way from where its parent would leave it. Joints do not tell how a limb turns
    about itself while it is straight: it follows the next joint's bend, the toes, and the T-pose, in this order. Ends
    (head, hands, toes) turn with their parents.

    Args:
        joints: (..., 24, 3) metres in the world, SMPL-24.
        rest: (24, 3) metres, as `rest_from_joints` finds it.
    """
    seen, offsets = _bones(joints), _bones(rest)  # each of the bone that ends in the joint
    turned: dict[str, Tensor] = {}
    for name, children in _TRIPLES.items():
        ends = joint_indices(children, SMPL_24)
        turned[name] = rotations.registration(offsets[ends].expand_as(seen[..., ends, :]), seen[..., ends, :])
    for index, name in enumerate(SMPL_24):
        if name not in turned:
            turned[name] = _turn_bone(name, index, turned, seen, offsets)
    world = torch.stack([turned[name] for name in SMPL_24], dim=-3)  # (..., 24, 3, 3)
    local = local_rotations(world)
    made = forward_kinematics(local, rest, joints[..., 0, :]).joints
    return InverseKinematics(local, (made - joints).norm(dim=-1))


def _turn_bone(name: str, index: int, turned: dict[str, Tensor], seen: Tensor, offsets: Tensor) -> Tensor:
    """The rotation in the world (..., 3, 3) of a joint with one child or none, from its parent's."""
    parent = turned[SMPL_24[SMPL_24_PARENTS[index]]]
    if index not in SMPL_24_PARENTS:
        return parent
    child = SMPL_24_PARENTS.index(index)
    if name in _SPINE:
        share = parent.new_tensor((_SPINE.index(name) + 1) / (len(_SPINE) + 1))
        parent = rotations.slerp(turned["pelvis"], turned["spine3"], share)
    along = seen[..., child, :]
    bone = rotations.swing(parent @ offsets[child], along) @ parent
    return rotations.twist(along, _limb_twist(name, along, bone, seen, offsets)) @ bone if name in _LIMBS else bone


def _limb_twist(name: str, along: Tensor, bone: Tensor, seen: Tensor, offsets: Tensor) -> Tensor:
    """The angle (...) about an upper arm or thigh that its bend, the toes and the T-pose agree upon."""
    along = F.normalize(along, dim=-1)

    def across(vector: Tensor) -> Tensor:
        """The part that is orthogonal to the bone."""
        return vector - (vector * along).sum(dim=-1, keepdim=True) * along

    def turn(start: Tensor, end: Tensor) -> Tensor:
        """Cosine and sine (..., 2) of the angle about the bone, times both lengths: what is short counts little."""
        return torch.stack([(start * end).sum(dim=-1), (along * torch.linalg.cross(start, end)).sum(dim=-1)], dim=-1)

    sign, (far, *toe) = _LIMBS[name]
    index = SMPL_24.index(far)
    bend = F.normalize(seen[..., index, :], dim=-1) - bone @ F.normalize(offsets[index], dim=-1)
    votes = turn(across(bone @ bone.new_tensor(_POLE)), sign * across(bend))
    votes = votes + _REST_WEIGHT * bone.new_tensor((1.0, 0.0))
    for index in joint_indices(toe, SMPL_24):
        rest = bone @ F.normalize(offsets[index], dim=-1)
        votes = votes + _TOE_WEIGHT * turn(across(rest), across(F.normalize(seen[..., index, :], dim=-1)))
    return torch.atan2(votes[..., 1], votes[..., 0])


def _bones(joints: Tensor) -> Tensor:
    """Return the vector from the parent to each SMPL-24 joint (..., 24, 3); zero for the root."""
    return joints - joints[..., _PARENTS, :]


def _end_to_end(offsets: Tensor, parents: Sequence[int]) -> Tensor:
    """Joints at rest (J, 3), the root at the origin, from the offsets of their bones (J, 3)."""
    joints = [torch.zeros_like(offsets[0])]
    for joint, parent in enumerate(parents[1:], start=1):
        joints.append(joints[parent] + offsets[joint])
    return torch.stack(joints)
