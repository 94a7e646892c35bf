"""Which colours clothes may take, and how people write a colour."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from PIL import ImageColor

from posegen.color.lab import delta_e_2000, in_gamut, lab_to_rgb, rgb_to_lab
from posegen.errors import ColorError

MAX_AB = 90.0
"""Largest |a| and |b| that is sampled."""
MIN_CHROMA = 15.0
"""Smallest chroma that is sampled: less is gray, which says nothing about the colour."""

_LIGHTNESS = (3.0, 98.0)  # beyond it, no colour of the smallest chroma exists
_MAX_AXIS = 160.0  # of |a| and |b|, as in CSS Color 4
_LONGEST = 64  # characters; no colour takes more, and patterns take their time over longer ones
_NUMBER = r"([+-]?\d*\.?\d+)"
_LAB = re.compile(rf"lab\(\s*{_NUMBER}\s+{_NUMBER}\s+{_NUMBER}\s*\)", re.IGNORECASE)


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


def parse_color(text: str) -> tuple[float, float, float]:
    """Return L, a, b of a colour as in CSS: ``#2a6fdb``, ``#abc``, ``teal``, ``rgb(42, 111, 219)``, ``lab(60 40 -20)``.

    LAB values are those of CSS Color 4, Section 9.3, without percentages and with the white point D65 of the rest of
    this package where CSS has D50. Transparency is ignored.

    Raises:
        ColorError: if the text is not a colour.
    """
    unknown = f"unknown colour {text[:_LONGEST]!r}, expected one like '#2a6fdb', 'teal' or 'lab(60 40 -20)'"
    if len(text) > _LONGEST:
        raise ColorError(unknown)
    lab = _LAB.fullmatch(text.strip())
    if lab:
        lightness, a, b = map(float, lab.groups())
        if not 0 <= lightness <= 100:
            raise ColorError(f"got the colour {text!r}, expected a lightness from 0 to 100 in it")
        if max(abs(a), abs(b)) > _MAX_AXIS:
            raise ColorError(f"got the colour {text!r}, expected a and b from -{_MAX_AXIS:g} to {_MAX_AXIS:g} in it")
        return lightness, a, b
    try:
        rgb = ImageColor.getrgb(text.strip())[:3]
    except ValueError:
        raise ColorError(unknown) from None
    if not all(0 <= channel <= 255 for channel in rgb):
        raise ColorError(unknown)
    lightness, a, b = rgb_to_lab(np.array(rgb, np.uint8)).tolist()
    return lightness, a, b


def hex_color(lab: Sequence[float] | np.ndarray) -> str:
    """Return L, a, b as ``#rrggbb``; what is out of gamut is clipped per channel."""
    return "#" + "".join(f"{round(float(channel) * 255):02x}" for channel in lab_to_rgb(np.asarray(lab)))


def color_name(lab: tuple[float, float, float]) -> str:
    """Return the CSS name of the colour that is nearest to L, a, b by CIEDE2000; of several the first by alphabet."""
    names = sorted(ImageColor.colormap)
    colors = rgb_to_lab(np.array([ImageColor.getrgb(name)[:3] for name in names], np.uint8))
    return names[int(delta_e_2000(colors, np.array(lab, np.float64)).argmin())]
