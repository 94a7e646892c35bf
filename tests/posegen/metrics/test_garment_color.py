"""How far a garment is from a requested colour."""

from __future__ import annotations

import numpy as np
import pytest

from posegen.color.lab import rgb_to_lab
from posegen.errors import ConfigError
from posegen.metrics.garment_color import color_report, gamut_note

BLUE = (42, 111, 219)


def frames(*colors: tuple[int, int, int]) -> np.ndarray:
    return np.stack([np.full((8, 6, 3), color, np.uint8) for color in colors])


def test_differences_are_of_each_frame():
    images = frames(BLUE, BLUE, (255, 255, 255))
    cloth = np.ones(images.shape[:3], bool)
    cloth[2] = False  # hidden there
    report = color_report("upper", "#2a6fdb", tuple(rgb_to_lab(np.array(BLUE, np.uint8))), images, cloth)
    assert (report.median, report.p95, report.per_pixel, report.frames, report.note) == (0, 0, 0, 2, "")
    cloth[2] = True
    report = color_report("upper", "#2a6fdb", tuple(rgb_to_lab(np.array(BLUE, np.uint8))), images, cloth)
    assert report.median == 0 and report.p95 > 30 and report.frames == 3


def test_what_no_display_shows_is_named():
    assert gamut_note((50.0, 10.0, 10.0)) == ""
    assert "#fe4b93 is shown" in gamut_note((60.0, 120.0, 0.0))


def test_bad_input_is_named():
    images = frames(BLUE)
    with pytest.raises(ConfigError, match="seen in none of 1 frames"):
        color_report("lower", "red", (50, 0, 0), images, np.zeros((1, 8, 6), bool))
    with pytest.raises(ConfigError, match="expected uint8"):
        color_report("lower", "red", (50, 0, 0), images, np.zeros((1, 8, 5), bool))
