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

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import cv2
import numpy as np
from scipy.ndimage import distance_transform_edt, gaussian_filter

from posegen.color.lab import in_gamut, into_gamut, rgb_to_lab
from posegen.errors import ColorError, ConfigError
from posegen.person_classes import PersonClass

Garment = Literal["upper", "lower"]
Lab = tuple[float, float, float]

_OWN_CLASS: dict[Garment, PersonClass] = {"upper": PersonClass.UPPER, "lower": PersonClass.LOWER}
_DISTINCT = 0.15  # of a one-piece: an upper or lower garment of less area beside it is not a garment of its own

_PIXELS_OF_HEIGHT = 128  # one pixel of the outline's band for each so many of the picture's height
_BAND = (2, 5)  # smallest and largest width of the band inside and outside the outline
_CONTRAST = (18.0, 60.0)  # of 8-bit RGB: below, garment and surroundings cannot be told by colour; above, they can

_HIGHEST_L, _LOWEST_L = 98.4, 1.6
"""Medians beyond these leave no room for folds. Both are within ΔE2000 0.95 of white and black."""
_LEAST_ROOM = 0.02  # of log q
_FADING = 0.2
_STEPS, _CLOSE = 4, 0.3  # of the fixed point that brings the median to the colour, in L, a and b
_PATTERN_RANGE = (3.0, 97.0)  # lightnesses of patterns
_DARK = (12.0, 38.0)  # lightness of cloth whose shading is noise and sheen for the most part, and for no part
_BRIGHT_SPREAD = 0.16  # of log q: 5th percentile of the shading of bright cloth in even light
_SHEEN, _MOST_SHEEN = 9.0, 8.0  # L that folds rise above black cloth, and by how much they are amplified for that
_BLACK = np.array([16.0, 0.0, 0.0])  # L, a, b and this are in proportion to the cube root of light
_HUES, _LIGHTNESSES = 721, 401  # of the gamut's table


# ---- Which pixels


def garment_region(labels: np.ndarray, garment: Garment) -> np.ndarray:
    """Return where a garment is, (H, W) bool.

    A dress or an overall is the upper garment where no other is seen, and the lower one likewise. So a dress alone
    answers to both, and under a jacket it is the lower garment.

    Args:
        labels: (H, W) uint8 of `PersonClass`.
        garment: "upper" or "lower".
    """
    if garment not in _OWN_CLASS:
        raise ConfigError(f"unknown garment {garment!r}, expected one of {tuple(_OWN_CLASS)}")
    own, one_piece = labels == _OWN_CLASS[garment], labels == PersonClass.ONE_PIECE
    return own | one_piece if own.sum() < _DISTINCT * one_piece.sum() else own


def distinct_garments(labels: np.ndarray, taken: Iterable[Garment] = ()) -> list[Garment]:
    """Return the garments that are seen and share no pixel with others: of a one-piece that is both, the upper one.

    Args:
        labels: (H, W) uint8 of `PersonClass`.
        taken: Garments that are not to be among them, nor any that shares pixels with them.
    """
    found: list[Garment] = []
    for garment in _OWN_CLASS:
        region = garment_region(labels, garment)
        others = [garment_region(labels, other) for other in {*taken, *found}]
        if garment not in taken and region.any() and not any((region & other).any() for other in others):
            found.append(garment)
    return found


def require_separate(labels: np.ndarray, colors: dict[Garment, Lab]) -> None:
    """Raise ColorError where both garments are given different colours and a one-piece is both of them."""
    if len(set(colors.values())) < 2:
        return
    upper, lower = (garment_region(labels, garment) for garment in _OWN_CLASS)
    if (upper & lower).any():
        raise ColorError("the person wears a one-piece: give it one colour, by --upper or --lower")


# ---- Recolouring


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
        around = _find_cloth(image[window], _erode(self.region[window], band))
        painted = self.region[window] & ~_other_pieces(around, self.region[window], band)
        bare = np.isin(labels[window], (PersonClass.SKIN, PersonClass.HAIR))
        matte = _make_matte(image[window], painted, bare, band)
        around = _find_cloth(image[window], matte.core)
        self.cloth = np.zeros_like(self.region)
        """(H, W) bool, where the garment has its prevailing colour: what a requested colour replaces."""
        self.cloth[window] = matte.is_core & (around.near > 0.5)
        cloth = _take_apart(around, matte.core)
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


