"""Motions as networks take them, the way back, and what recognisers see."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from posegen.errors import MotionError
from posegen.motion.floor import floor_height
from posegen.motion.motion import Motion
from posegen.motion.pose_features import (
    features_to_motion,
    motion_features,
    pose_features,
    recognized_joints,
    rest_of,
)
from posegen.skeletons import A2M_18, SMPL_24
from posegen.synthetic.motions import make_subject, perform


@pytest.fixture(scope="module")
def walk() -> Motion:
    return perform("walk", make_subject(1))


def as_batch(motion: Motion) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.from_numpy(motion_features(motion))[None], torch.from_numpy(rest_of(motion))[None]


def test_features_are_rotations_and_the_way_since_the_first_frame(walk):
    features = motion_features(walk)
    assert features.shape == (len(walk), 25, 6) and features.dtype == np.float32
    np.testing.assert_array_equal(features[:, :-1], walk.rot6d)
    np.testing.assert_allclose(features[:, -1, :3], walk.trans - walk.trans[0], atol=1e-6)
    assert not features[0, -1].any() and not features[:, -1, 3:].any()


def test_features_become_the_motion_again_on_the_floor(walk):
    lifted = replace(walk, joints=walk.joints + np.float32([1.0, 5.0, -2.0]))
    again = features_to_motion(motion_features(lifted), walk.rest, walk.fps)
    assert floor_height(again.joints) == pytest.approx(0, abs=1e-5)
    moved = again.joints - walk.joints
    np.testing.assert_allclose(moved, np.broadcast_to(moved[0, 0], moved.shape), atol=1e-5)  # as a whole, unturned
    np.testing.assert_allclose(again.trans[0, [0, 2]], 0, atol=1e-6)
    assert again.fps == walk.fps


def test_motions_of_joints_alone_are_refused(walk):
    with pytest.raises(MotionError, match="rot6d is missing"):
        motion_features(Motion.from_joints(walk.joints, 25))
    with pytest.raises(MotionError, match="rest is missing"):
        rest_of(replace(walk, rest=None))


def test_posed_features_are_the_joints(walk):
    features, rest = as_batch(walk)
    joints = pose_features(features, rest).joints[0].numpy()
    np.testing.assert_allclose(joints, walk.joints - walk.trans[0], atol=1e-5)
    still = pose_features(features, rest, translate=False).joints[0].numpy()
    np.testing.assert_allclose(still, walk.joints - walk.trans[:, None], atol=1e-5)


def test_rows_need_not_be_those_of_rotations(walk):
    features, rest = as_batch(walk)
    stretched = features.clone()
    stretched[..., :-1, :3] *= 3.0
    stretched[..., :-1, 3:] += 0.5 * features[..., :-1, :3]
    torch.testing.assert_close(pose_features(stretched, rest), pose_features(features, rest), atol=1e-5, rtol=0)


def test_gradients_are_finite_where_there_is_no_frame(walk):
    features, rest = as_batch(walk)
    features = torch.cat([features, torch.zeros_like(features)], dim=1).requires_grad_()
    pose_features(features, rest).joints[:, : len(walk)].square().sum().backward()
    assert features.grad.isfinite().all()
    assert features.grad[:, : len(walk)].any() and not features.grad[:, len(walk) :].any()


def test_smpl_joints_start_at_the_origin_and_go_along(walk):
    joints = recognized_joints(*as_batch(walk), "smpl24")[0].numpy()
    np.testing.assert_allclose(joints, walk.joints - walk.trans[0], atol=1e-5)
    features, rest = as_batch(walk)
    features[..., -1, :3] += 7.0  # wherever the motion begins
    np.testing.assert_allclose(recognized_joints(features, rest, "smpl24")[0].numpy(), joints, atol=1e-5)


def test_joints_of_action2motion_are_about_the_middle_of_the_hips(walk):
    features, rest = as_batch(walk)
    joints = recognized_joints(features, rest, "a2m18")[0]
    assert joints.shape == (len(walk), 18, 3)
    assert not joints[:, A2M_18.index("mid_hip")].any()
    still = features.clone()
    still[..., -1, :3] = 0
    torch.testing.assert_close(recognized_joints(still, rest, "a2m18")[0], joints)
    posed = dict(zip(SMPL_24, (walk.joints - walk.trans[:, None]).swapaxes(0, 1), strict=True))
    middle = (posed["left_hip"] + posed["right_hip"]) / 2
    for name in ("left_knee", "right_wrist", "right_ankle", "left_shoulder"):
        np.testing.assert_allclose(joints[:, A2M_18.index(name)], posed[name] - middle, atol=1e-5)


def test_joints_of_action2motion_are_where_people_have_them():
    idle = perform("idle", make_subject(2))
    joints = recognized_joints(*as_batch(idle), "a2m18")[0].mean(dim=0)
    x, y, z = ({name: float(place[axis]) for name, place in zip(A2M_18, joints, strict=True)} for axis in range(3))
    from_top = ("head_top", "nose", "neck", "mid_hip", "left_knee", "left_ankle", "left_heel")
    assert [y[name] for name in from_top] == sorted((y[name] for name in from_top), reverse=True)
    assert 1.5 < y["head_top"] - y["left_heel"] < 1.95
    assert 0.1 < y["head_top"] - y["nose"] < 0.25 and 0.03 < y["left_ankle"] - y["left_heel"] < 0.09
    assert z["nose"] > z["neck"] + 0.05 and z["left_heel"] < z["left_ankle"]
    assert x["left_heel"] > 0 > x["right_heel"]


@pytest.mark.parametrize("joints", ["smpl24", "a2m18"])
def test_larger_bodies_are_larger_in_all(joints, walk):
    features, rest = as_batch(walk)
    features[..., -1, :3] = 0
    small, large = (recognized_joints(features, size * rest, joints) for size in (1.0, 1.5))
    torch.testing.assert_close(large, 1.5 * small, atol=1e-5, rtol=1e-5)
