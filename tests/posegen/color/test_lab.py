"""CIELAB against published values."""

from __future__ import annotations

import json

import numpy as np
import pytest

from posegen.color.lab import delta_e_2000, in_gamut, into_gamut, lab_to_linear_rgb, lab_to_rgb, rgb_to_lab


def test_values_of_a_reference_implementation(fixtures):
    expected = json.loads((fixtures / "losses_metrics_geometry.json").read_text())["lab"]
    lab = rgb_to_lab(np.array(expected["rgb"], np.float64))
    normalized = (lab - [50, 0, 0]) / [100, 110, 110]
    np.testing.assert_allclose(normalized, expected["lab_norm"], atol=2e-5)
    np.testing.assert_allclose(lab_to_rgb(lab), expected["roundtrip_rgb"], atol=2e-6)


def test_bytes_and_floats_agree():
    rgb = np.random.default_rng(0).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    np.testing.assert_allclose(rgb_to_lab(rgb), rgb_to_lab(rgb / 255), atol=1e-12)


def test_one_color_without_axes():
    assert rgb_to_lab(np.array([255, 0, 0], np.uint8)) == pytest.approx([53.24, 80.09, 67.20], abs=0.01)


def test_round_trip_of_every_seventeenth_level():
    levels = np.arange(0, 256, 17, dtype=np.uint8)
    rgb = np.stack(np.meshgrid(levels, levels, levels), axis=-1)
    assert np.abs(lab_to_rgb(rgb_to_lab(rgb)) * 255 - rgb).max() < 1e-3
    assert in_gamut(rgb_to_lab(rgb)).all()


def test_gamut():
    assert in_gamut(np.array([50.0, 0, 0]))
    assert not in_gamut(np.array([50.0, 0, -110]))
    assert not in_gamut(np.array([100.0, 20, 20]))
    assert lab_to_linear_rgb(np.array([50.0, -110, 0]))[0] < 0


@pytest.mark.parametrize(
    ("lab1", "lab2", "difference"),
    [  # pairs 1, 7 and 25 of Sharma, Wu and Dalal (2005), Table 1
        ((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425),
        ((50, 0, 0), (50, -1, 2), 2.3669),
        ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
    ],
)
def test_delta_e_2000_of_published_pairs(lab1, lab2, difference):
    assert delta_e_2000(np.array(lab1), np.array(lab2)) == pytest.approx(difference, abs=1e-4)


def test_errors():
    with pytest.raises(ValueError, match=r"shape \(4, 4\)"):
        rgb_to_lab(np.zeros((4, 4)))
    with pytest.raises(ValueError, match=r"expected \[0, 1\]"):
        rgb_to_lab(np.full((2, 3), 200.0))
    with pytest.raises(ValueError, match=r"shape \(2,\)"):
        lab_to_rgb(np.zeros(2))


def test_colours_that_no_display_shows_lose_chroma_alone():
    lab = np.array([[50.0, 120.0, 0.0], [30.0, -10.0, -110.0], [60.0, 20.0, 10.0]])
    shown = into_gamut(lab)
    assert in_gamut(shown).all() and np.array_equal(shown[2], lab[2]) and np.array_equal(shown[:, 0], lab[:, 0])
    share = shown[:2, 1:] / np.where(lab[:2, 1:] == 0, 1, lab[:2, 1:])
    assert 0.3 < share[0, 0] < 1 and share[1, 0] == pytest.approx(share[1, 1])
    assert not in_gamut(shown[:2] * [1, 1.05, 1.05]).any()