def shown_color(lab: Lab) -> np.ndarray:
    """Return the colour (3,) of a display for L, a, b: the same, or one of its lightness and hue and less chroma."""
    return into_gamut(np.array(lab, np.float64)[None])[0]


def _with_room(lab: np.ndarray) -> np.ndarray:
    """A colour with some room above and below it for shading."""
    darker = np.array([np.clip(lab[0], _LOWEST_L, _HIGHEST_L), *lab[1:]])
    if _room_above(darker, fading=0) < _LEAST_ROOM:
        darker[0] -= max(0.0, 1.2 - abs(lab[0] - darker[0]))
    return into_gamut(darker[None])[0]


def _room_above(lab: np.ndarray, fading: float = _FADING) -> float:
    """Return the upper limit of light, log q: at the edge of the gamut, plus part of the way from there to white."""
    top = float(np.log((100 + 16) / (max(lab[0], 0) + 16)))
    steps = np.linspace(0, top, 33)
    shown = in_gamut(np.exp(steps)[:, None] * (lab + _BLACK) - _BLACK)
    room = float(steps[max(int(np.argmin(shown)) - 1, 0)]) if not shown.all() else top
    return room + fading * (top - room)


# ---- Albedo and shading


@dataclass(frozen=True)
class _Cloth:
    """Shading and pattern of N pixels of a garment."""

    shading: np.ndarray
    """(N,) float32, log of q; its median is 0."""
    smooth: np.ndarray
    """(N,) float32, the same without noise."""
    contrast: np.ndarray
    """(N,) float32, lightness of the pattern above that of the cloth."""
    share: np.ndarray
    """(N, 1) float32, how much of the cloth's a and b the pattern has."""
    own_ab: np.ndarray
    """(N, 2) float32, a and b that it has besides."""
    facts: _ClothFacts

    def at(self, index: np.ndarray) -> _Cloth:
        """Some of the pixels, by their number."""
        chroma = self.share[index], self.own_ab[index]
        return _Cloth(self.shading[index], self.smooth[index], self.contrast[index], *chroma, facts=self.facts)

    def paint(self, lab: np.ndarray) -> np.ndarray:
        """Return L, a, b (N, 3) float32 of the pixels on cloth of albedo `lab`, within the gamut."""
        facts = self.facts
        q = np.exp(facts.tone(self, float(lab[0]), _room_above(lab)))
        lightness = lab[0] + facts.fit_contrast(self.contrast, float(lab[0]))
        result = np.empty((len(q), 3), np.float32)
        result[:, 0] = (lightness + 16) * q - 16
        result[:, 1:] = (self.share * lab[1:].astype(np.float32) + self.own_ab) * q[:, None]
        return _limit_chroma(result)


