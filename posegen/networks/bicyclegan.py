"""The networks of BicycleGAN (Zhu et al., 2017, arXiv:1711.11586, Section 4 and published code).

All norms are instance norms without parameters; all convolutions have biases.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from posegen.errors import ConfigError
from posegen.networks.initialization import init_xavier
from posegen.networks.layers import check_divisible, halve, tile


@dataclass(frozen=True, kw_only=True)
class UNetVariant:
    """Options of a U-Net in the published code."""

    upsample: Literal["basic", "bilinear"] = "basic"
    """Transposed convolutions, or bilinear upsampling and a convolution."""
    where_add: Literal["all", "input"] = "all"
    """Layers that take the code."""
    dropout: bool = False
    """Drop half of the decoder's activations in the levels between the four outer ones and the innermost."""


_PUBLISHED = UNetVariant()


class UNet(nn.Module):
    """Draws an image from a condition and a code: the U-Net generator G(A, z).

    The code enters at every level (``where_add="all"``), before the convolution that halves it, or at the input
    alone. The outermost convolution has no norm after it, which would erase a code that is equal at all pixels.

    Args:
        in_channels: Channels of the condition.
        out_channels: Channels of the image.
        latent_dim: Z.
        width: Channels of the outermost level, doubled at each level up to eight times.
        num_downs: Halvings, at least 5. 7 is the paper's U-128, 8 its U-256.
        variant: Which of the published ones.
    """

    def __init__(
        self,
        in_channels: int = 4,
        out_channels: int = 3,
        latent_dim: int = 16,
        width: int = 64,
        num_downs: int = 7,
        variant: UNetVariant = _PUBLISHED,
    ):
        super().__init__()
        if num_downs < 5:
            raise ConfigError(f"num_downs must be at least 5, got {num_downs}")
        self.num_downs = num_downs
        self.where_add = variant.where_add
        widths = [width * min(2**level, 8) for level in range(num_downs)]
        inputs = [in_channels, *widths[:-1]]
        inner_latent_dim = latent_dim if variant.where_add == "all" else 0
        self.downs = nn.ModuleList(
            _down(
                inputs[level] + (inner_latent_dim if level else latent_dim),
                widths[level],
                activate=level > 0,
                norm=0 < level < num_downs - 1,
            )
            for level in range(num_downs)
        )
        self.ups = nn.ModuleList(
            _up(
                widths[level] * (1 if level == num_downs - 1 else 2),
                inputs[level] if level else out_channels,
                variant.upsample,
                outermost=level == 0,
                dropout=variant.dropout and 4 <= level < num_downs - 1,
            )
            for level in reversed(range(num_downs))
        )
        init_xavier(self)

    @property
    def stride_multiple(self) -> int:
        """Height and width must be multiples of this."""
        return 2**self.num_downs

    def check_size(self, size: Sequence[int]) -> None:
        """Raise PosegenError unless the network takes images of this height and width."""
        check_divisible(size, multiple=self.stride_multiple, minimum=self.stride_multiple)

    def forward(self, condition: Tensor, z: Tensor) -> Tensor:
        """Condition (N, C, H, W) and code (N, Z) to an image (N, 3, H, W), all in [-1, 1] but the code.

        Raises PosegenError for an illegal size.
        """
        self.check_size(condition.shape[-2:])
        x, skips = condition, []  # (N, C, H, W)
        for level, down in enumerate(self.downs):
            skips.append(x)  # without the code
            if level == 0 or self.where_add == "all":
                x = torch.cat([x, tile(z, x.shape[-2:])], dim=1)  # (N, D_in + Z, H / 2^level, W / 2^level)
            x = down(x)  # (N, D, H / 2^(level + 1), W / 2^(level + 1))
        for level in reversed(range(1, self.num_downs)):
            x = self.ups[self.num_downs - 1 - level](x)  # (N, D_in, H / 2^level, W / 2^level)
            x = torch.cat([x, skips[level]], dim=1)  # (N, 2 D_in, H / 2^level, W / 2^level)
        return self.ups[-1](x)  # (N, 3, H, W)


def _down(in_channels: int, out_channels: int, *, activate: bool, norm: bool) -> nn.Sequential:
    layers: list[nn.Module] = [nn.LeakyReLU(0.2)] if activate else []
    layers.append(nn.Conv2d(in_channels, out_channels, kernel_size=4, stride=2, padding=1))
    if norm:
        layers.append(nn.InstanceNorm2d(out_channels))
    return nn.Sequential(*layers)


def _up(in_channels: int, out_channels: int, upsample: str, *, outermost: bool, dropout: bool) -> nn.Sequential:
    layers: list[nn.Module] = [nn.ReLU()]
    if upsample == "basic":
        layers.append(nn.ConvTranspose2d(in_channels, out_channels, kernel_size=4, stride=2, padding=1))
    else:
        layers += [
            nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False),
            nn.ReflectionPad2d(1),
            nn.Conv2d(in_channels, out_channels, kernel_size=3),
        ]
    layers.append(nn.Tanh() if outermost else nn.InstanceNorm2d(out_channels))
    if dropout:
        layers.append(nn.Dropout(0.5))
    return nn.Sequential(*layers)


