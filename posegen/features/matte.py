"""Soft borders of a person: a mask that follows the picture's edges, and colours without what is behind."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from posegen.features.morphology import grow_square

_EPSILON = 1e-3  # of squared intensities in [0, 1]: smaller differences of colour are no edges
_RADIUS = 1 / 192  # of the height of the picture
_CONTRAST = 2.0
_BAND = 1 / 64  # of the height: how wide the border is that is not looked at for the colours inside
_RIM = 1 / 192  # of the height: how exact labels are
_ROUNDS = 3  # each from where the last one ended, into a gap between legs
_NOBODY, _SOMEBODY = 0.02, 0.98  # of an opacity
_REACH = (4.0, 2.0)  # bands around what is surely outside, and surely inside, that are looked at
_OUTLINE = 3  # rims from outside, within which what is no wider than two of them is no gap
_ALIKE = (15.0, 30.0)  # levels between inside and outside: no border is seen, and one is seen
_SOFT = 0.8  # pixels, of the border of labels
_DISTINCT = (30.0, 70.0)  # levels between inside and outside: told apart by no pixel, and by each
_SPREADS = 3.0  # that difference must be so many times how much both vary by themselves
_UNLIKE = (0.2, 0.5)  # shares of it between outside and a pixel: it is outside, and it may be inside

_UNEXPLAINED = 0.25  # of it, beside the line between both: no mixture of the two
_TIP = 2.0  # bands from nobody within which the tip of a gap is looked for
_GAP = 2.0  # bands: wider gaps are known to masks
_MIXED = (0.05, 0.9)  # shares of the person's colour in a pixel: nobody, and the person alone


def soft_matte(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return the opacity (H, W) float32 in [0, 1] of a person of whom the mask (H, W) uint8 is roughly known.

    Args:
        image: (H, W, 3) uint8 RGB.
        mask: Probability × 255.
    """
    radius = max(round(image.shape[0] * _RADIUS), 1)
    matte = refine_mask(image, cv2.GaussianBlur(mask, (0, 0), radius / 2), radius)
    return np.clip(_CONTRAST * (matte - 0.5) + 0.5, 0, 1)


def refine_mask(image: np.ndarray, mask: np.ndarray, radius: int) -> np.ndarray:
    """Let a mask follow the edges of its picture by a guided filter (He, Sun and Tang, 2010).

    Args:
        image: (H, W, 3) uint8 RGB.
        mask: (H, W) uint8 probability × 255.
        radius: Pixels around each pixel that are looked at.

    Returns:
        (H, W) float32 in [0, 1].
    """
    guide = image.astype(np.float32) / 255
    target = mask.astype(np.float32) / 255
    mean_guide, mean_target = _mean(guide, radius), _mean(target, radius)
    products = guide[..., :, None] * guide[..., None, :]  # (H, W, 3, 3)
    covariance = _mean(products.reshape(*mask.shape, 9), radius).reshape(products.shape)
    covariance -= mean_guide[..., :, None] * mean_guide[..., None, :]
    covariance += _EPSILON * np.eye(3, dtype=np.float32)
    shared = _mean(guide * target[..., None], radius) - mean_guide * mean_target[..., None]
    slope = np.linalg.solve(covariance, shared[..., None])[..., 0]
    offset = mean_target - (slope * mean_guide).sum(axis=-1)
    refined = (_mean(slope, radius) * guide).sum(axis=-1) + _mean(offset, radius)
    return np.clip(refined, 0, 1)


def clear_matte(image: np.ndarray, matte: np.ndarray, labels: np.ndarray, background: np.ndarray) -> np.ndarray:
    """Clear the background from the border of a matte, by colour.

    Masks close the gaps between legs and between arm and trunk, and are round at hands. A pixel there is not the person
    if it has the colour of the nearest pixels outside, or of the filled background, and not that of the nearest inside.
    Where both are alike, or vary, nothing changes.

    Args:
        image: (H, W, 3) uint8 RGB.
        matte: (H, W) float32 in [0, 1].
        labels: (H, W) uint8 of `PersonClass`, by another network than the matte.
        background: (H, W, 3) uint8 without the person.

    Returns:
        (H, W) float32, nowhere more than the matte.
    """
    band = max(round(image.shape[0] * _BAND), 2)
    window = _window(matte, round(_REACH[0] * band))
    seen = _Seen(image[window], labels[window], background[window], band)
    cleared = matte.copy()
    cleared[window] = _unmix_border(_clear_gaps(matte[window], seen), seen)
    return cleared


class _Seen(NamedTuple):
    """Picture of a person whose matte is cleared, within a box."""

    image: np.ndarray
    """(H, W, 3) uint8 RGB."""
    labels: np.ndarray
    """(H, W) uint8 of `PersonClass`."""
    background: np.ndarray
    """(H, W, 3) uint8 without the person."""
    band: int
    """Width of a border in pixels."""


