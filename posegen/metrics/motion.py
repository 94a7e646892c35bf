"""Realism, diversity and action accuracy of generated motions (Guo et al., 2020, arXiv:2007.15240).

All but accuracy compare features (N, D) that one recogniser gave: figures of different recognisers do not compare.
Neither diversity nor multimodality is better for being higher: what real motions have is to be met.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from posegen.errors import ConfigError


class Repeated(NamedTuple):
    """A figure measured several times, and how sure it is, by either convention."""

    mean: float
    std: float
    """Of the sample."""
    confidence: float
    """1.96 · std / √n: half of the mean's 95 % confidence interval."""
    published_interval: float
    """1.96 · variance of the population: what ACTOR's tables print behind ±. No interval of anything."""


def repeated(values: np.ndarray) -> Repeated:
    """Sum up a figure's values (n,) from runs that differ by their seeds. Raises ConfigError for fewer than two."""
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or len(values) < 2 or not np.isfinite(values).all():
        raise ConfigError(f"got values of shape {values.shape}, expected at least two finite ones, (n,)")
    std = float(values.std(ddof=1))
    return Repeated(float(values.mean()), std, 1.96 * std / len(values) ** 0.5, 1.96 * float(values.var()))


def frechet_distance(a: np.ndarray, b: np.ndarray) -> float:
    """FID: the squared Fréchet distance of two sets' Gaussians (Dowson and Landau, 1982; Heusel et al., 2017).

    ‖m_a − m_b‖² + tr(C_a + C_b − 2 (C_a C_b)^½). With C = RᵀR of centred features, the trace of the root is the sum
    of the singular values of R_a R_bᵀ: no covariance is formed and no root of a matrix is taken, so features that
    depend on each other, or are fewer than D, lose no digits and need nothing added to diagonals.

    Args:
        a: (N, D) features, N at least 2.
        b: (M, D) features, M at least 2.

    Returns:
        At least 0. It falls with N and M also where both sets are of one distribution: compare equal numbers.

    Raises:
        ConfigError: Shapes are not these, or a feature is not finite.
    """
    a, b = _require_features(a), _require_features(b)
    if a.shape[1] != b.shape[1]:
        raise ConfigError(f"got features of {a.shape[1]} and {b.shape[1]} dimensions, expected those of one recogniser")
    root_a, root_b = _covariance_root(a), _covariance_root(b)
    means = np.square(a.mean(axis=0) - b.mean(axis=0)).sum()
    trace = np.square(root_a).sum() + np.square(root_b).sum()
    overlap = np.linalg.svd(root_a @ root_b.T, compute_uv=False).sum()
    return max(0.0, float(means + trace - 2 * overlap))


def accuracy(logits: np.ndarray, labels: np.ndarray) -> float:
    """Share in [0, 1] of motions that the recogniser takes for what they were meant to be.

    Args:
        logits: (N, A).
        labels: (N,) int in [0, A).

    Raises:
        ConfigError: Shapes or values are not these.
    """
    logits, labels = np.asarray(logits), np.asarray(labels)
    if logits.ndim != 2 or not logits.size or labels.shape != logits.shape[:1] or not np.isfinite(logits).all():
        raise ConfigError(f"got logits {logits.shape} and labels {labels.shape}, expected finite (N, A) and (N,)")
    if labels.min() < 0 or labels.max() >= logits.shape[1]:
        raise ConfigError(f"got labels from {labels.min()} to {labels.max()}, expected them below {logits.shape[1]}")
    return float((logits.argmax(axis=1) == labels).mean())


def diversity(features: np.ndarray, rng: np.random.Generator, num_pairs: int = 200) -> float:
    """Mean distance of pairs that are sampled, with replacement, from features (N, D) of all actions.

    Raises PosegenError where features are not finite, or fewer than two.
    """
    features = _require_features(features)
    first, second = rng.integers(len(features), size=(2, num_pairs))
    return mean_distance(features, first, second)


def multimodality(features: np.ndarray, labels: np.ndarray, rng: np.random.Generator, num_pairs: int = 20) -> float:
    """Mean distance of pairs within an action, so many for each action that occurs.

    The published code throws away pairs of different actions until each action has its own, which comes to the same,
    and never ends where an action does not occur.

    Args:
        features: (N, D).
        labels: (N,) int.
        rng: Draws the pairs, with replacement.
        num_pairs: Pairs per action.

    Raises:
        ConfigError: Shapes are not these, or a feature is not finite.
    """
    features, labels = _require_features(features), np.asarray(labels)
    if labels.shape != (len(features),):
        raise ConfigError(f"got labels of shape {labels.shape} for {len(features)} motions, expected one each")
    same = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    first, second = np.concatenate([rng.choice(motions, size=(2, num_pairs)) for motions in same], axis=1)
    return mean_distance(features, first, second)


