"""Moves a picture by a mesh of triangles: a coarse map from the target to the source, and one resampling."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

_FAR = -1e4  # a position outside of every texture
_JUMP = 2.0  # pixels of the source per pixel of the target, beyond which it may not be continuous
_OPAQUE = 230  # of 255: less opaque pixels hide nothing of the same mesh, which would be seen through their rim
_WHOLE = 0.999  # of the corners of a cell of the coarse map that lie on the mesh


class Mesh(NamedTuple):
    """Triangles over a part of a picture."""

    vertices: np.ndarray
    """(V, 2) float64 x and y in pixels."""
    triangles: np.ndarray
    """(M, 3) int: rows of `vertices`."""


def grid_mesh(region: np.ndarray, spacing: int, beyond: int = 1) -> Mesh:
    """Return a mesh of squares, two triangles each, over a region (H, W) bool and some squares beyond it."""
    height, width = region.shape
    margin = beyond * spacing
    rows, columns = -(-height // spacing) + 2 * beyond, -(-width // spacing) + 2 * beyond
    padded = np.zeros((rows * spacing, columns * spacing), bool)
    padded[margin : margin + height, margin : margin + width] = region
    used = padded.reshape(rows, spacing, columns, spacing).any(axis=(1, 3))
    used = cv2.dilate(np.asarray(used, np.uint8), np.ones((2 * beyond + 1,) * 2, np.uint8)) > 0
    ys, xs = np.nonzero(used)
    corner = ys * (columns + 1) + xs
    below = corner + columns + 1
    triangles = np.concatenate(
        [np.stack([corner, corner + 1, below], axis=1), np.stack([corner + 1, below + 1, below], axis=1)]
    )
    kept, triangles = np.unique(triangles, return_inverse=True)
    vertices = np.stack([kept % (columns + 1) - beyond, kept // (columns + 1) - beyond], axis=1) * spacing
    return Mesh(vertices.astype(np.float64), triangles.reshape(-1, 3))


def inverse_map(
    mesh: Mesh, moved: np.ndarray, size: tuple[int, int], step: int, opacity: np.ndarray | None = None
) -> tuple[np.ndarray, tuple[int, ...]]:
    """Rasterize where each target pixel comes from, at every `step`-th pixel.

    Where triangles overlap the last one is seen that is opaque there: what a mesh holds beyond a forearm must not hide
    the upper arm.

    Args:
        mesh: Over the source.
        moved: (V, 2) its vertices in the target.
        size: Height and width of the target.
        step: Pixels from one sample to the next.
        opacity: (H, W) uint8 of the source; all is opaque by default.

    Returns:
        (h, w, 2) float32 x and y in the source at samples ``(left + i) * step``, far outside where nothing is; and
        left, top, right and bottom of them in samples.
    """
    limit = np.array([(size[1] - 1) // step + 1, (size[0] - 1) // step + 1])
    corners = moved[mesh.triangles] / step  # (M, 3, 2)
    low = np.clip(np.ceil(corners.min(axis=1)), 0, limit + 1).astype(int)
    high = np.clip(np.floor(corners.max(axis=1)) + 1, 0, limit + 1).astype(int)
    counts = np.maximum(high - low, 0)
    shown = np.flatnonzero(counts.prod(axis=1))
    if not len(shown):
        return np.zeros((0, 0, 2), np.float32), (0, 0, 0, 0)
    corners, low, counts = corners[shown], low[shown], counts[shown]
    total = counts.prod(axis=1)
    owner = np.repeat(np.arange(len(shown)), total)
    within = np.arange(len(owner)) - np.repeat(np.cumsum(total) - total, total)
    x = low[owner, 0] + within % counts[owner, 0]
    y = low[owner, 1] + within // counts[owner, 0]
    a, b, c = np.moveaxis(corners, 1, 0)
    ab, ac = b - a, c - a
    area = ab[:, 0] * ac[:, 1] - ab[:, 1] * ac[:, 0]
    inverse = np.where(np.abs(area) > 1e-9, 1 / np.where(np.abs(area) > 1e-9, area, 1), 0)
    dx, dy = x - a[owner, 0], y - a[owner, 1]
    v = (dx * ac[owner, 1] - dy * ac[owner, 0]) * inverse[owner]
    w = (dy * ab[owner, 0] - dx * ab[owner, 1]) * inverse[owner]
    inside = (v >= -1e-6) & (w >= -1e-6) & (v + w <= 1 + 1e-6) & (inverse[owner] != 0)
    owner, x, y, v, w = owner[inside], x[inside], y[inside], v[inside, None], w[inside, None]
    if not len(owner):
        return np.zeros((0, 0, 2), np.float32), (0, 0, 0, 0)
    source = mesh.vertices[mesh.triangles[shown]]  # (K, 3, 2)
    positions = source[owner, 0] * (1 - v - w) + source[owner, 1] * v + source[owner, 2] * w
    left, top, right, bottom = int(x.min()), int(y.min()), int(x.max()) + 1, int(y.max()) + 1
    samples = np.full((bottom - top, right - left, 2), _FAR, np.float32)
    samples[y - top, x - left] = positions
    if opacity is not None:
        limit = np.array(opacity.shape[::-1]) - 1
        columns, rows = positions.round().astype(int).clip(0, limit).T
        opaque = opacity[rows, columns] > _OPAQUE
        samples[y[opaque] - top, x[opaque] - left] = positions[opaque]
    return samples, (left, top, right, bottom)


def warp_texture(
    texture: np.ndarray, mesh: Mesh, moved: np.ndarray, size: tuple[int, int], step: int
) -> tuple[np.ndarray, tuple[int, int]] | None:
    """Resample a texture (H, W, 4) uint8 onto the target.

    The mesh reaches beyond what is opaque in the texture by more than a step, so that the border of the coarse map is
    not seen.

    Returns:
        The part of the target that it covers, (h, w, 4) uint8, and its left and top; None where nothing is in view.
    """
    found = target_positions(mesh, moved, size, step, texture[..., 3])
    if found is None:
        return None
    positions, corner = found
    return sample_texture(texture, positions), corner


def sample_texture(texture: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Resample a picture (H, W, C) uint8 at positions (h, w, 2) float32, 0 outside: (h, w, C) uint8."""
    return cv2.remap(texture, positions, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)  # type: ignore[call-overload]


