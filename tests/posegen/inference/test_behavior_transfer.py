"""Behaviour of one motion from the posture of another, by a network that was not trained."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from posegen.errors import MotionError
from posegen.inference.behavior_transfer import require_window, transfer_behavior, turn_to_viewer
from posegen.motion.cameras import WeakCamera
from posegen.motion.editing import Placement, canonicalize, first_frames, place, placement, resample
from posegen.skeletons import H36M_17, SMPL_24, joint_indices
from posegen.stages import Behavior
from posegen.synthetic.motions import make_subject, perform


@pytest.fixture(scope="module")
def stage():
    torch.manual_seed(0)
    return Behavior(Behavior.Config(latent_dim=16, num_frames=10, fps=20.0)).eval()


@pytest.fixture
def wave():
    return replace(perform("wave", make_subject(0)), label=3, label_name="wave")


@pytest.fixture
def walk():
    return place(perform("walk", make_subject(1)), Placement(2.0, 1.0, 0.9))


def test_what_is_drawn_begins_with_the_posture_and_is_what_the_stage_draws(stage, wave, walk):
    [one] = transfer_behavior(stage, wave, [walk])
    assert (len(one.drawn), len(one.source), len(one.posture)) == (11, 11, 1)
    assert {one.drawn.fps, one.source.fps, one.posture.fps} == {20.0}
    assert (one.drawn.label, one.drawn.label_name) == (3, "wave")
    np.testing.assert_array_equal(one.posture.joints[0], walk.joints[0])
    limbs = joint_indices([name for name in H36M_17 if name in SMPL_24 and name != "neck"], SMPL_24)
    np.testing.assert_allclose(one.drawn.joints[0, limbs], walk.joints[0, limbs], atol=1e-5)
    [alone] = stage.transfer([wave], [walk], 10)
    np.testing.assert_allclose(one.drawn.joints[1:, :3], alone.joints[:, :3], atol=1e-5)


def test_several_go_on_for_any_number_of_frames(stage, wave, walk):
    made = transfer_behavior(stage, wave, [walk, wave, walk], 33)
    assert [len(one.drawn) for one in made] == [33] * 3
    np.testing.assert_allclose(made[0].drawn.joints, made[2].drawn.joints, atol=1e-5)


def test_a_window_must_be_whole_at_the_runs_rate(stage, wave):
    enough = first_frames(wave, 13)  # 0.48 s: 10 frames at 20 a second
    require_window(stage, enough, "wave")
    with pytest.raises(MotionError, match="wave has 9 frames at 20 frames per second, expected the 10 or more"):
        require_window(stage, first_frames(wave, 11), "wave")


def test_who_was_seen_by_a_camera_is_seen_so_again_and_others_face_the_viewer(walk):
    camera = WeakCamera(scale=1.0, tx=0.0, ty=0.0, canvas=(9, 9))
    seen = turn_to_viewer(walk, replace(walk, camera=camera), 50.0)
    np.testing.assert_allclose(seen.joints, resample(walk, 50.0).joints)
    facing = turn_to_viewer(walk, walk, 25.0)
    np.testing.assert_allclose(facing.joints, canonicalize(walk)[0].joints, atol=1e-5)
    for like in (walk, replace(walk, camera=camera)):
        assert placement(turn_to_viewer(walk, like, 25.0, yaw=30.0)).yaw == pytest.approx(np.radians(30), abs=1e-4)
