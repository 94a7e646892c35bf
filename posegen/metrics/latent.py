"""Metrics of codes: how well colours are predicted from them, active dimensions, and their effect on a picture."""

from __future__ import annotations

import numpy as np

from posegen.errors import ConfigError

_MAX_FOLDS = 5
_CONSTANT = 1e-12  # squared units of (a, b), for rounding


def probe_r2(codes: np.ndarray, ab: np.ndarray, groups: np.ndarray) -> float:
    """Measure how well a linear map predicts a garment's colour from its code (a linear probe: Alain and Bengio, 2016).

    Least squares is fitted on some clips and asked about the others, because frames of a clip are so alike that a
    map could learn them by heart. Clips are dealt into five folds, or one each where there are fewer.

    Args:
        codes: (N, Z).
        ab: (N, 2), a and b of the garments that the codes stand for.
        groups: (N,), the clip that each row is from.

    Returns:
        R² of the held-out predictions of all folds together, averaged over a and b: 1 is perfect, 0 is no better
        than the mean colour, and below 0 is worse than that.

    Raises:
        ConfigError: Shapes do not fit, a value is not finite, there are fewer than two clips, or a or b is constant.
    """
    codes, ab, groups = np.asarray(codes, np.float64), np.asarray(ab, np.float64), np.asarray(groups)
    _require_codes(codes)
    if ab.shape != (len(codes), 2) or groups.shape != (len(codes),) or not np.isfinite(ab).all():
        raise ConfigError(
            f"got a, b of shape {ab.shape} and groups of shape {groups.shape} for {len(codes)} codes, "
            "expected finite (N, 2) and (N,)"
        )
    variation = np.square(ab - ab.mean(axis=0)).sum(axis=0)
    if variation.min() < _CONSTANT * len(ab):
        raise ConfigError("a or b is the same in all rows, expected garments of several colours")
    error = np.square(ab - _held_out_predictions(codes, ab, _folds(groups))).sum(axis=0)
    return float(np.mean(1 - error / variation))


def principal_components(codes: np.ndarray, num_components: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Project codes (N, Z) onto the directions in which they vary most (PCA: Pearson, 1901).

    The largest loading of each direction is positive, so that a plot does not flip from run to run.

    Returns:
        Coordinates (N, num_components), and the shares of the variance that they explain, (num_components,) in
        [0, 1] and falling; zeros where all codes are equal.

    Raises:
        ConfigError: Codes are not finite, or there are fewer rows or dimensions than components.
    """
    codes = np.asarray(codes, np.float64)
    _require_codes(codes)
    if min(codes.shape) < num_components:
        raise ConfigError(f"got codes of shape {codes.shape}, expected at least {num_components} rows and dimensions")
    centered = codes - codes.mean(axis=0)
    _, scales, directions = np.linalg.svd(centered, full_matrices=False)  # (min(N, Z),), (min(N, Z), Z)
    directions = directions[:num_components]
    largest = np.take_along_axis(directions, np.abs(directions).argmax(axis=1)[:, None], axis=1)
    variances = scales**2
    explained = variances[:num_components] / max(variances.sum(), np.finfo(np.float64).tiny)
    return centered @ (directions * np.sign(largest)).T, explained


def active_units(means: np.ndarray, threshold: float = 0.01) -> int:
    """Number of dimensions of posterior means (N, Z) whose variance over the data is above the threshold.

    The others carry nothing: they collapsed onto the prior (Burda et al., 2016, Section 5.2).
    """
    _require_codes(means)
    return int((means.var(axis=0) > threshold).sum())


def code_sensitivity(images: np.ndarray, other_images: np.ndarray, codes: np.ndarray, other_codes: np.ndarray) -> float:
    """Measure the change of a picture per unit of distance between codes; near 0 if the generator ignores them.

    Args:
        images: (N, H, W, 3) uint8, generated with `codes`.
        other_images: The same generated with `other_codes`, and with nothing else changed.
        codes: (N, Z).
        other_codes: (N, Z), each different from its partner.

    Returns:
        Mean over the pairs of the mean absolute difference of a channel, in [0, 1], over the codes' Euclidean distance.

    Raises:
        ConfigError: Shapes or types are not these, codes are not finite, or two of a pair are equal.
    """
    _require_codes(codes)
    _require_codes(other_codes)
    if codes.shape != other_codes.shape or images.shape != other_images.shape or len(codes) != len(images):
        raise ConfigError(
            f"got images of shapes {images.shape} and {other_images.shape} and codes of shapes {codes.shape} and "
            f"{other_codes.shape}, expected pairs (N, H, W, 3) and (N, Z)"
        )
    if images.dtype != np.uint8 or other_images.dtype != np.uint8:
        raise ConfigError(f"got {images.dtype} and {other_images.dtype} images, expected uint8")
    distances = np.linalg.norm(codes - other_codes, axis=1)  # (N,)
    if not distances.all():
        raise ConfigError(f"pairs {np.flatnonzero(distances == 0).tolist()} have equal codes, expected different ones")
    changes = np.abs(images.astype(np.float32) - other_images).mean(axis=(1, 2, 3)) / 255  # (N,)
    return float((changes / distances).mean())


def _require_codes(codes: np.ndarray) -> None:
    if codes.ndim != 2 or not codes.size or not np.isfinite(codes).all():
        bad = int((~np.isfinite(codes)).sum())
        raise ConfigError(f"got codes of shape {codes.shape} with {bad} values that are not finite, expected (N, Z)")


def _folds(groups: np.ndarray) -> np.ndarray:
    """Deal groups (N,) into folds, the largest first and each to the fold with the fewest rows: (N,) int."""
    _, numbers, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    if len(sizes) < 2:
        raise ConfigError(f"a probe needs at least 2 clips to hold one out, got {len(sizes)}")
    rows = np.zeros(min(_MAX_FOLDS, len(sizes)), int)
    fold_of_group = np.zeros(len(sizes), int)
    for group in np.argsort(-sizes, kind="stable"):
        fold_of_group[group] = rows.argmin()
        rows[rows.argmin()] += sizes[group]
    return fold_of_group[numbers]


def _held_out_predictions(codes: np.ndarray, ab: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Predict each row (N, 2) by an affine least-squares map from the rows of the other folds."""
    predictions = np.zeros_like(ab)
    for fold in range(folds.max() + 1):
        rest, held_out = folds != fold, folds == fold
        mean, mean_ab = codes[rest].mean(axis=0), ab[rest].mean(axis=0)
        weights = np.linalg.lstsq(codes[rest] - mean, ab[rest] - mean_ab)[0]  # (Z, 2), of least norm
        predictions[held_out] = mean_ab + (codes[held_out] - mean) @ weights
    return predictions
