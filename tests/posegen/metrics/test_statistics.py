"""Intervals and paired tests against published implementations and known cases."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from posegen.metrics.statistics import bootstrap_interval, paired_bootstrap


@pytest.fixture
def scores() -> tuple[np.ndarray, np.ndarray]:
    """Two methods on 30 clips that differ much between clips and by 0.5 ± 1 between methods."""
    rng = np.random.default_rng(3)
    clips = rng.normal(0, 20, 30)
    return clips + rng.normal(0.5, 1, 30), clips


def test_bootstrap_interval_is_that_of_scipy():
    values = np.random.default_rng(1).normal(3.0, 2.0, size=40)
    published = stats.bootstrap((values,), np.mean, method="percentile", rng=0).confidence_interval
    assert bootstrap_interval(values) == pytest.approx(tuple(published), abs=0.02)
    assert bootstrap_interval(values) == bootstrap_interval(values)
    narrow, wide = bootstrap_interval(values, level=0.5), bootstrap_interval(values, level=0.99)
    assert wide[0] < narrow[0] < values.mean() < narrow[1] < wide[1]


def test_bootstrap_interval_needs_two_values():
    with pytest.raises(ValueError, match="at least 2 values, got 1"):
        bootstrap_interval(np.array([1.0]))


def test_pairing_sees_what_clips_would_hide(scores):
    a, b = scores
    test = paired_bootstrap(a, b)
    assert test.mean_difference == pytest.approx((a - b).mean())
    assert (test.low, test.high) == bootstrap_interval(a - b)
    assert 0 < test.low < test.mean_difference < test.high
    assert test.p_value < 0.05
    assert paired_bootstrap(a, np.roll(b, 1)).p_value > 0.2


def test_p_value_is_near_that_of_the_t_test(scores):
    a, b = scores
    for shift in (0.0, 0.2, 0.4, 0.6):
        assert paired_bootstrap(a, b + shift).p_value == pytest.approx(stats.ttest_rel(a, b + shift).pvalue, abs=0.05)


def test_swapping_the_methods_changes_signs_only(scores):
    a, b = scores
    one, other = paired_bootstrap(a, b), paired_bootstrap(b, a)
    assert other == pytest.approx((-one.mean_difference, -one.high, -one.low, one.p_value))
    assert paired_bootstrap(a, b) == one
    assert paired_bootstrap(a, b, seed=1) != one


def test_p_values_of_certain_cases():
    values = np.arange(6.0)
    assert paired_bootstrap(values + 1, values, num_resamples=999) == (1.0, 1.0, 1.0, 0.002)
    assert paired_bootstrap(values, values) == (0.0, 0.0, 0.0, 1.0)


def test_level_widens_the_interval_alone(scores):
    narrow, wide = paired_bootstrap(*scores, level=0.5), paired_bootstrap(*scores, level=0.99)
    assert wide.low < narrow.low < narrow.high < wide.high
    assert wide.p_value == narrow.p_value


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ([1.0, 2.0], [1.0], r"shapes \(2,\) and \(1,\), expected one score a clip"),
        ([[1.0, 2.0]], [[1.0, 2.0]], r"expected one score a clip in both, \(M,\)"),
        ([1.0, np.nan, 2.0], [1.0, 1.0, np.inf], r"clips \[1, 2\] have no finite score"),
        ([1.0], [2.0], "at least 2 values, got 1"),
    ],
)
def test_scores_that_do_not_pair_up_are_refused(a, b, message):
    with pytest.raises(ValueError, match=message):
        paired_bootstrap(np.array(a), np.array(b))