def target_positions(
    mesh: Mesh, moved: np.ndarray, size: tuple[int, int], step: int, opacity: np.ndarray | None = None
) -> tuple[np.ndarray, tuple[int, int]] | None:
    """Find where each target pixel comes from; arguments as of `inverse_map`.

    Returns:
        For the part of the target that the mesh covers, (h, w, 2) float32 x and y in the source, far outside where
        nothing is; and its left and top. None where nothing is in view.
    """
    if _turns_over(mesh, moved):
        step = 1
    samples, (left, top, right, bottom) = inverse_map(mesh, moved, size, step, opacity)
    if right - left < 2 or bottom - top < 2:
        return None
    if step == 1:
        return samples[: size[0] - top, : size[1] - left], (left, top)
    valid = (samples[..., 0] > _FAR / 2).astype(np.float32)
    shape = ((right - left - 1) * step + 1, (bottom - top - 1) * step + 1)
    positions = _enlarge(samples, shape, step)
    covered = _enlarge(valid, shape, step) >= _WHOLE
    folded = _folds(samples, step)
    if folded.any():
        torn = _enlarge(folded.astype(np.float32), shape, step) > 0
        exact = np.full_like(positions, _FAR)
        every, (x0, y0, x1, y1) = inverse_map(mesh, moved, size, 1, opacity)
        rows = _overlap(y0, y1, top * step, shape[1])
        columns = _overlap(x0, x1, left * step, shape[0])
        into, out_of = zip(rows, columns, strict=True)
        exact[into] = every[out_of]
        positions[torn] = exact[torn]
    positions[~covered] = _FAR
    x0, y0 = left * step, top * step
    return positions[: size[0] - y0, : size[1] - x0], (x0, y0)


def is_covered(positions: np.ndarray) -> np.ndarray:
    """Return at which positions (h, w, 2) of `target_positions` there is something, (h, w) bool."""
    return positions[..., 0] > _FAR / 2


def _turns_over(mesh: Mesh, moved: np.ndarray) -> bool:
    """Return whether some triangles lie with their back to the viewer, so that a mesh lies over itself."""
    a, b, c = np.moveaxis(moved[mesh.triangles], 1, 0)
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    return bool((area < 0).any() and (area > 0).any())


def _overlap(start: int, stop: int, first: int, length: int) -> tuple[slice, slice]:
    """Return what of a range lies within another one of a length: counted from the other's first, and from its own."""
    low, high = max(start, first), max(min(stop, first + length), start, first)
    return slice(low - first, high - first), slice(low - start, high - start)


def _folds(samples: np.ndarray, step: int) -> np.ndarray:
    """Return at which samples (h, w, 2) a mesh lies over itself, (h, w) bool.

    Between two of its folds the source jumps. Interpolated, everything between them would be seen as a thin line.
    """
    folds = np.zeros(samples.shape[:2], bool)
    on_mesh = samples[..., 0] > _FAR / 2
    for axis in (0, 1):
        ahead = np.diff(samples, axis=axis)
        whole = np.take(on_mesh, np.arange(1, samples.shape[axis]), axis) & np.delete(on_mesh, -1, axis)
        both = np.delete(whole, 0, axis) & np.delete(whole, -1, axis)
        change = np.linalg.norm(np.diff(ahead, axis=axis), axis=-1) * both
        unlike = np.minimum(*(np.insert(change, end, np.inf, axis) for end in (0, change.shape[axis])))
        jumps = whole & (np.linalg.norm(ahead, axis=-1) > _JUMP * step) & (unlike > _JUMP * step)
        folds |= np.insert(jumps, 0, False, axis) | np.insert(jumps, jumps.shape[axis], False, axis)
    return folds


def _enlarge(samples: np.ndarray, shape: tuple[int, int], step: int) -> np.ndarray:
    """Interpolate bilinearly between samples that stand `step` pixels apart; the first and the last stay in place."""
    scale = np.array([[1 / step, 0, 0], [0, 1 / step, 0]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(samples, scale, shape, flags=flags, borderMode=cv2.BORDER_REPLICATE)
