"""Soft borders and nearest pixels."""

from __future__ import annotations

import numpy as np

from posegen.features.matte import nearest_known, refine_mask


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
