"""CIELAB (CIE 1976 L*a*b*, D65, 2° observer) from and to sRGB (IEC 61966-2-1)."""

from __future__ import annotations

import numpy as np
from skimage.color import deltaE_ciede2000, rgb2lab, xyz_tristimulus_values
from skimage.color.colorconv import rgb_from_xyz

from posegen.errors import ConfigError

Lab = tuple[float, float, float]
"""L in [0, 100], a and b."""

_WHITE = np.array(xyz_tristimulus_values(illuminant="D65", observer="2", dtype=np.float64))
_RGB_FROM_XYZ = rgb_from_xyz * _WHITE  # of X, Y, Z relative to white
_GAMUT_STEPS = 7  # of bisection: chroma is found to 1 part in 128
_TOLERANCE = 1e-6  # of linear RGB, for rounding: the corners of the cube are inside


def as_lab(values: np.ndarray) -> Lab:
    """Return a colour (3,) as plain numbers."""
    lightness, a, b = (float(value) for value in values)
    return lightness, a, b


def rgb_to_lab(rgb: np.ndarray) -> np.ndarray:
    """Convert sRGB (..., 3), uint8 or floats in [0, 1], to float64 L in [0, 100] and a, b within ±110."""
    rgb = np.asarray(rgb)
    if rgb.shape[-1:] != (3,):
        raise ConfigError(f"rgb_to_lab got an array of shape {rgb.shape}, expected (..., 3)")
    if rgb.dtype != np.uint8:
        rgb = rgb.astype(np.float64)
        if rgb.size and not (rgb.min() >= 0 and rgb.max() <= 1):
            raise ConfigError(f"rgb_to_lab got floats from {rgb.min()} to {rgb.max()}, expected [0, 1] or uint8")
    return rgb2lab(rgb)


def lab_to_rgb(lab: np.ndarray) -> np.ndarray:
    """Convert L, a, b (..., 3) to float64 sRGB in [0, 1]; what is out of gamut is clipped per channel."""
    linear = np.clip(lab_to_linear_rgb(lab), 0, 1)
    return np.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear)


def lab_to_linear_rgb(lab: np.ndarray) -> np.ndarray:
    """Convert L, a, b (..., 3) to float64 linear-light sRGB, unclipped: outside [0, 1] is out of gamut."""
    grey, chroma = _roots(lab)
    return np.moveaxis(_linear_rgb(grey + chroma), 0, -1)


def in_gamut(lab: np.ndarray) -> np.ndarray:
    """Return (...) bool: which of the colours L, a, b (..., 3) a display can show."""
    grey, chroma = _roots(lab)
    return _is_shown(grey + chroma)


def into_gamut(lab: np.ndarray) -> np.ndarray:
    """Scale a and b of the out-of-gamut colours (N, 3) towards gray until a display can show them; L and hue stay."""
    grey, chroma = _roots(lab)
    out = np.flatnonzero(~_is_shown(grey + chroma))
    grey, chroma = grey[out], chroma[:, out]
    low, high = np.zeros(len(out)), np.ones(len(out))
    for _ in range(_GAMUT_STEPS):
        middle = (low + high) / 2
        shown = _is_shown(grey + middle * chroma)
        low, high = np.where(shown, middle, low), np.where(shown, high, middle)
    result = lab.copy()
    result[out, 1:] *= low[:, None]
    return result


def delta_e_2000(lab1: np.ndarray, lab2: np.ndarray) -> np.ndarray:
    """CIEDE2000 difference (Sharma, Wu and Dalal, 2005) of colours (..., 3), broadcast: about 1 is just noticeable."""
    return deltaE_ciede2000(*np.broadcast_arrays(lab1, lab2))


# ISO/CIE 11664-4. Channels come first here: calls are many and colours few, and each step is then one call of NumPy.


def _roots(lab: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """f of X, Y and Z of colours (..., 3): (...) that of the grey of their L, and what a and b add to it, (3, ...)."""
    lab = np.asarray(lab, np.float64)
    if lab.shape[-1:] != (3,):
        raise ConfigError(f"got L, a, b of shape {lab.shape}, expected (..., 3)")
    chroma = np.stack([lab[..., 1] / 500, np.zeros(lab.shape[:-1]), lab[..., 2] / -200])
    return (lab[..., 0] + 16) / 116, chroma


def _linear_rgb(f: np.ndarray) -> np.ndarray:
    """f of X, Y and Z (3, ...) to linear RGB (3, ...): f(t) = t^(1/3) above (6/29)^3, and below a line of its slope."""
    xyz = np.where(f > 6 / 29, f * f * f, (f - 16 / 116) / 7.787)
    return (_RGB_FROM_XYZ @ xyz.reshape(3, -1)).reshape(f.shape)


def _is_shown(f: np.ndarray) -> np.ndarray:
    """Return True if linear RGB lies in the unit cube, for f of X, Y and Z (3, ...)."""
    return np.asarray((np.abs(_linear_rgb(f) - 0.5) <= 0.5 + _TOLERANCE).all(axis=0))


def shown_color(lab: Lab) -> np.ndarray:
    """Return the colour (3,) of a display for L, a, b: the same, or one of its lightness and hue and less chroma."""
    return into_gamut(np.array(lab, np.float64)[None])[0]
