"""Letters on pictures: of many languages, and as wide as they are said to be."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from posegen.io.images import text_line
from posegen.io.lettering import draw_text, text_width


def test_titles_have_letters_of_many_languages_and_no_boxes_instead():
    drawn = [text_line(letter, 40, 24, 18, margin=2) for letter in ("Δ", "Ł", "ź", "Ж", "ё", "王", "照")]
    assert all((one < 128).any() for one in drawn)
    assert all((one != other).any() for one, other in combinations(drawn, 2))


def test_bold_letters_have_more_ink():
    regular, bold = (text_line("own colours", 120, 24, 15, margin=4, bold=bold) for bold in (False, True))
    assert bold.mean() < regular.mean()


@pytest.mark.parametrize("letters", [10, 13, 22])
def test_a_text_is_as_wide_as_it_is_said_to_be(letters):
    text, picture = "12  teal #2a6fdb  ΔE 0.4", np.full((40, 400, 3), 255, np.uint8)
    draw_text(picture, text, (4, 28), letters)
    ink = np.nonzero((picture < 128).any(axis=(0, 2)))[0]
    assert abs(ink.max() + 1 - 4 - text_width(text, letters)) <= 2
