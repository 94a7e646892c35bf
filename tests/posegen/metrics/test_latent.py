"""Codes whose content is known, and pictures that a known renderer draws from them."""

from __future__ import annotations

import numpy as np
import pytest

from posegen.metrics.latent import active_units, code_sensitivity, principal_components, probe_r2

N, Z = 120, 6
GROUPS = np.repeat(np.arange(12), 10)


def codes(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((N, Z))


def linear_colors(z: np.ndarray) -> np.ndarray:
    return z @ np.random.default_rng(1).standard_normal((Z, 2)) * 20 + [5, -10]


class TestProbe:
    def test_a_linear_code_tells_its_color(self):
        z = codes()
        assert probe_r2(z, linear_colors(z), GROUPS) == pytest.approx(1)
        assert probe_r2(3 * z[:, ::-1] + 7, linear_colors(z), GROUPS) == pytest.approx(1)

    def test_shuffled_colors_tell_nothing(self):
        z = codes()
        shuffled = np.random.default_rng(2).permutation(linear_colors(z))
        assert probe_r2(z, shuffled, GROUPS) <= 0.1

    def test_noise_is_what_is_missing(self):
        """R² = 1 − noise / variance, with half of the variance noise."""
        z = codes()
        signal = linear_colors(z)
        noise = np.random.default_rng(3).standard_normal((N, 2)) * signal.std(axis=0)
        assert probe_r2(z, signal + noise, GROUPS) == pytest.approx(0.5, abs=0.12)

    def test_a_clip_learned_by_heart_is_no_knowledge(self):
        """One code a clip tells its colour on that clip, and nothing of the colours of others."""
        of_clip = np.random.default_rng(4).standard_normal((12, 2)) * 20
        by_heart = np.eye(12)[GROUPS]
        assert probe_r2(by_heart, of_clip[GROUPS], GROUPS) < 0.1

    def test_two_clips_are_enough_and_one_is_not(self):
        z = codes()
        assert probe_r2(z, linear_colors(z), GROUPS % 2) == pytest.approx(1)
        with pytest.raises(ValueError, match="at least 2 clips to hold one out, got 1"):
            probe_r2(z, linear_colors(z), 0 * GROUPS)


class TestPrincipalComponents:
    def test_shares_of_the_variance(self):
        z = np.zeros((4, 3))
        z[:2, 1], z[2:, 2] = (2, -2), (1, -1)
        coordinates, explained = principal_components(z + 5)
        np.testing.assert_allclose(explained, [0.8, 0.2])
        np.testing.assert_allclose(coordinates, [[2, 0], [-2, 0], [0, 1], [0, -1]], atol=1e-12)

    def test_equal_codes_have_none(self):
        coordinates, explained = principal_components(np.ones((5, 3)))
        assert not coordinates.any() and not explained.any()

    def test_the_sign_does_not_flip(self):
        z = codes()
        np.testing.assert_allclose(principal_components(z)[0], principal_components(z[::-1])[0][::-1], atol=1e-9)


def test_active_units_vary():
    z = codes()
    z[:, 2:] *= 0.05  # variance 0.0025
    z[:, 4] = 3
    assert active_units(z) == 2
    assert active_units(z, threshold=0.001) == 5


class TestSensitivity:
    def test_a_linear_renderer(self):
        """A unit of the code lights all pixels by a tenth of the range."""
        z = np.array([[0.0, 0], [1, 1], [2, 0]])
        other = z + np.array([[1, 0], [0, 2], [-2, 0]])
        drawn, changed = (draw(code) for code in (z, other))
        assert code_sensitivity(drawn, changed, z, other) == pytest.approx(0.1, abs=1e-3)

    def test_a_renderer_that_ignores_its_code(self):
        z = codes()
        still = np.full((N, 4, 4, 3), 90, np.uint8)
        assert code_sensitivity(still, still, z, z + 1) == 0

    def test_darker_counts_like_lighter(self):
        z, other = np.zeros((1, 2)), np.array([[3, 4]])
        light, dark = (np.full((1, 4, 4, 3), level, np.uint8) for level in (255, 0))
        assert code_sensitivity(light, dark, z, other) == pytest.approx(1 / 5)
        assert code_sensitivity(dark, light, z, other) == pytest.approx(1 / 5)


def draw(z: np.ndarray) -> np.ndarray:
    """(N, 4, 4, 3) uint8 whose brightness is the sum of the code."""
    levels = np.rint(25.5 * (z.sum(axis=1) + 2)).astype(np.uint8)
    return np.broadcast_to(levels[:, None, None, None], (len(z), 4, 4, 3))


def flat(num: int) -> np.ndarray:
    return np.zeros((num, 4, 4, 3), np.uint8)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: probe_r2(codes(), linear_colors(codes())[:5], GROUPS), r"a, b of shape \(5, 2\)"),
        (lambda: probe_r2(codes(), np.ones((N, 2)), GROUPS), "garments of several colours"),
        (lambda: probe_r2(codes() * np.nan, np.ones((N, 2)), GROUPS), "720 values that are not finite"),
        (lambda: principal_components(codes()[:1]), "at least 2 rows and dimensions"),
        (lambda: active_units(np.zeros((0, 3))), r"got codes of shape \(0, 3\)"),
        (lambda: code_sensitivity(flat(2), flat(3), codes()[:2], codes(1)[:2]), "expected pairs"),
        (lambda: code_sensitivity(flat(2) / 1, flat(2), codes()[:2], codes(1)[:2]), "got float64 and uint8"),
        (lambda: code_sensitivity(flat(2), flat(2), codes()[:2], codes()[:2]), r"pairs \[0, 1\] have equal codes"),
    ],
)
def test_what_cannot_be_measured_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
