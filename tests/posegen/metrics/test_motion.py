"""Metrics of motions against published numbers and other ways to work them out."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import linalg

from posegen.metrics.motion import (
    accuracy,
    amplitude,
    coverage,
    diversity,
    frechet_distance,
    jerk,
    mean_distance,
    multimodality,
    nearest_distances,
    repeated,
)
from tests.support.reference import load_json

DIMENSIONS = 30


@pytest.fixture
def published(fixtures) -> dict:
    """Values of the published code."""
    return load_json(fixtures / "motion", "metrics")


def grid(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row i, column c and number k of each of (count, 30) values."""
    i, c = np.mgrid[:count, :DIMENSIONS].astype(float)
    return i, c, DIMENSIONS * i + c


@pytest.fixture
def a() -> np.ndarray:
    """Features of 400 motions."""
    i, c, k = grid(400)
    return np.sin(0.123 * k + 0.3) + 0.3 * np.sin(0.01 * i**1.5 * (c + 1))


@pytest.fixture
def b() -> np.ndarray:
    """Features of 350 others."""
    i, c, k = grid(350)
    return 1.2 * np.sin(0.217 * k + 1.0) + 0.3 * np.cos(0.013 * i**1.5 * (c + 1)) + 0.1


def test_frechet_distance_is_the_published_one(a, b, published):
    expected = published["frechet"]
    assert np.square(a.mean(axis=0) - b.mean(axis=0)).sum() == pytest.approx(expected["mean_diff_sq"], rel=1e-9)
    assert np.cov(a.T).trace() == pytest.approx(expected["trace_cov_A(ddof1)"], rel=1e-9)
    assert frechet_distance(a, b) == pytest.approx(expected["fid_A_B"], rel=1e-6)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-11)


def test_frechet_distance_is_symmetric_and_does_not_depend_on_order_or_axes(a, b):
    rotation, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(DIMENSIONS, DIMENSIONS)))
    distance = frechet_distance(a, b)
    for same in ((b, a), (a[::-1], np.roll(b, 3, axis=0)), (a @ rotation, b @ rotation), (a + 1e3, b + 1e3)):
        assert frechet_distance(*same) == pytest.approx(distance, rel=1e-8)


def test_frechet_distance_of_known_gaussians():
    signs = np.array([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]]) * 0.75**0.5  # identity covariance
    assert frechet_distance(signs, signs * [2.0, 5.0] + [3.0, 4.0]) == pytest.approx(1 + 16 + 25)
    assert frechet_distance(signs, 0 * signs) == pytest.approx(2)


@pytest.mark.parametrize("count", [2, 10, 400])
def test_frechet_distance_of_dependent_features_is_that_of_the_independent_ones(count, a, b):
    mixing = np.random.default_rng(0).normal(size=(5, DIMENSIONS))
    basis, _ = np.linalg.qr(mixing.T)
    few_a, few_b = a[:count, :5], b[:count, :5]
    expected = frechet_distance(few_a @ mixing @ basis, few_b @ mixing @ basis)
    assert frechet_distance(few_a @ mixing, few_b @ mixing) == pytest.approx(expected, rel=1e-9)


def test_frechet_distance_is_that_of_a_matrix_root(a, b):
    scales = np.logspace(-3, 2, DIMENSIONS)
    x, y = a * scales, b * scales
    root = linalg.sqrtm(np.cov(x.T) @ np.cov(y.T)).real
    means = np.square(x.mean(axis=0) - y.mean(axis=0)).sum()
    expected = means + np.trace(np.cov(x.T) + np.cov(y.T) - 2 * root)
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-8)


def test_accuracy_is_the_trace_of_the_confusion_matrix():
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(100, 4)), rng.integers(4, size=100)
    confusion = np.zeros((4, 4))
    np.add.at(confusion, (labels, logits.argmax(axis=1)), 1)
    assert accuracy(logits, labels) == pytest.approx(confusion.trace() / confusion.sum())
    assert accuracy(np.eye(4), np.arange(4)) == 1


@pytest.mark.parametrize(
    ("logits", "labels", "message"),
    [
        (np.zeros((2, 3)), [0, 1, 2], r"got logits \(2, 3\) and labels \(3,\)"),
        (np.full((1, 3), np.nan), [0], "expected finite"),
        (np.zeros((0, 3)), [], "got logits"),
        (np.zeros((2, 3)), [0, 3], "got labels from 0 to 3, expected them below 3"),
        (np.zeros((2, 3)), [-1, 0], "got labels from -1 to 0"),
    ],
)
def test_labels_that_do_not_fit_are_refused(logits, labels, message):
    with pytest.raises(ValueError, match=message):
        accuracy(logits, np.array(labels))


def test_distance_of_pairs_is_the_published_one(a, published):
    i = np.arange(200)
    value = mean_distance(a, (7 * i + 3) % 400, (11 * i + 5) % 400)
    assert value == pytest.approx(published["diversity_fixed_pairs"]["value"], rel=1e-9)


