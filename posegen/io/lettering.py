"""Letters on pictures, of the font that comes with OpenCV: Latin, Greek, Cyrillic and Chinese ones."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np

INK = (20, 20, 20)
"""Colour of letters on white, RGB."""


def draw_text(
    picture: np.ndarray,
    text: str,
    place: tuple[int, int],
    letters: int,
    *,
    color: tuple[int, int, int] = INK,
    bold: bool = False,
) -> None:
    """Draw a line of text into a picture; what goes beyond it is cut.

    Args:
        picture: (H, W, 3) uint8, contiguous; it is changed.
        text: The text.
        place: x and y in pixels of the left end of the line on which the letters stand.
        letters: Their size in pixels, as of fonts: from below a g to above an Å.
        color: Their colour, in the picture's channels.
        bold: Draw thick letters: twice, side by side, since the font has one weight.
    """
    for shift in range(2 if bold else 1):
        cv2.putText(picture, text, (place[0] + shift, place[1]), color, _font(), letters)


def text_width(text: str, letters: int) -> int:
    """Return the width in pixels of a line of text in letters of a size."""
    x, _, width, _ = cv2.getTextSize((1, 1), text, (0, 0), _font(), letters)
    return int(x + width)


@cache
def _font() -> cv2.FontFace:
    return cv2.FontFace("uni")
