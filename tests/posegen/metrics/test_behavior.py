"""Metrics of behaviour against published numbers and plain loops."""

from __future__ import annotations

import numpy as np
import pytest

from posegen.metrics.behavior import (
    average_pairwise_distance,
    code_distance,
    cross_displacement,
    displacement_error,
    limb_drift,
    self_distance,
)
from posegen.skeletons import H36M_17
from tests.support.reference import load_json, sine


@pytest.fixture
def samples() -> np.ndarray:
    """Five futures of four frames after each of two sequences."""
    return sine((2, 5, 4, 51), 0.05, 0.2, scale=0.3).numpy()


@pytest.fixture
def truth() -> np.ndarray:
    """What happened."""
    return sine((2, 4, 51), 0.05, 0.9, scale=0.3).numpy()


def test_distances_are_the_published_ones(samples, truth, fixtures):
    expected = load_json(fixtures / "motion", "metrics")["bdvs_asd_fsd_ade_fde"]
    assert self_distance(samples).average == pytest.approx(expected["ASD_mean"], rel=1e-9)
    assert displacement_error(samples, truth).average == pytest.approx(expected["ADE"], rel=1e-9)


def test_distances_are_those_of_plain_loops(samples, truth):
    def frames(a, b):
        return [float(np.sqrt(((x - y) ** 2).sum())) for x, y in zip(a, b, strict=True)]

    own, last, error, final, pairs = [], [], [], [], []
    for futures, real in zip(samples, truth, strict=True):
        for i, future in enumerate(futures):
            others = [frames(future, other) for j, other in enumerate(futures) if j != i]
            own.append(min(np.mean(distances) for distances in others))
            last.append(min(distances[-1] for distances in others))
            pairs += [np.sqrt(np.square(distances).sum()) for distances in others]
        error.append(min(np.mean(frames(future, real)) for future in futures))
        final.append(min(frames(future, real)[-1] for future in futures))
    assert self_distance(samples) == pytest.approx((np.mean(own), np.mean(last)))
    assert displacement_error(samples, truth) == pytest.approx((np.mean(error), np.mean(final)))
    assert average_pairwise_distance(samples) == pytest.approx(np.mean(pairs))


def test_joints_are_postures_too(samples, truth):
    joints, real = samples.reshape(2, 5, 4, 17, 3), truth.reshape(2, 4, 17, 3)
    assert self_distance(joints) == self_distance(samples)
    assert displacement_error(joints, real) == displacement_error(samples, truth)
    assert average_pairwise_distance(joints) == average_pairwise_distance(samples)
    assert cross_displacement(joints[:, 0], real) == cross_displacement(samples[:, 0], truth)


def test_equal_futures_have_no_distance_and_one_that_happened_no_error(samples, truth):
    same = np.repeat(truth[:, None], 3, axis=1)
    assert self_distance(same) == (0, 0) and average_pairwise_distance(same) == 0
    assert displacement_error(np.concatenate([samples, truth[:, None]], axis=1), truth) == (0, 0)


def test_cross_displacement_is_the_mean_over_frames(truth):
    moved = truth.copy()
    moved[:, :, 0] += [0.0, 0.0, 3.0, 5.0]
    assert cross_displacement(moved, truth) == pytest.approx((2.0, 5.0))
    assert cross_displacement(truth, truth) == (0, 0)


def test_code_distance_is_row_by_row():
    codes = np.zeros((2, 4))
    assert code_distance(codes, np.array([[3.0, 4.0, 0, 0], [0, 0, 0, 1.0]])) == pytest.approx((3.0, 2.0))


def test_limbs_that_keep_their_length_do_not_drift():
    rng = np.random.default_rng(0)
    body = rng.standard_normal((1, 1, 17, 3))
    angle = np.linspace(0, 2, 6)
    turns = np.array([[[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]] for a in angle])
    moving = np.einsum("tij,ntkj->ntki", turns, np.repeat(body, 6, axis=1)) + rng.standard_normal((1, 6, 1, 3))
    assert limb_drift(moving) == pytest.approx(0, abs=1e-12)
    growing = body * np.array([0.9, 1.1])[None, :, None, None]
    assert limb_drift(growing) == pytest.approx(0.1)
    growing[:, :, [H36M_17.index(name) for name in ("spine", "neck_base", "nose", "head_top")]] = 7.0
    assert limb_drift(growing) == pytest.approx(0.1)  # the trunk is no limb


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: self_distance(np.zeros((2, 1, 4, 51))), "at least 2 of each sequence"),
        (lambda: average_pairwise_distance(np.zeros((2, 1, 4, 51))), "at least 2 of each sequence"),
        (lambda: self_distance(np.zeros((4, 51))), "expected finite ones with 4 dimensions"),
        (lambda: self_distance(np.full((1, 2, 4, 3), np.nan)), "expected finite ones"),
        (lambda: displacement_error(np.zeros((2, 5, 4, 51)), np.zeros((2, 5, 51))), r"expected \(C, S, T, D\)"),
        (lambda: cross_displacement(np.zeros((2, 4, 51)), np.zeros((2, 5, 51))), "expected the same shape"),
        (lambda: limb_drift(np.zeros((2, 4, 24, 3))), r"expected finite ones, \(N, T, 17, 3\)"),
        (lambda: code_distance(np.zeros((2, 4)), np.zeros((3, 4))), r"got codes \(2, 4\) and \(3, 4\)"),
    ],
)
def test_other_shapes_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