@dataclass(frozen=True)
class _ClothFacts:
    """Properties of a whole garment."""

    lightness: float
    """Of the cloth, the median."""
    spread: tuple[float, float]
    """Of the smooth shading: how far its 3rd and 97th percentiles are below and above 0."""
    below: float
    """Typical contrast of patterns darker than the cloth, 0 or more; 0 where there is none."""
    above: float
    """Of those brighter than it."""
    weights: tuple[float, float]
    """Shares of the pattern that are darker, and brighter."""
    may_turn: bool
    """True if the pattern is large enough to change its sign: a belt or a zip is darker than cloth of any colour."""

    def tone(self, cloth: _Cloth, lightness: float, room: float) -> np.ndarray:
        """The shading (N,), log q, on cloth of another lightness that has some room above it."""
        own = self.lightness
        amplified = (lightness + 16) / (own + 16)
        black = (1 - _smoothstep(lightness, 3.0, 22.0)) * _smoothstep(own, *_DARK)
        clean = np.float32(max(np.clip((amplified - 1.1) / 1.2, 0, 1), black))
        u = cloth.shading + clean * (cloth.smooth - cloth.shading)
        down, up = (max(part, 1e-3) for part in self.spread)
        # Dark cloth shows sheen and noise rather than shading: as much of it is kept as bright cloth has.
        dark = 1 - _smoothstep(own, *_DARK)
        towards_bright = dark * np.clip((lightness - own) / 40, 0, 1)
        gain_down = 1 - towards_bright * (1 - min(1.0, _BRIGHT_SPREAD / down))
        gain_up = 1.0
        if black > 0:  # a ratio shows nothing on black: folds are its sheen
            wanted = np.log1p(_SHEEN / (lightness + 16))
            gain_up += black * (np.clip(wanted / up, 1, _MOST_SHEEN) - 1)
        upper = np.maximum(u, 0) * np.float32(gain_up)
        limit = np.float32(max(room, 0.01))
        upper = limit * np.tanh(upper / limit)
        return np.minimum(u, 0) * np.float32(gain_down) + upper

    def fit_contrast(self, contrast: np.ndarray, lightness: float) -> np.ndarray:
        """The pattern's contrast (N,) on cloth of another lightness.

        It is as it was, less where there's less room for it, and of the other sign where little would be left.
        """
        below, above = max(lightness - _PATTERN_RANGE[0], 0.0), max(_PATTERN_RANGE[1] - lightness, 0.0)
        kept = self._scaled(contrast, below, above)
        lost = self._share_kept(above, below) - self._share_kept(below, above)
        turned = np.float32(_smoothstep(lost, 0.25, 0.55) if self.may_turn else 0)
        return kept if turned == 0 else (1 - turned) * kept - turned * self._scaled(contrast, above, below)

    def _scaled(self, contrast: np.ndarray, room_below: float, room_above: float) -> np.ndarray:
        """A contrast (N,) with its dark and its bright part brought into some room."""
        below, above = self._scales(room_below, room_above)
        return np.where(contrast < 0, np.float32(below), np.float32(above)) * contrast

    def _scales(self, room_below: float, room_above: float) -> tuple[float, float]:
        below = min(1.0, room_below / self.below) if self.below else 1.0
        return below, min(1.0, room_above / self.above) if self.above else 1.0

    def _share_kept(self, room_below: float, room_above: float) -> float:
        """Share of the pattern's contrast for which there's room."""
        total = sum(self.weights)
        return float(np.dot(self.weights, self._scales(room_below, room_above)) / total) if total else 1.0


_DARK_NOISE = 40.0
_CLOTH_L, _CLOTH_AB = 20.0, 10.0  # how far a pixel of the cloth is from the shaded cloth around it
_PART = (20.0, 9.0, 9.0)  # half widths of a part of one colour, in L, a and b
_PIECE_WIDTH, _PIECE_AREA = 0.10, 0.015  # of a piece of another colour: of the garment's width and area
_PIECE_BIN, _PIECE_COMMON = np.array([14.0, 9.0, 9.0]), 0.02  # colours of pieces: L, a, b, and least share
_PIECE_LIKENESS = 0.12  # at most, with the cloth
_SHADE = (0.5, 1.5)  # of q: shade and sun beside the light that prevails
_TURNING = (0.08, 0.02)  # of the garment's area: of dark and of bright patterns that are seen on cloth of any colour
_SCALE = 0.05  # of shading, in square roots of the garment's area


@dataclass(frozen=True)
class _Surroundings:
    """Appearance of the cloth around each pixel of a picture."""

    lightness: np.ndarray
    """(H, W) float32 of the pixel itself."""
    ab: np.ndarray
    """(H, W, 2) of the pixel itself."""
    cloth_l: np.ndarray
    """(H, W), of the cloth around it."""
    cloth_ab: np.ndarray
    """(H, W, 2), of the cloth around it, at lightness 50."""
    near: np.ndarray
    """(H, W), how alike both are: 1 on the cloth, 0 on a pattern."""
    sigma: float
    """Scale of shading in pixels."""


def _find_cloth(image: np.ndarray, core: np.ndarray) -> _Surroundings:
    """Find the garment's prevailing colour, and follow it through light and shade."""
    lab = rgb_to_lab(image).astype(np.float32)
    ab = lab[..., 1:]
    lab = np.concatenate([lab[..., :1], _evenly_lit_ab(ab, lab[..., 0])], axis=-1)
    peak = _prevailing(lab[core])
    sigma = max(2.0, _SCALE * float(np.sqrt(core.sum())))
    local = np.broadcast_to(peak, lab.shape)
    for width in (1.5, 1.2, 1.0, 1.0):
        step = lab - local
        near = _likeness(step[..., 0], width * _CLOTH_L) * _likeness(np.hypot(step[..., 1], step[..., 2]), _CLOTH_AB)
        local = _spread(lab, np.where(core, near, 0).astype(np.float32), sigma, peak)
    return _Surroundings(lab[..., 0], ab, local[..., 0], local[..., 1:], near.astype(np.float32), sigma)


