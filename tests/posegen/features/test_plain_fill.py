"""Holes in front of plain walls."""

from __future__ import annotations

import numpy as np

from posegen.features.plain_fill import fill_plain_parts


def room(height: int = 240, width: int = 160) -> np.ndarray:
    """A wall that grows darker to the right, over a dark floor."""
    image = np.empty((height, width, 3), np.uint8)
    image[:] = np.linspace(210, 200, width).round().astype(np.uint8)[None, :, None]
    image[180:] = (70, 40, 30)
    return image


def person(height: int = 240, width: int = 160) -> np.ndarray:
    hole = np.zeros((height, width), bool)
    hole[40:220, 60:100] = True
    return hole


def test_wall_goes_on_behind_a_person_and_the_floor_does_not_shine_through():
    image, hole = room(), person()
    seen = np.where(hole[..., None], 0, image).astype(np.uint8)
    filled, plain = fill_plain_parts(seen, hole, hole)
    assert plain[60:150, 60:100].all()
    assert np.abs(filled[60:150].astype(int) - image[60:150]).max() <= 2


def test_lines_are_left_to_others():
    image, hole = room(), person()
    _, plain = fill_plain_parts(image, hole, hole)
    assert not plain[174:186].any()
    image[60:80, ::6] = 0
    _, plain = fill_plain_parts(image, hole, hole)
    assert not plain[60:80].any()


def test_sides_of_different_colours_are_not_plain():
    image, hole = np.full((120, 90, 3), 200, np.uint8), np.zeros((120, 90), bool)
    hole[20:100, 30:60] = True
    assert fill_plain_parts(image, hole, hole)[1].any()
    image[:, 45:] = 160
    assert not fill_plain_parts(image, hole, hole)[1].any()


def test_grain_goes_on():
    noise = np.random.default_rng(0).normal(0, 2, (200, 140, 3))
    image = (180 + noise).round().astype(np.uint8)
    hole = np.zeros((200, 140), bool)
    hole[40:160, 50:90] = True
    filled, plain = fill_plain_parts(image, hole, hole)
    assert plain[hole].mean() > 0.9
    assert 1.0 < filled[hole].std() < 3.0


def test_what_is_not_hidden_is_kept():
    image, hole = room(), person()
    filled, plain = fill_plain_parts(image, hole, hole)
    assert (filled[~hole] == image[~hole]).all()
    assert not plain[~hole].any()
    everything = np.ones_like(hole)
    assert not fill_plain_parts(image, everything, everything)[1].any()
