"""Cloth as albedo × shading, and how it looks in another colour: see `posegen.color.garment_recoloring`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from posegen.color.lab import in_gamut, into_gamut
from posegen.features.smoothstep import smoothstep

_FADING = 0.2
_PATTERN_RANGE = (3.0, 97.0)  # lightnesses of patterns
_DARK = (12.0, 38.0)  # lightness of cloth whose shading is noise and sheen for the most part, and for no part
_BRIGHT_SPREAD = np.array([0.16, 0.08])  # of log q: shading of bright cloth in even light, below and above its median
_SHEEN, _MOST_SHEEN = 9.0, 8.0  # L that folds rise above black cloth, and by how much they are amplified for that
_BLACK = np.array([16.0, 0.0, 0.0])  # L, a, b and this are in proportion to the cube root of light
_HUES, _LIGHTNESSES = 721, 401  # of the gamut's table


@dataclass(frozen=True)
class Cloth:
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
    facts: ClothFacts

    def at(self, index: np.ndarray) -> Cloth:
        """Return some of the pixels, by their number."""
        chroma = self.share[index], self.own_ab[index]
        return Cloth(self.shading[index], self.smooth[index], self.contrast[index], *chroma, facts=self.facts)

    def paint(self, lab: np.ndarray) -> np.ndarray:
        """Return L, a, b (N, 3) float32 of the pixels on cloth of albedo `lab`, within the gamut."""
        facts = self.facts
        q = np.exp(facts.tone(self, float(lab[0]), room_above(lab)))
        lightness = lab[0] + facts.fit_contrast(self.contrast, float(lab[0]))
        result = np.empty((len(q), 3), np.float32)
        result[:, 0] = (lightness + 16) * q - 16
        result[:, 1:] = (self.share * lab[1:].astype(np.float32) + self.own_ab) * q[:, None]
        return _limit_chroma(result)


@dataclass(frozen=True)
class ClothFacts:
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
    """Weights of the darker and of the brighter part of the pattern."""
    may_turn: bool
    """True if the pattern is large enough to change its sign: a belt or a zip is darker than cloth of any colour."""

    def tone(self, cloth: Cloth, lightness: float, room: float) -> np.ndarray:
        """Return the shading (N,), log q, on cloth of another lightness that has some room above it."""
        own = self.lightness
        amplified = (lightness + 16) / (own + 16)
        black = (1 - smoothstep(lightness, 3.0, 22.0)) * smoothstep(own, *_DARK)
        clean = np.float32(max(np.clip((amplified - 1.1) / 1.2, 0, 1), black))
        u = cloth.shading + clean * (cloth.smooth - cloth.shading)
        down, up = (max(part, 1e-3) for part in self.spread)
        # Dark cloth shows sheen and noise rather than shading: as much of it is kept as bright cloth has.
        dark = 1 - smoothstep(own, *_DARK)
        towards_bright = dark * np.clip((lightness - own) / 40, 0, 1)
        gain_down, gain_up = 1 - towards_bright * (1 - np.minimum(1.0, _BRIGHT_SPREAD / (down, up)))
        if black > 0:  # a ratio shows nothing on black: folds are its sheen
            wanted = np.log1p(_SHEEN / (lightness + 16))
            gain_up += black * (np.clip(wanted / up, 1, _MOST_SHEEN) - 1)
        upper = np.maximum(u, 0) * np.float32(gain_up)
        limit = np.float32(max(room, 0.01))
        upper = limit * np.tanh(upper / limit)
        return np.minimum(u, 0) * np.float32(gain_down) + upper

    def fit_contrast(self, contrast: np.ndarray, lightness: float) -> np.ndarray:
        """Return the pattern's contrast (N,) on cloth of another lightness.

        It is as it was, less where there's less room for it, and of the other sign where little would be left.
        """
        below, above = max(lightness - _PATTERN_RANGE[0], 0.0), max(_PATTERN_RANGE[1] - lightness, 0.0)
        kept = self._scaled(contrast, below, above)
        lost = self._share_kept(above, below) - self._share_kept(below, above)
        turned = np.float32(smoothstep(lost, 0.25, 0.55) if self.may_turn else 0)
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


def room_above(lab: np.ndarray, fading: float = _FADING) -> float:
    """Return the upper limit of light, log q: at the edge of the gamut, plus part of the way from there to white."""
    top = float(np.log((100 + 16) / (max(lab[0], 0) + 16)))
    steps = np.linspace(0, top, 33)
    shown = in_gamut(np.exp(steps)[:, None] * (lab + _BLACK) - _BLACK)
    room = float(steps[max(int(np.argmin(shown)) - 1, 0)]) if not shown.all() else top
    return room + fading * (top - room)


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