class ResNetEncoder(nn.Module):
    """Reads the code of an image: the posterior q(z | B) = N(mean, exp(logvar)) of the encoder E.

    The last map is averaged over all its pixels. The published code averages the first 8 × 8 of them, which is
    the same at 256 × 256, drops the bottom rows of an upright frame, and fails at other sizes.

    Args:
        in_channels: Channels of the image.
        latent_dim: Z.
        width: Channels of the first convolution.
        num_blocks: Halvings: a convolution and ``num_blocks - 1`` residual blocks. 5 is the paper's Res256.
    """

    def __init__(self, in_channels: int = 3, latent_dim: int = 16, width: int = 64, num_blocks: int = 5):
        super().__init__()
        widths = [width * min(n, 4) for n in range(1, num_blocks + 1)]
        self.stem = nn.Conv2d(in_channels, width, kernel_size=4, stride=2, padding=1)
        self.blocks = nn.Sequential(*(_EncoderBlock(*pair) for pair in pairwise(widths)))
        self.activation = nn.LeakyReLU(0.2)
        self.mean = nn.Linear(widths[-1], latent_dim)
        self.logvar = nn.Linear(widths[-1], latent_dim)
        init_xavier(self)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Image (N, 3, H, W) in [-1, 1] to mean and logvar (N, Z)."""
        x = self.stem(image)  # (N, D, H / 2, W / 2)
        x = self.blocks(x)  # (N, 4 D, H / 32, W / 32)
        x = self.activation(x).mean(dim=(2, 3))  # (N, 4 D)
        return self.mean(x), self.logvar(x)  # (N, Z), (N, Z)


class _EncoderBlock(nn.Module):
    """A residual block that halves the map; absolute colours pass only through its shortcut, which has no norm."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.main = nn.Sequential(
            nn.InstanceNorm2d(in_channels),
            nn.LeakyReLU(0.2),
            nn.Conv2d(in_channels, in_channels, kernel_size=3, padding=1),
            nn.InstanceNorm2d(in_channels),
            nn.LeakyReLU(0.2),
            nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1),
            nn.AvgPool2d(2),
        )
        self.shortcut = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(in_channels, out_channels, kernel_size=1))

    def forward(self, x: Tensor) -> Tensor:
        return self.main(x) + self.shortcut(x)  # (N, D_out, H / 2, W / 2)


class PatchDiscriminator(nn.Module):
    """Scores overlapping patches as real or fake (PatchGAN; Isola et al., 2017, arXiv:1611.07004, Section 3.2.2).

    Args:
        in_channels: Channels of the image.
        width: Channels of the first convolution, doubled at each layer up to eight times.
        num_layers: Halvings. 3 gives patches of 70 × 70 pixels.
    """

    def __init__(self, in_channels: int = 3, width: int = 64, num_layers: int = 3):
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(in_channels, width, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        for n in range(1, num_layers + 1):
            previous, current = (width * min(2**power, 8) for power in (n - 1, n))
            stride = 2 if n < num_layers else 1
            layers += [
                nn.Conv2d(previous, current, kernel_size=4, stride=stride, padding=1),
                nn.InstanceNorm2d(current),
                nn.LeakyReLU(0.2),
            ]
        layers.append(nn.Conv2d(current, 1, kernel_size=4, padding=1))
        self.layers = nn.Sequential(*layers)
        init_xavier(self)

    def forward(self, image: Tensor) -> Tensor:
        """Image (N, C, H, W) to scores without bounds, (N, 1, about H / 8, about W / 8)."""
        return self.layers(image)  # (N, 1, H / 2^num_layers - 2, W / 2^num_layers - 2)


class MultiscalePatchDiscriminator(nn.Module):
    """Patch discriminators on an image and on smaller copies of it.

    Args:
        in_channels: Channels of the image.
        width: Channels of the first discriminator's first convolution, halved at each scale.
        num_scales: Scales, each half the size of the one before.
        num_layers: Halvings of every discriminator.
    """

    def __init__(self, in_channels: int = 3, width: int = 64, num_scales: int = 2, num_layers: int = 3):
        super().__init__()
        self.scales = nn.ModuleList(
            PatchDiscriminator(in_channels, round(width / 2**scale), num_layers) for scale in range(num_scales)
        )

    def forward(self, image: Tensor) -> list[Tensor]:
        """Image (N, C, H, W) to the scores of each scale, full resolution first."""
        predictions = []
        for scale in self.scales:
            predictions.append(scale(image))  # (N, 1, H / 2^num_layers - 2, W / 2^num_layers - 2)
            image = halve(image)  # (N, C, H / 2, W / 2)
        return predictions
