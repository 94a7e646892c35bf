"""Losses as functions of tensors. Weights between losses are the stages' matter."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

PERCEPTUAL_WEIGHTS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)
"""Weights of relu1_1 … relu5_1 in `perceptual` (pix2pixHD's published code)."""


def lsgan(predictions: Sequence[Tensor], real: bool) -> Tensor:
    """Least-squares adversarial loss (Mao et al., 2017, arXiv:1611.04076, Equation 9), summed over scales.

    Args:
        predictions: Scores of each scale, any shapes.
        real: Whether they should be 1 (``True``) or 0.

    Raises:
        ValueError: For a single tensor, whose samples would be taken for scales.
    """
    if isinstance(predictions, Tensor):
        raise ValueError(f"predictions must be a list of scales, got a tensor {tuple(predictions.shape)}")
    target = 1.0 if real else 0.0
    return torch.stack([(prediction - target).square().mean() for prediction in predictions]).sum()


def kl_to_standard_normal(mean: Tensor, logvar: Tensor) -> Tensor:
    """KL(N(mean, exp(logvar)) ‖ N(0, I)), summed over the batch and the code (N, Z).

    A sum and not a mean, as in BicycleGAN (Zhu et al., 2017, arXiv:1711.11586, Section 3.2 and published code).
    """
    return -0.5 * (1 + logvar - mean.square() - logvar.exp()).sum()


def feature_matching(fake: Sequence[Sequence[Tensor]], real: Sequence[Sequence[Tensor]]) -> Tensor:
    """Distance of a discriminator's activations (Wang et al., 2018, arXiv:1711.11585, Section 3.2).

    The mean over scales of 4 times the mean over layers of the mean absolute difference: with the paper's four
    layers, their sum.

    Args:
        fake: For each scale, the activations of each layer and then the scores, which are left out.
        real: The same for real images; no gradient flows to them.
    """
    distances = [
        4 / (len(fake_layers) - 1) * F.l1_loss(fake_layer, real_layer.detach())
        for fake_layers, real_layers in zip(fake, real, strict=True)
        for fake_layer, real_layer in zip(fake_layers[:-1], real_layers[:-1], strict=True)
    ]
    return torch.stack(distances).sum() / len(fake)


def perceptual(features: Callable[[Tensor], Sequence[Tensor]], fake: Tensor, real: Tensor) -> Tensor:
    """Distance of a frozen network's activations (Johnson et al., 2016; weights of Wang et al., 2018).

    Args:
        features: Images to the five activations that `PERCEPTUAL_WEIGHTS` are for, as `VGGFeatures` gives them.
        fake: (N, 3, H, W) in [-1, 1].
        real: The same; no gradient flows to it.
    """
    with torch.no_grad():
        targets = features(real)
    distances = [
        weight * F.l1_loss(activation, target)
        for weight, activation, target in zip(PERCEPTUAL_WEIGHTS, features(fake), targets, strict=True)
    ]
    return torch.stack(distances).sum()
