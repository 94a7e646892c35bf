"""Continue colours where a picture is not known: as a membrane, or with gradients that are given."""

from __future__ import annotations

import cv2
import numpy as np

_SWEEPS = 8  # a scale of the membrane
_SCREEN = 0.01  # weight of the voted colours against the gradients
_MAX_STEPS = 60  # of the solver


def fill_smoothly(image: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Continue a picture where it is not known by a membrane: each pixel the mean of its neighbours.

    Solved from coarse to fine, a few sweeps a scale.

    Args:
        image: (H, W, C) float32.
        known: (H, W) float32 in [0, 1]: weight of each pixel; those of weight 1 keep their colours.

    Returns:
        (H, W, C) float32.
    """
    if min(known.shape) < 2 or known.min() >= 1:
        mean = (image * known[..., None]).sum(axis=(0, 1)) / max(float(known.sum()), 1e-6)
        return np.where(known[..., None] > 0, image, mean).astype(np.float32)
    size = ((known.shape[1] + 1) // 2, (known.shape[0] + 1) // 2)
    coarse = fill_smoothly(*shrink_known(image, known, size))
    filled = cv2.resize(coarse, known.shape[::-1], interpolation=cv2.INTER_LINEAR).reshape(image.shape)
    weight = known[..., None]
    filled = image * weight + filled * (1 - weight)
    kernel = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], np.float32) / 4
    for _ in range(_SWEEPS):
        mean = cv2.filter2D(filled, -1, kernel, borderType=cv2.BORDER_REPLICATE).reshape(image.shape)
        filled = image * weight + mean * (1 - weight)
    return filled


def shrink_known(image: np.ndarray, weights: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return a picture (H, W, C) float32 and its weights (H, W) at a smaller size: means of what has weight."""
    if size == weights.shape[::-1]:
        return image.copy(), weights
    shrunk = cv2.resize(weights, size, interpolation=cv2.INTER_AREA)
    values = cv2.resize(image * weights[..., None], size, interpolation=cv2.INTER_AREA)
    return values.reshape(*shrunk.shape, -1) / np.maximum(shrunk, 1e-6)[..., None], shrunk


def join_gradients(voted: np.ndarray, hole: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Return a picture whose gradients in the hole are those of the pixels copied, near the colours voted for.

    A screened Poisson equation (Bhat et al., 2008) with the hole's border as boundary, by conjugate gradients.

    Args:
        voted: (H, W, 3) float32, filled inside the hole.
        hole: (H, W) bool.
        offsets: (H, W, 2) int: the step from each pixel of the hole to the one that it was copied from.

    Returns:
        (H, W, 3) float32.
    """
    height, width = hole.shape
    inside = np.pad(hole, 1)
    rows, columns = np.nonzero(hole)
    target = _SCREEN * voted[hole]
    degree = np.full(len(rows), _SCREEN, np.float32)
    for dy, dx in ((0, 1), (0, -1), (1, 0), (-1, 0)):
        ys, xs = rows + dy, columns + dx
        valid = (ys >= 0) & (ys < height) & (xs >= 0) & (xs < width)
        ys, xs = ys.clip(0, height - 1), xs.clip(0, width - 1)
        step = _copied_step(voted, offsets[rows, columns], (rows, columns), (dy, dx))
        both = valid & hole[ys, xs]
        step[both] = 0.5 * (step[both] - _copied_step(voted, offsets[ys, xs], (ys, xs), (-dy, -dx))[both])
        target -= step * valid[:, None]
        known = valid & ~hole[ys, xs]
        target[known] += voted[ys[known], xs[known]]
        degree += valid
    filled = voted.copy()
    filled[hole] = _solve(inside, degree, target, voted[hole])
    return filled


def _solve(inside: np.ndarray, degree: np.ndarray, target: np.ndarray, first: np.ndarray) -> np.ndarray:
    """Solve degree × value - sum of the neighbours inside = target, by conjugate gradients.

    Args:
        inside: (H + 2, W + 2) bool: the unknown pixels, none at the border.
        degree: (N,) float32, for each of them.
        target: (N, 3) float32.
        first: (N, 3) float32: where to begin.
    """
    rows, columns = (np.flatnonzero(inside.any(axis=axis)) for axis in (1, 0))
    box = (slice(rows[0] - 1, rows[-1] + 2), slice(columns[0] - 1, columns[-1] + 2))
    inside = inside[box]

    def dense(values: np.ndarray) -> np.ndarray:
        field = np.zeros((*inside.shape, *values.shape[1:]), np.float32)
        field[inside] = values
        return field

    mask, diagonal, solution = dense(np.ones((len(degree), 1))), dense(degree[:, None]), dense(first)

    def apply(field: np.ndarray) -> np.ndarray:
        product = diagonal * field
        center = product[1:-1, 1:-1]
        for part in (field[1:-1, 2:], field[1:-1, :-2], field[2:, 1:-1], field[:-2, 1:-1]):
            center -= part
        return product * mask

    residual = dense(target) - apply(solution)
    direction, power = residual, float(np.vdot(residual, residual))
    enough = 1e-4 * power
    for _ in range(_MAX_STEPS):
        if power <= enough:
            break
        image = apply(direction)
        length = power / float(np.vdot(direction, image))
        solution += length * direction
        residual = residual - length * image
        before, power = power, float(np.vdot(residual, residual))
        direction = residual + power / before * direction
    return solution[inside]


def _copied_step(
    image: np.ndarray, offsets: np.ndarray, place: tuple[np.ndarray, np.ndarray], step: tuple[int, int]
) -> np.ndarray:
    """Return the difference (N, 3) between a neighbour and a pixel, where the pixels at places were copied from."""
    ys, xs = place[0] + offsets[:, 0], place[1] + offsets[:, 1]
    there = (ys + step[0]).clip(0, image.shape[0] - 1), (xs + step[1]).clip(0, image.shape[1] - 1)
    return image[there] - image[ys, xs]
