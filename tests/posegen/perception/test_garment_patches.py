"""Patches of garments that a parser takes for others."""

from __future__ import annotations

import numpy as np
import pytest

from posegen.perception.garment_patches import settle_patches
from posegen.person_classes import PersonClass
from tests.support.drawn_person import COLORS, draw_person, make_pose

KEYPOINTS = make_pose().keypoints


def person() -> tuple[np.ndarray, np.ndarray]:
    drawn = draw_person()
    return drawn.labels.copy(), drawn.image.copy()


def test_a_patch_on_trousers_that_looks_like_them_is_of_them():
    labels, image = person()
    patch = np.zeros_like(labels, bool)
    patch[112:124, 46:54] = labels[112:124, 46:54] == PersonClass.LOWER
    marked = np.where(patch, PersonClass.UPPER, labels).astype(np.uint8)
    assert patch.sum() > 40
    assert (settle_patches(marked, image, KEYPOINTS) == labels).all()


def test_a_patch_of_another_colour_stays():
    labels, image = person()
    patch = np.zeros_like(labels, bool)
    patch[112:124, 46:54] = labels[112:124, 46:54] == PersonClass.LOWER
    marked = np.where(patch, PersonClass.UPPER, labels).astype(np.uint8)
    image[patch] = COLORS[PersonClass.UPPER]  # the end of a scarf
    assert (settle_patches(marked, image, KEYPOINTS) == marked).all()


@pytest.mark.parametrize("low_shoes", [True, False])
def test_the_end_of_a_trouser_leg_above_bare_feet_is_no_shoe(low_shoes):
    labels, image = person()
    rows = np.arange(len(labels))[:, None]
    end = (labels == PersonClass.LOWER) & (rows > 150) & (rows < 158)
    marked = np.where(end, PersonClass.SHOES, labels).astype(np.uint8)
    if low_shoes:
        marked[(labels > 0) & (rows >= 159) & (rows < 164)] = PersonClass.SKIN
    settled = settle_patches(marked, image, KEYPOINTS)
    assert end.sum() > 40
    assert (settled[end] == (PersonClass.LOWER if low_shoes else PersonClass.SHOES)).all()
    assert (settled[~end] == marked[~end]).all()


def test_people_without_trousers_stay_as_they_are():
    labels, image = person()
    marked = np.where(labels == PersonClass.LOWER, PersonClass.SKIN, labels).astype(np.uint8)
    assert (settle_patches(marked, image, KEYPOINTS) == marked).all()
    assert (settle_patches(np.zeros_like(labels), image, KEYPOINTS) == 0).all()
