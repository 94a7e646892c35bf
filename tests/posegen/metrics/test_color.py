"""Colours that are hit, colours that leak, and textures that stay."""

from __future__ import annotations

import numpy as np
import pytest

from posegen.color.garment_segmentation import LOWER, UPPER
from posegen.color.lab import delta_e_2000, lab_to_rgb, rgb_to_lab
from posegen.metrics.color import areas_beside, hit, leakage, mean_ab, mean_lab, texture_kept
from posegen.synthetic.studio import RenderSettings, StudioClip, render_action

RED, BLUE, GRAY = (200, 40, 40), (40, 40, 200), (128, 128, 128)
SHAPE = (2, 12, 8)


@pytest.fixture(scope="module")
def dressed() -> tuple[StudioClip, StudioClip]:
    """The same frames with a red and with a blue upper garment."""
    red, blue = (
        render_action("mei", "kick", 4, RenderSettings(size=(96, 64), upper_color=color)) for color in (RED, BLUE)
    )
    return red, blue


def plain(color: tuple[int, int, int]) -> np.ndarray:
    return np.broadcast_to(np.array(color, np.uint8), (*SHAPE, 3)).copy()


def lab(color: tuple[int, int, int]) -> np.ndarray:
    return rgb_to_lab(np.array(color, np.uint8))


def rows(start: int, stop: int) -> np.ndarray:
    region = np.zeros(SHAPE, bool)
    region[:, start:stop] = True
    return region


def test_a_hit_is_zero_and_a_miss_is_ciede2000():
    images = plain(RED)
    assert hit(images, rows(0, 12), lab(RED)[1:]) == pytest.approx(0)
    blue = np.array([lab(RED)[0], *lab(BLUE)[1:]])
    assert hit(images, rows(0, 12), lab(BLUE)[1:]) == pytest.approx(float(delta_e_2000(lab(RED), blue)))
    published = np.array([50, 2.6772, -79.7751]), np.array([0, -82.7485]), 2.0425  # Sharma et al., 2005, pair 1
    pixel = lab_to_rgb(published[0])
    assert pixel.min() >= 0


def test_a_hit_does_not_see_the_lightness():
    dark, light = (lab_to_rgb(np.array([lightness, 20.0, 10.0])) * 255 for lightness in (40, 70))
    images = np.broadcast_to(np.rint(dark).astype(np.uint8), (*SHAPE, 3)).copy()
    wish = rgb_to_lab(light / 255)
    assert hit(images, rows(0, 12), wish[1:]) < 0.5  # 8-bit rounding
    assert delta_e_2000(mean_lab(images, rows(0, 12)), wish) > 20


def test_frames_count_alike_however_much_they_show():
    images = plain(RED)
    images[1] = BLUE
    region = rows(0, 12)
    region[1] = False
    region[1, 0, 0] = True
    np.testing.assert_allclose(mean_lab(images, region), (lab(RED) + lab(BLUE)) / 2)
    assert np.linalg.norm(mean_ab(images, region) - lab(RED)[1:]) < 3  # of pixels, nearly all are red
    region[1] = False
    np.testing.assert_allclose(mean_lab(images, region), lab(RED))


def test_leaked_colors_are_measured_exactly():
    before, after = plain(GRAY), plain(GRAY)
    after[:, :2] = RED  # all of one area
    after[0, 2:6] = BLUE  # half of another
    areas = {"all": rows(0, 2), "half": rows(2, 6), "none": rows(6, 12), "missing": np.zeros(SHAPE, bool)}
    expected = {
        "all": float(delta_e_2000(lab(GRAY), lab(RED))),
        "half": float(delta_e_2000(lab(GRAY), lab(BLUE))) / 2,
        "none": 0.0,
    }
    assert leakage(before, after, areas) == pytest.approx(expected)


