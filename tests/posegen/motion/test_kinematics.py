"""Kinematics: parity with SMPL's, gradients, and rotations found from joints alone, on made and on real motion."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from posegen.motion import kinematics, rotations
from posegen.motion.anatomy import REST
from posegen.skeletons import SMPL_24, SMPL_24_PARENTS

NEUTRAL = torch.from_numpy(REST)


@pytest.fixture(scope="module")
def known(fixtures):
    return json.loads((fixtures / "motion" / "kinematics.json").read_text())["forward_kinematics"]


def closed_form_body():
    """The rest skeleton and rotations (2, 24, 3, 3) of the parity numbers."""
    offsets = 0.2 * torch.sin(0.77 * torch.arange(72, dtype=torch.float64) + 0.35).reshape(24, 3)
    rest = [torch.zeros(3, dtype=torch.float64)]
    for joint in range(1, 24):
        rest.append(rest[SMPL_24_PARENTS[joint]] + offsets[joint])
    axis_angle = 0.8 * torch.sin(0.31 * torch.arange(144, dtype=torch.float64) + 0.2).reshape(2, 24, 3)
    return torch.stack(rest), rotations.axis_angle_to_matrix(axis_angle)


def random_poses(count=40, scale=0.3):
    """Rotations (count, 24, 3, 3) of moderate size and places (count, 3)."""
    generator = torch.Generator().manual_seed(0)
    axis_angle = scale * torch.randn(count, 24, 3, dtype=torch.float64, generator=generator)
    return rotations.axis_angle_to_matrix(axis_angle), torch.randn(count, 3, dtype=torch.float64, generator=generator)


def test_forward_kinematics_agrees_with_the_published_code(known):
    assert tuple(known["parents"]) == SMPL_24_PARENTS
    rest, local = closed_form_body()
    posed = kinematics.forward_kinematics(local, rest, torch.zeros(2, 3, dtype=torch.float64))
    assert_close(posed.joints, torch.tensor(known["posed_joints"], dtype=torch.float64), rtol=0, atol=1e-12)


def test_every_body_has_its_own_rest_skeleton():
    rest, local = closed_form_body()
    root = torch.ones(2, 3, dtype=torch.float64)
    both = kinematics.forward_kinematics(local, torch.stack([rest, 2 * rest]), root).joints
    assert_close(both[0], kinematics.forward_kinematics(local, rest, root).joints[0])
    assert_close(both[1], kinematics.forward_kinematics(local, 2 * rest, root).joints[1])


def test_forward_kinematics_has_the_right_gradients():
    rest, local = closed_form_body()
    root = torch.zeros(1, 3, dtype=torch.float64, requires_grad=True)
    local = local[:1].requires_grad_()
    assert torch.autograd.gradcheck(
        lambda *args: kinematics.forward_kinematics(args[0], rest, args[1]).joints, (local, root)
    )


def test_markers_tell_a_twist_that_joints_do_not():
    still = torch.eye(3, dtype=torch.float64).repeat(24, 1, 1)
    twisted = still.clone()
    hand = SMPL_24.index("left_hand")
    twisted[hand] = rotations.twist(torch.tensor([1.0, 0, 0], dtype=torch.float64), torch.tensor(1.0))
    nowhere = torch.zeros(3, dtype=torch.float64)
    before, after = (kinematics.forward_kinematics(local, NEUTRAL, nowhere) for local in (still, twisted))
    assert_close(before.joints, after.joints)
    moved = (kinematics.markers(after) - kinematics.markers(before)).norm(dim=-1).reshape(24, 3)
    assert moved[hand].tolist() == pytest.approx([0, 0.05 * 2 * np.sin(0.5), 0.05 * 2 * np.sin(0.5)])
    assert not moved[:hand].any()
    distance = (kinematics.markers(before).reshape(24, 3, 3) - before.joints[:, None]).norm(dim=-1)
    assert_close(distance[0], torch.full((3,), 0.10, dtype=torch.float64))


def test_the_rest_skeleton_is_found_from_rotations_and_joints():
    rest, _ = closed_form_body()
    local, root = random_poses(scale=1.0)
    joints = kinematics.forward_kinematics(local, rest, root).joints
    found = kinematics.estimate_rest_skeleton(local, joints)
    assert_close(found.joints, rest)
    assert found.residual == pytest.approx(0, abs=1e-9)
    noise = torch.randn(joints.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    assert 0.005 < kinematics.estimate_rest_skeleton(local, joints + 0.01 * noise).residual < 0.05


def test_inverse_kinematics_meets_the_joints_of_a_known_body():
    local, root = random_poses()
    joints = kinematics.forward_kinematics(local, NEUTRAL, root).joints
    found = kinematics.inverse_kinematics(joints, NEUTRAL)
    assert found.errors.max() < 1e-6
    assert_close(found.rotations.mT @ found.rotations, torch.eye(3, dtype=torch.float64).expand_as(local))
    assert_close(found.rotations[:, 0], local[:, 0])


def test_inverse_kinematics_of_the_t_pose_turns_nothing():
    found = kinematics.inverse_kinematics(NEUTRAL, NEUTRAL)
    assert_close(found.rotations, torch.eye(3, dtype=torch.float64).expand(24, 3, 3), rtol=0, atol=1e-7)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize(("near", "far", "axis", "sign"), [("hip", "knee", 0, 1.0), ("shoulder", "elbow", 1, -1.0)])
def test_a_limb_turns_about_itself_as_its_bend_shows(side, near, far, axis, sign):
    """A thigh or upper arm is turned about itself by 40°, which only shows in where the bent shin or forearm goes."""
    still = torch.eye(3, dtype=torch.float64).repeat(24, 1, 1)
    near, far = SMPL_24.index(f"{side}_{near}"), SMPL_24.index(f"{side}_{far}")
    bone = NEUTRAL[far] - NEUTRAL[near]
    still[near] = rotations.twist(bone, torch.tensor(np.radians(40)))
    bend = torch.zeros(3, dtype=torch.float64)
    bend[axis] = sign if near < 3 or side == "left" else -sign
    still[far] = rotations.twist(bend, torch.tensor(np.radians(80)))
    joints = kinematics.forward_kinematics(still, NEUTRAL, torch.zeros(3, dtype=torch.float64)).joints
    found = kinematics.inverse_kinematics(joints, NEUTRAL).rotations
    off = rotations.matrix_to_axis_angle(found[near].mT @ still[near]).norm()
    assert np.degrees(off.item()) < 8


def test_a_straight_leg_turns_as_its_toes():
    local = torch.eye(3, dtype=torch.float64).repeat(24, 1, 1)
    hip, knee = SMPL_24.index("left_hip"), SMPL_24.index("left_knee")
    local[hip] = rotations.twist(NEUTRAL[knee] - NEUTRAL[hip], torch.tensor(-0.6))
    joints = kinematics.forward_kinematics(local, NEUTRAL, torch.zeros(3, dtype=torch.float64)).joints
    found = kinematics.inverse_kinematics(joints, NEUTRAL).rotations[hip]
    assert rotations.matrix_to_axis_angle(found.mT @ local[hip]).norm() < 0.3


def test_rest_from_joints_has_the_lengths_of_the_body():
    rest, root = 1.1 * NEUTRAL, random_poses()[1]
    joints = kinematics.forward_kinematics(random_poses()[0], rest, root).joints
    found = kinematics.rest_from_joints(joints)
    assert_close(found.joints, rest, rtol=0, atol=1e-3)


@pytest.fixture(scope="module")
def humanact12(shared):
    """Every 20th clip of HumanAct12, in world axes."""
    content = np.load(shared / "data" / "motion" / "humanact12_joints24.npz", allow_pickle=False)
    clips = np.split(content["joints"], np.cumsum(content["lengths"])[:-1])
    return [torch.from_numpy(clip * np.float32([1, -1, -1])) for clip in clips[::20]]


def test_inverse_kinematics_meets_real_joints(humanact12):
    errors, twists = [], []
    for clip in humanact12:
        found = kinematics.inverse_kinematics(clip, kinematics.rest_from_joints(clip).joints)
        errors.append(found.errors)
        twists.append(rotations.matrix_to_axis_angle(found.rotations[:-1].mT @ found.rotations[1:]).norm(dim=-1))
    error = torch.cat(errors)
    turn = torch.cat(twists)
    print(
        f"\njoint error: median {error.median():.2e} m, largest {error.max():.2e} m in {len(error)} frames; "
        f"turn per frame: median {turn.median():.3f}, 99.9 % {turn.flatten().quantile(0.999):.3f} rad"
    )
    assert error.median() < 0.01
