"""Similarity of two images.

Every measure takes a generated and a real batch (N, 3, H, W) in [0, 1] and gives one number each, (N,). It raises
ValueError for other shapes and values, because images in [-1, 1] would give a number that looks plausible.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytorch_msssim
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from posegen.errors import ConfigError, WeightsError
from posegen.metrics._torchvision import import_torchvision
from posegen.networks.layers import blur_pool
from posegen.weights import download as weights

MS_SSIM_MIN_SIZE = 161
"""The least height and width that `ms_ssim` can halve four times and still lay its 11 × 11 window on."""

SSIM_MIN_SIZE = 11
"""The least height and width that `ssim` can lay its window on."""

_ROUNDING = 1e-5  # how far resizing and averaging may leave [0, 1]


def ssim(fake: Tensor, real: Tensor) -> Tensor:
    """Structural similarity (Wang et al., 2004), at most 1: 11 × 11 Gaussian with σ 1.5, mean of the channels."""
    _check(fake, real)
    return pytorch_msssim.ssim(fake, real, data_range=1.0, size_average=False)


def ms_ssim(fake: Tensor, real: Tensor) -> Tensor:
    """Multi-scale structural similarity (Wang et al., 2003), in [0, 1]: five scales, mean of the channels.

    Raises ConfigError for images of less than 161 pixels on a side; `ssim` takes them.
    """
    _check(fake, real)
    height, width = fake.shape[-2:]
    if min(height, width) < MS_SSIM_MIN_SIZE:
        raise ConfigError(
            f"ms_ssim needs at least {MS_SSIM_MIN_SIZE} pixels on both sides, got {height}×{width}: use ssim"
        )
    return pytorch_msssim.ms_ssim(fake, real, data_range=1.0, size_average=False)


def psnr(fake: Tensor, real: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB: −10 log10 of the mean squared error, infinite for equal images."""
    _check(fake, real)
    return -10 * (fake - real).square().mean(dim=(1, 2, 3)).log10()


