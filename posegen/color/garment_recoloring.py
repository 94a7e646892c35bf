"""Gives a garment in a photo exactly the colour that is asked for: its pixels are albedo × shading.

A product in linear light is a product in CIELAB, too: scaling linear RGB by s scales (L + 16, a, b) by s^(1/3), as long
as L is above 8. So a pixel is taken as ``(L + 16, a, b) = q · (L_albedo + 16, a_albedo, b_albedo)``, with the shading q
around 1. The albedo is that of the *cloth*, the garment's prevailing colour, but where a pattern differs from it.
Recolouring replaces the cloth's albedo and keeps q and the pattern's contrast:

- shading is kept as a ratio, denoised where a dark garment becomes bright, and brought into the room that the new
  colour leaves above it (on white) or below it (on black);
- a pattern keeps its difference in lightness from the cloth. Where there's no room for it (dark stripes on black cloth)
  it changes sign. Tones of the cloth's own hue become tones of the new colour, and prints of another hue keep theirs;
- pixels at the outline are mixtures of the garment and what is beside it. They are unmixed along the line between both
  colours, and mixed again with the new one.
"""

from __future__ import annotations

import cv2
import numpy as np

from posegen.color.cloth import room_above
from posegen.color.cloth_separation import find_cloth, find_pieces, take_apart
from posegen.color.garment_outline import erode, make_matte
from posegen.color.garment_regions import Garment, garment_region, require_separate
from posegen.color.lab import Lab, into_gamut, shown_color
from posegen.errors import ColorError, ConfigError
from posegen.person_classes import PersonClass

_PIXELS_OF_HEIGHT = 128  # one pixel of the outline's band for each so many of the picture's height
_BAND = (2, 5)  # smallest and largest width of the band inside and outside the outline

_HIGHEST_L, _LOWEST_L = 98.4, 1.6
"""Medians beyond these leave no room for folds. Both are within ΔE2000 0.95 of white and black."""
_LEAST_ROOM = 0.02  # of log q
_STEPS, _CLOSE = 4, 0.3  # of the fixed point that brings the median to the colour, in L, a and b