def _evenly_lit_ab(ab: np.ndarray, lightness: np.ndarray) -> np.ndarray:
    """a and b (..., 2) as they were at lightness 50; less than that in the dark, where they are noise."""
    return ab * ((50 + _DARK_NOISE) / (lightness + _DARK_NOISE))[..., None]


def _other_pieces(around: _Surroundings, region: np.ndarray, band: int) -> np.ndarray:
    """Find large pieces of another colour: a shirt under a jacket, a panel, a picture on a shirt, a hand before it.

    They are no pattern of the cloth, and keep their pixels. What may be the cloth itself, in shade or in the sun, is
    none.
    """
    size = max(band + 1, round(_PIECE_WIDTH * np.sqrt(region.sum()) / 2))
    unlike = (region & (cv2.blur(around.near, (3, 3)) < 0.3)).astype(np.uint8)
    closed = cv2.morphologyEx(unlike, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    count, pieces = cv2.connectedComponents(cv2.morphologyEx(closed, cv2.MORPH_OPEN, _disk(size)))
    cloth = np.concatenate([around.cloth_l[..., None], around.cloth_ab], axis=-1)
    own = np.concatenate([around.lightness[..., None], _evenly_lit_ab(around.ab, around.lightness)], axis=-1)
    found = np.zeros_like(region)
    for number in range(1, count):
        piece = pieces == number
        difference = np.median((own - cloth)[piece], axis=0)
        lit = (16 + np.median(own[piece][:, 0])) / (16 + np.median(cloth[piece][:, 0]))
        is_shade = np.hypot(*difference[1:]) < _CLOTH_AB and _SHADE[0] < lit < _SHADE[1]
        if piece.sum() > _PIECE_AREA * region.sum() and around.near[piece].mean() < _PIECE_LIKENESS and not is_shade:
            found |= (cv2.dilate(piece.astype(np.uint8), _disk(size + 1)) > 0) & (closed > 0)
    return found | _like_pieces(own, cloth, found, unlike > 0)


def _like_pieces(colors: np.ndarray, cloth: np.ndarray, found: np.ndarray, unlike: np.ndarray) -> np.ndarray:
    """Find smaller pieces of the colours of larger ones: the small flowers of a print with large ones.

    Args:
        colors: (H, W, 3), L and chroma without shading.
        cloth: (H, W, 3), those of the cloth around.
        found: (H, W) bool, the large pieces.
        unlike: (H, W) bool, all that isn't cloth.
    """
    if not found.any():
        return found
    bins = np.round(colors / _PIECE_BIN).astype(np.int64)
    clear = (np.abs(colors - cloth) > 2 * _PIECE_BIN).any(axis=-1)
    common, counts = np.unique(bins[found & clear], axis=0, return_counts=True)
    common = common[counts > _PIECE_COMMON * counts.sum()]
    count, pieces = cv2.connectedComponents((unlike & ~found).astype(np.uint8))
    alike = clear & (np.abs(bins[:, :, None] - common).max(axis=-1) <= 1).any(axis=-1)
    size = np.bincount(pieces.ravel(), minlength=count)
    share = np.bincount(pieces.ravel(), weights=alike.ravel(), minlength=count) / np.maximum(size, 1)
    return unlike & ((share > 0.6) & (size > 12))[pieces] & (pieces > 0)


def _disk(radius: int) -> np.ndarray:
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))


