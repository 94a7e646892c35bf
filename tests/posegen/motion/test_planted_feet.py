"""Feet of generated motions: where the numbers have them, and still where they stand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from posegen.motion.anatomy import REST
from posegen.motion.planted_feet import Planting, plant_feet
from posegen.motion.pose_features import motion_features, pose_features
from posegen.motion.quality import skate
from posegen.motion.world_features import world_features, world_to_pose_features
from posegen.skeletons import SMPL_24, joint_indices
from posegen.synthetic.motions import make_subject, perform

REST_BODY = torch.tensor(REST, dtype=torch.float32)
ANKLES = joint_indices(["left_ankle", "right_ankle"], SMPL_24)
HANDS = joint_indices(["left_hand", "right_hand", "head"], SMPL_24)


def world_of(action: str, frames: int = 50) -> torch.Tensor:
    features = torch.from_numpy(motion_features(perform(action, make_subject(0), frames=frames)))
    return world_features(features[None], REST_BODY[None])


def joints_of(features: torch.Tensor) -> torch.Tensor:
    return pose_features(features, REST_BODY[None]).joints


def everywhere(world: torch.Tensor) -> torch.Tensor:
    return torch.ones(world.shape[:2], dtype=torch.bool)


def slide(joints: torch.Tensor) -> float:
    return skate(joints[0].double().numpy(), np.ones(joints.shape[1], bool), 25.0)


@pytest.mark.parametrize("action", ["walk", "squat", "kick"])
def test_a_motion_that_is_right_stays(action):
    world = world_of(action)
    found = joints_of(plant_feet(world, REST_BODY, everywhere(world), Planting()))
    torch.testing.assert_close(found, joints_of(world_to_pose_features(world)), atol=3e-3, rtol=0)


def test_ankles_come_where_they_are_though_knees_say_something_else():
    world = world_of("squat")
    wrong = world.clone()
    knees = joint_indices(["left_knee", "right_knee"], SMPL_24)
    wrong[..., knees, 3:] += 0.01 * torch.randn(wrong[..., knees, 3:].shape, generator=torch.Generator().manual_seed(0))
    off = [
        (joints_of(features)[..., ANKLES, :] - world[..., ANKLES, :3]).norm(dim=-1).mean()
        for features in (world_to_pose_features(wrong), plant_feet(wrong, REST_BODY, everywhere(wrong), Planting()))
    ]
    assert off[0] > 0.02 and off[1] < 0.004


def test_feet_that_stand_slide_less_and_the_rest_stays():
    world = world_of("wave", frames=40)
    drift = 0.004 * torch.sin(torch.arange(40.0))[None, :, None]
    world[..., ANKLES, 0] += drift
    loose, firm = (
        joints_of(plant_feet(world, REST_BODY, everywhere(world), Planting(strength))) for strength in (0.0, 10.0)
    )
    assert slide(firm) < 0.5 * slide(loose)
    torch.testing.assert_close(firm[..., HANDS, :], loose[..., HANDS, :])


def test_feet_of_one_who_runs_stand_and_swing_as_before():
    world = world_of("run", frames=40)
    noise = torch.randn(1, 40, 2, generator=torch.Generator().manual_seed(0))
    world[..., ANKLES, 2] += 0.03 * noise  # a metre a second at 25 frames a second
    loose, firm = (
        joints_of(plant_feet(world, REST_BODY, everywhere(world), Planting(strength, fps=25.0)))
        for strength in (0.0, 10.0)
    )
    assert slide(firm) < 0.5 * slide(loose)
    fastest, before = (
        x[..., ANKLES, :].diff(dim=1).norm(dim=-1).amax() for x in (firm, joints_of(world_to_pose_features(world)))
    )
    assert fastest > 0.95 * before


def test_feet_of_frames_that_are_given_stay():
    world = world_of("wave", frames=40)
    world[..., ANKLES, 0] += 0.004 * torch.sin(torch.arange(40.0))[None, :, None]
    held = torch.arange(40) < 10
    loose = joints_of(plant_feet(world, REST_BODY, everywhere(world), Planting()))
    firm = joints_of(plant_feet(world, REST_BODY, everywhere(world), Planting(10.0, held=held)))
    moved = (firm - loose)[0, :, ANKLES].norm(dim=-1).amax(dim=1)  # (T,)
    assert moved[:10].max() < 1e-4 < moved[10:].max()


def test_what_stands_behind_the_end_changes_nothing():
    world = world_of("wave", frames=40)
    mask = (torch.arange(40) < 25)[None]
    other = world.clone()
    other[:, 25:, :, 1] -= 3.0
    first, second = (plant_feet(x, REST_BODY, mask, Planting(1.0))[:, :24] for x in (world, other))
    torch.testing.assert_close(first, second, atol=1e-4, rtol=0)
