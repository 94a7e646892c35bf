"""Confidence intervals of means over clips, and paired tests of two methods."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from posegen.errors import ConfigError


class PairedTest(NamedTuple):
    """Difference of two methods on the same clips."""

    mean_difference: float
    """Mean of a − b."""
    low: float
    """Lower end of its bootstrap interval."""
    high: float
    """Upper end of it."""
    p_value: float
    """Two-sided, in (0, 1]: small where resampling hardly ever turns the sign of the difference."""


def bootstrap_interval(
    values: np.ndarray, seed: int = 0, num_resamples: int = 10_000, level: float = 0.95
) -> tuple[float, float]:
    """Lower and upper bound of the mean of values (M,), by the percentile bootstrap (Efron, 1979).

    Raises ConfigError for fewer than two values.
    """
    low, high = _bootstrap_mean(values, seed, num_resamples, level).confidence_interval
    return float(low), float(high)


def paired_bootstrap(
    a: np.ndarray, b: np.ndarray, seed: int = 0, num_resamples: int = 10_000, level: float = 0.95
) -> PairedTest:
    """Compare two methods clip by clip, by the percentile bootstrap of their differences (Efron, 1979).

    The p value is twice the share of resampled means on the rarer side of 0, with one added to count and total
    (Davison and Hinkley, 1997, Chapter 4) so that a finite number of resamples never gives 0.

    Args:
        a: (M,) scores of one method, one a clip: frames of a clip are no independent trials.
        b: (M,) scores of the other on the same clips in the same order.
        seed: Of the resamples.
        num_resamples: The least p value is 2 / (num_resamples + 1).
        level: Of the interval, in (0, 1).

    Raises:
        ConfigError: The scores do not pair up, are not finite, or are fewer than two.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if a.ndim != 1 or a.shape != b.shape:
        raise ConfigError(f"got scores of shapes {a.shape} and {b.shape}, expected one score a clip in both, (M,)")
    differences = a - b
    if not np.isfinite(differences).all():
        raise ConfigError(f"clips {np.flatnonzero(~np.isfinite(differences)).tolist()} have no finite score in both")
    resampled = _bootstrap_mean(differences, seed, num_resamples, level)  # of differences: clips stay paired
    means = resampled.bootstrap_distribution  # (num_resamples,)
    rarer = min(int((means <= 0).sum()), int((means >= 0).sum()))
    p_value = min(1.0, 2 * (rarer + 1) / (num_resamples + 1))
    low, high = resampled.confidence_interval
    return PairedTest(float(differences.mean()), float(low), float(high), p_value)


def _bootstrap_mean(values: np.ndarray, seed: int, num_resamples: int, level: float) -> Any:
    """SciPy's bootstrap of the mean of values (M,): its interval, and the mean of every resample."""
    if len(values) < 2:
        raise ConfigError(f"an interval needs at least 2 values, got {len(values)}")
    from scipy import stats  # here, since commands that compare nothing start sooner without it

    return stats.bootstrap(
        (values,),
        np.mean,
        n_resamples=num_resamples,
        confidence_level=level,
        method="percentile",
        rng=np.random.default_rng(seed),
    )