def masked(fake: Tensor, real: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Both batches with the background black: multiplied by the real frames' person mask (N, 1, H, W), 0 or 1.

    Equal black pixels count as success, so masked scores are higher than unmasked ones and the two must not be
    compared. Where a mask is empty both images are black, which scores as equal; a warning counts them.
    """
    empty = int((mask.flatten(1).amax(dim=1) == 0).sum())
    if empty:
        warnings.warn(f"{empty} of {len(mask)} masks are empty: their frames score as perfect", stacklevel=2)
    return fake * mask, real * mask


class LPIPS(nn.Module):
    """Learned perceptual distance (Zhang et al., 2018, arXiv:1801.03924), AlexNet, version 0.1.

    Args:
        trunk: Weights of torchvision's AlexNet, ``features.0.weight`` and so on.
    """

    def __init__(self, trunk: Mapping[str, Tensor]):
        super().__init__()
        self.network = _lpips_network()
        own = self.network.net.state_dict()
        given = {f"features.{'.'.join(name.split('.')[1:])}": name for name in own}
        missing = sorted(given.keys() - trunk.keys())
        if missing:
            raise ConfigError(f"weights of LPIPS's AlexNet lack {missing}")
        self.network.net.load_state_dict({name: trunk[key] for key, name in given.items()})
        self.requires_grad_(False).eval()

    @classmethod
    def pretrained(cls) -> LPIPS:
        """Return the metric with torchvision's weights. Raises WeightsError where they cannot be had."""
        try:
            with weights.loaded("lpips-alexnet") as tensors:
                return cls(tensors)
        except WeightsError as error:
            raise WeightsError(
                f"{error}. Without it use st_lpips, a different metric that needs no other download"
            ) from error

    def forward(self, fake: Tensor, real: Tensor) -> Tensor:
        """Distances (N,), 0 for equal images."""
        _check(fake, real)
        return self.network(fake, real, normalize=True).flatten()  # (N,)


_LPIPS_HEAD_SUMS = (2.349532, 16.143028, 39.268439, 27.197178, 20.317177)  # of version 0.1; 0.0 differs


def _lpips_network() -> Any:
    """The published network with its heads and a random trunk. Raises ConfigError where the heads are not 0.1's."""
    import_torchvision()
    import lpips

    with warnings.catch_warnings():  # it asks torchvision for an untrained AlexNet by a deprecated name
        warnings.simplefilter("ignore")
        network = lpips.LPIPS(net="alex", version="0.1", pnet_rand=True, verbose=False)
    sums = [float(head.model[1].weight.detach().double().sum()) for head in network.lins]
    if not np.allclose(sums, _LPIPS_HEAD_SUMS, atol=1e-4):
        raise ConfigError(f"heads of LPIPS sum to {sums}, expected {_LPIPS_HEAD_SUMS}: reinstall lpips")
    return network


class STLPIPS(nn.Module):
    """Shift-tolerant perceptual distance (Ghildyal and Liu, 2022, arXiv:2207.13686), AlexNet; called ``st_lpips``.

    Like LPIPS, on an AlexNet whose strides are replaced by blurred ones (Zhang, 2019), so that a shift by a pixel
    costs little. Its numbers must not be compared with LPIPS's.

    Args:
        state_dict: Published weights, trunk and heads: ``net.slice1.0.weight``, ``lin0.model.1.weight`` and so on.
    """

    def __init__(self, state_dict: Mapping[str, Tensor]):
        super().__init__()
        widths = (3, 64, 192, 384, 256, 256)
        kernels = (11, 5, 3, 3, 3)
        self.convolutions = nn.ModuleList(
            nn.Conv2d(widths[n], widths[n + 1], kernel, padding=min(kernel // 2, 2)) for n, kernel in enumerate(kernels)
        )
        self.heads = nn.ModuleList(nn.Conv2d(width, 1, kernel_size=1, bias=False) for width in widths[1:])
        self.shift: Tensor
        self.scale: Tensor
        self.register_buffer("shift", torch.tensor([-0.030, -0.088, -0.188]).view(3, 1, 1), persistent=False)
        self.register_buffer("scale", torch.tensor([0.458, 0.448, 0.450]).view(3, 1, 1), persistent=False)
        self._load(state_dict)
        self.requires_grad_(False)

    @classmethod
    def pretrained(cls) -> STLPIPS:
        """Return the metric with its published weights. Raises PosegenError where they cannot be had."""
        with weights.loaded("st_lpips") as tensors:
            return cls(tensors)

    def _load(self, state_dict: Mapping[str, Tensor]) -> None:
        trunk = ("slice1.0", "slice2.5", "slice3.9", "slice4.11", "slice5.13")
        sources = {f"convolutions.{n}": f"net.{layer}" for n, layer in enumerate(trunk)}
        sources |= {f"heads.{n}": f"lin{n}.model.1" for n in range(len(trunk))}
        names = {f"{own}.{kind}": f"{source}.{kind}" for own, source in sources.items() for kind in ("weight", "bias")}
        wanted = {own: names[own] for own in self.state_dict()}
        missing = sorted(set(wanted.values()) - state_dict.keys())
        if missing:
            raise ConfigError(f"weights of st_lpips lack {missing}")
        self.load_state_dict({own: state_dict[source] for own, source in wanted.items()})

    def forward(self, fake: Tensor, real: Tensor) -> Tensor:
        """Distances (N,), 0 for equal images."""
        _check(fake, real)
        distances = [
            head((_unit_length(a) - _unit_length(b)).square()).mean(dim=(1, 2, 3))  # (N,)
            for head, a, b in zip(self.heads, self._activations(fake), self._activations(real), strict=True)
        ]
        return torch.stack(distances).sum(dim=0)  # (N,)

    def _activations(self, image: Tensor) -> list[Tensor]:
        """relu1 … relu5 of images in [0, 1], each (N, D, ·, ·)."""
        x = (2 * image - 1 - self.shift) / self.scale  # (N, 3, H, W)
        activations = []
        for n, convolution in enumerate(self.convolutions):
            if n in (1, 2):
                x = blur_pool(F.max_pool2d(x, kernel_size=3, stride=1))  # (N, D, H / 2^(n + 1), W / 2^(n + 1))
            x = convolution(x)
            x = F.relu(blur_pool(x) if n == 0 else x)  # (N, D, H / 2, W / 2) to (N, D, H / 8, W / 8)
            activations.append(x)
        return activations


def _unit_length(x: Tensor) -> Tensor:
    """Divide (N, D, H, W) by its length over D at every pixel."""
    return x / (x.norm(dim=1, keepdim=True) + 1e-10)


def _check(fake: Tensor, real: Tensor) -> None:
    if fake.shape != real.shape or fake.dim() != 4 or fake.shape[1] != 3:
        raise ConfigError(f"images must both be (N, 3, H, W), got {tuple(fake.shape)} and {tuple(real.shape)}")
    for images in (fake, real):
        low, high = (float(bound) for bound in images.aminmax())
        if not (low >= -_ROUNDING and high <= 1 + _ROUNDING):
            raise ConfigError(f"images must be in [0, 1], got [{low:g}, {high:g}]: map [-1, 1] by (x + 1) / 2")
