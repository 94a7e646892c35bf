"""Which colours are drawn, and which are understood."""

from __future__ import annotations

import numpy as np
import pytest

from posegen.color.lab import in_gamut, rgb_to_lab
from posegen.color.palette import MAX_AB, MIN_CHROMA, parse_color, sample_ab


@pytest.mark.parametrize("mean_l", [0, 4, 30, 50, 80, 95, 100])
def test_samples_can_be_shown_and_are_not_gray(mean_l):
    generator = np.random.default_rng(0)
    ab = np.array([sample_ab(generator, mean_l) for _ in range(100)])
    assert (np.hypot(*ab.T) >= MIN_CHROMA).all()
    assert (np.abs(ab) <= MAX_AB).all()
    lightness = np.full((100, 1), np.clip(mean_l, 3, 98))
    assert in_gamut(np.hstack([lightness, ab])).all()


def test_samples_are_uniform_over_the_slice():
    generator = np.random.default_rng(0)
    a, b = np.array([sample_ab(generator, 60) for _ in range(3000)]).T
    reference = generator.uniform(-MAX_AB, MAX_AB, (2, 60_000))
    kept = (np.hypot(*reference) >= MIN_CHROMA) & in_gamut(np.vstack([np.full(60_000, 60.0), reference]).T)
    for sampled, expected in ((a, reference[0, kept]), (b, reference[1, kept])):
        np.testing.assert_allclose(
            np.quantile(sampled, [0.1, 0.5, 0.9]), np.quantile(expected, [0.1, 0.5, 0.9]), atol=4
        )


def test_the_generator_decides():
    assert sample_ab(np.random.default_rng(5), 40) == sample_ab(np.random.default_rng(5), 40)
    assert sample_ab(np.random.default_rng(5), 40) != sample_ab(np.random.default_rng(6), 40)


@pytest.mark.parametrize(
    ("text", "rgb"),
    [
        ("#2a6fdb", (42, 111, 219)),
        ("#abc", (170, 187, 204)),
        ("Teal", (0, 128, 128)),
        (" rgb(42, 111, 219) ", (42, 111, 219)),
        ("hsl(0, 100%, 50%)", (255, 0, 0)),
        ("#2a6fdb80", (42, 111, 219)),
    ],
)
def test_colors_as_people_write_them(text, rgb):
    np.testing.assert_allclose(parse_color(text), rgb_to_lab(np.array(rgb, np.uint8)))


@pytest.mark.parametrize(
    ("text", "rgb"),
    [
        ("rgb(42 111 219)", (42, 111, 219)),
        ("rgb(42 111 219 / 50%)", (42, 111, 219)),
        ("RGBA(42, 111, 219, 0.5)", (42, 111, 219)),
        ("rgb(100% 0% 50%)", (255, 0, 127.5)),
        ("rgb(none 128 255)", (0, 128, 255)),
        ("hsl(120 100% 25%)", (0, 127.5, 0)),
        ("hsl(0.5turn, 100%, 50%)", (0, 255, 255)),
        ("hwb(0 20% 40%)", (153, 51, 51)),
        ("oklch(62.796% 0.25768 29.234)", (255, 0, 0)),
        ("oklab(0.86644 -0.233888 0.179498)", (0, 255, 0)),
        ("oklch(0.45201 0.313214 264.052deg / 1)", (0, 0, 255)),
        ("oklch(1 0 none)", (255, 255, 255)),
    ],
)
def test_functions_of_css_color_4(text, rgb):
    np.testing.assert_allclose(parse_color(text), rgb_to_lab(np.array(rgb) / 255), atol=0.05)


@pytest.mark.parametrize(("text", "lab"), [
    ("lab(60% 40 -20 / 0.5)", (60, 40, -20)), ("lab(60% 32% -16%)", (60, 40, -20)), ("lch(60 50 90deg)", (60, 0, 50)),
    ("lch(60% 20% none)", (60, 30, 0)),
])  # fmt: skip
def test_lab_and_lch_of_css_color_4(text, lab):
    np.testing.assert_allclose(parse_color(text), lab, atol=1e-9)


@pytest.mark.parametrize("text", ["lab(60 40 -20)", " LAB( 60.0  +40 -20 ) ", "lab(60 40.0 -20)"])
def test_lab_values_are_taken_as_they_are(text):
    assert parse_color(text) == (60, 40, -20)


def test_lightness_has_its_range():
    with pytest.raises(ValueError, match=r"got the colour 'lab\(101 0 0\)', expected a lightness from 0 to 100"):
        parse_color("lab(101 0 0)")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "blurple",
        "#12",
        "2a6fdb",
        "lab(60 40)",
        "lab(60, 40, -20)",
        "lab(6 0 4 1)",
        "rgb(1 2)",
        "rgb(300 0 0)",
        "oklch(0.5 0.1 10%)",
        "rgb(1deg 2 3)",
        "hwb(0, 1%, 2%)",
        "rgb(1e999 0 0)",
        "rgb(1 2 3 /)",
    ],
)
def test_other_text_is_no_color(text):
    with pytest.raises(ValueError, match="unknown colour"):
        parse_color(text)


def test_a_misspelt_name_gets_the_nearest_colour():
    with pytest.raises(ValueError, match=r"unknown colour 'Teel' \(did you mean teal\?\), expected"):
        parse_color("Teel")


def test_hexadecimal_digits_without_their_sign_are_told():
    with pytest.raises(ValueError, match=r"unknown colour '2a6fdb' \(did you mean '#2a6fdb'\?\), expected"):
        parse_color("2a6fdb")
