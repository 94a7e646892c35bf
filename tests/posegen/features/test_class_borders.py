"""Borders between skin and cloth that follow the picture."""

from __future__ import annotations

import numpy as np

from posegen.features.class_borders import settle_skin_borders
from posegen.person_classes import PersonClass

SKIN_COLOR, CLOTH_COLOR = (215, 165, 140), (30, 30, 45)


def hand_on_trousers(cloth: tuple[int, int, int] = CLOTH_COLOR) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A hand before trousers, its true classes, and classes that end above its fingertips and beside it."""
    image = np.full((384, 256, 3), cloth, np.uint8)
    truth = np.full((384, 256), int(PersonClass.LOWER), np.uint8)
    truth[150:220, 100:130] = PersonClass.SKIN
    image[truth == PersonClass.SKIN] = SKIN_COLOR
    found = np.full_like(truth, int(PersonClass.LOWER))
    found[150:214, 103:134] = PersonClass.SKIN
    return image, truth, found


def test_fingertips_and_a_rim_of_cloth_change_sides():
    image, truth, found = hand_on_trousers()
    settled = settle_skin_borders(image, found)
    assert (found != truth).sum() > 500
    assert (settled != truth).sum() < 0.3 * (found != truth).sum()


def test_right_borders_stay():
    image, truth, _ = hand_on_trousers()
    assert (settle_skin_borders(image, truth) != truth).sum() < 10


def test_cloth_of_the_colour_of_skin_tells_nothing():
    image, _, found = hand_on_trousers((205, 160, 135))
    np.testing.assert_array_equal(settle_skin_borders(image, found), found)


def test_without_skin_or_cloth_nothing_changes():
    image, _, _ = hand_on_trousers()
    for kind in (PersonClass.SKIN, PersonClass.LOWER):
        labels = np.full(image.shape[:2], int(kind), np.uint8)
        np.testing.assert_array_equal(settle_skin_borders(image, labels), labels)