def _clear_gaps(matte: np.ndarray, seen: _Seen) -> np.ndarray:
    """Return a matte (H, W) float32 without what looks like the background around it."""
    image, labels, background, band = seen
    rim = max(round(band * _RIM / _BAND), 1)
    rgb, filled = (cv2.GaussianBlur(one, (0, 0), 0.5).astype(np.float32) for one in (image, background))
    near_nobody = grow_square(labels == 0, rim)
    doubtful = near_nobody | (matte < _SOMEBODY)
    found = matte.copy()
    for _ in range(_ROUNDS):
        outside, inside = found < _NOBODY, _core(found > _SOMEBODY, band) & ~near_nobody
        if not outside.any() or not inside.any():
            break
        near = (_distance_to(outside) <= _REACH[0] * band) & (_distance_to(inside) <= _REACH[1] * band)
        rows, columns = np.nonzero(doubtful & near & ~outside & ~inside)
        (own, own_spread), (behind, spread) = (
            _colors_near(rgb, known, band / 2, rows, columns) for known in (inside, outside)
        )
        colors, shown = rgb[rows, columns], np.zeros(len(rows), np.float32)
        for other, varies in ((behind, own_spread + spread), (filled[rows, columns], own_spread)):
            contrast = np.linalg.norm(own - other, axis=1)
            unlike = np.linalg.norm(colors - other, axis=1) / np.maximum(contrast, 1)
            trust = _ramp(contrast, *_DISTINCT) * (contrast > _SPREADS * varies)
            shown = np.maximum(shown, trust * (1 - _ramp(unlike, *_UNLIKE)))
        taken = np.zeros_like(found)
        taken[rows, columns] = shown
        # A border of one pixel is a mixture, and is as soft as it should be.
        found *= 1 - cv2.morphologyEx(taken, cv2.MORPH_OPEN, np.ones((2, 2), np.uint8))
    # A light along the outline of a sleeve has the colour of a bright wall, too.
    closed = cv2.morphologyEx(found, cv2.MORPH_CLOSE, np.ones((2 * rim + 1,) * 2, np.uint8))
    at_outline = (_distance_to(matte < _NOBODY) <= _OUTLINE * rim) & (labels > 0)
    return np.where(at_outline, np.minimum(matte, closed), found)


def _unmix_border(matte: np.ndarray, seen: _Seen) -> np.ndarray:
    """Return a matte (H, W) float32 that is no more than pixels beside nobody show of the person.

    There a pixel is a mixture of both sides' colours, and masks are a pixel too wide; a gap between legs is one up to
    its tip. Colours that no mixture explains, and sides that are alike or vary, change nothing.
    """
    image, labels, background, band = seen
    reach = round(_TIP * band)
    outside, inside = matte < _NOBODY, _core((matte > _SOMEBODY) & (labels > 0), reach)
    if not outside.any() or not inside.any():
        return matte
    near = (_distance_to(outside) <= reach) & (_distance_to(inside) <= reach + _REACH[1] * band)
    rows, columns = np.nonzero(near & ~outside)
    rgb, filled = image.astype(np.float32), background.astype(np.float32)
    (own, own_spread), (behind, spread) = (
        _colors_near(one, known, band / 2, rows, columns)
        for one, known in ((rgb, inside), (filled, np.ones_like(outside)))
    )
    across, offset = own - behind, rgb[rows, columns] - behind
    contrast = np.linalg.norm(across, axis=1)
    share = (offset * across).sum(axis=1) / np.maximum(contrast, 1) ** 2
    beside = np.linalg.norm(offset - share[:, None] * across, axis=1) / np.maximum(contrast, 1)
    kinds = labels.ravel()[nearest_known(labels > 0)]  # fingers before trousers look like trousers before a wall
    same = (kinds == kinds.ravel()[nearest_known(inside)])[rows, columns]
    trust = _ramp(contrast, *_DISTINCT) * (contrast > _SPREADS * (own_spread + spread))
    trust = trust * (same & (beside < _UNEXPLAINED))
    most = np.ones_like(matte)
    most[rows, columns] = 1 - trust * (1 - _ramp(share, *_MIXED))
    mixed = most < _MIXED[1]
    # Legs stand beside each other: what has cloth on both sides is a gap, and what has not, as a sock, is none.
    solid = (~mixed & (matte > 0.5)).astype(np.uint8)
    between = cv2.morphologyEx(solid, cv2.MORPH_CLOSE, np.ones((1, 2 * round(_GAP * band / 2) - 1), np.uint8)) > 0
    edge = outside | (mixed & between)
    _, pieces = cv2.connectedComponents(edge.astype(np.uint8))
    edge = (edge & np.isin(pieces, np.unique(pieces[outside]))) | grow_square(outside, 1)
    return np.where(edge, np.minimum(matte, most), matte)


