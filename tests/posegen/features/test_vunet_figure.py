"""Postures as the shape-and-posture network sees them."""

from __future__ import annotations

import numpy as np
import pytest

from posegen.features.vunet_figure import FIGURES, H36M_FIGURE, OPENPOSE_FIGURE, find_joints, rasterize_posture
from posegen.motion.anatomy import body_height
from posegen.motion.cameras import PinholeCamera
from posegen.motion.to_openpose import h36m_joints, project_motion
from posegen.skeletons import H36M_17, OPENPOSE_18, joint_indices
from posegen.synthetic.motions import make_subject, perform
from tests.support.reference import load_json

SIZE = (256, 128)


@pytest.fixture(scope="module")
def published(fixtures):
    return load_json(fixtures / "motion", "shape_posture")["stick_figure"]


def test_pixels_are_those_of_the_published_code(published):
    places = np.array(published["image_xy_1000px"]) * 256 / 1000
    figure = rasterize_posture(np.column_stack([places, np.ones(17)]), (256, 256), H36M_FIGURE)
    channels = np.moveaxis(figure, -1, 0)
    assert [np.count_nonzero(channel) for channel in channels] == published["nonzero_pixels_per_channel"]
    assert [int(channel.sum()) for channel in channels] == published["sum_per_channel"]
    assert [np.unique(channel).tolist() for channel in channels] == published["unique_values"]


def test_sides_torso_and_head_have_their_colours(source):
    figure = rasterize_posture(source, SIZE)
    assert figure.shape == (*SIZE, 3) and figure.dtype == np.uint8
    for joints, expected in (
        (("right_knee",), [0, 255, 0]),
        (("left_knee",), [255, 0, 0]),
        (("right_elbow",), [0, 255, 0]),
        (("nose",), [127, 127, 0]),
    ):
        x, y = source[joint_indices(joints)[0], :2].astype(int)
        assert figure[y, x].tolist() == expected, joints
    x, y = source[joint_indices(["right_hip", "left_shoulder"]), :2].mean(axis=0).astype(int)
    assert figure[y, x].tolist() == [0, 127, 255]


def test_lines_are_in_whole_pixels_and_one_wide():
    pose = np.zeros((18, 3))
    pose[joint_indices(["left_knee", "left_ankle"])] = (40.9, 50.9, 1), (40.2, 90.7, 1)
    figure = rasterize_posture(pose, (100, 80))
    assert np.argwhere(figure[..., 0]).tolist() == [[row, 40] for row in range(50, 91)]
    assert not figure[..., 1:].any()


@pytest.mark.parametrize("missing", OPENPOSE_18)
def test_missing_joints_take_their_lines_along(missing, source, without):
    whole, figure = rasterize_posture(source, SIZE), rasterize_posture(without(source, missing), SIZE)
    assert (figure != whole).any() == (missing != "neck")  # the middle of the shoulders stands for it
    x, y = source[joint_indices([missing])[0], :2].astype(int)
    if missing.endswith(("wrist", "ankle", "ear")):
        assert not figure[y, x].any()


def test_torso_needs_three_corners(source, without):
    three = rasterize_posture(without(source, "left_hip"), SIZE)
    two = rasterize_posture(without(source, "left_hip", "right_hip"), SIZE)
    assert 0 < np.count_nonzero(three[..., 2]) < np.count_nonzero(rasterize_posture(source, SIZE)[..., 2])
    assert not two[..., 2].any()


def test_face_is_drawn_where_it_is_smaller_than_the_throat():
    pose = np.zeros((18, 3))
    shoulders, face = ["right_shoulder", "left_shoulder", "nose"], ["right_eye"]
    pose[joint_indices(shoulders)] = (40, 80, 1), (60, 80, 1), (50, 60, 1)
    pose[joint_indices(face)] = (50, 41, 1)
    near = rasterize_posture(pose, (100, 100))
    assert near[70, 50].tolist() == near[50, 50].tolist() == [127, 127, 0]
    pose[joint_indices(face)] = (50, 40, 1)
    far = rasterize_posture(pose, (100, 100))
    assert far[70, 50].tolist() == [127, 127, 0] and not far[50, 50].any()
    pose[joint_indices(["left_shoulder"])] = 0
    assert not rasterize_posture(pose, (100, 100)).any()


def test_joints_outside_the_image_are_drawn_up_to_its_border(source):
    shifted = source - [40, 0, 0]
    np.testing.assert_array_equal(rasterize_posture(shifted, SIZE)[:, 5:80], rasterize_posture(source, SIZE)[:, 45:120])


