"""The network that parses a person: a small U-Net on colours, joints and a first guess of the garments."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from posegen.networks.layers import check_divisible
from posegen.networks.synced_norm import SyncedBatchNorm2d
from posegen.person_classes import PersonClass
from posegen.skeletons import OPENPOSE_18

NUM_GUESSES = 3
"""Channels of the first guess: the person, the upper and the lower garment."""
IN_CHANNELS = 3 + len(OPENPOSE_18) + NUM_GUESSES
"""Channels that the network takes: colours in [-1, 1], heat maps of the joints in [0, 1], the first guess in [0, 1]."""
_MULTIPLE = 32  # five halvings


class PersonParserNetwork(nn.Module):
    """Scores of the classes of every pixel.

    An encoder of residual blocks at 1/4, 1/8, 1/16 and 1/32 of the resolution, and a decoder that adds up what all
    of them see, as in feature pyramids (Lin et al., 2017, arXiv:1612.03144), down to half the resolution. At the whole
    resolution the first guess is added, whose outlines are sharp.

    Args:
        width: Channels at half the resolution; the others grow with it. 24 makes 0.8 million weights, and 0.5 GFLOP
            for 192×128 pixels.
    """

    def __init__(self, width: int = 24):
        super().__init__()
        widths = [width * share // 12 for share in (12, 20, 40, 64, 80)]
        pyramid = width * 8 // 3
        self.stem = _conv(IN_CHANNELS, width, stride=2)
        self.downs = nn.ModuleList(_conv(widths[n], widths[n + 1], stride=2) for n in range(4))
        self.blocks = nn.ModuleList(
            [*(_ResidualBlock(channels) for channels in widths[1:4]), _SeparableBlock(widths[4])]
        )
        self.laterals = nn.ModuleList(nn.Conv2d(channels, pyramid, kernel_size=1) for channels in widths[1:])
        self.merges = nn.ModuleList(
            [_conv(pyramid, pyramid // 2), *(_conv(pyramid, pyramid) for _ in range(2))]
        )  # at 1/4, 1/8 and 1/16
        self.last = _separable(pyramid // 2 + width, width)
        self.output = nn.Conv2d(width, len(PersonClass), kernel_size=1)
        self.guess = nn.Conv2d(NUM_GUESSES, len(PersonClass), kernel_size=1)
        nn.init.zeros_(self.guess.weight)

    def check_size(self, size: Sequence[int]) -> None:
        """Raise PosegenError unless the network takes pictures of this height and width."""
        check_divisible(size, multiple=_MULTIPLE, minimum=2 * _MULTIPLE)

    def forward(self, inputs: Tensor) -> Tensor:
        """Score the classes: (N, 24, H, W) to logits (N, 8, H, W). Raises PosegenError for an illegal size."""
        self.check_size(inputs.shape[-2:])
        stem = self.stem(inputs)  # (N, D, H/2, W/2)
        x, scales = stem, []
        for down, block in zip(self.downs, self.blocks, strict=True):
            x = block(down(x))
            scales.append(x)  # H/4, H/8, H/16, H/32
        merged = self.laterals[3](scales[3])  # (N, P, H/32, W/32)
        for level in (2, 1, 0):
            merged = self.merges[level](self.laterals[level](scales[level]) + _double(merged))
        logits = self.output(self.last(torch.cat([_double(merged), stem], dim=1)))  # (N, 8, H/2, W/2)
        return _double(logits) + self.guess(inputs[:, -NUM_GUESSES:])


def _double(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def _conv(in_channels: int, out_channels: int, stride: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(in_channels, out_channels, kernel_size=3, stride=stride, padding=1, bias=False)
    return nn.Sequential(conv, SyncedBatchNorm2d(out_channels), nn.ReLU(inplace=True))


def _separable(in_channels: int, out_channels: int) -> nn.Sequential:
    """A convolution of each channel, and one over all channels (Howard et al., 2017, arXiv:1704.04861)."""
    return nn.Sequential(
        nn.Conv2d(in_channels, in_channels, kernel_size=3, padding=1, groups=in_channels, bias=False),
        nn.Conv2d(in_channels, out_channels, kernel_size=1, bias=False),
        SyncedBatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )


class _ResidualBlock(nn.Module):
    """relu(x + f(x)) of two convolutions."""

    def __init__(self, channels: int):
        super().__init__()
        self.first = _conv(channels, channels)
        self.second = nn.Conv2d(channels, channels, kernel_size=3, padding=1, bias=False)
        self.norm = SyncedBatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.norm(self.second(self.first(x))))


class _SeparableBlock(nn.Module):
    """x + f(x) of two separable convolutions."""

    def __init__(self, channels: int):
        super().__init__()
        self.layers = nn.Sequential(_separable(channels, channels), _separable(channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)
