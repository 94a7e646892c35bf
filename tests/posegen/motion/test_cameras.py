"""Cameras: projections at parity, the default view, faces only where they are seen, alignment to a person."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from posegen.motion.anatomy import FACE, HEAD_TOP, REST, head_axes
from posegen.motion.cameras import PinholeCamera, WeakCamera, front_camera
from posegen.motion.editing import Placement, place
from posegen.motion.motion import Motion
from posegen.motion.to_openpose import h36m_joints, openpose_body, project_motion, smpl_head_axes
from posegen.skeletons import A2M_18, H36M_17, OPENPOSE_18, SMPL_24, VIBE_49, joint_indices

CANVAS = (384, 256)
STANDING = Motion.from_joints((REST + np.array([0, 0.955, 0]))[None].astype(np.float32), 25.0)
FACE_NAMES = OPENPOSE_18[:1] + OPENPOSE_18[14:]


def turned(degrees):
    """A standing body that looks so far to its left of the viewer."""
    return place(STANDING, Placement(0.0, 0.0, np.radians(degrees)))


def seen(keypoints):
    return {name for name, point in zip(OPENPOSE_18, keypoints, strict=True) if point[2]}


def test_the_pinhole_agrees_with_the_published_projection(fixtures):
    known = json.loads((fixtures / "motion" / "kinematics.json").read_text())["projection"]
    extrinsics = np.array(known["extrinsics_3x4"])
    fx, cx, fy, cy = known["intrinsics_fx_cx_fy_cy"]
    camera = PinholeCamera(
        fx=fx, fy=fy, cx=cx, cy=cy,
        rotation=tuple(map(tuple, extrinsics[:, :3])), translation=tuple(extrinsics[:, 3]), canvas=(1000, 1000),
    )  # fmt: skip
    projected = camera.project(np.array(known["world_m"]))
    np.testing.assert_allclose(projected[:, :2], known["image_xy_1000px"], rtol=1e-9)
    np.testing.assert_allclose(projected[:, 2], np.array(known["camera_xyz"])[:, 2], rtol=1e-9)
    center = np.array([[-0.1, -4.0, 1.0]])  # X = R x + t is 0 there
    np.testing.assert_allclose(camera.rays(center + np.array([0, 1, 0])), [[0, -1, 0]], atol=1e-9)


def test_the_default_view_holds_a_standing_body():
    camera = front_camera(STANDING.joints, CANVAS)
    top = STANDING.joints[0, SMPL_24.index("head")] + (0, HEAD_TOP, 0)
    floor = camera.project(np.array([0, 0.015, 0.0]))
    assert floor[1] == pytest.approx(0.9 * 384 - 0.5, abs=0.01)
    assert floor[0] == pytest.approx(127.5)
    assert floor[1] - camera.project(top)[1] == pytest.approx(0.8 * 384, rel=0.02)


def test_a_crouching_body_is_as_large_as_a_standing_one():
    crouching = STANDING.joints.copy()
    knees = joint_indices(["left_knee", "right_knee"], SMPL_24)
    fold = crouching[:, knees, 1] - crouching[:, SMPL_24.index("left_hip"), 1]
    crouching[:, knees] += np.stack([0 * fold, -fold, -fold], axis=-1)  # thighs forward
    shins = joint_indices(["left_ankle", "right_ankle", "left_foot", "right_foot"], SMPL_24)
    crouching[:, shins] += np.stack([0 * fold, -fold, -fold], axis=-1).repeat(2, axis=1)
    assert front_camera(crouching, CANVAS).scale == pytest.approx(front_camera(STANDING.joints, CANVAS).scale, rel=0.01)


@pytest.mark.parametrize(
    ("degrees", "missing"),
    [
        (0, set()),
        (30, set()),
        (-30, set()),
        (90, {"left_ear"}),  # it shows its right side: it looks to the viewer's right
        (-90, {"right_ear"}),
        (60, {"left_ear"}),
        (110, {"left_ear", "nose", "left_eye", "right_eye"}),
        (150, {"nose", "left_eye", "right_eye"}),
        (180, {"nose", "left_eye", "right_eye"}),
    ],
)
@pytest.mark.parametrize("kind", ["weak", "pinhole"])
def test_faces_are_seen_from_the_front_only(degrees, missing, kind):
    weak = front_camera(STANDING.joints, CANVAS)
    pinhole = PinholeCamera(
        fx=2000.0, fy=2000.0, cx=127.5, cy=191.5,
        rotation=((1.0, 0.0, 0.0), (0.0, -1.0, 0.0), (0.0, 0.0, -1.0)), translation=(0.0, 1.0, 12.0), canvas=CANVAS,
    )  # fmt: skip
    keypoints = project_motion(turned(degrees), weak if kind == "weak" else pinhole)
    assert set(OPENPOSE_18) - seen(keypoints[0]) == missing
    assert keypoints.dtype == np.float32


def test_the_left_of_a_person_is_at_the_right_of_the_picture():
    keypoints = project_motion(STANDING, front_camera(STANDING.joints, CANVAS))[0]
    left, right = joint_indices(["left_wrist", "right_wrist"])
    assert keypoints[left, 0] > 127.5 > keypoints[right, 0]
    assert keypoints[OPENPOSE_18.index("nose"), 1] < keypoints[OPENPOSE_18.index("left_ankle"), 1]


def test_what_is_far_outside_or_behind_is_missing():
    near = WeakCamera(scale=2000.0, tx=127.5, ty=2000.0, canvas=CANVAS)
    keypoints = project_motion(STANDING, near)[0]
    assert 0 < len(seen(keypoints)) < 18
    assert np.isfinite(keypoints).all()
    assert (np.abs(keypoints[:, :2] - (127.5, 191.5)) <= (1.5 * 256, 1.5 * 384)).all()
    behind = PinholeCamera(
        fx=500.0, fy=500.0, cx=127.5, cy=191.5,
        rotation=((1.0, 0.0, 0.0), (0.0, -1.0, 0.0), (0.0, 0.0, -1.0)), translation=(0.0, 1.0, -3.0), canvas=CANVAS,
    )  # fmt: skip
    assert not project_motion(STANDING, behind).any()


def test_frames_that_are_not_valid_show_nobody():
    motion = replace(STANDING, valid=np.array([False]))
    assert not project_motion(motion, front_camera(STANDING.joints, CANVAS)).any()


@pytest.mark.parametrize(
    ("skeleton", "expected"),
    [
        (SMPL_24, {2: 17, 3: 19, 4: 21, 5: 16, 6: 18, 7: 20, 8: 2, 9: 5, 10: 8, 11: 1, 12: 4, 13: 7}),
        (H36M_17, {0: 9, 2: 14, 3: 15, 4: 16, 5: 11, 6: 12, 7: 13, 8: 0, 9: 1, 10: 2, 11: 3, 12: 4, 13: 5}),
        (A2M_18, {0: 8, 2: 2, 3: 3, 4: 4, 5: 5, 6: 6, 7: 7, 8: 9, 9: 10, 10: 11, 11: 12, 12: 13, 13: 14}),
        (VIBE_49, {0: 0, 2: 2, 7: 7, 8: 9, 9: 10, 10: 11, 11: 12, 12: 13, 13: 14, 14: 15, 15: 16, 16: 17, 17: 18}),
    ],
    ids=["smpl", "h36m", "a2m", "vibe"],
)
def test_openpose_takes_the_joints_of_every_skeleton(skeleton, expected):
    joints = np.random.default_rng(0).normal(size=(3, len(skeleton), 3))
    body = openpose_body(joints, skeleton, np.broadcast_to(np.eye(3), (3, 3, 3)) if skeleton == SMPL_24 else None)
    for target, source in expected.items():
        np.testing.assert_array_equal(body.joints[:, target], joints[:, source])
    middle = joints[:, joint_indices(["left_shoulder", "right_shoulder"], skeleton)].mean(axis=1)
    np.testing.assert_allclose(body.joints[:, 1], middle)


def test_a_face_has_the_specified_size():
    """Of a body of 1.70 m, with the right side mirrored from the left."""
    assert FACE["nose"] == (0, 0.04, 0.11)
    assert FACE["left_eye"] == (0.032, 0.075, 0.085)
    assert FACE["left_ear"] == (0.075, 0.05, 0)
    for name in ("eye", "ear"):
        np.testing.assert_array_equal(FACE[f"right_{name}"], FACE[f"left_{name}"] * np.array([-1, 1, 1]))
    assert HEAD_TOP == 0.18


def test_a_face_is_in_front_of_the_head():
    body = openpose_body(STANDING.joints, SMPL_24, smpl_head_axes(STANDING))
    head = STANDING.joints[0, SMPL_24.index("head")]
    for name, offset in FACE.items():
        np.testing.assert_allclose(body.joints[0, OPENPOSE_18.index(name)] - head, offset, atol=0.002)


def test_seventeen_joints_of_a_motion_have_the_same_face():
    motion = turned(40)
    h36m = h36m_joints(motion)
    ours = openpose_body(motion.joints, SMPL_24, smpl_head_axes(motion)).joints[0]
    theirs = openpose_body(h36m, H36M_17).joints[0]
    indices = joint_indices(FACE_NAMES)
    np.testing.assert_allclose(theirs[indices], ours[indices], atol=0.025)


def test_a_head_without_a_nose_looks_where_the_chest_does():
    neck, top = np.zeros((1, 3)), np.array([[0, 0.3, 0.0]])
    left, right = np.array([[0.2, 0, 0.0]]), np.array([[-0.2, 0, 0.0]])
    np.testing.assert_allclose(head_axes(neck, top, left, right)[0], np.eye(3), atol=1e-9)
    turned_nose = np.array([[0.1, 0.2, 0.0]])
    axes = head_axes(neck, top, left, right, turned_nose)[0]
    np.testing.assert_allclose(axes[:, 2], (1, 0, 0), atol=1e-9)
    np.testing.assert_allclose(axes[:, 0], (0, 0, -1), atol=1e-9)
    above = np.array([[0, 0.2, 0.0]])
    np.testing.assert_allclose(head_axes(neck, top, left, right, above)[0], np.eye(3), atol=1e-9)


@pytest.mark.parametrize("change", [{"canvas": (0, 4)}, {"scale": 0.0}, {"tx": float("nan")}])
def test_cameras_have_sensible_numbers(change):
    with pytest.raises(ValueError, match="a camera"):
        WeakCamera(**({"scale": 1.0, "tx": 0.0, "ty": 0.0, "canvas": (4, 4)} | change))