def amplitude(joints: np.ndarray) -> float:
    """Measure the movement of a motion's joints (T, J, 3): their standard deviation over time, without the root, in
    metres.

    The first joint is the root. A motion that stands still has 0.
    """
    around = joints - joints[:, :1]
    return float(np.sqrt(around.var(axis=0).sum(axis=-1)).mean())


def jerk(joints: np.ndarray, fps: float) -> float:
    """Measure the jerk of joints (T, J, 3), in metres per second cubed; NaN for fewer than four frames.

    The mean length of third differences. What is smoother than real motion has less, what trembles has more.
    """
    if len(joints) < 4:
        return float("nan")
    return float(np.linalg.norm(np.diff(joints.astype(np.float64), n=3, axis=0), axis=-1).mean() * fps**3)


def coverage(real: np.ndarray, features: np.ndarray, neighbours: int = 5) -> float:
    """Share in [0, 1] of real motions that have a generated one nearby (Naeem et al., 2020, arXiv:2002.09797, Eq. 5).

    Nearby: no farther than the real motion's k-th nearest real one. Generators that leave out some of what there is
    have less than real motions have among themselves.

    Args:
        real: (N, D) features; k is at most N − 1.
        features: (M, D) of what is measured.
        neighbours: k.

    Raises:
        ConfigError: Features are not finite, or fewer than two.
    """
    real, features = _require_features(real), _require_features(features)
    k = min(neighbours, len(real) - 1)
    radii = np.partition(_distances(real, real), k, axis=1)[:, k]  # the nearest of all is itself
    return float((_distances(real, features).min(axis=1) <= radii).mean())


def nearest_distances(
    motions: np.ndarray, windows: np.ndarray, allowed: np.ndarray | None = None, shortlist: int = 8
) -> np.ndarray:
    """Metres (N,) from motions (N, T, J, 3) to the nearest of windows (M, T, J, 3): the mean over frames and joints.

    Exact among the windows that are nearest in root mean square.

    Args:
        motions: Each with its first root at the origin.
        windows: Likewise.
        allowed: (N, M) bool, which windows count; all by default. One at least for each motion.
        shortlist: How many are compared exactly.
    """
    flat = windows.reshape(len(windows), -1)
    squares = np.square(flat).sum(axis=1) - 2 * motions.reshape(len(motions), -1) @ flat.T  # but for a constant a row
    if allowed is not None:
        squares[~allowed] = np.inf
    count = min(shortlist, len(windows))
    rows = np.argpartition(squares, count - 1, axis=1)[:, :count]
    found = np.linalg.norm(windows[rows] - motions[:, None], axis=-1).mean(axis=(2, 3))  # (N, count)
    if allowed is not None:
        found[~np.take_along_axis(allowed, rows, axis=1)] = np.inf
    return found.min(axis=1)


def mean_distance(features: np.ndarray, first: np.ndarray, second: np.ndarray) -> float:
    """Mean Euclidean distance of the pairs (first[i], second[i]) of rows of features (N, D)."""
    return float(np.linalg.norm(features[first] - features[second], axis=1).mean())


def _distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Euclidean distances (N, M) of rows of a (N, D) and b (M, D)."""
    squares = np.square(a).sum(axis=1)[:, None] + np.square(b).sum(axis=1) - 2 * a @ b.T
    return np.sqrt(np.maximum(squares, 0))


def _covariance_root(features: np.ndarray) -> np.ndarray:
    """R (min(N, D), D) of which RᵀR is the covariance of features (N, D), with N − 1 in its denominator."""
    return np.linalg.qr(features - features.mean(axis=0), mode="r") / (len(features) - 1) ** 0.5


def _require_features(features: np.ndarray) -> np.ndarray:
    """The features in float64. Raises ConfigError where they are none."""
    features = np.asarray(features, np.float64)
    if features.ndim != 2 or len(features) < 2 or not np.isfinite(features).all():
        raise ConfigError(f"got features of shape {features.shape}, expected finite ones of at least 2 motions, (N, D)")
    return features