def test_rejects_another_skeleton(source):
    with pytest.raises(ValueError, match=r"shape \(18, 3\), expected \(17, 3\) of one posture"):
        rasterize_posture(source, SIZE, H36M_FIGURE)


def project(yaw: float) -> tuple[np.ndarray, np.ndarray, float]:
    """What a camera, at an angle to the front, sees of somebody who moves.

    Returns OpenPose's keypoints (T, 18, 3), places (T, 17, 2) of Human3.6M's joints, and the body's height in pixels.
    """
    motion = perform("kick", make_subject(2))
    turn = np.array([[np.cos(yaw), 0, -np.sin(yaw)], [0, 1, 0], [np.sin(yaw), 0, np.cos(yaw)]])
    rotation = np.diag([1.0, -1.0, -1.0]) @ turn
    camera = PinholeCamera(
        fx=1000.0,
        fy=1000.0,
        cx=200.0,
        cy=200.0,
        rotation=tuple(map(tuple, rotation.tolist())),
        translation=tuple((np.array([0.0, 1.0, 10.0]) - rotation @ [*motion.joints[0, 0, :1], 0, 0]).tolist()),
        canvas=(400, 400),
    )
    return (
        project_motion(motion, camera),
        camera.project(h36m_joints(motion))[..., :2],
        100 * body_height(motion.joints),
    )


@pytest.mark.parametrize("yaw", [0.0, 0.4, 0.8, np.pi / 2, 2.4, np.pi])
def test_joints_of_human36m_are_near_their_places_from_all_sides(yaw):
    keypoints, places, height = project(yaw)
    joints = np.stack([find_joints(pose, H36M_FIGURE) for pose in keypoints])
    assert (joints[..., 2] > 0).all()  # the nose and the top of the head are there from behind, too
    errors = dict(zip(H36M_17, (np.linalg.norm(joints[..., :2] - places, axis=-1) / height).mean(axis=0), strict=True))
    for name in set(OPENPOSE_18) & set(H36M_17) - {"nose"}:
        assert errors[name] < 1e-4, name
    assert max(errors[name] for name in ("pelvis", "spine", "neck_base")) < 0.05
    assert errors["nose"] < (0.05 if (keypoints[:, 0, 2] == 0).all() else 1e-4)
    seen_ears = keypoints[:, joint_indices(["left_ear", "right_ear"]), 2].all()
    assert errors["head_top"] < (0.02 if seen_ears else 0.07)


def test_what_is_not_seen_decides_what_stands_for_a_joint(source, without):
    def place(name: str, *missing: str) -> np.ndarray:
        return find_joints(without(source, *missing) if missing else source, H36M_FIGURE)[H36M_17.index(name)]

    neck, nose, left, right = source[joint_indices(["neck", "nose", "left_ear", "right_ear"]), :2]
    ears = ("left_ear", "right_ear")
    np.testing.assert_allclose(place("head_top")[:2], 0.85 * (left + right) - 0.7 * neck)
    np.testing.assert_allclose(place("head_top", "right_ear")[:2], 1.7 * left - 0.7 * neck)
    np.testing.assert_allclose(place("head_top", *ears)[:2], 2 * nose - neck)
    np.testing.assert_array_equal(place("nose"), source[OPENPOSE_18.index("nose")])
    np.testing.assert_allclose(place("nose", "nose")[:2], (left + right) / 2)
    for name, missing in (
        ("pelvis", ("left_hip",)),
        ("spine", ("neck",)),
        ("neck_base", ("neck",)),
        ("nose", ("nose", *ears)),
        ("head_top", ("nose", *ears)),
        ("left_knee", ("left_knee",)),
    ):
        assert not place(name, *missing).any(), name
    unsure = source.copy()
    unsure[OPENPOSE_18.index("left_hip"), 2] = 0.3
    assert find_joints(unsure, H36M_FIGURE)[H36M_17.index("pelvis"), 2] == 0.3


def test_openpose_has_the_joints_of_its_own_figure(source, without):
    pose = without(source, "nose", "left_hip").astype(np.float32)
    found = find_joints(pose, OPENPOSE_FIGURE)
    np.testing.assert_array_equal(found, pose)
    assert found.dtype == np.float32
    with pytest.raises(ValueError, match=r"expected \(18, 3\)"):
        find_joints(pose[:17], OPENPOSE_FIGURE)


def test_weights_of_derived_joints_sum_to_one():
    for layout in FIGURES.values():
        assert set(layout.derived) <= set(layout.joints)
        assert set(layout.joints) - set(layout.derived) <= set(OPENPOSE_18)
        assert all(sum(mean.values()) == pytest.approx(1) for means in layout.derived.values() for mean in means)
