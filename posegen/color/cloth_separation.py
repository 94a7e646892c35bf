"""Takes a garment's pixels apart into albedo, shading and pattern: see `posegen.color.garment_recoloring`."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter

from posegen.color.cloth import Cloth, ClothFacts
from posegen.color.lab import rgb_to_lab
from posegen.features.smoothstep import smoothstep

_DARK_NOISE = 40.0
_CLOTH_L, _CLOTH_AB = 20.0, 10.0  # how far a pixel of the cloth is from the shaded cloth around it
_PART = (20.0, 9.0, 9.0)  # half widths of a part of one colour, in L, a and b
_PIECE_WIDTH, _PIECE_AREA = 0.10, 0.015  # of a piece of another colour: of the garment's width and area
_PIECE_BIN, _PIECE_COMMON = np.array([14.0, 9.0, 9.0]), 0.02  # colours of pieces: L, a, b, and least share
_PIECE_LIKENESS = 0.12  # at most, with the cloth
_HUE_CHROMA, _SAME_HUE = 15.0, 0.85  # least chroma that has a hue, and cosine between hues that are one
_SHADE = (0.5, 1.5)  # of q: shade and sun beside the light that prevails
_BRIGHTEST = 1.9  # of q: what is brighter is no cloth in the sun
_TURNING = (0.08, 0.02)  # of the garment's area: of dark and of bright patterns that are seen on cloth of any colour
_SCALE = 0.05  # of shading, in square roots of the garment's area


@dataclass(frozen=True)
class Surroundings:
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


def find_cloth(image: np.ndarray, core: np.ndarray) -> Surroundings:
    """Find the garment's prevailing colour, and follow it through light and shade."""
    lab = rgb_to_lab(image).astype(np.float32)
    ab = lab[..., 1:]
    lab = np.concatenate([lab[..., :1], _evenly_lit_ab(ab, lab[..., 0])], axis=-1)
    peak = _prevailing(lab[core])
    sigma = max(2.0, _SCALE * float(np.sqrt(core.sum())))
    local = np.broadcast_to(peak, lab.shape)
    # Otherwise the cloth would be followed through shade, from a dark vest onto the white sleeves of a shirt.
    brightest = _BRIGHTEST * (16 + peak[0]) - 16
    possible = _likeness(np.maximum(lab[..., 0] - brightest, 0), _CLOTH_L / 2)
    for width in (1.5, 1.2, 1.0, 1.0):
        step = lab - local
        near = _likeness(step[..., 0], width * _CLOTH_L) * _likeness(np.hypot(step[..., 1], step[..., 2]), _CLOTH_AB)
        local = _spread(lab, np.where(core, near * possible, 0).astype(np.float32), sigma, peak)
    return Surroundings(lab[..., 0], ab, local[..., 0], local[..., 1:], near.astype(np.float32), sigma)


def _evenly_lit_ab(ab: np.ndarray, lightness: np.ndarray) -> np.ndarray:
    """a and b (..., 2) as they were at lightness 50; less than that in the dark, where they are noise."""
    return ab * ((50 + _DARK_NOISE) / (lightness + _DARK_NOISE))[..., None]


@dataclass(frozen=True)
class Pieces:
    """Large pieces of a garment that look unlike the cloth around them, (H, W) bool."""

    other: np.ndarray
    """Of another colour: a shirt under a jacket, a panel, a picture on a shirt, a hand before it. They are no pattern
    of the cloth, and keep their pixels."""
    tones: np.ndarray
    """The cloth itself in shade or in the sun, or in darker tones of its hue, as jeans are where less washed out."""


def find_pieces(around: Surroundings, region: np.ndarray, band: int) -> Pieces:
    """Find large pieces that look unlike the cloth around them, in a garment's region (H, W) bool."""
    size = max(band + 1, round(_PIECE_WIDTH * np.sqrt(region.sum()) / 2))
    unlike = (region & (cv2.blur(around.near, (3, 3)) < 0.3)).astype(np.uint8)
    closed = cv2.morphologyEx(unlike, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    count, pieces = cv2.connectedComponents(cv2.morphologyEx(closed, cv2.MORPH_OPEN, _disk(size)))
    cloth = np.concatenate([around.cloth_l[..., None], around.cloth_ab], axis=-1)
    own = np.concatenate([around.lightness[..., None], _evenly_lit_ab(around.ab, around.lightness)], axis=-1)
    found, tones = np.zeros_like(region), np.zeros_like(region)
    for number in range(1, count):
        piece = pieces == number
        if piece.sum() <= _PIECE_AREA * region.sum():
            continue
        difference = np.median((own - cloth)[piece], axis=0)
        lit = (16 + np.median(own[piece][:, 0])) / (16 + np.median(cloth[piece][:, 0]))
        is_shade = np.hypot(*difference[1:]) < _CLOTH_AB and _SHADE[0] < lit < _SHADE[1]
        is_shade |= lit < 1 and _have_one_hue(np.median(own[piece], axis=0)[1:], np.median(cloth[piece], axis=0)[1:])
        grown = (cv2.dilate(piece.astype(np.uint8), _disk(size + 1)) > 0) & (closed > 0)
        if is_shade:
            tones |= grown
        elif around.near[piece].mean() < _PIECE_LIKENESS:
            found |= grown
    return Pieces(found | _like_pieces(own, cloth, found, unlike > 0), tones & ~found)


def _have_one_hue(ab: np.ndarray, other: np.ndarray) -> bool:
    """Return True if two chromas (2,) point the same way, and are large enough to tell."""
    sizes = np.linalg.norm(ab), np.linalg.norm(other)
    return bool(min(sizes) > _HUE_CHROMA and ab @ other > _SAME_HUE * sizes[0] * sizes[1])


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


def take_apart(around: Surroundings, core: np.ndarray, tones: np.ndarray) -> Cloth:
    """Take a garment apart. All pixels are returned.

    Args:
        around: The cloth around each pixel.
        core: (H, W) bool, where pixels are no mixtures.
        tones: (H, W) bool, see `Pieces`. Their hue is not kept, since in the dark it is noise.
    """
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
    tone = (1 - near) * tones
    share += tone * (np.minimum((lightness + 16) / (local_l + 16), 1) - share)
    own_ab *= 1 - tone[..., None]
    shadow, light = -np.quantile(log_smooth[core], 0.03), np.quantile(log_smooth[core], 0.97)
    facts = ClothFacts(
        reference,
        (float(shadow), float(light)),
        *_typical(contrast[core & (near < 0.5)]),
        (float(-np.minimum(contrast[core], 0).sum()), float(np.maximum(contrast[core], 0).sum())),
        _is_pattern(np.where(tones, 0, contrast)[core], np.linalg.norm(own_ab[core], axis=-1)),
    )
    return Cloth(
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
    is_tinted = smoothstep(size, 6.0, 20.0)  # grey cloth has no hue: grey patterns on it get the new one
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
