"""Fill holes of a picture where what is around them is plain: a wall, a sky, a studio's paper.

There colours between the left and the right side show no seam, and a patch search is a waste. Rows are filled on their
own, so that a floor does not shine through on the wall above it. The grain of what is beside them is laid over it.
"""

from __future__ import annotations

import cv2
import numpy as np

from posegen.features.morphology import grow_round

_HEIGHT = 192  # pixels to which taller pictures are shrunk to look for structure
_BAND = 0.03  # of the height, around the hole: what counts as beside it
_BORDER = 4  # pixels beside the hole whose differences are those to the hole
_NEAR = 0.05  # of the height: so near to structure nothing is plain
_ROWS = 0.02  # of the height by which lines may slant from one side to the other
_ROUGH = 6.0  # levels by which neighbours of a pixel differ where there is structure
_UNLIKE = 14.0  # levels by which the two sides of a plain place differ at most
_LARGEST_GRAIN = 8.0  # levels
_GRAIN_SIGMA = 1.5  # pixels


def fill_plain_parts(image: np.ndarray, hole: np.ndarray, avoid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fill those parts of a hole around which nothing but plain colours and shading is seen.

    Args:
        image: (H, W, 3) uint8.
        hole: (H, W) bool.
        avoid: (H, W) bool: the hole and pixels around it that are not trusted, and filled, too, where they are plain.

    Returns:
        The picture (H, W, 3) uint8, and what was filled of the hole and around it, (H, W) bool.
    """
    if not hole.any() or avoid.all():
        return image.copy(), np.zeros_like(hole)
    scale = min(_HEIGHT / len(image), 1.0)
    size = (max(round(scale * image.shape[1]), 1), max(round(scale * image.shape[0]), 1))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    hidden = cv2.resize(avoid.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    plain = _find_plain(small, hidden > 0)
    plain_here = cv2.resize(plain.astype(np.float32), hole.shape[::-1], interpolation=cv2.INTER_LINEAR) > 0.5
    filled = plain_here & avoid
    if not filled.any():
        return image.copy(), filled
    large = cv2.resize(_join_sides(small, hidden <= 0, plain), hole.shape[::-1], interpolation=cv2.INTER_CUBIC)
    painted = large + _grain(image, avoid)
    return np.where(filled[..., None], np.clip(painted, 0, 255).round(), image).astype(np.uint8), filled


def _find_plain(image: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """Return the hidden pixels (H, W) bool that have no structure near them, nor on either side at their height."""
    height = len(image)
    gray = cv2.GaussianBlur(image.mean(axis=-1), (0, 0), 1)
    gradient = np.hypot(*(cv2.Sobel(gray, cv2.CV_32F, *axis, scale=0.25) for axis in ((1, 0), (0, 1))))
    seen = ~grow_round(hidden, _BORDER)
    band = grow_round(hidden, _BAND * height + _BORDER) & seen
    rough = (gradient > _ROUGH) & seen
    beside = (rough & band).astype(np.uint8)
    near = grow_round(beside > 0, _NEAR * height)
    reach = 2 * max(round(_ROWS * height), 1) + 1
    rows = cv2.dilate(beside, np.ones((reach, 1), np.uint8)) > 0
    # The band is a few pixels wide: any structure in its row counts.
    wide = cv2.dilate(rows.astype(np.uint8), np.ones((1, 2 * round(_BAND * height + _BORDER) + 1), np.uint8)) > 0
    sides = np.zeros_like(hidden)
    (left, on_left), (right, on_right) = _sides_of(seen)
    for border, there in ((left, on_left), (right, on_right)):
        sides |= there & np.take_along_axis(wide, border, axis=1)
    colors = [np.take_along_axis(cv2.GaussianBlur(image, (0, 0), 1), one[..., None], axis=1) for one in (left, right)]
    sides |= on_left & on_right & (np.abs(colors[0] - colors[1]).max(axis=-1) > _UNLIKE)
    plain = cv2.morphologyEx((hidden & ~near & ~sides).astype(np.uint8), cv2.MORPH_OPEN, np.ones((9, 9), np.uint8))
    return plain > 0


def _sides_of(known: np.ndarray) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Return the column (H, W) of the next known pixel on the left, and whether there is one; and on the right."""
    width = known.shape[1]
    columns = np.arange(width)
    left = np.maximum.accumulate(np.where(known, columns, -1), axis=1)
    right = np.minimum.accumulate(np.where(known, columns, width)[:, ::-1], axis=1)[:, ::-1]
    return (left.clip(0), left >= 0), (right.clip(None, width - 1), right < width)


def _join_sides(image: np.ndarray, known: np.ndarray, plain: np.ndarray) -> np.ndarray:
    """Return a picture (H, W, 3) float32 whose plain pixels lie between the known ones on their left and right."""
    weight = known.astype(np.float32)
    spread = np.maximum(cv2.GaussianBlur(weight, (0, 0), 2), 1e-6)[..., None]
    around = cv2.GaussianBlur(image * weight[..., None], (0, 0), 2) / spread
    total = np.zeros(image.shape, np.float32)
    shares = np.zeros((*known.shape, 1), np.float32)
    columns = np.arange(known.shape[1])
    for border, there in _sides_of(known):
        share = (there / (1.0 + np.abs(columns - border)))[..., None].astype(np.float32)
        total += share * np.take_along_axis(around, border[..., None], axis=1)
        shares += share
    joined = np.where(known[..., None] | (shares <= 0), around, total / np.maximum(shares, 1e-6))
    trusted = (plain | known).astype(np.float32)
    sigma = _ROWS * len(image)
    column = cv2.getGaussianKernel(2 * round(3 * sigma) + 1, sigma, cv2.CV_32F)
    smooth = cv2.sepFilter2D(joined * trusted[..., None], cv2.CV_32F, np.ones(1, np.float32), column)
    counts = cv2.sepFilter2D(trusted, cv2.CV_32F, np.ones(1, np.float32), column)
    smooth = smooth / np.maximum(counts, 1e-6)[..., None]
    return np.where(plain[..., None], smooth, joined)


def _grain(image: np.ndarray, avoid: np.ndarray) -> np.ndarray:
    """Return the fine differences (H, W, 3) float32 of what is known, mirrored at the sides of what is not."""
    values = image.astype(np.float32)
    known = ~avoid
    weight = cv2.GaussianBlur(known.astype(np.float32), (0, 0), _GRAIN_SIGMA)
    smooth = cv2.GaussianBlur(values * known[..., None], (0, 0), _GRAIN_SIGMA) / np.maximum(weight, 1e-6)[..., None]
    fine = np.where(known[..., None], values - smooth, 0)
    fine[grow_round(np.abs(fine).max(axis=-1) > _LARGEST_GRAIN, 3)] = 0
    (left, on_left), (right, on_right) = _sides_of(known)
    columns = np.arange(avoid.shape[1])
    from_left, from_right = 2 * left - columns, 2 * right - columns
    on_left &= from_left >= 0
    source = np.where(on_left, from_left, from_right).clip(0, len(columns) - 1)
    valid = on_left | (on_right & (from_right < len(columns)))
    return np.take_along_axis(fine, source[..., None], axis=1) * valid[..., None]
