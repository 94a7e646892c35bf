"""Motions at other rates and in other places: what changes, and what must not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from posegen.errors import MotionError
from posegen.motion import rotations
from posegen.motion.anatomy import REST, bone_lengths
from posegen.motion.cameras import WeakCamera
from posegen.motion.editing import (
    Placement,
    canonicalize,
    find_rotations,
    first_frames,
    join,
    place,
    placement,
    posture_placement,
    resample,
    shorten_travel,
    stand_at,
    with_rotations,
)
from posegen.motion.floor import floor_height
from posegen.motion.kinematics import forward_kinematics
from posegen.motion.motion import Motion
from posegen.motion.to_openpose import h36m_joints
from posegen.skeletons import H36M_17, SMPL_24
from posegen.synthetic.motions import make_subject, perform


def waving(frames=51, fps=25.0):
    """A body that turns its left arm by a sine of 1 Hz, walks along x and looks along it."""
    time = torch.arange(frames) / fps
    axis_angle = torch.zeros(frames, 24, 3)
    axis_angle[:, 0, 1] = np.pi / 2
    axis_angle[:, 16, 2] = torch.sin(2 * np.pi * time)
    rows = rotations.matrix_to_rot6d_rows(rotations.axis_angle_to_matrix(axis_angle)).numpy()
    trans = np.stack([2 + time.numpy(), np.full(frames, 0.95), np.full(frames, -1)], axis=-1)
    return Motion.from_rotations(rows, trans.astype(np.float32), REST, fps)


def posed_again(motion):
    local = rotations.rot6d_rows_to_matrix(torch.from_numpy(motion.rot6d))
    rest, trans = torch.from_numpy(motion.rest), torch.tensor(motion.trans)
    return forward_kinematics(local, rest, trans).joints.numpy()


@pytest.mark.parametrize(("fps", "frames"), [(30.0, 61), (60.0, 121), (10.0, 21), (12.5, 26)])
def test_resampling_keeps_the_curve(fps, frames):
    motion = resample(waving(), fps)
    truth = waving(frames, fps)
    assert motion.fps == fps
    assert len(motion) == frames
    np.testing.assert_allclose(motion.joints, truth.joints, atol=0.01)
    np.testing.assert_allclose(bone_lengths(motion.joints), bone_lengths(truth.joints), atol=1e-5)


def test_a_rate_that_asks_for_too_many_frames_is_refused():
    with pytest.raises(MotionError, match="4,000,000 s at 25 fps are more than the 100,000 frames of a motion"):
        resample(replace(waving(frames=41), fps=1e-5), 25.0)


def test_joints_alone_are_interpolated_by_cubics():
    motion = waving()
    smooth = resample(Motion.from_joints(motion.joints, 25.0), 100.0)
    np.testing.assert_allclose(smooth.joints[::4], motion.joints, atol=1e-5)
    np.testing.assert_allclose(smooth.joints, waving(201, 100.0).joints, atol=0.002)


def test_frames_are_as_valid_as_the_nearest():
    valid = np.ones(51, bool)
    valid[10:20] = False
    motion = resample(replace(waving(), valid=valid), 50.0)
    assert np.flatnonzero(~motion.valid).tolist() == list(range(19, 39))


def test_there_and_back_is_the_same():
    motion = waving()
    again = resample(resample(motion, 50.0), 25.0)
    np.testing.assert_allclose(again.joints, motion.joints, atol=1e-4)
    assert resample(motion, 25.0) is motion


def test_one_frame_stays_one():
    assert len(resample(waving(1), 60.0)) == 1
    assert len(resample(Motion.from_joints(waving(1).joints, 25.0), 60.0)) == 1


@pytest.mark.parametrize("fps", [0.0, -1.0, float("nan"), float("inf")])
def test_a_rate_is_positive(fps):
    with pytest.raises(MotionError, match="fps is"):
        resample(waving(2), fps)


def test_a_canonical_motion_starts_at_the_origin_and_faces_the_viewer():
    camera = WeakCamera(scale=1.0, tx=0.0, ty=0.0, canvas=(10, 10))
    motion = replace(waving(), camera=camera)
    canonical, where = canonicalize(motion)
    assert where == Placement(*map(pytest.approx, (2.0, -1.0, np.pi / 2)))
    np.testing.assert_allclose(canonical.trans[0], (0, 0.95, 0), atol=1e-6)
    np.testing.assert_allclose(canonical.trans[25], (0, 0.95, 1), atol=1e-5)  # it walks where it looks
    assert placement(canonical) == Placement(*(pytest.approx(0, abs=1e-6),) * 3)
    assert canonical.camera is None


def test_placing_undoes_canonicalizing():
    motion = waving()
    again = place(*canonicalize(motion))
    np.testing.assert_allclose(again.joints, motion.joints, atol=1e-5)
    np.testing.assert_allclose(again.rot6d, motion.rot6d, atol=1e-5)


def test_rotations_move_with_the_joints():
    canonical, _ = canonicalize(waving())
    np.testing.assert_allclose(posed_again(canonical), canonical.joints, atol=1e-5)


def test_a_motion_gets_rotations_and_keeps_its_joints():
    motion = waving()
    assert with_rotations(motion) is motion
    found = with_rotations(Motion.from_joints(motion.joints, 25.0))
    np.testing.assert_array_equal(found.joints, motion.joints)
    np.testing.assert_array_equal(found.rot6d, find_rotations(Motion.from_joints(motion.joints, 25.0)).motion.rot6d)
    assert found.rest is None
    np.testing.assert_array_equal(h36m_joints(found), h36m_joints(Motion.from_joints(motion.joints, 25.0)))


def test_rotations_are_found_where_only_joints_are_known():
    motion = waving()
    found, errors = find_rotations(replace(Motion.from_joints(motion.joints, 25.0), label=2))
    assert errors.shape == (51, 24)
    assert errors.max() < 1e-4
    assert found.label == 2
    np.testing.assert_allclose(found.rest, motion.rest, atol=1e-4)
    np.testing.assert_allclose(found.rot6d, motion.rot6d, atol=0.02)
    np.testing.assert_allclose(posed_again(found), motion.joints, atol=1e-4)


def test_frames_that_are_filled_in_do_not_tell_how_long_bones_are():
    joints = waving().joints.copy()
    joints[:30] *= 1.5
    motion = replace(Motion.from_joints(joints, 25.0), valid=np.arange(51) >= 30)
    np.testing.assert_allclose(find_rotations(motion).motion.rest, REST, atol=1e-4)
    nothing = replace(motion, valid=np.zeros(51, bool))
    assert np.isfinite(find_rotations(nothing).errors).all()


def test_points_go_to_canonical_axes_and_back():
    where = Placement(1.0, -2.0, np.pi / 2)  # it faces +x
    np.testing.assert_allclose(where.to_canonical(np.array([1.0, 3.0, -2.0])), [0, 3, 0], atol=1e-6)
    np.testing.assert_allclose(where.to_canonical(np.array([2.0, 0.0, -2.0])), [0, 0, 1], atol=1e-6)
    points = np.random.default_rng(0).normal(size=(4, 5, 3))
    np.testing.assert_allclose(where.to_world(where.to_canonical(points)), points, atol=1e-6)


def test_place_of_a_posture_is_that_of_the_motion():
    motion = waving()
    assert posture_placement(motion.joints[0], SMPL_24) == placement(motion)
    assert posture_placement(h36m_joints(motion)[0], H36M_17) == pytest.approx(placement(motion), abs=1e-6)


def test_a_motion_stands_at_any_height_and_its_camera_with_it():
    seen = WeakCamera(scale=200.0, tx=10.0, ty=300.0, canvas=(400, 300))
    motion = replace(perform("jump", make_subject(1)), camera=seen)
    raised = stand_at(motion, -1.2)
    assert floor_height(raised.joints) == pytest.approx(-1.2, abs=1e-6)
    np.testing.assert_allclose(np.diff(raised.joints, axis=0), np.diff(motion.joints, axis=0), atol=1e-6)
    pixels = [one.camera.project(one.joints)[..., :2] for one in (motion, raised)]
    np.testing.assert_allclose(*pixels, atol=1e-3)
    assert stand_at(replace(motion, camera=None), 1.0).camera is None


def test_motions_in_a_row_are_one_without_jumps():
    first, second, third = (perform(action, make_subject(0), frames=30) for action in ("walk", "kick", "wave"))
    joined = join([first, second, third], 0.4)
    assert len(joined) == 70 and joined.label is None
    steps = np.linalg.norm(np.diff(joined.joints, axis=0), axis=-1).max(axis=1)
    alone = max(np.linalg.norm(np.diff(one.joints, axis=0), axis=-1).max() for one in (first, second, third))
    assert steps.max() < max(2 * alone, 0.2)
    np.testing.assert_array_equal(joined.joints[:20], first.joints[:20])
    lengths = bone_lengths(joined.joints)
    np.testing.assert_allclose(lengths, np.broadcast_to(lengths[0], lengths.shape), atol=1e-4)


def test_motions_in_a_row_fit_together():
    wave = perform("wave", make_subject(0), frames=5)
    assert join([wave]) is wave and len(join([wave, wave])) == 8  # blended by half of them at most
    assert len(join([first_frames(wave, 1)] * 3)) == 3
    with pytest.raises(ValueError, match="no motions to join"):
        join([])
    with pytest.raises(ValueError, match="have 25 and 30 frames per second"):
        join([wave, resample(wave, 30.0)])
    with pytest.raises(ValueError, match="must have rotations"):
        join([wave, Motion.from_joints(wave.joints, 25.0)])


def test_a_way_is_shortened_and_all_else_stays():
    motion = waving()
    half, none = shorten_travel(motion, 0.5), shorten_travel(motion, 0.0)
    assert np.ptp(motion.trans[:, 0]) == pytest.approx(2) and np.ptp(half.trans[:, 0]) == pytest.approx(1)
    np.testing.assert_allclose(none.trans, np.broadcast_to(motion.trans[0], none.trans.shape), atol=1e-6)
    for moved in (half, none):
        relative = moved.joints - moved.trans[:, None]
        np.testing.assert_allclose(relative, motion.joints - motion.trans[:, None], atol=1e-5)
        np.testing.assert_allclose(moved.joints[..., 1], motion.joints[..., 1])
        np.testing.assert_array_equal(moved.rot6d, motion.rot6d)
    np.testing.assert_allclose(shorten_travel(motion, 1.0).joints, motion.joints)
    with pytest.raises(MotionError, match="got the share 2 of a way, expected 0 to 1"):
        shorten_travel(motion, 2)
