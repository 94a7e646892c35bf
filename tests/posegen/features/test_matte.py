"""Soft borders and nearest pixels."""

from __future__ import annotations

import numpy as np

from posegen.features.matte import clear_matte, nearest_known, refine_mask, settle_matte


def test_the_nearest_known_pixel():
    known = np.zeros((5, 9), bool)
    known[2, 1] = known[2, 7] = True
    nearest = nearest_known(known)
    assert nearest[2, 0] == nearest[0, 2] == 2 * 9 + 1
    assert nearest[4, 8] == nearest[2, 6] == 2 * 9 + 7


def test_a_mask_follows_the_edge_of_the_picture():
    image = np.full((60, 60, 3), 220, np.uint8)
    image[:, 30:] = 20
    mask = np.zeros((60, 60), np.uint8)
    mask[:, 33:] = 255  # three pixels off
    refined = refine_mask(image, mask, 6)
    assert refined[20:40, 31:33].mean() > 0.5 > 0.2 > refined[20:40, 26:29].mean()
    assert refined.min() >= 0 and refined.max() <= 1


WALL, TROUSERS = (235, 236, 238), (40, 42, 48)


def two_legs(gap: tuple[int, int, int] = (226, 228, 231)) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Picture, matte, labels and background of two legs, whose gap of three pixels is half opaque in the matte."""
    background = np.full((192, 128, 3), WALL, np.uint8)
    image = background.copy()
    image[40:150, 40:88] = TROUSERS
    image[120:150, 62:65] = gap
    labels = np.zeros((192, 128), np.uint8)
    labels[40:150, 40:88] = 4
    labels[120:150, 62:65] = 0
    matte = (labels > 0).astype(np.float32)
    matte[120:150, 62:65] = 0.6
    return image, matte, labels, background


def test_a_gap_between_legs_is_not_the_person():
    image, matte, labels, background = two_legs()
    cleared = clear_matte(image, matte, labels, background)
    assert cleared[122:148, 63].max() < 0.1
    assert (cleared <= matte).all()
    np.testing.assert_array_equal(cleared[45:145, 50:58], matte[45:145, 50:58])


def test_a_fold_between_legs_stays():
    image, matte, labels, background = two_legs(gap=(75, 76, 80))
    cleared = clear_matte(image, matte, labels, background)
    np.testing.assert_array_equal(cleared[122:148, 63], matte[122:148, 63])


def test_what_has_the_colour_of_the_wall_stays_where_cloth_varies():
    """Stripes as bright as the wall go up to the outline."""
    image, matte, labels, background = two_legs(gap=TROUSERS)
    image[40:150:6, 40:88] = image[41:150:6, 40:88] = image[42:150:6, 40:88] = WALL
    matte[:, 40:43] *= 0.9
    np.testing.assert_array_equal(clear_matte(image, matte, labels, background)[45:145, 40:60], matte[45:145, 40:60])


def test_people_as_bright_as_the_wall_stay():
    image, matte, labels, background = two_legs(gap=WALL)
    image[(matte == 1) & (labels > 0)] = (225, 224, 222)
    np.testing.assert_array_equal(clear_matte(image, matte, labels, background), matte)


def test_a_light_along_the_outline_is_no_gap():
    """A sleeve that is lit from the side is as bright as the wall in places, with cloth beyond."""
    image, matte, labels, background = two_legs(gap=TROUSERS)
    image[50:140, 42:44][np.arange(90) % 8 < 3] = WALL
    cleared = clear_matte(image, matte, labels, background)
    np.testing.assert_array_equal(cleared[45:145, 40:60], matte[45:145, 40:60])


def test_a_gap_that_the_mask_knows_further_down_stays_open():
    image, matte, labels, background = two_legs()
    matte[135:150, 62:65] = 0
    cleared = clear_matte(image, matte, labels, background)
    assert cleared[122:133, 63].max() < 0.1


def test_the_tip_of_a_gap_is_open_though_mask_and_labels_close_it():
    image, matte, labels, background = two_legs()
    matte[120:150, 62:65] = 0
    image[115:120, 63:65] = WALL
    cleared = clear_matte(image, matte, labels, background)
    assert cleared[115:120, 63:65].max() < 0.1
    np.testing.assert_array_equal(cleared[60:114, 50:78], matte[60:114, 50:78])


def test_a_white_sock_is_no_gap():
    image, matte, labels, background = two_legs(gap=TROUSERS)
    image[140:146, 40:88] = WALL
    cleared = clear_matte(image, matte, labels, background)
    np.testing.assert_array_equal(cleared[140:146, 43:85], matte[140:146, 43:85])


def test_a_pixel_at_the_outline_is_as_opaque_as_it_shows_the_person():
    image, matte, labels, background = two_legs(gap=TROUSERS)
    image[50:140, 40] = (0.3 * np.array(TROUSERS) + 0.7 * np.array(WALL)).round()
    image[50:140, 87] = 220, 40, 40  # of no mixture
    cleared = clear_matte(image, matte, labels, background)
    assert 0.15 < cleared[60:130, 40].min() <= cleared[60:130, 40].max() < 0.45
    np.testing.assert_array_equal(cleared[60:130, 41:], matte[60:130, 41:])


def test_a_white_shirt_before_a_white_wall_ends_where_labels_do():
    image, matte, labels, _ = two_legs()
    image[:] = WALL
    image[100:150, 40:88] = TROUSERS
    matte = np.clip((np.arange(128, dtype=np.float32)[None] - 36) / 8, 0, 1) * np.ones((192, 1), np.float32)
    matte[:, 88:] = 0
    settled = settle_matte(image, matte, labels)
    assert settled[50:90, 37:39].max() < 0.1 and settled[50:90, 42:].min(axis=0)[: 88 - 44].min() > 0.9
    np.testing.assert_array_equal(settled[115:140], matte[115:140])  # a border is seen there
