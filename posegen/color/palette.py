"""Palette of clothing colours, and the syntax of colours."""

from __future__ import annotations

import colorsys
import re
from collections.abc import Sequence

import numpy as np
from PIL import ImageColor

from posegen.color.lab import delta_e_2000, in_gamut, lab_to_rgb, rgb_to_lab
from posegen.errors import ColorError, suggestion

MAX_AB = 90.0
"""Largest |a| and |b| that is sampled."""
MIN_CHROMA = 15.0
"""Smallest chroma that is sampled: less is gray, which says nothing about the colour."""

KEEP = "keep"
"""Instead of a colour: the garment keeps its own."""

_LIGHTNESS = (3.0, 98.0)  # beyond it, no colour of the smallest chroma exists
_MAX_AXIS = 160.0  # of |a| and |b|, as in CSS Color 4
_LONGEST = 64  # characters; no colour takes more, and patterns take their time over longer ones
_FUNCTION = re.compile(r"(rgb|hsl|hwb|lab|lch|oklab|oklch)a?\(([^()]*)\)", re.IGNORECASE)
_VALUE = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)(%|deg|rad|grad|turn)?", re.IGNORECASE)
_DEGREES = {None: 1.0, "deg": 1.0, "rad": 180 / np.pi, "grad": 0.9, "turn": 360.0}
_FULL: dict[str, tuple[float, ...]] = {  # what 100 % is, of each component; 0 is the angle of a hue
    "rgb": (255, 255, 255), "hsl": (0, 100, 100), "hwb": (0, 100, 100), "lab": (100, 125, 125), "lch": (100, 150, 0),
    "oklab": (1, 0.4, 0.4), "oklch": (1, 0.4, 0),
}  # fmt: skip
_WITH_COMMAS = ("rgb", "hsl")
# CSS Color 4, Section 9.4: from OKLab to cube roots of cone responses, and from these to linear sRGB (Ottosson, 2020)
_LMS_FROM_OKLAB = np.array(
    [[1, 0.3963377774, 0.2158037573], [1, -0.1055613458, -0.0638541728], [1, -0.0894841775, -1.2914855480]]
)
_RGB_FROM_LMS = np.array([[4.0767416621, -3.3077115913, 0.2309699292], [-1.2684380046, 2.6097574011, -0.3413193965],
                          [-0.0041960863, -0.7034186147, 1.7076147010]])  # fmt: skip


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


def is_kept(text: str) -> bool:
    """Return True for `KEEP`, in any case."""
    return text.strip().lower() == KEEP


def parse_color(text: str) -> tuple[float, float, float]:
    """Return L, a, b of a colour as in CSS Color 4: ``#2a6fdb``, ``#abc``, ``teal``, ``rgb(42 111 219)``,
    ``lab(60% 40 -20)``, ``oklch(0.6 0.15 250)``, and hsl, hwb, lch, oklab; rgb and hsl also with commas.

    LAB values are those of CSS with the white point D65 of the rest of this package where CSS has D50. Transparency is
    ignored, and what no display can show of oklab and oklch is clipped.

    Raises:
        ColorError: if the text is not a colour.
    """
    shown = text[:_LONGEST]
    is_hex = re.fullmatch(r"[0-9a-fA-F]{3}|[0-9a-fA-F]{6}", shown)
    meant = f" (did you mean '#{shown}'?)" if is_hex else suggestion(shown.lower(), ImageColor.colormap)
    unknown = (
        f"unknown colour {shown!r}{meant}, expected one like '#2a6fdb', 'teal', 'rgb(42 111 219)' or 'lab(60 40 -20)'"
    )
    if len(text) > _LONGEST:
        raise ColorError(unknown)
    function = _FUNCTION.fullmatch(text.strip())
    if function:
        space = function[1].lower()
        values = _components(space, function[2])
        if values is None:
            raise ColorError(unknown)
        return _to_lab(space, values, text)
    try:
        rgb = ImageColor.getrgb(text.strip())[:3]
    except ValueError:
        raise ColorError(unknown) from None
    if not all(0 <= channel <= 255 for channel in rgb):
        raise ColorError(unknown)
    lightness, a, b = rgb_to_lab(np.array(rgb, np.uint8)).tolist()
    return lightness, a, b


