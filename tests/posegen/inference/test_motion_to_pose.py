"""Motions as poses of a person in a picture: where they stand, as large as they are, turned as asked."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from posegen.inference.motion_to_pose import face_viewer, retarget_motion, turn_to_viewer
from posegen.inference.person import Person
from posegen.motion.anatomy import REST
from posegen.motion.cameras import WeakCamera, front_camera
from posegen.motion.editing import Placement, canonicalize, place, placement, resample
from posegen.motion.motion import Motion
from posegen.motion.to_openpose import project_motion
from posegen.skeletons import OPENPOSE_18, joint_indices
from posegen.synthetic.motions import make_subject, perform

SIZE = (96, 64)
STANDING = Motion.from_joints((REST + np.array([0, 0.955, 0])).astype(np.float32)[None].repeat(3, axis=0), 25.0)


def make_content(scale=1.0, shift=(0.0, 0.0), missing=()):
    """A standing person in a picture, at half its height and a little to the left where scale is 0.5."""
    keypoints = project_motion(STANDING, front_camera(STANDING.joints, SIZE))[0] * (scale, scale, 1) + (*shift, 0)
    keypoints[joint_indices(missing) if missing else []] = 0
    empty = np.zeros(SIZE, np.uint8)
    return Person(np.zeros((*SIZE, 3), np.uint8), keypoints.astype(np.float32), empty, empty)


def joint(keypoints, name):
    return keypoints[..., OPENPOSE_18.index(name), :]


@pytest.mark.parametrize(("scale", "shift"), [(1.0, (0, 0)), (0.4, (3, 40)), (1.5, (-10, -20))])
def test_a_standing_motion_is_the_standing_person(scale, shift):
    content = make_content(scale, shift)
    poses = retarget_motion(STANDING, content)
    assert poses.shape == (3, 18, 3) and poses.dtype == np.float32
    np.testing.assert_allclose(poses, content.keypoints[None].repeat(3, axis=0), atol=0.01)


def test_whoever_comes_from_elsewhere_faces_the_viewer():
    walk = perform("walk", make_subject(0))
    elsewhere = place(walk, Placement(5.0, -3.0, 2.0))
    for motion in (walk, elsewhere):
        facing = face_viewer(motion)
        np.testing.assert_allclose(facing.joints, face_viewer(walk).joints, atol=1e-4)
    poses = retarget_motion(face_viewer(elsewhere), make_content())
    assert (joint(poses, "left_shoulder")[:, 0] > joint(poses, "right_shoulder")[:, 0]).all()


@pytest.mark.parametrize(("yaw", "hidden", "side"), [(90, "left_ear", 1), (-90, "right_ear", -1)])
def test_yaw_turns_the_person_to_their_left(yaw, hidden, side):
    """Which is the viewer's right."""
    [pose, *_] = retarget_motion(face_viewer(STANDING, yaw), make_content())
    assert joint(pose, hidden)[2] == 0 < joint(pose, "nose")[2]
    assert np.sign(joint(pose, "nose")[0] - joint(pose, "neck")[0]) == side
    assert joint(pose, "neck")[1] < joint(pose, "left_hip")[1]


def test_a_person_who_turns_away_shows_no_face():
    [pose, *_] = retarget_motion(face_viewer(STANDING, 180.0), make_content())
    assert not pose[joint_indices(["nose", "left_eye", "right_eye"]), 2].any()


@pytest.mark.parametrize("fps", [12.5, 25.0, 30.0])
def test_turning_and_resampling_do_not_depend_on_their_order(fps):
    motion = place(perform("wave", make_subject(0), frames=51), Placement(5.0, -3.0, 2.0))
    facing = face_viewer(resample(motion, fps), 30.0)
    assert facing.fps == fps and len(facing) == int(2 * fps) + 1
    np.testing.assert_allclose(facing.joints, resample(face_viewer(motion, 30.0), fps).joints, atol=1e-4)


def test_a_cameras_orientation_is_kept_and_other_motions_face_the_viewer():
    walk = place(perform("walk", make_subject(1)), Placement(2.0, 1.0, 0.9))
    camera = WeakCamera(scale=1.0, tx=0.0, ty=0.0, canvas=(9, 9))
    kept = turn_to_viewer(walk, replace(walk, camera=camera))
    np.testing.assert_array_equal(kept.joints, walk.joints)
    facing = turn_to_viewer(walk, walk)
    np.testing.assert_allclose(facing.joints, canonicalize(walk)[0].joints, atol=1e-5)
    for start in (walk, replace(walk, camera=camera)):
        assert placement(turn_to_viewer(walk, start, yaw=30.0)).yaw == pytest.approx(np.radians(30), abs=1e-4)


def test_frames_that_are_not_valid_are_projected_as_they_were_filled_in():
    holed = replace(STANDING, valid=np.array([True, False, True]))
    np.testing.assert_array_equal(retarget_motion(holed, make_content()), retarget_motion(STANDING, make_content()))


@pytest.mark.parametrize("action", ["jump", "squat", "sit"])
@pytest.mark.parametrize("first", [0, 12, 24, 36])
def test_whoever_begins_in_a_crouch_stands_on_the_ground_all_the_same(action, first):
    motion = perform(action, make_subject(0), frames=136)
    later = Motion.from_joints(motion.joints[first:], 25.0)
    content = make_content(0.8, (3, 10))
    ankles = joint_indices(["left_ankle", "right_ankle"])
    lowest = retarget_motion(later, content)[:, ankles, 1].max(axis=1)
    assert np.quantile(lowest, 0.95) == pytest.approx(content.keypoints[ankles, 1].max(), abs=0.01)
    cut = make_content(0.8, (3, 10), missing=["left_ankle", "right_ankle"])
    poses = retarget_motion(later, cut)
    np.testing.assert_allclose(joint(poses, "neck")[0], joint(cut.keypoints, "neck"), atol=0.01)


def test_a_small_person_stays_in_view_as_far_as_the_picture_goes():
    """A runner who is seen from the side, far away: the way is long in bodies, and short in pixels."""
    run = face_viewer(perform("run", make_subject(0), frames=100), 90.0)
    way = np.ptp(run.trans[:, 0])
    assert way > 5
    small = make_content(0.1, (5, 40))
    poses = retarget_motion(run, small)
    assert (joint(poses, "neck")[:, 2] > 0).all()
    assert joint(poses, "neck")[-1, 0] - joint(poses, "neck")[0, 0] == pytest.approx(
        way * 0.1 * 0.8 * 96 / 1.7, rel=0.1
    )
    large = retarget_motion(run, make_content())
    assert not large[-1, :, 2].any()  # who has run away is not there
    inside = large[large[..., 2] > 0]
    assert (np.abs(inside[:, :2] - (31.5, 47.5)) <= (1.5 * 64, 1.5 * 96)).all()


@pytest.mark.parametrize("missing", [["neck"], ["left_hip", "right_hip"], ["right_shoulder"]])
def test_a_person_must_show_the_trunk(missing):
    with pytest.raises(ValueError, match=f"shows no {', '.join(missing)}: choose an image that shows neck, should"):
        retarget_motion(STANDING, make_content(missing=missing))
