"""Poses of motions, clips and videos as a person of a picture would show them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from posegen.features.body_points import BODY_BONES, bone_vectors, points_of_poses
from posegen.features.body_pose import BodyPoses
from posegen.inference.body_measures import facing_yaw, measure_body
from posegen.inference.motion_to_pose import face_viewer
from posegen.inference.person import Person, body_with_trunk
from posegen.inference.pose_fitting import fit_motion, fit_poses, required_margins
from posegen.motion.anatomy import REST
from posegen.motion.cameras import front_camera
from posegen.motion.motion import Motion
from posegen.motion.to_openpose import openpose_body, project_motion, smpl_head_axes
from posegen.skeletons import OPENPOSE_18, SMPL_24, joint_indices
from posegen.synthetic.motions import make_subject, perform

SIZE = (384, 256)
STANDING = Motion.from_joints((REST + np.array([0, 0.955, 0])).astype(np.float32)[None].repeat(3, axis=0), 25.0)
ANKLES = joint_indices(["left_ankle", "right_ankle"])
HIPS = joint_indices(["left_hip", "right_hip"])
LEGS = joint_indices([f"{side}_{name}" for side in ("left", "right") for name in ("knee", "ankle")])
DEEP = [column for column, bone in enumerate(BODY_BONES) if bone.name != "foot"]


def look(motion, deep=True, scale=1.0, shift=(0.0, 0.0)):
    """The poses that a picture shows of a motion, with exact depths or without."""
    camera = front_camera(motion.joints, SIZE)
    keypoints = project_motion(motion, camera) * (scale, scale, 1) + (*shift, 0)
    keypoints[keypoints[..., 2] <= 0] = 0
    keypoints = keypoints.astype(np.float32)
    if not deep:
        return BodyPoses.from_keypoints(keypoints)
    depths = openpose_body(motion.joints, SMPL_24, smpl_head_axes(motion)).joints[..., 2] * camera.scale * scale
    depths = depths - depths[:, HIPS].mean(axis=1, keepdims=True)
    seen = keypoints[..., 2] > 0
    toes = np.zeros((len(motion), 2, 3), np.float32)
    return BodyPoses(keypoints, np.where(seen, depths, np.nan).astype(np.float32), toes)


def without(poses, names, frames=slice(None)):
    """Poses without joints in some frames."""
    keypoints, depths = poses.keypoints.copy(), poses.depths.copy()
    indices = joint_indices(names)
    rows = (frames, indices) if keypoints.ndim == 3 else indices
    keypoints[rows] = 0
    depths[rows] = np.nan
    return BodyPoses(keypoints, depths, poses.toes)


def act(action, yaw=0.0, subject=0):
    return face_viewer(perform(action, make_subject(subject), frames=80), yaw)


def mid_hips(poses):
    return poses.keypoints[..., HIPS, :2].mean(axis=-2)


@pytest.mark.parametrize(("scale", "shift"), [(1.0, (0, 0)), (0.4, (30, 140)), (0.8, (60, 20))])
def test_a_standing_motion_is_the_standing_person(scale, shift):
    person = look(STANDING, True, scale, shift)[0]
    fitted = fit_motion(STANDING, person, SIZE)
    assert fitted.keypoints.shape == (3, 18, 3) and fitted.keypoints.dtype == np.float32
    np.testing.assert_allclose(fitted.keypoints, person.keypoints[None].repeat(3, axis=0), atol=2 * scale)
    assert (fitted.toes[..., 2] > 0).all() and (fitted.toes[..., 1] > fitted.keypoints[:, ANKLES[::-1], 1]).all()


@pytest.mark.parametrize("deep", [True, False])
@pytest.mark.parametrize("action", ["wave", "kick", "squat", "bow", "turn", "jump", "walk"])
def test_limbs_have_the_persons_lengths_in_every_frame(action, deep):
    person = look(STANDING, deep, 0.7, (40, 60))[0]
    fitted = fit_motion(act(action), person, SIZE)
    lengths = np.linalg.norm(bone_vectors(points_of_poses(fitted)), axis=-1)[:, DEEP]
    whole = measure_body(person).bone_lengths()[DEEP]
    known = np.isfinite(lengths)
    assert known.mean() > 0.95
    np.testing.assert_allclose(lengths[known], np.broadcast_to(whole, lengths.shape)[known], rtol=0.02)


def test_lengths_do_not_depend_on_who_performs():
    person = look(STANDING, True)[0]
    tall = Motion.from_joints(1.3 * perform("wave", make_subject(0), frames=30).joints, 25.0)
    small = Motion.from_joints(0.6 * perform("wave", make_subject(0), frames=30).joints, 25.0)
    fitted = [fit_motion(face_viewer(motion), person, SIZE).keypoints for motion in (tall, small)]
    np.testing.assert_allclose(fitted[0], fitted[1], atol=0.5)


@pytest.mark.parametrize("action", ["wave", "squat", "march_in_place", "kick", "sit"])
def test_feet_keep_the_persons_ground(action):
    person = look(STANDING, True, 0.8, (30, 40))[0]
    ground = person.keypoints[ANKLES, 1].max()
    lowest = fit_motion(act(action), person, SIZE).keypoints[:, ANKLES, 1].max(axis=1)
    assert np.abs(lowest - ground).max() < 0.02 * 384


def test_jumps_leave_the_ground_and_come_back():
    person = look(STANDING, True, 0.8, (30, 60))[0]
    ground = person.keypoints[ANKLES, 1].max()
    lowest = fit_motion(act("jump"), person, SIZE).keypoints[:, ANKLES, 1].max(axis=1)
    assert lowest.min() < ground - 15 and np.abs(np.quantile(lowest, 0.8) - ground) < 4


def test_the_foot_that_stands_does_not_slide():
    person = without(look(STANDING, True, 0.8, (30, 40))[0], ["nose"])
    keypoints = fit_motion(act("march_in_place"), person, SIZE).keypoints
    feet = keypoints[:, ANKLES]
    standing = feet[..., 1] > feet[..., 1].max(axis=1, keepdims=True) - 0.1
    both = standing[1:] & standing[:-1]
    assert np.abs(np.diff(feet[..., 0], axis=0))[both].max() < 1.0


def test_the_person_keeps_their_place():
    person = look(STANDING, True, 0.5, (20, 150))[0]
    fitted = fit_motion(act("wave"), person, SIZE)
    assert np.linalg.norm(mid_hips(fitted)[0] - mid_hips(person)) < 4


def test_a_way_that_leaves_the_picture_is_shortened():
    person = look(STANDING, True, 0.8, (0, 40))[0]
    fitted = fit_motion(act("run", 90.0), person, SIZE)
    x = fitted.keypoints[..., 0][fitted.keypoints[..., 2] > 0]
    assert x.max() < 256 + 45 and mid_hips(fitted)[-1, 0] > mid_hips(fitted)[0, 0] + 40
    in_place = fit_motion(act("wave"), person, SIZE)
    assert np.ptp(mid_hips(in_place)[:, 0]) < 15  # the weight shifts


def test_a_limb_towards_the_viewer_is_foreshortened():
    person = look(STANDING, True)[0]
    joints = STANDING.joints.copy()
    ahead = np.array([0, 0, 0.28], np.float32)
    for side in ("left", "right"):
        shoulder = SMPL_24.index(f"{side}_shoulder")
        for number, name in enumerate(("elbow", "wrist", "hand"), start=1):
            joints[:, SMPL_24.index(f"{side}_{name}")] = joints[:, shoulder] + number * ahead
    fitted = fit_motion(Motion.from_joints(joints, 25.0), person, SIZE)
    shoulder, wrist = (fitted.keypoints[:, OPENPOSE_18.index(f"left_{name}"), :2] for name in ("shoulder", "wrist"))
    assert np.linalg.norm(wrist - shoulder, axis=-1).max() < 2
    arm = measure_body(person).lengths["upper_arm"] + measure_body(person).lengths["forearm"]
    nearer = fitted.depths[:, OPENPOSE_18.index("left_wrist")] - fitted.depths[:, OPENPOSE_18.index("left_shoulder")]
    np.testing.assert_allclose(nearer, arm, rtol=0.01)


@pytest.mark.parametrize(("yaw", "hidden", "side"), [(90, "left_ear", 1), (-90, "right_ear", -1)])
def test_somebody_turned_shows_one_ear(yaw, hidden, side):
    """To the person's left, which is the viewer's right."""
    pose = fit_motion(face_viewer(STANDING, yaw), look(STANDING)[0], SIZE).keypoints[0]
    nose, neck = pose[OPENPOSE_18.index("nose")], pose[OPENPOSE_18.index("neck")]
    assert pose[OPENPOSE_18.index(hidden), 2] == 0 < nose[2] and np.sign(nose[0] - neck[0]) == side


def test_somebody_who_turns_away_shows_no_face():
    pose = fit_motion(face_viewer(STANDING, 180.0), look(STANDING)[0], SIZE).keypoints[0]
    assert not pose[joint_indices(["nose", "left_eye", "right_eye"]), 2].any()


def test_frames_that_are_not_valid_are_fitted_as_they_were_filled_in():
    holed, person = replace(STANDING, valid=np.array([True, False, True])), look(STANDING)[0]
    np.testing.assert_array_equal(
        fit_motion(holed, person, SIZE).keypoints, fit_motion(STANDING, person, SIZE).keypoints
    )


# ---- People


@pytest.mark.parametrize("yaw", [70.0, -70.0, 90.0, 180.0])
def test_people_from_the_side_have_their_whole_width(yaw):
    """Depths show how wide they are, and how they are turned."""
    front, turned = look(STANDING)[0], look(face_viewer(STANDING, yaw))[0]
    assert abs((facing_yaw(turned) - yaw + 180) % 360 - 180) < 8 and abs(facing_yaw(front)) < 1
    ours, theirs = measure_body(turned).lengths, measure_body(front).lengths
    for name in ("shoulder", "upper_arm", "thigh", "trunk"):
        assert ours[name] == pytest.approx(theirs[name], rel=0.12), name
    fitted = fit_motion(act("wave"), turned, SIZE)
    shoulders = fitted.keypoints[:, joint_indices(["left_shoulder", "right_shoulder"]), 0]
    assert (shoulders[:, 0] - shoulders[:, 1]).min() > 1.4 * theirs["shoulder"]


def test_a_person_who_squats_has_whole_legs_where_depths_are_known():
    squat = act("squat", 0.0)
    deepest = int(squat.joints[:, 0, 1].argmin())
    person = look(Motion.from_joints(squat.joints[deepest : deepest + 1], 25.0))[0]
    scale = measure_body(person).scale
    assert measure_body(person).leg / scale == pytest.approx(0.82, rel=0.15)


def test_limbs_are_bounded_by_those_that_bodies_have():
    person = look(STANDING)[0]
    keypoints, depths = person.keypoints.copy(), person.depths.copy()
    keypoints[OPENPOSE_18.index("left_wrist"), :2] += 200  # a mistake of the estimator
    depths[OPENPOSE_18.index("right_elbow")] += 300
    wrong = measure_body(BodyPoses(keypoints, depths, person.toes)).lengths
    right = measure_body(person).lengths
    assert wrong["forearm"] < 1.6 * right["forearm"] and wrong["upper_arm"] < 1.3 * right["upper_arm"]


def test_half_a_body_has_usual_legs_below_the_picture():
    whole = look(STANDING)[0]
    half = without(whole, [OPENPOSE_18[joint] for joint in LEGS])
    fitted = fit_motion(act("wave"), half, SIZE)
    assert np.abs(mid_hips(fitted)[0] - mid_hips(half)).max() < 12
    legs = fitted.keypoints[:, ANKLES, 1] - fitted.keypoints[:, HIPS, 1]
    assert legs.min() > 0.8 * (whole.keypoints[ANKLES, 1] - whole.keypoints[HIPS, 1]).min()
    shoulders = without(half, ["left_hip", "right_hip"])
    again = fit_motion(act("wave"), shoulders, SIZE)
    assert np.abs(again.keypoints[:, 1, :2] - fitted.keypoints[:, 1, :2]).max() < 12


def test_a_person_without_shoulders_is_refused():
    person = without(look(STANDING)[0], ["left_shoulder"])
    with pytest.raises(ValueError, match=r"^the person shows no two shoulders: choose a picture that shows the trunk$"):
        fit_motion(STANDING, person, SIZE)
    with pytest.raises(ValueError, match="has no size"):
        measure_body(BodyPoses.from_keypoints(np.ones((18, 3), np.float32)))


@pytest.mark.parametrize("missing", [["neck"], ["left_hip", "right_hip"], ["right_shoulder"]])
def test_trained_renderers_ask_for_the_trunk(missing):
    keypoints = without(look(STANDING)[0], missing).keypoints
    empty = np.zeros(SIZE, np.uint8)
    with pytest.raises(ValueError, match=f"shows no {', '.join(missing)}: choose an image that shows neck, should"):
        body_with_trunk(Person(np.zeros((*SIZE, 3), np.uint8), keypoints, empty, empty))


def test_a_large_head_stays_large():
    """As drawings have it; and it moves as one."""
    person = look(STANDING)[0]
    keypoints = person.keypoints.copy()
    face = joint_indices(["nose", "left_eye", "right_eye", "left_ear", "right_ear"])
    middle = keypoints[face, :2].mean(axis=0)
    keypoints[face, :2] = middle + 1.6 * (keypoints[face, :2] - middle)
    drawn = BodyPoses(keypoints, person.depths, person.toes)
    poses = fit_motion(STANDING, drawn, SIZE).keypoints[0]
    ears = joint_indices(["left_ear", "right_ear"])
    assert np.ptp(poses[ears, 0]) == pytest.approx(np.ptp(keypoints[ears, 0]), rel=0.1)


# ---- Poses in pixels


@pytest.mark.parametrize("deep", [True, False])
def test_poses_of_the_person_are_their_own(deep):
    seen = look(act("wave"), deep)
    fitted = fit_poses(seen, seen[0], SIZE, measure_body(seen))
    known = (seen.keypoints[..., 2] > 0) & (fitted.keypoints[..., 2] > 0)
    body = np.arange(18) < 14
    assert np.abs(fitted.keypoints[..., :2] - seen.keypoints[..., :2])[known & body].max() < 3
    assert np.isfinite(fitted.depths[:, 2:14]).all() == deep


@pytest.mark.parametrize("size", [0.15, 0.5, 3.0])
def test_nobody_becomes_a_dwarf_or_a_giant(size):
    person = look(STANDING, False)[0]
    source = look(act("wave", subject=1), False, size, (500, 30))
    fitted = fit_poses(source.keypoints, person, SIZE)
    height = np.ptp(fitted.keypoints[..., 1], axis=1)
    own = np.ptp(person.keypoints[:, 1])
    assert abs(np.median(fitted.keypoints[:, ANKLES, 1]) - np.median(person.keypoints[ANKLES, 1])) < 6
    assert (height > 0.9 * own).all()
    neck = fitted.keypoints[:, OPENPOSE_18.index("neck"), 1]
    assert np.abs(neck - person.keypoints[OPENPOSE_18.index("neck"), 1]).max() < 0.06 * own


def test_somebody_who_comes_nearer_stays_as_large():
    person = look(STANDING, False)[0]
    keypoints = look(act("march_in_place"), False).keypoints.repeat(2, axis=0)
    grows = np.linspace(0.6, 1.4, len(keypoints))[:, None, None]
    nearer = np.concatenate([keypoints[..., :2] * grows, keypoints[..., 2:]], axis=-1)
    fitted = fit_poses(nearer, person, SIZE).keypoints
    trunk = np.linalg.norm(fitted[:, OPENPOSE_18.index("neck"), :2] - fitted[:, HIPS, :2].mean(axis=1), axis=-1)
    assert trunk.min() > 0.85 * trunk.max()
    lowest = fitted[:, ANKLES, 1].max(axis=1)
    assert np.abs(lowest - person.keypoints[ANKLES, 1].max()).max() < 25


def test_joints_that_are_missing_for_a_while_are_interpolated():
    person, seen = look(STANDING)[0], look(act("wave"))
    whole = fit_poses(seen, person, SIZE)
    holed = fit_poses(without(seen, ["right_wrist", "left_knee", "left_ankle"], slice(20, 26)), person, SIZE)
    assert (holed.keypoints[:, :14, 2] > 0).all()
    assert np.abs(holed.keypoints[..., :14, :2] - whole.keypoints[..., :14, :2]).max() < 20
    np.testing.assert_allclose(holed.keypoints[:15], whole.keypoints[:15], atol=2)


@pytest.mark.parametrize("deep", [True, False])
def test_limbs_that_are_never_seen_stay_as_the_person_holds_them(deep):
    person, seen = look(STANDING, deep)[0], look(act("wave"), deep)
    half = without(seen, [OPENPOSE_18[joint] for joint in LEGS])
    fitted = fit_poses(half, person, SIZE)
    legs = fitted.keypoints[:, LEGS, :2] - fitted.keypoints[:, HIPS, :2].mean(axis=1, keepdims=True)
    own = person.keypoints[LEGS, :2] - person.keypoints[HIPS, :2].mean(axis=0)
    assert np.abs(legs - own).max() < 6
    assert np.abs(fitted.keypoints[:, ANKLES, 1].max(axis=1) - person.keypoints[ANKLES, 1].max()).max() < 3


def test_one_pose_is_a_sequence_too():
    person = look(STANDING)[0]
    assert fit_poses(look(act("wave"))[:1], person, SIZE).keypoints.shape == (1, 18, 3)


def test_poses_without_shoulders_are_refused():
    with pytest.raises(ValueError, match="shows no two shoulders"):
        fit_poses(np.zeros((4, 18, 3), np.float32), look(STANDING)[0], SIZE)


# ---- Margins


def test_margins_say_how_much_a_picture_must_grow():
    person = look(STANDING, True, 0.6, (60, 100))[0]
    assert required_margins(fit_motion(STANDING, person, SIZE), SIZE).largest == 0
    tall = look(STANDING)[0]
    margins = required_margins(fit_motion(act("raise_arms"), tall, SIZE), SIZE)
    assert margins.top > 10 and margins.bottom < 20
    left = look(STANDING, True, 1.0, (-90, 0))[0]
    assert required_margins(fit_motion(act("raise_arms"), left, SIZE), SIZE).left > 30
    assert required_margins(BodyPoses.from_keypoints(np.zeros((2, 18, 3), np.float32)), SIZE).largest == 0
