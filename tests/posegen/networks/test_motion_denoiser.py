"""The linear code of windows, its Gaussians, the denoiser and the sampler."""

from __future__ import annotations

import pytest
import torch

from posegen.networks.code_constraint import CodeConstraint
from posegen.networks.motion_denoiser import MotionCode, MotionDenoiser, denoise, noise_levels, sample_codes_heun

ACTIONS = torch.arange(200) % 2


@pytest.fixture
def windows() -> torch.Tensor:
    """Windows of six directions, of which the second action has more."""
    torch.manual_seed(0)
    directions = torch.randn(6, 5 * 4)
    codes = torch.randn(200, 6) * torch.tensor([5.0, 3, 2, 1, 0.5, 0.2]) * (1 + ACTIONS[:, None])
    return (codes @ directions).view(200, 5, 4) + 3 * ACTIONS[:, None, None]


def fitted(windows: torch.Tensor, code_dim: int = 8, foot: float = 1.0) -> MotionCode:
    code = MotionCode(code_dim, 5, 4, 2)
    code.fit(windows, ACTIONS, torch.tensor([1.0, 1, 1, foot]))
    return code


def test_code_gives_back_what_it_was_made_of(windows):
    code = fitted(windows)
    codes = code.encode(windows)
    torch.testing.assert_close(code.decode(codes), windows, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(codes[:, :6].std(dim=0, unbiased=False), torch.ones(6), atol=1e-3, rtol=0)
    assert (code.get_buffer("scale")[:-1] >= code.get_buffer("scale")[1:]).all()


def test_code_is_the_same_each_time_and_leaves_random_numbers_alone(windows):
    state = torch.get_rng_state()
    first, second = fitted(windows), fitted(windows)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first.get_buffer("basis"), second.get_buffer("basis"))


def test_numbers_of_more_weight_come_through_better(windows):
    errors = []
    for foot in (1.0, 5.0):
        code = fitted(windows, code_dim=2, foot=foot)
        errors.append((code.decode(code.encode(windows)) - windows)[..., 3].square().mean())
    assert errors[1] < errors[0]


def test_components_beyond_the_windows_are_of_no_use(windows):
    code = MotionCode(30, 5, 4, 2)
    code.fit(windows, ACTIONS, torch.ones(4))
    assert not code.get_buffer("basis")[20:].any() and code.encode(windows).isfinite().all()
    assert code.decode(torch.randn(3, 30)).isfinite().all()


def test_gaussian_of_no_action_is_the_standard_one_and_weights_lie_between(windows):
    code = fitted(windows)
    mean, variance = code.gaussian(torch.tensor([-1, 0, 1]))
    assert not mean[0].any() and (variance[0] == 1).all()
    assert variance[1, 0] < 1 < variance[2, 0]
    half, _ = code.gaussian(torch.full((1, 2), 0.5))
    torch.testing.assert_close(half[0], (mean[1] + mean[2]) / 2)