def _take_apart(around: _Surroundings, core: np.ndarray) -> _Cloth:
    """Take a garment apart: `core` (H, W) bool is where its pixels are no mixtures. All pixels are returned."""
    near, lightness, ab, local_l = around.near, around.lightness, around.ab, around.cloth_l
    step = lightness - local_l
    shade = local_l + near * step
    ground = core & (near > 0.5)
    reference = float(np.median(shade[ground if ground.any() else core]))
    noise_free = _smooth(shade, core, radius=max(3, round(around.sigma)))
    log_q, log_smooth = (np.log((np.maximum(part, 0) + 16) / (reference + 16)) for part in (shade, noise_free))
    log_smooth -= np.median(log_smooth[core])
    contrast = (1 - near) * step
    cloth_ab = around.cloth_ab * ((reference + _DARK_NOISE) / (50 + _DARK_NOISE))
    share, own_ab = _split_chroma(ab / np.exp(log_q)[..., None], near, cloth_ab)
    shadow, light = -np.quantile(log_smooth[core], 0.03), np.quantile(log_smooth[core], 0.97)
    facts = _ClothFacts(
        reference,
        (float(shadow), float(light)),
        *_typical(contrast[core & (near < 0.5)]),
        (float(-np.minimum(contrast[core], 0).sum()), float(np.maximum(contrast[core], 0).sum())),
        _is_pattern(contrast[core], np.linalg.norm(own_ab[core], axis=-1)),
    )
    return _Cloth(
        log_q.ravel().astype(np.float32),
        log_smooth.ravel().astype(np.float32),
        contrast.ravel().astype(np.float32),
        share.reshape(-1, 1).astype(np.float32),
        own_ab.reshape(-1, 2).astype(np.float32),
        facts,
    )


def _prevailing(colors: np.ndarray) -> np.ndarray:
    """The colour (3,) of the largest part of L, a, b (N, 3), with shading allowed for."""
    left, found, largest = colors, colors[0], 0
    for _ in range(4):
        peak = _densest(left)
        around = (np.abs(colors - peak) < np.array(_PART)).all(axis=1)
        if around.sum() > largest:
            found, largest = np.median(colors[around], axis=0), around.sum()
        left = left[(np.abs(left - peak) >= np.array(_PART)).any(axis=1)]
        if len(left) <= largest:
            break
    return found.astype(np.float32)


def _densest(colors: np.ndarray) -> np.ndarray:
    """The peak (3,) of the histogram of colours (N, 3)."""
    bins = np.array([5.0, 3.0, 3.0])
    low = np.floor(colors.min(axis=0) / bins)
    index = (colors / bins - low).astype(np.int64)
    shape = index.max(axis=0) + 1
    counts = np.bincount(np.ravel_multi_index(tuple(index.T), shape), minlength=int(np.prod(shape)))
    smooth = gaussian_filter(counts.reshape(shape).astype(np.float32), (2.0, 1.2, 1.2), mode="constant")
    return (np.array(np.unravel_index(smooth.argmax(), shape)) + low + 0.5) * bins


def _likeness(distance: np.ndarray, width: float) -> np.ndarray:
    """1 for 0, 0.5 at the width, soon 0 beyond it."""
    return 1 / (1 + (distance / width) ** 4)


def _spread(values: np.ndarray, weight: np.ndarray, sigma: float, default: np.ndarray) -> np.ndarray:
    """Weighted local means of values (H, W, C), with means of wider and wider surroundings where weights are few."""
    result = np.broadcast_to(default, values.shape).astype(np.float32)
    for scale in (6 * sigma, 2.5 * sigma, sigma):
        total = cv2.GaussianBlur(weight, (0, 0), scale)[..., None]
        mean = cv2.GaussianBlur(values * weight[..., None], (0, 0), scale).reshape(values.shape)
        result = (mean + 0.05 * result) / (total + 0.05)
    return result


def _smooth(values: np.ndarray, core: np.ndarray, radius: int) -> np.ndarray:
    """Remove noise from values (H, W) inside a region, keeping edges: a guided filter (He et al., 2013) by itself."""
    inside = core.astype(np.float32)
    side = (2 * radius + 1, 2 * radius + 1)
    count = np.maximum(cv2.blur(inside, side), 1e-6)

    def mean(part: np.ndarray) -> np.ndarray:
        return cv2.blur(part * inside, side) / count

    noise = 1.4826 * np.median(np.abs(values - cv2.medianBlur(values.astype(np.float32), 5))[core])
    average = mean(values)
    variance = np.maximum(mean(values**2) - average**2, 0)
    slope = variance / (variance + (1.0 + 2.0 * noise) ** 2)
    result = mean(slope) * values + mean(average - slope * average)
    return np.where(core, result, values)


