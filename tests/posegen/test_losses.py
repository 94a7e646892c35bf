"""Losses against values worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from posegen.losses import (
    feature_matching,
    kl_to_standard_normal,
    lsgan,
    masked_motion_mse,
    masked_mse,
    mean_kl_to_standard_normal,
    nearest_neighbor,
    perceptual,
)
from tests.support.reference import closed_form


def test_lsgan_sums_over_scales_and_averages_within():
    predictions = [torch.tensor([[0.0, 2.0]]), torch.tensor([0.5])]
    assert lsgan(predictions, real=True).item() == pytest.approx(1.0 + 0.25)
    assert lsgan(predictions, real=False).item() == pytest.approx(2.0 + 0.25)


def test_lsgan_refuses_a_batch_that_it_would_take_for_scales():
    with pytest.raises(ValueError, match=r"list of scales, got a tensor \(4, 1, 8, 8\)"):
        lsgan(torch.zeros(4, 1, 8, 8), real=True)


def test_kl_is_the_sum_over_batch_and_code():
    mean, logvar = closed_form((3, 5), t=1, scale=2.0), closed_form((3, 5), t=2)
    expected = kl_divergence(Normal(mean, logvar.mul(0.5).exp()), Normal(0.0, 1.0)).sum()
    torch.testing.assert_close(kl_to_standard_normal(mean, logvar), expected)
    assert kl_to_standard_normal(torch.zeros(2, 3), torch.zeros(2, 3)) == 0


def test_mean_kl_times_twenty_times_its_weight_is_the_published_loss_at_batches_of_twenty():
    mean, logvar = closed_form((20, 5), t=1, scale=2.0), closed_form((20, 5), t=2)
    published = 1e-5 * kl_to_standard_normal(mean, logvar)
    torch.testing.assert_close(2e-4 * mean_kl_to_standard_normal(mean, logvar), published)
    once, twice = (mean_kl_to_standard_normal(mean.repeat(n, 1), logvar.repeat(n, 1)) for n in (1, 2))
    torch.testing.assert_close(once, twice)


@pytest.mark.parametrize("loss", [masked_mse, masked_motion_mse])
def test_what_is_behind_the_mask_counts_neither_in_losses_nor_in_gradients(loss):
    fake, real = closed_form((2, 4, 3, 6), t=1).requires_grad_(), closed_form((2, 4, 3, 6), t=2)
    mask = torch.tensor([[True] * 4, [True, False, False, False]])
    real[1, 1:] = torch.nan
    loss(fake, real, mask).backward()
    assert fake.grad is not None
    assert fake.grad[0].any() and not fake.grad[1, 1:].any()
    visible = torch.cat([fake[0], fake[1, :1]]).unsqueeze(0), torch.cat([real[0], real[1, :1]]).unsqueeze(0)
    torch.testing.assert_close(loss(fake, real, mask), loss(*visible, torch.ones(1, 5, dtype=torch.bool)))


def test_masked_mse_is_the_mean_over_frames_and_all_their_numbers():
    fake, real = closed_form((2, 4, 25, 6), t=1), closed_form((2, 4, 25, 6), t=2)
    everything = torch.ones(2, 4, dtype=torch.bool)
    torch.testing.assert_close(masked_mse(fake, real, everything), (fake - real).square().mean())
    assert masked_mse(fake[..., 0, 0], real[..., 0, 0], everything) == (fake - real)[..., 0, 0].square().mean()


def test_numbers_behind_the_translation_are_not_taught_but_counted():
    real = torch.zeros(1, 2, 25, 6)
    mask = torch.ones(1, 2, dtype=torch.bool)
    idle = torch.zeros(25, 6, dtype=torch.bool)
    idle[24, 3:] = True
    fake = torch.where(idle, 1.0, 0.0).expand(1, 2, 25, 6)
    assert masked_motion_mse(fake, real, mask) == 0
    assert masked_mse(fake, real, mask).item() == pytest.approx(3 / 150)
    assert masked_motion_mse(1 - fake, real, mask).item() == pytest.approx(147 / 150)


def test_feature_matching_leaves_scores_out_and_averages_scales():
    fake = [[torch.full((2, 3), float(layer)) for layer in range(5)] for _ in range(3)]
    real = [[torch.zeros(2, 3) for _ in range(5)] for _ in range(3)]
    assert feature_matching(fake, real).item() == pytest.approx(0 + 1 + 2 + 3)


def test_feature_matching_does_not_teach_real_images():
    fake, real = torch.ones(2, requires_grad=True), torch.zeros(2, requires_grad=True)
    feature_matching([[fake, fake]], [[real, real]]).backward()
    assert fake.grad is not None
    assert real.grad is None


def test_perceptual_weighs_deeper_layers_more():
    def features(image: torch.Tensor) -> list[torch.Tensor]:
        return [image * factor for factor in (1.0, 2.0, 3.0, 4.0, 5.0)]

    fake, real = torch.zeros(2, 3, 4, 4, requires_grad=True), torch.ones(2, 3, 4, 4, requires_grad=True)
    loss = perceptual(features, fake, real)
    assert loss.item() == pytest.approx(1 / 32 + 2 / 16 + 3 / 8 + 4 / 4 + 5)
    loss.backward()
    assert fake.grad is not None and math.isclose(fake.grad.sum().item(), -loss.item(), rel_tol=1e-6)
    assert real.grad is None


def test_perceptual_needs_five_activations():
    with pytest.raises(ValueError, match="shorter"):
        perceptual(lambda image: [image], torch.zeros(1), torch.zeros(1))


@pytest.mark.parametrize("window", [1, 3, 5])
def test_nearest_neighbor_is_the_least_distance_in_each_window(window):
    fake, real = closed_form((2, 3, 5, 6), t=1), closed_form((2, 3, 5, 6), t=2)
    reach = window // 2
    distances = [
        min(
            (fake[n, :, y, x] - real[n, :, v, u]).abs().sum()
            for v in range(max(y - reach, 0), min(y + reach + 1, 5))
            for u in range(max(x - reach, 0), min(x + reach + 1, 6))
        )
        for n in range(2)
        for y in range(5)
        for x in range(6)
    ]
    torch.testing.assert_close(nearest_neighbor(fake, real, window), torch.stack(distances).mean())


def test_nearest_neighbor_forgives_a_shift_within_its_window():
    real = torch.zeros(1, 4, 12, 12)
    real[..., 4:8, 4:8] = closed_form((1, 4, 4, 4), t=1).float()
    shifted = real.roll((2, -1), dims=(2, 3))
    assert nearest_neighbor(shifted, real, window=5) == 0
    assert nearest_neighbor(shifted, real, window=3) > 0.1


def test_nearest_neighbor_pulls_towards_the_nearest_alone():
    fake = torch.tensor([0.0, 0.9]).view(1, 1, 1, 2).requires_grad_()
    real = torch.tensor([1.0, 5.0]).view(1, 1, 1, 2).requires_grad_()
    loss = nearest_neighbor(fake, real, window=3)
    loss.backward()
    assert loss.item() == pytest.approx((1.0 + 0.1) / 2)
    assert fake.grad is not None
    torch.testing.assert_close(fake.grad, torch.full((1, 1, 1, 2), -0.5))
    assert real.grad is None


@pytest.mark.parametrize("window", [0, 4])
def test_nearest_neighbor_needs_a_window_with_a_middle(window):
    with pytest.raises(ValueError, match=f"window must be odd and at least 1, got {window}"):
        nearest_neighbor(torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2), window)