def test_areas_beside_a_garment():
    labels, masks = np.zeros((1, 2, 2), np.uint8), np.full((1, 2, 2), 255, np.uint8)
    labels[0, 0] = UPPER, LOWER
    masks[0, 1, 1] = 0
    upper, lower = areas_beside(UPPER, labels, masks), areas_beside(LOWER, labels, masks)
    assert {name: np.argwhere(area[0]).tolist() for name, area in upper.items()} == {
        "other_garment": [[0, 1]],
        "skin": [[1, 0]],
        "background": [[1, 1]],
    }
    assert np.argwhere(lower["other_garment"][0]).tolist() == [[0, 0]]


def test_a_rendered_recoloring_leaks_little_and_keeps_its_folds(dressed):
    red, blue = dressed
    garment = red.garments == UPPER
    changes = leakage(red.images, blue.images, areas_beside(UPPER, red.garments, red.masks))
    changes["garment"] = leakage(red.images, blue.images, {"garment": garment})["garment"]
    assert max(changes["other_garment"], changes["skin"], changes["background"]) < 1 < 20 < changes["garment"]
    assert (
        delta_e_2000(mean_lab(red.images, garment), red.upper_lab)
        < 1
        < 20
        < hit(blue.images, garment, red.upper_lab[1:])
    )
    mirrored = np.ascontiguousarray(blue.images[:, :, ::-1])
    kept, lost = texture_kept(red.images, blue.images, garment), texture_kept(red.images, mirrored, garment)
    assert lost < 0.3 < 0.9 < kept


@pytest.mark.parametrize(("contrast", "expected"), [(1, 1.0), (0.5, 1.0), (-1, -1.0), (0, 0.0)])
def test_texture_follows_contrast(contrast, expected):
    texture = np.random.default_rng(0).uniform(-20, 20, SHAPE)
    before, after = (
        np.rint(lab_to_rgb(np.stack([50 + share * texture, 0 * texture, 0 * texture], -1)) * 255).astype(np.uint8)
        for share in (1, contrast)
    )
    assert texture_kept(before, after, rows(0, 12)) == pytest.approx(expected, abs=0.01)


def test_outline_is_no_texture():
    """Folds of the garment are gone; its step against the wall is in both pictures and would say otherwise."""
    before, after = plain((255, 255, 255)), plain((255, 255, 255))
    before[:, 4:10] = np.random.default_rng(0).integers(90, 100, (2, 6, 8, 1))
    after[:, 4:10] = 95
    assert texture_kept(before, after, rows(4, 10)) == 0
    assert texture_kept(before, after, rows(3, 11)) > 0.8


def test_no_texture_to_keep():
    assert np.isnan(texture_kept(plain(GRAY), plain(RED), rows(0, 12)))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: hit(plain(RED), rows(0, 0), np.zeros(2)), "no pixel in any of 2 frames"),
        (lambda: hit(plain(RED), rows(0, 3), np.zeros(3)), r"expected finite \[a, b\]"),
        (lambda: hit(plain(RED), rows(0, 3), np.array([np.nan, 0])), r"expected finite \[a, b\]"),
        (lambda: hit(plain(RED) / 255, rows(0, 3), np.zeros(2)), r"got float64 images .* expected uint8"),
        (lambda: hit(plain(RED), rows(0, 3)[0], np.zeros(2)), r"region of shape \(12, 8\), expected"),
        (lambda: leakage(plain(RED), plain(RED)[:1], {}), r"\(1, 12, 8, 3\) after, expected two"),
        (lambda: leakage(plain(RED), plain(RED), {"x": rows(0, 3)[:1]}), r"region of shape \(1, 12, 8\)"),
        (lambda: texture_kept(plain(RED), plain(RED), rows(3, 5)), "no pixel is left of a region of 32 pixels"),
        (lambda: areas_beside(3, rows(0, 1), rows(0, 1)), "got garment 3"),
        (lambda: areas_beside(UPPER, rows(0, 1), rows(0, 1)[0]), r"masks of shape \(12, 8\)"),
    ],
)
def test_what_cannot_be_measured_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
