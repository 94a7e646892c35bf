"""Stick figures."""

from __future__ import annotations

import numpy as np
import pytest

from posegen.features.stick_figure import PALETTE, line_width, rasterize_stick_figure
from posegen.skeletons import LIMBS, OPENPOSE_18, joint_indices, swap_left_right

NOSE, NECK, RIGHT_SHOULDER = joint_indices(["nose", "neck", "right_shoulder"])
MIRRORED = joint_indices([swap_left_right(joint) for joint in OPENPOSE_18])


def test_image_shape_type_and_colors(source):
    image = rasterize_stick_figure(source, (256, 128))
    assert image.shape == (256, 128, 3) and image.dtype == np.uint8
    colors = {tuple(color) for color in image.reshape(-1, 3).tolist()}
    assert colors == {(0, 0, 0), *(tuple(color) for color in PALETTE.tolist())}  # opaque, and every joint visible


@pytest.mark.parametrize(("height", "width"), [(384, 5), (256, 3), (96, 2), (64, 2)])
def test_line_width_follows_the_height(height, width):
    assert line_width(height) == width


def test_a_limb_is_its_width_wide_in_its_second_joints_color():
    keypoints = np.zeros((18, 3))
    keypoints[NECK], keypoints[NOSE] = (50, 20, 1), (50, 320, 1)
    image = rasterize_stick_figure(keypoints, (384, 256))
    np.testing.assert_array_equal(np.flatnonzero(image[170].any(axis=-1)), [48, 49, 50, 51, 52])
    np.testing.assert_array_equal(image[170, 50], PALETTE[NOSE])
    np.testing.assert_array_equal(image[20, 50], PALETTE[NECK])  # joints lie on top


@pytest.mark.parametrize("angle", [0.2, 0.8, 1.3, 2.5])
def test_slanted_limbs_are_as_wide(angle):
    keypoints = np.zeros((18, 3))
    along = 50 * np.array([np.cos(angle), np.sin(angle)])
    keypoints[NECK, :2], keypoints[NOSE, :2], keypoints[[NECK, NOSE], 2] = 100 - along, 100 + along, 1
    ys, xs = np.nonzero(rasterize_stick_figure(keypoints, (384, 256)).any(axis=-1))
    middle = np.abs((xs - 100) * along[0] + (ys - 100) * along[1]) / 50 < 30
    assert middle.sum() / 60 == pytest.approx(5, abs=0.5)


def test_a_joint_is_a_disc_of_the_lines_width_as_radius():
    keypoints = np.zeros((18, 3))
    keypoints[RIGHT_SHOULDER] = (100, 200, 0.3)
    drawn = np.argwhere(rasterize_stick_figure(keypoints, (384, 256)).any(axis=-1))
    np.testing.assert_array_equal(drawn.min(axis=0), [195, 95])
    np.testing.assert_array_equal(drawn.max(axis=0), [205, 105])
    assert np.linalg.norm(drawn - [200, 100], axis=1).max() < 5.7


def test_missing_joints_take_their_limbs_along(source, without):
    nothing = rasterize_stick_figure(np.zeros((18, 3)), (256, 128))
    assert not nothing.any()
    image = rasterize_stick_figure(without(source, "right_elbow"), (256, 128))
    elbow_color = PALETTE[joint_indices(["right_elbow"])[0]]
    assert not (image == elbow_color).all(axis=-1).any()
    x, y = source[joint_indices(["right_elbow", "right_wrist"]), :2].mean(axis=0).astype(int)
    assert not image[y, x].any()


def test_joints_outside_the_image_are_clipped(source):
    shift = [60, -50, 0]
    image = rasterize_stick_figure(source + shift, (256, 128))
    np.testing.assert_array_equal(image[:206, 60:], rasterize_stick_figure(source, (256, 128))[50:, :68])


def test_small_figures_stay_legible(source):
    colors = rasterize_stick_figure(source * [0.375, 0.375, 1], (96, 64)).reshape(-1, 3)
    for limb in LIMBS[:12]:  # those of the trunk and of arms and legs; the face is a few pixels
        assert (colors == PALETTE[joint_indices(limb)[1]]).all(axis=1).sum() >= 12


def test_flipping_the_image_and_swapping_sides_commutes_with_drawing(source, mirror):
    size = (256, 128)
    image = rasterize_stick_figure(mirror(source, 128), size)[:, ::-1]
    expected = rasterize_stick_figure(source, size)
    swapped = np.zeros_like(expected)  # right joints have become left ones, and so have their colours
    for color, other in zip(PALETTE, PALETTE[MIRRORED], strict=True):
        swapped[(expected == color).all(axis=-1)] = other
    differs = (image != swapped).any(axis=-1)
    assert differs.sum() < 0.03 * expected.any(axis=-1).sum()  # rasterisation, and what lies on top at the hips


def test_rejects_a_batch_of_poses():
    with pytest.raises(ValueError, match=r"shape \(2, 18, 3\), expected \(18, 3\)"):
        rasterize_stick_figure(np.zeros((2, 18, 3)), (64, 64))