def test_diversity_is_near_the_mean_over_all_pairs(a):
    everything = np.linalg.norm(a[:, None] - a, axis=2).mean()
    assert diversity(a, np.random.default_rng(0), num_pairs=20_000) == pytest.approx(everything, rel=0.01)
    drawn = [diversity(a, np.random.default_rng(seed)) for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_multimodality_is_near_the_mean_over_the_pairs_of_each_action(a):
    labels = np.repeat([0, 2, 5], [300, 90, 10])  # each action counts alike, however many motions it has
    a = a * (1 + labels[:, None])
    groups = [a[labels == label] for label in (0, 2, 5)]
    expected = np.mean([np.linalg.norm(group[:, None] - group, axis=2).mean() for group in groups])
    value = multimodality(a, labels, np.random.default_rng(0), num_pairs=10_000)
    assert value == pytest.approx(expected, rel=0.01)
    drawn = [multimodality(a, labels, np.random.default_rng(seed)) for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_multimodality_of_motions_that_are_all_alike_within_their_action_is_zero():
    labels = np.arange(12) % 3
    features = np.eye(3)[labels]
    assert multimodality(features, labels, np.random.default_rng(0)) == 0
    assert diversity(features, np.random.default_rng(0)) > 0.5


def test_multimodality_needs_a_label_for_each_motion(a):
    with pytest.raises(ValueError, match=r"got labels of shape \(399,\) for 400 motions"):
        multimodality(a, np.zeros(399, int), np.random.default_rng(0))


def test_both_intervals_are_the_published_ones(published):
    expected = published["confidence_interval"]
    figure = repeated(np.array(expected["values"]))
    assert figure.mean == pytest.approx(0.115)
    assert figure.std == pytest.approx(np.std(expected["values"], ddof=1))
    assert figure.confidence == pytest.approx(expected["recommended_1.96*sample_std/sqrt(n)"], rel=1e-9)
    assert figure.published_interval == pytest.approx(
        expected["reference_table_code_1.96*population_variance"], rel=1e-9
    )


@pytest.mark.parametrize("values", [[0.1], [[0.1, 0.2]], [0.1, np.nan]])
def test_one_value_has_no_interval(values):
    with pytest.raises(ValueError, match="expected at least two finite ones"):
        repeated(np.array(values))


@pytest.mark.parametrize("bad", [np.zeros(3), np.zeros((1, 3)), np.array([[0.0, np.inf], [0.0, 0.0]])])
def test_features_that_are_none_are_refused(bad):
    rng = np.random.default_rng(0)
    for measure in (
        lambda: frechet_distance(bad, bad),
        lambda: diversity(bad, rng),
        lambda: multimodality(bad, np.zeros(len(bad)), rng),
    ):
        with pytest.raises(ValueError, match="expected finite ones of at least 2 motions"):
            measure()


def test_features_of_two_recognizers_are_refused(a):
    with pytest.raises(ValueError, match="got features of 30 and 29 dimensions, expected those of one recogniser"):
        frechet_distance(a, a[:, 1:])


def test_amplitude_is_how_far_joints_swing_about_the_root():
    time = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    joints = np.zeros((400, 4, 3))
    joints[:, 1, 0] = 0.3 * np.sin(time)
    joints[:, 2, 1:] = 0.2 * np.stack([np.sin(time), np.cos(time)], axis=1)
    expected = (0 + 0.3 / 2**0.5 + 0.2 + 0) / 4  # of a sine, of a circle
    assert amplitude(joints) == pytest.approx(expected)
    walked = joints + np.stack([time, 0 * time, time**2], axis=1)[:, None]
    assert amplitude(walked) == pytest.approx(expected)
    assert amplitude(np.broadcast_to(joints[:1], joints.shape)) == pytest.approx(0, abs=1e-9)
    assert amplitude(joints[:1]) == 0


def test_jerk_is_that_of_a_cubic_and_none_of_a_parabola():
    times = np.arange(20)[:, None, None] / 10
    ways = np.concatenate([times**3, times**2], axis=1) * np.array([1.0, 0, 0])
    assert jerk(ways[:, :1], 10.0) == pytest.approx(6)
    assert jerk(ways[:, 1:], 10.0) == pytest.approx(0, abs=1e-9)
    assert np.isnan(jerk(ways[:3], 10.0))


def test_coverage_is_the_share_of_real_motions_with_a_neighbour():
    real = np.concatenate([np.random.default_rng(0).normal(size=(50, 3)), 50 + np.zeros((50, 3))])
    assert coverage(real, real) == 1
    assert coverage(real, real[:50]) == pytest.approx(0.5)
    assert coverage(real, real + 1000) == 0


def test_nearest_window_is_found_among_those_allowed():
    rng = np.random.default_rng(0)
    windows = rng.normal(size=(40, 6, 4, 3))
    motions = windows[[7, 30]] + np.array([0.03, 0.04, 0.0])
    np.testing.assert_allclose(nearest_distances(motions, windows), 0.05)
    allowed = np.ones((2, 40), bool)
    allowed[0, 7] = False
    found = nearest_distances(motions, windows, allowed, shortlist=39)
    others = np.linalg.norm(np.delete(windows, 7, axis=0) - motions[0], axis=-1).mean(axis=(1, 2))
    np.testing.assert_allclose(found, [others.min(), 0.05])
    allowed[:] = False
    allowed[:, 3] = True
    np.testing.assert_allclose(
        nearest_distances(motions, windows, allowed)[1], np.linalg.norm(windows[3] - motions[1], axis=-1).mean()
    )
