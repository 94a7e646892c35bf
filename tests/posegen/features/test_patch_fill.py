"""Holes of pictures, completed by patches."""

from __future__ import annotations

import numpy as np
import pytest

from posegen.features.membrane import fill_smoothly
from posegen.features.patch_fill import fill_by_patches


def hole_of(height: int, width: int) -> np.ndarray:
    hole = np.zeros((height, width), bool)
    hole[height // 6 : -height // 6, 3 * width // 8 : 5 * width // 8] = True
    return hole


def test_wall_keeps_its_gradient_and_its_grain():
    height, width = 192, 128
    shade = np.linspace(200, 120, width)[None, :, None] + np.linspace(0, 30, height)[:, None, None]
    truth = shade + np.zeros((height, width, 3))
    image = (truth + np.random.default_rng(0).normal(0, 4, truth.shape)).clip(0, 255).round().astype(np.uint8)
    hole = hole_of(height, width)
    filled = fill_by_patches(np.where(hole[..., None], 0, image).astype(np.uint8), hole)
    left = filled[hole] - truth[hole]
    assert abs(left.mean()) < 1.5
    assert 2.8 < left.std() < 5.2


def test_horizon_goes_on():
    image = np.full((120, 90, 3), (90, 140, 220), np.uint8)
    image[70:] = (80, 110, 60)
    hole = hole_of(120, 90)
    filled = fill_by_patches(np.where(hole[..., None], 0, image).astype(np.uint8), hole)
    assert np.abs(filled.astype(int) - image).mean(axis=-1)[hole].mean() < 3
    assert np.abs(filled[60:66].astype(int) - image[60:66]).max() < 25


@pytest.mark.parametrize("axis", [0, 1])
def test_stripes_go_on(axis):
    stripes = np.where(np.arange(128) // 4 % 2 > 0, 200, 60).astype(np.uint8)
    image = np.stack([np.broadcast_to(stripes[:, None] if axis == 0 else stripes[None], (128, 128))] * 3, axis=-1)
    hole = hole_of(128, 128)
    filled = fill_by_patches(np.where(hole[..., None], 0, image).astype(np.uint8), hole)
    assert np.abs(filled.astype(int) - image)[hole].mean() < 20


def test_same_input_gives_the_same_result():
    image = np.random.default_rng(2).integers(0, 256, (100, 80, 3)).astype(np.uint8)
    hole = hole_of(100, 80)
    assert (fill_by_patches(image, hole) == fill_by_patches(image, hole)).all()


def test_hole_and_what_is_avoided_are_never_copied():
    image = np.full((96, 64, 3), 180, np.uint8)
    hole, avoid = hole_of(96, 64), np.zeros((96, 64), bool)
    image[hole] = (255, 0, 0)
    avoid[10:30, 50:60] = True
    image[avoid] = (0, 255, 0)
    filled = fill_by_patches(image, hole, avoid)
    assert np.abs(filled[hole].astype(int) - 180).max() <= 2
    assert (filled[avoid] == (0, 255, 0)).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (2, 3), (7, 7), (8, 30), (20, 11)])
def test_tiny_pictures(size):
    image = np.full((*size, 3), 77, np.uint8)
    hole = np.zeros(size, bool)
    hole[size[0] // 2, size[1] // 2] = True
    assert fill_by_patches(image, hole).shape == image.shape
    if not hole.all():
        assert np.abs(fill_by_patches(image, hole).astype(int) - 77).max() <= 1


def test_tall_picture_keeps_fine_details_in_the_hole():
    random = np.random.default_rng(3)
    image = (150 + random.normal(0, 10, (800, 400, 3))).clip(0, 255).astype(np.uint8)
    hole = np.zeros((800, 400), bool)
    hole[200:700, 150:230] = True
    filled = fill_by_patches(image, hole)
    assert 6 < filled[hole].std() < 14
    assert (filled[~hole] == image[~hole]).all()


def test_membrane_is_linear_between_two_sides():
    known = np.ones((40, 60), np.float32)
    known[:, 10:50] = 0
    ramp = np.broadcast_to(np.linspace(0, 59, 60, dtype=np.float32)[None, :, None], (40, 60, 1))
    assert np.abs(fill_smoothly(ramp * known[..., None], known) - ramp).max() < 4


def test_stripes_go_on_in_a_picture_that_is_shrunk_by_a_fraction():
    stripes = np.where(np.arange(800) // 25 % 2 > 0, 200, 60).astype(np.uint8)
    image = np.broadcast_to(stripes[:, None, None], (800, 400, 3)).copy()
    hole = hole_of(800, 400)
    filled = fill_by_patches(np.where(hole[..., None], 0, image).astype(np.uint8), hole)
    assert np.abs(filled.astype(int) - image)[hole].mean() < 20
