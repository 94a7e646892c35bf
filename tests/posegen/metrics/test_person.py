"""Wrong pixels, ghosts, smears and severed limbs, where they are known."""

from __future__ import annotations

import numpy as np
import pytest

from posegen.errors import ConfigError
from posegen.metrics.person import LIMB_ENDS, ghosts, grow_masks, limb_coverage, smears, wrong_share
from posegen.skeletons import OPENPOSE_18


def scene() -> tuple[np.ndarray, np.ndarray]:
    """A green person of 10 × 20 before a grey wall above a brown floor, and where the person is."""
    image = np.full((40, 30, 3), 200, np.uint8)
    image[25:] = (120, 70, 40)
    person = np.zeros((40, 30), bool)
    person[10:30, 10:20] = True
    image[person] = (0, 160, 60)
    return image, person


def wall() -> np.ndarray:
    image, person = scene()
    image[person] = 200
    image[25:] = (120, 70, 40)
    return image


def test_masks_grow_by_a_disk():
    mask = np.zeros((1, 41, 41), np.uint8)
    mask[0, 20, 20] = 255
    grown = grow_masks(mask, 5 / 41)[0]
    assert grown[20, 25] and grown[15, 20] and not grown[20, 26] and not grown[16, 16]


def test_wrong_pixels_are_counted_in_the_region_alone():
    image, person = scene()
    other = image.copy()
    other[:, :5] = 0
    shares = wrong_share(np.stack([image, other]), np.stack([image, image]), np.stack([~person, ~person]))
    assert shares[0] == 0
    assert shares[1] == pytest.approx(5 * 40 / (~person).sum(), abs=0.06)  # outlines are blurred
    assert np.isnan(wrong_share(image[None], image[None], np.zeros((1, 40, 30), bool)))


def test_frames_of_two_sizes_are_refused():
    image, person = scene()
    with pytest.raises(ConfigError, match="of one shape"):
        wrong_share(image[None], image[None, :-1], person[None])


def test_a_person_left_in_the_background_is_a_ghost():
    image, person = scene()
    assert not ghosts(wall(), image, person).any()
    halved = wall()
    halved[10:20, 10:20] = image[10:20, 10:20]
    left = ghosts(halved, image, person)
    assert left.sum() == 100 and (left <= person).all()


def test_a_person_of_the_colour_of_the_wall_is_no_ghost():
    image, person = scene()
    image[person] = wall()[person]
    assert not ghosts(image, image, person).any()


def test_a_shadow_that_nobody_casts_is_a_smear():
    _, person = scene()
    assert not smears(wall(), person).any()
    dark = wall()
    dark[12:23, 12:18] = 150
    assert 40 < smears(dark, person).sum() < 90


def test_what_changes_from_the_left_to_the_right_is_no_smear():
    _, person = scene()
    slope = np.repeat(np.linspace(60, 220, 30).astype(np.uint8)[None, :, None], 40, axis=0).repeat(3, axis=2)
    assert not smears(slope, person).any()


def test_a_person_up_to_the_border_of_the_picture_is_compared_with_the_other_side():
    image = np.full((10, 10, 3), 90, np.uint8)
    person = np.zeros((10, 10), bool)
    person[:, 4:] = True
    assert not smears(image, person).any()
    person[:] = True
    assert not smears(image, person).any()


def test_a_severed_limb_is_seen():
    pose = np.zeros((18, 3))
    for name, place in {"right_shoulder": (5, 10), "right_elbow": (15, 10), "right_wrist": (25, 10)}.items():
        pose[OPENPOSE_18.index(name)] = (*place, 1)
    covered = np.zeros((20, 30), bool)
    covered[8:12, :20] = True
    shares = limb_coverage(pose, covered)
    assert shares[0] == 1 and shares[1] == pytest.approx(0.5, abs=0.1)
    assert np.isnan(shares[2:]).all() and len(LIMB_ENDS) == 8
    pose[OPENPOSE_18.index("right_wrist")] = (40, 10, 1)
    assert np.isnan(limb_coverage(pose, covered)[1])
