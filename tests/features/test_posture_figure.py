"""Postures as the shape-and-posture network sees them."""

from __future__ import annotations

import numpy as np
import pytest
from reference import load_json

from posegen.features.posture_figure import H36M_FIGURE, draw_posture
from posegen.skeletons import OPENPOSE_18, joint_indices

SIZE = (256, 128)


@pytest.fixture(scope="module")
def published(fixtures):
    return load_json(fixtures / "motion", "shape_posture")["stick_figure"]


def test_pixels_are_those_of_the_published_code(published):
    places = np.array(published["image_xy_1000px"]) * 256 / 1000
    figure = draw_posture(np.column_stack([places, np.ones(17)]), (256, 256), H36M_FIGURE)
    channels = np.moveaxis(figure, -1, 0)
    assert [np.count_nonzero(channel) for channel in channels] == published["nonzero_pixels_per_channel"]
    assert [int(channel.sum()) for channel in channels] == published["sum_per_channel"]
    assert [np.unique(channel).tolist() for channel in channels] == published["unique_values"]


def test_sides_torso_and_head_have_their_colours(source):
    figure = draw_posture(source, SIZE)
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
    figure = draw_posture(pose, (100, 80))
    assert np.argwhere(figure[..., 0]).tolist() == [[row, 40] for row in range(50, 91)]
    assert not figure[..., 1:].any()


@pytest.mark.parametrize("missing", OPENPOSE_18)
def test_missing_joints_take_their_lines_along(missing, source, without):
    whole, figure = draw_posture(source, SIZE), draw_posture(without(source, missing), SIZE)
    assert (figure != whole).any() == (missing != "neck")  # the middle of the shoulders stands for it
    x, y = source[joint_indices([missing])[0], :2].astype(int)
    if missing.endswith(("wrist", "ankle", "ear")):
        assert not figure[y, x].any()


def test_torso_needs_three_corners(source, without):
    three = draw_posture(without(source, "left_hip"), SIZE)
    two = draw_posture(without(source, "left_hip", "right_hip"), SIZE)
    assert 0 < np.count_nonzero(three[..., 2]) < np.count_nonzero(draw_posture(source, SIZE)[..., 2])
    assert not two[..., 2].any()


def test_face_is_drawn_where_it_is_smaller_than_the_throat():
    pose = np.zeros((18, 3))
    shoulders, face = ["right_shoulder", "left_shoulder", "nose"], ["right_eye"]
    pose[joint_indices(shoulders)] = (40, 80, 1), (60, 80, 1), (50, 60, 1)
    pose[joint_indices(face)] = (50, 41, 1)
    near = draw_posture(pose, (100, 100))
    assert near[70, 50].tolist() == near[50, 50].tolist() == [127, 127, 0]
    pose[joint_indices(face)] = (50, 40, 1)
    far = draw_posture(pose, (100, 100))
    assert far[70, 50].tolist() == [127, 127, 0] and not far[50, 50].any()
    pose[joint_indices(["left_shoulder"])] = 0
    assert not draw_posture(pose, (100, 100)).any()


def test_joints_outside_the_image_are_drawn_up_to_its_border(source):
    shifted = source - [40, 0, 0]
    np.testing.assert_array_equal(draw_posture(shifted, SIZE)[:, 5:80], draw_posture(source, SIZE)[:, 45:120])


def test_rejects_another_skeleton(source):
    with pytest.raises(ValueError, match=r"shape \(18, 3\), expected \(17, 3\) of one posture"):
        draw_posture(source, SIZE, H36M_FIGURE)