def _split_chroma(ab: np.ndarray, near: np.ndarray, cloth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Write a and b as share · (a, b of the cloth) + own.

    Args:
        ab: (H, W, 2) of the albedo.
        near: (H, W), 1 on the cloth and 0 on a pattern.
        cloth: (H, W, 2), the cloth's own a and b.

    Returns:
        The share (H, W), and a and b beside it (H, W, 2).
    """
    size = np.linalg.norm(cloth, axis=-1)
    along = np.clip((ab * cloth).sum(-1) / np.maximum(size**2, 1e-6), 0, 1.4)
    chroma = np.linalg.norm(ab, axis=-1)
    is_tinted = _smoothstep(size, 6.0, 20.0)  # grey cloth has no hue: grey patterns on it get the new one
    share = is_tinted * along + (1 - is_tinted) / (1 + (chroma / 16) ** 2)
    own = ab - (is_tinted * along)[..., None] * cloth
    deviation = ab - cloth
    size = (deviation**2).sum(-1, keepdims=True)
    cored = deviation * size / (size + 16)  # weak deviations are noise
    near = near[..., None]
    return (near[..., 0] + (1 - near[..., 0]) * share), near * 0.7 * cored + (1 - near) * own


def _is_pattern(contrast: np.ndarray, chroma: np.ndarray) -> bool:
    """Return True if contrasts (K,) with chroma of their own are a pattern, rather than belts, zips and shadows."""
    dark, print_like = contrast < -15, (contrast > 15) | ((contrast < -8) & (chroma > 15))
    return bool(dark.mean() > _TURNING[0] or print_like.mean() > _TURNING[1])


def _typical(contrast: np.ndarray) -> tuple[float, float]:
    """Large contrasts below and above 0, of those (K,) of a pattern."""
    dark, bright = -contrast[contrast < -3], contrast[contrast > 3]
    return (
        float(np.quantile(dark, 0.9)) if len(dark) else 0.0,
        float(np.quantile(bright, 0.9)) if len(bright) else 0.0,
    )


# ---- Outlines


@dataclass(frozen=True)
class _Matte:
    """Share of the garment in each pixel."""

    alpha: np.ndarray
    """(H, W) float32."""
    core: np.ndarray
    """(H, W) bool: pixels of nothing but the garment, away from its outline."""
    is_core: np.ndarray
    """(H, W) bool: pixels that show the garment alone and are recoloured by themselves."""
    source: np.ndarray
    """(H, W) number of the pixel whose shading and pattern is that of the garment's part of a pixel."""
    others: np.ndarray
    """(H, W, 3) float32: the RGB of what a pixel shows besides the garment."""


def _make_matte(image: np.ndarray, region: np.ndarray, bare: np.ndarray, band: int) -> _Matte:
    """Find how much garment pixels at its outline show, by their place between its colour and that beside it.

    Skin and hair, `bare` (H, W) bool, are mixed with it in their outermost pixels alone.
    """
    rgb = image.astype(np.float32)
    core, beside = _erode(region, band), _erode(~region, band)
    garment, source = _nearest_color(rgb, core)
    others, _ = _nearest_color(rgb, beside)
    across = garment - others
    contrast = np.linalg.norm(across, axis=-1)
    by_color = ((rgb - others) * across).sum(-1) / np.maximum(contrast**2, 1)
    inside = cv2.distanceTransform(region.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    outside = cv2.distanceTransform((~region).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    by_place = np.clip(0.5 + np.where(region, inside - 0.5, 0.5 - outside), 0, 1)
    trust = _smoothstep(contrast, *_CONTRAST)
    alpha = trust * np.clip(by_color, 0, 1) + (1 - trust) * by_place
    alpha = np.where(core, 1, np.where(beside, 0, alpha))
    near_it = np.where(outside < 1.2, _smoothstep(alpha, 0.02, 0.1), _smoothstep(alpha, 0.1, 0.5))
    beyond = np.where(bare, _smoothstep(alpha, 0.4, 0.8) * (outside < 1.2), near_it)
    alpha = np.where(region, alpha, beyond * alpha).astype(np.float32)
    own = np.arange(region.size).reshape(region.shape)
    is_core = core | (region & (alpha > 0.97))
    # What is left of a mixture without the garment's part, near what is seen beside it.
    rest = (rgb - alpha[..., None] * garment) / np.maximum(1 - alpha[..., None], 0.15)
    others = np.clip(rest, others - 40, others + 40)
    return _Matte(alpha, core, is_core, np.where(is_core, own, source), others)


def _erode(region: np.ndarray, width: int) -> np.ndarray:
    """A region without a band at its outline; of parts that are thinner than the band, their middle."""
    distance = cv2.distanceTransform(region.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    kernel = np.ones((2 * width + 1, 2 * width + 1), np.uint8)
    middle = region & (distance >= 0.8 * cv2.dilate(distance, kernel))
    return (distance > width) | middle


def _nearest_color(rgb: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Colours (H, W, 3) continued from where they are known, and the number (H, W) of the pixel that each is from."""
    if not known.any():
        return rgb, np.arange(known.size).reshape(known.shape)
    weight = cv2.blur(known.astype(np.float32), (3, 3))[..., None]
    mean = cv2.blur(rgb * known[..., None], (3, 3)) / np.maximum(weight, 1e-6)
    rows, columns = distance_transform_edt(~known, return_distances=False, return_indices=True)
    return mean[rows, columns], rows * known.shape[1] + columns


# ---- Numbers


def _window(region: np.ndarray, margin: int) -> tuple[slice, slice]:
    """The rectangle around a region, with a margin."""
    rows, columns = np.flatnonzero(region.any(axis=1)), np.flatnonzero(region.any(axis=0))
    top, left = max(int(rows[0]) - margin, 0), max(int(columns[0]) - margin, 0)
    return slice(top, int(rows[-1]) + margin + 1), slice(left, int(columns[-1]) + margin + 1)


def _thin_out(index: np.ndarray, most: int = 4000) -> np.ndarray:
    """Evenly chosen ones of many numbers."""
    return index[:: max(1, len(index) // most)]


def _smoothstep(value: np.ndarray | float, low: float, high: float) -> np.ndarray:
    t = np.clip((np.asarray(value) - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


@lru_cache(maxsize=1)
def _largest_chroma() -> np.ndarray:
    """The largest chroma of a display by lightness and hue, (_LIGHTNESSES, _HUES) float32."""
    lightness, hue = np.linspace(0, 100, 101), np.linspace(0, 2 * np.pi, 181)
    grid = np.meshgrid(lightness, 140 * np.exp(1j * hue), indexing="ij")
    lab = np.stack([grid[0].ravel(), grid[1].real.ravel(), grid[1].imag.ravel()], axis=-1)
    shown = into_gamut(lab)
    chroma = np.hypot(shown[:, 1], shown[:, 2]).reshape(101, 181).astype(np.float32)
    rows, columns = np.linspace(0, 100, _LIGHTNESSES), np.linspace(0, 180, _HUES)
    maps = np.meshgrid(columns.astype(np.float32), rows.astype(np.float32))
    return cv2.remap(chroma, maps[0], maps[1], cv2.INTER_LINEAR)


def _limit_chroma(lab: np.ndarray) -> np.ndarray:
    """Clip L and scale a and b of colours (N, 3) float32 into the gamut, in place; L and hue stay."""
    np.clip(lab[:, 0], 0, 100, out=lab[:, 0])
    chroma, hue = (part.reshape(-1) for part in cv2.cartToPolar(lab[:, 1].copy(), lab[:, 2].copy()))
    row = (lab[:, 0] * np.float32((_LIGHTNESSES - 1) / 100) + np.float32(0.5)).astype(np.int32)
    column = (hue * np.float32((_HUES - 1) / (2 * np.pi)) + np.float32(0.5)).astype(np.int32)
    most = _largest_chroma().ravel()[row * _HUES + np.minimum(column, _HUES - 1)]
    lab[:, 1:] *= np.minimum(np.float32(1), most / np.maximum(chroma, np.float32(1e-6)))[:, None]
    return lab


def _to_rgb(lab: np.ndarray) -> np.ndarray:
    """L, a, b (N, 3) to RGB (N, 3) float32 in [0, 255]."""
    return cv2.cvtColor(lab[None], cv2.COLOR_LAB2RGB)[0] * 255