def test_network_that_has_learned_nothing_samples_the_gaussian_of_its_action(windows):
    code, network = fitted(windows), MotionDenoiser(2, 8, 16, 1, 0.0)
    action = torch.ones(4000, dtype=torch.long)

    def clean(z: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        condition = action, torch.full((len(z),), 5)
        return denoise(network, code.gaussian(action), z, sigma.expand(len(z)), condition).code

    with torch.no_grad():
        noise = torch.randn(4000, 8, generator=torch.Generator().manual_seed(0))
        codes = sample_codes_heun(clean, noise, noise_levels(20))
    mean, variance = (x[0] for x in code.gaussian(action[:1]))
    torch.testing.assert_close(codes.mean(dim=0)[:6], mean[:6], atol=0.1, rtol=0)
    torch.testing.assert_close(codes.std(dim=0)[:6], variance[:6].sqrt(), atol=0.05, rtol=0.05)


def test_clean_codes_come_of_an_exact_output(windows):
    code = fitted(windows)
    z0, sigma, action = code.encode(windows)[:7], torch.linspace(0.1, 9, 7), ACTIONS[:7]
    noisy = z0 + sigma[:, None] * torch.randn(7, 8)
    found = denoise(MotionDenoiser(2, 8, 16, 1, 0.0), code.gaussian(action), noisy, sigma, (action, action + 1))
    assert not found.output.any()
    torch.testing.assert_close(found.code + found.scale * ((z0 - found.code) / found.scale), z0)
    mean, variance = code.gaussian(action)
    share = variance / (variance + sigma.square()[:, None])
    torch.testing.assert_close(found.code, mean + share * (noisy - mean))


def test_levels_of_noise_fall_to_nothing():
    levels = noise_levels(9)
    assert len(levels) == 10 and levels[-1] == 0 and (levels.diff() < 0).all()
    torch.testing.assert_close(levels[[0, 8]], torch.tensor([30.0, 0.02]))


def test_given_numbers_come_out_and_the_rest_stays_near(windows):
    code = fitted(windows)
    weights = torch.zeros(5, 4)
    weights[1] = 1e3
    z = code.encode(windows[:3])
    moved = CodeConstraint(code, weights, windows[3:6])(z, torch.ones(3, 8))
    torch.testing.assert_close(code.decode(moved)[:, 1], windows[3:6, 1], atol=1e-2, rtol=0)
    assert not torch.allclose(code.decode(moved)[:, 3], windows[3:6, 3], atol=0.1)  # six directions, four numbers
    kept = CodeConstraint(code, weights, windows[:3])(z, torch.ones(3, 8))
    torch.testing.assert_close(kept, z, atol=1e-3, rtol=0)


def test_codes_that_are_sure_move_less(windows):
    code = fitted(windows)
    weights = torch.zeros(5, 4)
    weights[1] = 1.0
    z, given = code.encode(windows[:2]), windows[3:5]
    variance = torch.stack([torch.full((8,), 1e-6), torch.ones(8)])
    moved = CodeConstraint(code, weights, given)(z, variance)
    off = (code.decode(moved)[:, 1] - given[:, 1]).norm(dim=1) / (windows[:2, 1] - given[:, 1]).norm(dim=1)
    assert off[0] > 0.99 and off[1] < 0.7
    torch.testing.assert_close(
        code.uncertainty(ACTIONS[:2], torch.tensor(1e-3)), torch.full((2, 8), 1e-6), rtol=1e-3, atol=0
    )
    assert (code.uncertainty(ACTIONS[:2], torch.tensor(1e3)) > 0.99 * code.gaussian(ACTIONS[:2])[1]).all()


def test_blended_codes_lie_around_those_of_their_action_and_keep_its_spread(windows):
    code = fitted(windows, code_dim=6)
    codes, actions = code.encode(windows).repeat(50, 1), ACTIONS.repeat(50)
    torch.manual_seed(3)
    blended = code.blend(codes, actions, 0.5)
    for action in (0, 1):
        own, new = codes[actions == action], blended[actions == action]
        torch.testing.assert_close(new.mean(dim=0), own.mean(dim=0), atol=0.05, rtol=0)
        torch.testing.assert_close(new.std(dim=0), own.std(dim=0), atol=0.05, rtol=0.05)
    far = (blended - codes).norm(dim=1).mean() / (codes - codes[torch.randperm(len(codes))]).norm(dim=1).mean()
    assert 0.2 < far < 0.5
    torch.testing.assert_close(code.blend(codes, actions, 0.0), codes)


def test_blending_takes_nothing_from_other_actions(windows):
    code = fitted(windows, code_dim=6)
    codes = code.encode(windows)[:9]
    actions = torch.tensor([0, 0, 0, 0, 0, 0, 0, 0, 1])
    torch.manual_seed(0)
    moved = code.blend(codes, actions, 0.5)
    far = codes.clone()
    far[:8] += 100
    torch.manual_seed(0)
    assert torch.equal(code.blend(far, actions, 0.5)[8], moved[8])
    mean = code.get_buffer("action_mean")[1]
    torch.testing.assert_close(moved[8], mean + (codes[8] - mean) / 1.25**0.5)