def settle_matte(image: np.ndarray, matte: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """End a person where labels do, where the picture shows no border: a white shirt before a white wall.

    A mask is soft there, and with another colour the shirt would have a halo.

    Args:
        image: (H, W, 3) uint8 RGB.
        matte: (H, W) float32 in [0, 1].
        labels: (H, W) uint8 of `PersonClass`.

    Returns:
        (H, W) float32.
    """
    band = max(round(image.shape[0] * _BAND), 2)
    window = _window(matte, 2 * band)
    outside, inside = matte[window] < _NOBODY, matte[window] > _SOMEBODY
    if not outside.any() or not inside.any():
        return matte
    rows, columns = np.nonzero(~outside & ~inside)
    own, behind = (_mean_near(image[window], known, band)[rows, columns] for known in (inside, outside))
    alike = 1 - _ramp(np.linalg.norm(own - behind, axis=1), *_ALIKE)
    ends = cv2.GaussianBlur((labels[window] > 0).astype(np.float32), (0, 0), _SOFT)[rows, columns]
    settled = matte.copy()
    settled[window][rows, columns] += alike * (ends - settled[window][rows, columns])
    return settled


def _window(matte: np.ndarray, margin: int) -> tuple[slice, slice]:
    """Return the rows and columns of a matte (H, W) that hold the person and pixels around them."""
    left, top, width, height = cv2.boundingRect((matte >= _NOBODY).astype(np.uint8))
    return slice(max(top - margin, 0), top + height + margin), slice(max(left - margin, 0), left + width + margin)


def _mean_near(rgb: np.ndarray, known: np.ndarray, size: int) -> np.ndarray:
    """Return the mean colours (H, W, 3) float32 around the known pixel, (H, W) bool, that is nearest to each pixel."""
    weight = cv2.blur(known.astype(np.float32), (size, size))[..., None]
    mean = cv2.blur((rgb * known[..., None]).astype(np.float32), (size, size)) / np.maximum(weight, 1e-6)
    return mean.reshape(-1, 3)[nearest_known(known)]


def _distance_to(region: np.ndarray) -> np.ndarray:
    """Return the distance (H, W) float32 in pixels to a region (H, W) bool."""
    return cv2.distanceTransform((~region).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)


def _core(region: np.ndarray, width: int) -> np.ndarray:
    """Return a region (H, W) bool without a band at its border; of parts thinner than the band, their middle."""
    distance = cv2.distanceTransform(region.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    ridge = distance >= 0.8 * cv2.dilate(distance, np.ones((2 * width + 1,) * 2, np.uint8))
    return (distance > width) | (region & ridge)


def _colors_near(
    rgb: np.ndarray, known: np.ndarray, sigma: float, rows: np.ndarray, columns: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean colours (N, 3) and their spread (N,) around known pixels, (H, W) bool, nearest to N others."""
    weight = cv2.GaussianBlur(known.astype(np.float32), (0, 0), sigma)[..., None]
    inside = rgb * known[..., None]
    mean = cv2.GaussianBlur(inside, (0, 0), sigma) / np.maximum(weight, 1e-6)
    square = cv2.GaussianBlur(inside * rgb, (0, 0), sigma) / np.maximum(weight, 1e-6)
    spread = np.sqrt(np.maximum(square - mean**2, 0).sum(axis=-1))
    numbers = nearest_known(known)[rows, columns]
    return mean.reshape(-1, 3)[numbers], spread.ravel()[numbers]


def _ramp(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Return 0 up to a low value, 1 from a high one on."""
    return np.clip((values - low) / (high - low), 0, 1)


def nearest_known(known: np.ndarray) -> np.ndarray:
    """Return the number (H, W) int of the known pixel that is nearest to each pixel; `known` (H, W) bool has one."""
    _, labels = cv2.distanceTransformWithLabels(
        (~known).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    numbers = np.flatnonzero(known)
    by_label = np.zeros(labels.max() + 1, np.int64)
    by_label[labels.ravel()[numbers]] = numbers
    return by_label[labels]


def _mean(values: np.ndarray, radius: int) -> np.ndarray:
    """Mean over squares of 2 × radius + 1 pixels around each pixel, of (H, W) or (H, W, C)."""
    size = (2 * radius + 1, 2 * radius + 1)
    if values.ndim == 2:
        return cv2.blur(values, size)
    planes = [cv2.blur(np.ascontiguousarray(values[..., c]), size) for c in range(values.shape[2])]
    return np.stack(planes, axis=-1)
