"""The network that mends estimated feature maps (Yang et al., 2020, Section 2.3), whose warped parts leave cracks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from posegen.networks.initialization import init_normal
from posegen.networks.layers import check_divisible

_MULTIPLE = 4  # two halvings
_LARGEST_DILATION = 4


class FeatureRestorer(nn.Module):
    """Fills the holes and mends the seams that warping leaves in the edge channel of a feature map.

    A residual network at a quarter of the resolution, without skips that would copy artefacts. Its input is the
    warped map, whose first channels are the target's own stick figure already, and the support, which tells a
    hole from skin without edges: 5 channels. Its last convolution starts at zero, so that it starts as the identity.

    Args:
        width: Channels of the first convolution, doubled by each of the two halvings.
        num_blocks: Residual blocks. Their dilations are 1, 1, 2, 2 and then 4, to reach across cracks.
    """

    def __init__(self, width: int = 32, num_blocks: int = 6):
        super().__init__()
        self.stem = _conv(5, width, kernel_size=7)
        self.downs = nn.Sequential(_down(width), _down(2 * width))
        dilations = [min(2 ** (n // 2), _LARGEST_DILATION) for n in range(num_blocks)]
        self.blocks = nn.Sequential(*(_ResidualBlock(4 * width, dilation) for dilation in dilations))
        self.ups = nn.Sequential(_up(4 * width), _up(2 * width))
        self.output = nn.Conv2d(width, 1, kernel_size=7, padding=3, padding_mode="reflect")
        init_normal(self)
        nn.init.zeros_(self.output.weight)
        self.output.bias = nn.Parameter(torch.zeros(1))

    def check_size(self, size: Sequence[int]) -> None:
        """Raise PosegenError unless the network takes maps of this height and width."""
        check_divisible(size, multiple=_MULTIPLE, minimum=_MULTIPLE * (_LARGEST_DILATION + 1))

    def forward(self, features: Tensor, support: Tensor) -> Tensor:
        """Restore a feature map (N, 4, H, W) in [-1, 1]; its stick figure stays as it is.

        Args:
            features: The estimated map (N, 4, H, W) in [-1, 1], edges last.
            support: (N, 1, H, W) in [0, 1], 1 where a warped part could put something.

        Raises:
            PosegenError: For an illegal size.
        """
        self.check_size(features.shape[-2:])
        x = self.stem(torch.cat([features, support], dim=1))  # (N, D, H, W)
        x = self.downs(x)  # (N, 4 D, H / 4, W / 4)
        x = self.blocks(x)  # (N, 4 D, H / 4, W / 4)
        x = self.ups(x)  # (N, D, H, W)
        change = 2 * torch.tanh(self.output(x))  # (N, 1, H, W), up to the whole range
        edges = _cut(features[:, 3:] + change)  # (N, 1, H, W)
        return torch.cat([features[:, :3], edges], dim=1)  # (N, 4, H, W)


def _cut(edges: Tensor) -> Tensor:
    """Clamp to [-1, 1], but pass gradients on as if nothing was cut: one that leads back inside must not be lost."""
    return edges + (edges.clamp(-1, 1) - edges).detach()


class _ResidualBlock(nn.Module):
    """x + f(x) without an activation after the sum, as in pix2pixHD, with dilated convolutions."""

    def __init__(self, channels: int, dilation: int):
        super().__init__()
        self.conv1 = _dilated(channels, dilation)
        self.conv2 = _dilated(channels, dilation)

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(F.instance_norm(self.conv1(x)))  # (N, D, H, W)
        return x + F.instance_norm(self.conv2(h))


def _dilated(channels: int, dilation: int) -> nn.Conv2d:
    return nn.Conv2d(channels, channels, kernel_size=3, padding=dilation, dilation=dilation, padding_mode="reflect")


def _conv(in_channels: int, out_channels: int, kernel_size: int) -> nn.Sequential:
    conv = nn.Conv2d(
        in_channels, out_channels, kernel_size=kernel_size, padding=kernel_size // 2, padding_mode="reflect"
    )
    return nn.Sequential(conv, nn.InstanceNorm2d(out_channels), nn.ReLU())


def _down(channels: int) -> nn.Sequential:
    conv = nn.Conv2d(channels, 2 * channels, kernel_size=3, stride=2, padding=1)
    return nn.Sequential(conv, nn.InstanceNorm2d(2 * channels), nn.ReLU())


def _up(channels: int) -> nn.Sequential:
    """Double the size by repeating pixels, which leaves no checkerboard as a transposed convolution can."""
    return nn.Sequential(nn.Upsample(scale_factor=2), *_conv(channels, channels // 2, kernel_size=3))