def _components(space: str, inside: str) -> list[float] | None:
    """The three numbers of a function, without its transparency; None where it has others."""
    if "," in inside:
        words = [word.strip() for word in inside.split(",")]
        words = words[:3] if space in _WITH_COMMAS and len(words) in (3, 4) else []
    else:
        colour, _, alpha = inside.partition("/")
        words = colour.split()
        if len(words) != 3 or ("/" in inside and len(alpha.split()) != 1):
            return None
    values = [_component(word, full) for word, full in zip(words, _FULL[space], strict=False)]
    found = [value for value in values if value is not None]
    return found if len(found) == 3 else None


def _component(word: str, full: float) -> float | None:
    if word.lower() == "none":
        return 0.0
    match = _VALUE.fullmatch(word)
    unit = match[2].lower() if match and match[2] else None
    if match is None or (unit == "%" and not full) or (unit not in (None, "%") and full):
        return None
    value = float(match[1])
    if not np.isfinite(value):
        return None
    return value * full / 100 if unit == "%" else value * _DEGREES[unit]


def _to_lab(space: str, values: list[float], text: str) -> tuple[float, float, float]:
    """L, a, b of the numbers of a function. Raises ColorError where they are out of range."""
    first, second, third = values
    if space in ("lch", "oklch"):
        angle = np.radians(third)
        second, third = float(second * np.cos(angle)), float(second * np.sin(angle))
    if space in ("lab", "lch"):
        if not 0 <= first <= 100:
            raise ColorError(f"got the colour {text!r}, expected a lightness from 0 to 100 in it")
        if max(abs(second), abs(third)) > _MAX_AXIS:
            raise ColorError(f"got the colour {text!r}, expected a and b from -{_MAX_AXIS:g} to {_MAX_AXIS:g} in it")
        return first, second, third
    if space in ("oklab", "oklch"):
        if not 0 <= first <= 1 or max(abs(second), abs(third)) > 1:
            raise ColorError(f"got the colour {text!r}, expected a lightness from 0 to 1 and a and b within 1 in it")
        linear = np.clip(_RGB_FROM_LMS @ (_LMS_FROM_OKLAB @ (first, second, third)) ** 3, 0, 1)
        rgb = np.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear)
    else:
        limits = [full if full else np.inf for full in _FULL[space]]
        if any(not 0 <= value <= limit for value, limit in zip(values, limits, strict=True) if np.isfinite(limit)):
            raise ColorError(
                f"unknown colour {text!r}, expected numbers up to {', '.join(f'{one:g}' for one in limits)} in it"
            )
        rgb = np.array(values) / 255 if space == "rgb" else _of_hue(space, first % 360, second / 100, third / 100)
    lightness, a, b = rgb_to_lab(np.clip(rgb, 0, 1)).tolist()
    return lightness, a, b


def _of_hue(space: str, hue: float, second: float, third: float) -> np.ndarray:
    """sRGB (3,) in [0, 1] of HSL, or of HWB's white and black."""
    if space == "hsl":
        return np.array(colorsys.hls_to_rgb(hue / 360, third, second))
    grey = max(second + third, 1)
    pure = np.array(colorsys.hls_to_rgb(hue / 360, 0.5, 1))
    return pure * (1 - (second + third) / grey) + second / grey


def hex_color(lab: Sequence[float] | np.ndarray) -> str:
    """Return L, a, b as ``#rrggbb``; what is out of gamut is clipped per channel."""
    return "#" + "".join(f"{round(float(channel) * 255):02x}" for channel in lab_to_rgb(np.asarray(lab)))


def color_name(lab: tuple[float, float, float]) -> str:
    """Return the CSS name of the colour that is nearest to L, a, b by CIEDE2000; of several the first by alphabet."""
    names = sorted(ImageColor.colormap)
    colors = rgb_to_lab(np.array([ImageColor.getrgb(name)[:3] for name in names], np.uint8))
    return names[int(delta_e_2000(colors, np.array(lab, np.float64)).argmin())]
