"""Bars of one colour around pictures."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from posegen.io.bars import find_bars


def picture(height: int = 60, width: int = 40) -> np.ndarray:
    noise = np.random.default_rng(0).integers(0, 60, (height, width, 3))
    return (np.linspace(60, 180, width)[None, :, None] + noise).astype(np.uint8)


@pytest.mark.parametrize("color", [0, 128, 255])
@pytest.mark.parametrize("above", [True, False])
def test_bars_end_where_the_picture_begins(color, above):
    wide = ((15, 15), (0, 0), (0, 0)) if above else ((0, 0), (15, 15), (0, 0))
    framed = np.pad(picture(), wide, constant_values=color)
    blurred = cv2.imdecode(cv2.imencode(".jpg", framed, [cv2.IMWRITE_JPEG_QUALITY, 80])[1], cv2.IMREAD_COLOR)
    for image in (framed, blurred):
        inside = image[find_bars(image)]
        cut = np.abs(np.array(inside.shape[:2]) - picture().shape[:2])
        assert 4 <= cut.max() <= 20, inside.shape  # with lines that are mixed with the bar


def test_a_bar_on_one_side_alone_is_the_picture():
    image = np.pad(picture(), ((0, 0), (15, 0), (0, 0)), constant_values=255)
    assert find_bars(image) == (slice(0, 60), slice(0, 55))


def test_bars_of_two_colors_are_the_picture():
    image = np.pad(picture(), ((0, 0), (15, 15), (0, 0)), constant_values=((0, 0), (20, 250), (0, 0)))
    assert find_bars(image) == (slice(0, 60), slice(0, 70))


def test_a_person_before_a_plain_wall_has_no_bars():
    image = np.full((60, 50, 3), 240, np.uint8)
    cv2.ellipse(image, (25, 30), (10, 25), 0, 0, 360, (200, 20, 30), -1)
    assert find_bars(image) == (slice(0, 60), slice(0, 50))
    assert find_bars(np.full((60, 50, 3), 240, np.uint8)) == (slice(0, 60), slice(0, 50))


def test_tiny_pictures_have_no_bars():
    for size in ((1, 1), (2, 3), (5, 1)):
        assert find_bars(np.zeros((*size, 3), np.uint8)) == tuple(slice(0, length) for length in size)
