"""The network that refines a composed picture of a person: where pixels come from, opacity, light and colours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from posegen.networks.layers import check_divisible

_MULTIPLE = 16  # half the resolution, and three halvings
_LARGEST_SHIFT = 0.3  # lengths of the trunk
_LARGEST_SHADE = 0.5  # of the logarithm of the light
_LARGEST_RESIDUAL = 0.3  # of colours in [0, 1]


class Refinement(NamedTuple):
    """Changes to a composed picture; all zeros change nothing."""

    shift: Tensor
    """(N, 2, H, W): x and y in the source, in lengths of the trunk, to be added to where pixels come from."""
    opacity: Tensor
    """(N, 1, H, W) in [-1, 1], to be added."""
    shade: Tensor
    """(N, 1, H, W): logarithm of the factor of the light."""
    residual: Tensor
    """(N, 3, H, W): colours in units of [0, 1], to be added."""


class RefinerNetwork(nn.Module):
    """A U-Net at half the resolution, modulated by both poses; at the beginning it changes nothing.

    Both poses scale and shift the features of each level (Perez et al., 2018, arXiv:1709.07871), since how a body turns
    in depth is not seen in a crop of it.

    Args:
        in_channels: Channels of the picture.
        pose_numbers: Numbers of both poses.
        width: Channels of the first level; 16 makes 0.42 million weights, 28 makes 1.2.
    """

    def __init__(self, in_channels: int, pose_numbers: int, width: int = 16):
        super().__init__()
        widths = [width, 2 * width, 4 * width, 6 * width]
        self.unshuffle = nn.PixelUnshuffle(2)
        self.encoders = nn.ModuleList(
            _Block(near, far) for near, far in zip([4 * in_channels, *widths[:-1]], widths, strict=True)
        )
        self.decoders = nn.ModuleList(_conv(widths[n + 1] + widths[n], widths[n]) for n in range(3))
        self.pose = nn.Sequential(nn.Linear(pose_numbers, 64), nn.ReLU(inplace=True))
        self.modulations = nn.ModuleList(nn.Linear(64, 2 * channels) for channels in widths)
        self.head = nn.Conv2d(width, 2 + 1 + 3 + 4, kernel_size=3, padding=1)
        for layer in (self.head, *self.modulations):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def check_size(self, size: Sequence[int]) -> None:
        """Raise PosegenError unless the network takes pictures of this height and width."""
        check_divisible(size, multiple=_MULTIPLE, minimum=_MULTIPLE)

    def forward(self, inputs: Tensor, pose: Tensor) -> Refinement:
        """Refine pictures (N, C, H, W) of people with poses (N, P). Raises PosegenError for an illegal size."""
        self.check_size(inputs.shape[-2:])
        code = self.pose(pose)  # (N, 64)
        x, scales = self.unshuffle(inputs), []  # (N, 4C, H/2, W/2)
        for level, (encoder, modulation) in enumerate(zip(self.encoders, self.modulations, strict=True)):
            x = encoder(F.avg_pool2d(x, kernel_size=2) if level else x)
            factor, offset = modulation(code)[..., None, None].chunk(2, dim=1)  # 2 × (N, D, 1, 1)
            x = x * (1 + factor) + offset
            scales.append(x)
        for level in (2, 1, 0):
            x = self.decoders[level](torch.cat([_double(x), scales[level]], dim=1))
        shift, shade, residual, opacity = self.head(x).split([2, 1, 3, 4], dim=1)
        return Refinement(
            shift=_LARGEST_SHIFT * torch.tanh(_double(shift)),
            opacity=torch.tanh(F.pixel_shuffle(opacity, 2)),
            shade=_LARGEST_SHADE * torch.tanh(_double(shade)),
            residual=_LARGEST_RESIDUAL * torch.tanh(_double(residual)),
        )


class _Block(nn.Module):
    """Two convolutions, the second one beside a short cut."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.first, self.second = _conv(in_channels, out_channels), _conv(out_channels, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        return x + self.second(x)


def _conv(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1), nn.ReLU(inplace=True))


def _double(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
