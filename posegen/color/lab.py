"""CIELAB (CIE 1976 L*a*b*, D65, 2° observer) from and to sRGB (IEC 61966-2-1)."""

from __future__ import annotations

import numpy as np
from skimage.color import deltaE_ciede2000, rgb2lab, xyz_tristimulus_values
from skimage.color.colorconv import rgb_from_xyz

_WHITE = np.array(xyz_tristimulus_values(illuminant="D65", observer="2", dtype=np.float64))
_GAMUT_STEPS = 7  # of bisection: chroma is found to 1 part in 128
_TOLERANCE = 1e-6  # of linear RGB, for rounding: the corners of the cube are inside


def rgb_to_lab(rgb: np.ndarray) -> np.ndarray:
    """Convert sRGB (..., 3), uint8 or floats in [0, 1], to float64 L in [0, 100] and a, b within ±110."""
    rgb = np.asarray(rgb)
    if rgb.shape[-1:] != (3,):
        raise ValueError(f"rgb_to_lab got an array of shape {rgb.shape}, expected (..., 3)")
    if rgb.dtype != np.uint8:
        rgb = rgb.astype(np.float64)
        if rgb.size and not (rgb.min() >= 0 and rgb.max() <= 1):
            raise ValueError(f"rgb_to_lab got floats from {rgb.min()} to {rgb.max()}, expected [0, 1] or uint8")
    return rgb2lab(rgb)


def lab_to_rgb(lab: np.ndarray) -> np.ndarray:
    """Convert L, a, b (..., 3) to float64 sRGB in [0, 1]; what is out of gamut is clipped per channel."""
    linear = np.clip(lab_to_linear_rgb(lab), 0, 1)
    return np.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear)


def lab_to_linear_rgb(lab: np.ndarray) -> np.ndarray:
    """Convert L, a, b (..., 3) to float64 linear-light sRGB, unclipped: outside [0, 1] is out of gamut."""
    lab = np.asarray(lab, np.float64)
    if lab.shape[-1:] != (3,):
        raise ValueError(f"got L, a, b of shape {lab.shape}, expected (..., 3)")
    # ISO/CIE 11664-4: f(t) = t^(1/3) above (6/29)^3, and a line of the same slope below.
    y = (lab[..., 0] + 16) / 116
    f = np.stack([y + lab[..., 1] / 500, y, y - lab[..., 2] / 200], axis=-1)
    xyz = _WHITE * np.where(f > 6 / 29, f**3, (f - 16 / 116) / 7.787)
    return xyz @ rgb_from_xyz.T


def in_gamut(lab: np.ndarray) -> np.ndarray:
    """Return (...) bool: which of the colours L, a, b (..., 3) a display can show."""
    channels = np.ascontiguousarray(np.moveaxis(lab_to_linear_rgb(lab), -1, 0))  # reducing axis 0 is 5 × as fast
    return np.abs(channels - 0.5).max(axis=0) <= 0.5 + _TOLERANCE


def into_gamut(lab: np.ndarray) -> np.ndarray:
    """Scale a and b of the out-of-gamut colours (N, 3) towards gray until a display can show them; L and hue stay."""
    out = np.flatnonzero(~in_gamut(lab))
    low, high = np.zeros(len(out)), np.ones(len(out))
    outside = lab[out]
    for _ in range(_GAMUT_STEPS):
        middle = (low + high) / 2
        shown = in_gamut(outside * np.stack([np.ones_like(middle), middle, middle], axis=1))
        low, high = np.where(shown, middle, low), np.where(shown, high, middle)
    result = lab.copy()
    result[out, 1:] *= low[:, None]
    return result


def delta_e_2000(lab1: np.ndarray, lab2: np.ndarray) -> np.ndarray:
    """CIEDE2000 difference (Sharma, Wu and Dalal, 2005) of colours (..., 3): about 1 is just noticeable."""
    return deltaE_ciede2000(lab1, lab2)
