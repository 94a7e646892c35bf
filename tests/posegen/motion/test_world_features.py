"""Joints and axes in the world: linear, and the way back to rotations."""

from __future__ import annotations

import numpy as np
import torch

from posegen.motion.pose_features import motion_features, pose_features, rest_of
from posegen.motion.world_features import (
    flat_world,
    nearest_rotations,
    unflat_world,
    world_features,
    world_to_pose_features,
)
from posegen.synthetic.motions import make_subject, perform


def walking(seed: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    motion = perform("walk", make_subject(1), seed=seed)
    return torch.from_numpy(motion_features(motion))[None, :40], torch.from_numpy(rest_of(motion))[None]


def test_features_come_back_as_they_were():
    features, rest = walking()
    world = world_features(features, rest)
    assert world.shape == (1, 40, 24, 9) and not world[0, 0, 0, :3].any()
    torch.testing.assert_close(world_to_pose_features(world), features, atol=2e-5, rtol=0)
    torch.testing.assert_close(unflat_world(flat_world(world)), world)
    assert torch.equal(flat_world(world)[0, 3, :3], world[0, 3, 0, :3])


def test_limbs_of_a_mixture_are_rigid_and_joints_near_the_mean_of_both():
    first, rest = walking()
    second, _ = walking(seed=2)
    mixed = (world_features(first, rest) + world_features(second, rest)) / 2
    posed = pose_features(world_to_pose_features(mixed), rest).joints[0]
    shin = (posed[:, 7] - posed[:, 4]).norm(dim=-1)
    np.testing.assert_allclose(shin, float((rest[0, 7] - rest[0, 4]).norm()), rtol=1e-4)
    assert (posed - mixed[0, :, :, :3]).norm(dim=-1).mean() < 0.03


def test_rotations_are_nearest_to_both_columns_alike():
    x, y = torch.tensor([1.0, 0.2, 0.0]), torch.tensor([0.2, 1.0, 0.0])
    found = nearest_rotations(3 * x, y)
    torch.testing.assert_close(found.mT @ found, torch.eye(3))
    torch.testing.assert_close(found, torch.eye(3), atol=1e-6, rtol=0)
