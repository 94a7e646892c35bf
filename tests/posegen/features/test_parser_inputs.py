"""Crops around a pose, and what the parser sees of them."""

from __future__ import annotations

import numpy as np
import pytest

from posegen.errors import ConfigError
from posegen.features.parser_inputs import (
    crop_affine,
    joint_heat,
    parser_inputs,
    person_region,
    warp_labels,
    warp_picture,
)
from posegen.skeletons import joint_indices

ANKLES = joint_indices(["right_ankle", "left_ankle"])
SHOULDERS, HIPS = joint_indices(["right_shoulder", "left_shoulder"]), joint_indices(["right_hip", "left_hip"])


def make_pose() -> np.ndarray:
    """A torso of 20 pixels, and ankles."""
    pose = np.zeros((18, 3), np.float32)
    pose[SHOULDERS] = [[40, 30, 1], [50, 30, 1]]
    pose[HIPS] = [[40, 50, 1], [50, 50, 1]]
    pose[ANKLES] = [[40, 90, 1], [50, 90, 1]]
    return pose


def test_region_has_room_for_hair_and_shoes():
    x, y, across, down = person_region(make_pose(), (100, 90))
    assert x == 45 and y - down / 2 == pytest.approx(30 - 9) and y + down / 2 == pytest.approx(90 + 7)
    assert across == pytest.approx(10 + 16)


@pytest.mark.parametrize(("knees", "end"), [(False, 50 + 44), (True, 70 + 26)])
def test_region_reaches_the_ground_where_ankles_are_hidden(knees, end):
    pose = make_pose()
    pose[ANKLES] = 0
    if knees:
        pose[joint_indices(["left_knee"])] = [50, 70, 1]
    _, y, _, down = person_region(pose, (100, 90))
    assert y + down / 2 == pytest.approx(end)


@pytest.mark.parametrize("joints", [0, 1])
def test_region_without_a_pose_is_the_picture(joints):
    pose = np.zeros((18, 3), np.float32)
    pose[:joints] = 1
    assert person_region(pose, (100, 90)) == (44.5, 49.5, 90, 100)


def test_region_refuses_other_poses():
    with pytest.raises(ConfigError, match=r"expected \(18, 3\)"):
        person_region(np.zeros((17, 3)), (100, 90))


def test_crop_has_the_region_in_its_middle():
    affine = crop_affine((45, 40, 20, 60), (128, 96))
    np.testing.assert_allclose(affine @ [45, 40, 1], [47.5, 63.5])
    np.testing.assert_allclose((affine @ [45, 70, 1])[1] - (affine @ [45, 10, 1])[1], 128)


def test_a_large_picture_is_halved_before_it_is_sampled():
    """Fine stripes become grey, and coarse ones stay where they are."""
    fine = np.tile(np.array([0, 255], np.uint8)[None, :, None], (256, 128, 3))
    affine = crop_affine((127.5, 127.5, 256, 256), (32, 32))
    assert abs(warp_picture(fine, affine, (32, 32)).astype(float) - 127.5).max() < 1
    coarse = np.zeros((256, 256, 3), np.uint8)
    coarse[:, 128:] = 255
    sampled = warp_picture(coarse, affine, (32, 32))
    assert (sampled[:, :16] == 0).all() and (sampled[:, 16:] == 255).all()


def test_labels_outside_the_picture():
    labels = np.full((10, 10), 3, np.uint8)
    warped = warp_labels(labels, crop_affine((0, 4.5, 10, 10), (10, 10)), (10, 10), outside=255)
    assert (warped[:, :4] == 255).all() and (warped[:, 5:] == 3).all()


def test_joints_are_warm():
    heat = joint_heat(make_pose(), (100, 90))
    assert heat.shape == (18, 100, 90) and heat.dtype == np.float32
    assert heat[SHOULDERS[0]].max() == heat[SHOULDERS[0], 30, 40] == 1
    assert not heat[0].any()


def test_inputs_are_put_together():
    image = np.full((64, 64, 3), 255, np.uint8)
    garments = np.zeros((64, 64), np.uint8)
    garments[0], garments[1] = 1, 2
    inputs = parser_inputs(image, make_pose(), np.full((64, 64), 255, np.uint8), garments)
    assert inputs.shape == (24, 64, 64) and inputs.dtype == np.float32
    assert (inputs[:3] == 1).all() and (inputs[21] == 1).all()
    assert inputs[22].sum() == inputs[22, 0].sum() == 64 and inputs[23].sum() == inputs[23, 1].sum() == 64