class GarmentPaint:
    """A garment of one picture, taken apart once, to be given any number of colours."""

    def __init__(self, image: np.ndarray, labels: np.ndarray, garment: Garment):
        """Take a garment apart into albedo and shading.

        Args:
            image: (H, W, 3) uint8 RGB.
            labels: (H, W) uint8 of `PersonClass`.
            garment: "upper" or "lower", see `garment_region`.

        Raises:
            ConfigError: Shapes or types are not these.
            ColorError: The garment is not seen.
        """
        if image.ndim != 3 or image.dtype != np.uint8 or labels.shape != image.shape[:2]:
            raise ConfigError(
                f"got a {image.dtype} image of shape {image.shape} and labels of shape {labels.shape}, "
                "expected uint8 (H, W, 3) and (H, W)"
            )
        self.region = garment_region(labels, garment)
        """(H, W) bool, where the garment is."""
        if not self.region.any():
            raise ColorError(f"no {garment} garment is seen in the picture: leave its colour out")
        self.image = image
        band = int(np.clip(round(image.shape[0] / _PIXELS_OF_HEIGHT), *_BAND))
        window = _window(self.region, 2 * band + 2)
        around = find_cloth(image[window], erode(self.region[window], band))
        pieces = find_pieces(around, self.region[window], band)
        painted = self.region[window] & ~pieces.other
        bare = np.isin(labels[window], (PersonClass.SKIN, PersonClass.HAIR))
        matte = make_matte(image[window], painted, bare, band)
        around = find_cloth(image[window], matte.core)
        self.cloth = np.zeros_like(self.region)
        """(H, W) bool, where the garment has its prevailing colour: what a requested colour replaces."""
        self.cloth[window] = matte.is_core & (around.near > 0.5)
        cloth = take_apart(around, matte.core, pieces.tones)
        rows, columns = np.nonzero(matte.alpha > 0)
        here = matte.source[rows, columns]
        self._rows, self._columns = rows + window[0].start, columns + window[1].start
        self._cloth = cloth.at(here)
        mixed = np.flatnonzero(~matte.is_core[rows, columns])
        self._mixed = mixed
        self._alpha = matte.alpha[rows[mixed], columns[mixed], None]
        self._rest = (1 - self._alpha) * matte.others[rows[mixed], columns[mixed]]
        if not self.cloth.any():  # nothing prevails
            self.cloth = self.region.copy()
        self._sample = self._cloth.at(_thin_out(np.flatnonzero(self.cloth[self._rows, self._columns])))

    def apply(self, lab: Lab, onto: np.ndarray | None = None) -> np.ndarray:
        """Return the picture (H, W, 3) uint8 with the garment in a colour.

        The median of L, a and b over its cloth becomes the colour, or what of it a display can show (see
        `shown_color`), at most ΔE2000 0.95 short of white and black, so that folds remain.

        Args:
            lab: L, a, b.
            onto: The picture with another garment in another colour already; by default as it was.
        """
        albedo = wanted = _with_room(shown_color(lab))
        # At the gamut's end light and shade take chroma. Shade has room for more of it than the colour has in light.
        for _ in range(_STEPS):
            missing = wanted - np.median(self._sample.paint(albedo), axis=0)
            if np.abs(missing).max() < _CLOSE:
                break
            albedo = albedo + np.clip(missing, -6, 6)
        painted = self._cloth.paint(albedo)
        rgb = _to_rgb(painted)
        new = rgb[self._mixed]
        rgb[self._mixed] = self._alpha * new + self._rest
        result = (self.image if onto is None else onto).copy()
        if onto is not None:  # a mixture with the other garment has its new colour
            place = self._rows[self._mixed], self._columns[self._mixed]
            rgb[self._mixed] += result[place].astype(np.float32) - self.image[place]
        result[self._rows, self._columns] = np.rint(np.clip(rgb, 0, 255)).astype(np.uint8)
        return result


def paint_garments(image: np.ndarray, labels: np.ndarray, colors: dict[Garment, Lab]) -> np.ndarray:
    """Return a picture (H, W, 3) uint8 with its garments in the colours given; without a colour they stay bit-exact.

    Raises ColorError where a garment is not seen, or a one-piece is given two colours.
    """
    require_separate(labels, colors)
    result = image
    for garment, lab in colors.items():
        result = GarmentPaint(image, labels, garment).apply(lab, onto=result)
    return result


def _with_room(lab: np.ndarray) -> np.ndarray:
    """A colour with some room above and below it for shading."""
    darker = np.array([np.clip(lab[0], _LOWEST_L, _HIGHEST_L), *lab[1:]])
    if room_above(darker, fading=0) < _LEAST_ROOM:
        darker[0] -= max(0.0, 1.2 - abs(lab[0] - darker[0]))
    return into_gamut(darker[None])[0]


def _window(region: np.ndarray, margin: int) -> tuple[slice, slice]:
    """The rectangle around a region, with a margin."""
    rows, columns = np.flatnonzero(region.any(axis=1)), np.flatnonzero(region.any(axis=0))
    top, left = max(int(rows[0]) - margin, 0), max(int(columns[0]) - margin, 0)
    return slice(top, int(rows[-1]) + margin + 1), slice(left, int(columns[-1]) + margin + 1)


def _thin_out(index: np.ndarray, most: int = 4000) -> np.ndarray:
    """Evenly chosen ones of many numbers."""
    return index[:: max(1, len(index) // most)]


def _to_rgb(lab: np.ndarray) -> np.ndarray:
    """L, a, b (N, 3) to RGB (N, 3) float32 in [0, 255]."""
    return cv2.cvtColor(lab[None], cv2.COLOR_LAB2RGB)[0] * 255
