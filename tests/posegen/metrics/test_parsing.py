"""Intersection over union by counted pairs."""

from __future__ import annotations

import numpy as np

from posegen.metrics.parsing import class_ious, count_pairs, painted_share
from posegen.person_classes import PersonClass

TRUTH = np.array([[0, 0, 1, 2], [3, 3, 4, 255]], np.uint8)
FOUND = np.array([[0, 3, 1, 3], [3, 3, 3, 7]], np.uint8)


def test_pairs_are_counted_where_the_truth_is_known():
    pairs = count_pairs(TRUTH, FOUND)
    assert pairs.shape == (8, 8) and pairs.sum() == 7
    assert pairs[PersonClass.BACKGROUND, PersonClass.UPPER] == 1 and pairs[PersonClass.UPPER, PersonClass.UPPER] == 2


def test_iou_of_every_class():
    ious = class_ious(count_pairs(TRUTH, FOUND))
    np.testing.assert_allclose(ious, [1 / 2, 1, 0, 2 / 5, 0, 1, 1, 1])
    np.testing.assert_array_equal(class_ious(np.stack([count_pairs(TRUTH, FOUND)] * 2)), [ious, ious])


def test_painted_is_the_share_of_skin_and_hair_taken_for_garments():
    assert painted_share(count_pairs(TRUTH, FOUND)) == 1 / 2
    assert painted_share(np.zeros((8, 8))) == 0
