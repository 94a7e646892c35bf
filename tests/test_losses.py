"""Losses against values worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from reference import closed_form
from torch.distributions import Normal, kl_divergence

from posegen.losses import feature_matching, kl_to_standard_normal, lsgan, perceptual


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
