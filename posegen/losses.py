"""Losses as functions of tensors. Weights between losses are the stages' matter."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from posegen.errors import ConfigError

PERCEPTUAL_WEIGHTS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)
"""Weights of relu1_1 … relu5_1 in `perceptual` (pix2pixHD's published code)."""

_IMAGENET_DEVIATION = (0.229, 0.224, 0.225)  # of red, green and blue in [0, 1]


def lsgan(predictions: Sequence[Tensor], real: bool) -> Tensor:
    """Least-squares adversarial loss (Mao et al., 2017, arXiv:1611.04076, Equation 9), summed over scales.

    Args:
        predictions: Scores of each scale, any shapes.
        real: Whether they should be 1 (``True``) or 0.

    Raises:
        ConfigError: For a single tensor, whose samples would be taken for scales.
    """
    if isinstance(predictions, Tensor):
        raise ConfigError(f"predictions must be a list of scales, got a tensor {tuple(predictions.shape)}")
    target = 1.0 if real else 0.0
    return torch.stack([(prediction - target).square().mean() for prediction in predictions]).sum()


def last(activations: Sequence[Sequence[Tensor]]) -> list[Tensor]:
    """Return the predictions of each scale of a discriminator, without the activations before them."""
    return [scale[-1] for scale in activations]


def log_loss(probabilities: Tensor) -> Tensor:
    """−log p, mean over all patches: small where they are held for what they should be."""
    return -(probabilities + 1e-7).log().mean()


def kl_to_standard_normal(mean: Tensor, logvar: Tensor) -> Tensor:
    """KL(N(mean, exp(logvar)) ‖ N(0, I)), summed over the batch and the code (N, Z).

    A sum and not a mean, as in BicycleGAN (Zhu et al., 2017, arXiv:1711.11586, Section 3.2 and published code).
    """
    return -0.5 * (1 + logvar - mean.square() - logvar.exp()).sum()


def supervised_contrast(codes: Tensor, labels: Tensor, temperature: float = 0.1) -> Tensor:
    """Contrast of codes (N, Z) by their labels (N,): 0 where those of a label point one way, and no others do.

    That is the supervised contrastive loss (Khosla et al., 2020, arXiv:2004.11362, Equation 2). A code whose label no
    other one has counts as 0.
    """
    unit = F.normalize(codes, dim=1)
    itself = torch.eye(len(codes), dtype=torch.bool, device=codes.device)
    likeness = (unit @ unit.T / temperature).masked_fill(itself, -torch.inf).log_softmax(dim=1)
    alike = (labels[:, None] == labels) & ~itself  # (N, N)
    return -(likeness.masked_fill(~alike, 0).sum(dim=1) / alike.sum(dim=1).clamp_min(1)).mean()


def mean_kl_to_standard_normal(mean: Tensor, logvar: Tensor) -> Tensor:
    """KL(N(mean, exp(logvar)) ‖ N(0, I)), summed over the code (N, Z) and averaged over the batch.

    ACTOR's published weight of 1e-5 is for the sum over its batches of 20 (Petrovich et al., 2021, arXiv:2104.05670,
    Section 3 and published code): 2e-4 of this mean is the same at that size, and stays the same at others.
    """
    return kl_to_standard_normal(mean, logvar) / len(mean)


def masked_mse(fake: Tensor, real: Tensor, mask: Tensor) -> Tensor:
    """Mean squared error of the frames that are there: ACTOR's losses of rotations and vertices, L_P and L_V.

    (Petrovich et al., 2021, arXiv:2104.05670, Section 3 and published code.)

    Args:
        fake: (N, T, …).
        real: The same.
        mask: (N, T) bool, True for at least one frame. What is behind it counts neither here nor in gradients.
    """
    squares = _masked_squares(fake, real, mask)  # (N, T, …)
    return squares.sum() / (mask.sum() * squares[0, 0].numel())


def masked_motion_mse(fake: Tensor, real: Tensor, mask: Tensor) -> Tensor:
    """`masked_mse` of ACTOR's motions without the three numbers behind the root's translation, which mean nothing.

    They are zeros in every motion, and the published L_P teaches them. The denominator counts them all the same, so
    that either loss is on one scale and λ_KL fits both.

    Args:
        fake: (N, T, J, 6), the last row being the translation in three numbers.
        real: The same.
        mask: (N, T) bool, True for at least one frame.
    """
    squares = _masked_squares(fake, real, mask)  # (N, T, J, 6)
    total = squares[:, :, :-1].sum() + squares[:, :, -1, :3].sum()
    return total / (mask.sum() * squares[0, 0].numel())


def _masked_squares(fake: Tensor, real: Tensor, mask: Tensor) -> Tensor:
    """Squared differences, 0 behind the mask, whatever is there."""
    hidden = ~mask.reshape(*mask.shape, *[1] * (fake.dim() - 2))  # (N, T, 1, …)
    return (fake - real).masked_fill(hidden, 0.0).square()


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


def perceptual(
    features: Callable[[Tensor], Sequence[Tensor]],
    fake: Tensor,
    real: Tensor,
    weights: Sequence[float] = PERCEPTUAL_WEIGHTS,
) -> Tensor:
    """Distance of a frozen network's activations (Johnson et al., 2016; weights of Wang et al., 2018).

    Args:
        features: Images to five activations, as `VGGFeatures` gives them.
        fake: (N, 3, H, W) in [-1, 1].
        real: The same; no gradient flows to it.
        weights: Of each activation.
    """
    with torch.no_grad():
        targets = features(real)
    distances = [
        weight * F.l1_loss(activation, target)
        for weight, activation, target in zip(weights, features(fake), targets, strict=True)
    ]
    return torch.stack(distances).sum()


def normalized_l1(fake: Tensor, real: Tensor) -> Tensor:
    """Mean absolute difference of images (N, 3, H, W) in [-1, 1], in ImageNet's deviations of each channel.

    The first term of the VUNet's reconstruction (Esser et al., 2018, arXiv:1804.04694, Section 3.2, and the published
    code of Blattmann et al., 2021): what its VGG is shown.
    """
    deviation = fake.new_tensor(_IMAGENET_DEVIATION).view(3, 1, 1)
    return ((fake - real) / (2 * deviation)).abs().mean()


def nearest_neighbor(fake: Tensor, real: Tensor, window: int = 5) -> Tensor:
    """Distance of features to the nearest of those near the same place (Siarohin et al., 2018, Section 3.3).

    What is a pixel or two away costs nothing, so small errors of a pose do not blur the picture. Absolute
    differences, summed over channels; mean over samples and positions.

    Args:
        fake: (N, C, H, W).
        real: (N, C, H, W); no gradient flows to it.
        window: Height and width, odd, of the places in `real` that each place of `fake` is compared with.

    Raises:
        ConfigError: The window is even or less than 1.
    """
    if window < 1 or window % 2 == 0:
        raise ConfigError(f"window must be odd and at least 1, got {window}")
    with torch.no_grad():
        nearest = _nearest(fake, real, window)
    return (fake - nearest).abs().sum(dim=1).mean()


def _nearest(fake: Tensor, real: Tensor, window: int) -> Tensor:
    """For each place of `fake` the nearest feature in the window of `real`, (N, C, H, W), one shift at a time."""
    height, width = real.shape[-2:]
    padded = F.pad(real, (window // 2,) * 4, value=-10000.0)  # farther than any feature: never the nearest
    nearest, least = real, (fake - real).abs().sum(dim=1, keepdim=True)  # (N, C, H, W), (N, 1, H, W)
    for top in range(window):
        for left in range(window):
            shifted = padded[..., top : top + height, left : left + width]  # (N, C, H, W)
            distance = (fake - shifted).abs().sum(dim=1, keepdim=True)  # (N, 1, H, W)
            nearest = torch.where(distance < least, shifted, nearest)
            least = torch.minimum(distance, least)
    return nearest


_XYZ_FROM_RGB = (
    (0.4124564 / 0.95047, 0.3575761 / 0.95047, 0.1804375 / 0.95047),
    (0.2126729, 0.7151522, 0.0721750),
    (0.0193339 / 1.08883, 0.1191920 / 1.08883, 0.9503041 / 1.08883),
)  # relative to the white of D65


def lab_colors(images: Tensor) -> Tensor:
    """Convert sRGB images (N, 3, H, W) in [0, 1] to CIELAB (D65) in units of 100, with gradients."""
    linear = torch.where(images <= 0.04045, images / 12.92, ((images.clamp(min=1e-4) + 0.055) / 1.055) ** 2.4)
    matrix = torch.tensor(_XYZ_FROM_RGB, dtype=images.dtype, device=images.device)
    xyz = torch.einsum("ij,njhw->nihw", matrix, linear)
    root = torch.where(xyz > 0.008856, xyz.clamp(min=0.008856) ** (1 / 3), 7.787 * xyz + 16 / 116)
    x, y, z = root.unbind(dim=1)
    return torch.stack([1.16 * y - 0.16, 5 * (x - y), 2 * (y - z)], dim=1)


def weighted_mean(values: Tensor, weights: Tensor) -> Tensor:
    """Return the mean of values (N, C, H, W) with weights (N, 1, H, W); 0 where no weight is above 0."""
    return (values * weights).sum() / (weights.sum() * values.shape[1]).clamp(min=1e-6)


def gradient_difference(fake: Tensor, real: Tensor, weights: Tensor) -> Tensor:
    """Mean absolute difference of the gradients of images (N, C, H, W) along both axes, weighted (N, 1, H, W)."""
    rows = (fake.diff(dim=2) - real.diff(dim=2)).abs()
    columns = (fake.diff(dim=3) - real.diff(dim=3)).abs()
    return weighted_mean(rows, weights[:, :, 1:]) + weighted_mean(columns, weights[..., 1:])
