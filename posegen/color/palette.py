"""Which colours clothes may take, and how people write a colour."""

from __future__ import annotations

import numpy as np
from PIL import ImageColor

from posegen.color.lab import in_gamut

MAX_AB = 90.0
"""Largest |a| and |b| that is sampled."""
MIN_CHROMA = 15.0
"""Smallest chroma that is sampled: less is gray, which says nothing about the colour."""

_LIGHTNESS = (3.0, 98.0)  # beyond it, no colour of the smallest chroma exists


def sample_ab(generator: np.random.Generator, mean_l: float) -> tuple[float, float]:
    """Draw (a, b) for a garment of mean lightness `mean_l` in [0, 100], as the colours a display can show.

    Uniform over the slice of the sRGB gamut at that lightness, within `MAX_AB` and from `MIN_CHROMA` on.
    The seed of the generator and the lightness alone decide the result.
    """
    lightness = float(np.clip(mean_l, *_LIGHTNESS))
    while True:  # rejection; between the limits of lightness, 0.5 to 40 % of the draws are kept
        a, b = generator.uniform(-MAX_AB, MAX_AB, (2, 256))
        lab = np.stack([np.full_like(a, lightness), a, b], axis=-1)
        kept = np.flatnonzero((np.hypot(a, b) >= MIN_CHROMA) & in_gamut(lab))
        if kept.size:
            return float(a[kept[0]]), float(b[kept[0]])


def parse_color(text: str) -> tuple[int, int, int]:
    """Return sRGB, 0 to 255, of a colour as in CSS: ``#2a6fdb``, ``#abc``, ``teal``, ``rgb(42, 111, 219)``.

    Transparency is ignored.

    Raises:
        ValueError: if the text is not a colour.
    """
    try:
        red, green, blue = ImageColor.getrgb(text.strip())[:3]
    except ValueError:
        message = f"unknown colour {text!r}, expected one like '#2a6fdb', '#abc' or a CSS name like 'teal'"
        raise ValueError(message) from None
    return red, green, blue
