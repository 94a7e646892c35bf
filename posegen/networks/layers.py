"""Layers that several networks use."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from posegen.errors import ConfigError


def check_divisible(size: Sequence[int], *, multiple: int, minimum: int) -> None:
    """Raise ConfigError unless height and width are multiples of `multiple` and at least `minimum`."""
    height, width = size
    if height % multiple or width % multiple or min(height, width) < minimum:
        raise ConfigError(
            f"height and width must be multiples of {multiple} and at least {minimum}, got {height}×{width}: "
            "resize the images, or build the network with fewer halvings"
        )


def tile(z: Tensor, size: Sequence[int]) -> Tensor:
    """Repeat a code (N, Z) at every pixel: (N, Z, H, W)."""
    height, width = size
    return z[:, :, None, None].expand(-1, -1, height, width)


def halve(x: Tensor) -> Tensor:
    """Return the next scale of an image pyramid, (N, C, ⌈H/2⌉, ⌈W/2⌉), with padding left out of the averages."""
    return F.avg_pool2d(x, kernel_size=3, stride=2, padding=1, count_include_pad=False)


def blur_pool(x: Tensor) -> Tensor:
    """Blur with the binomial filter (1, 2, 1) and take every second pixel (Zhang, 2019, arXiv:1904.11486).

    (N, C, H, W) to (N, C, ⌊(H + 1) / 2⌋ + 1, …), reflected by two pixels at the borders (Ghildyal and Liu, 2022,
    arXiv:2207.13686), where the original reflects one.
    """
    taps = x.new_tensor([0.25, 0.5, 0.25])
    kernel = torch.outer(taps, taps).expand(x.shape[1], 1, 3, 3)
    return F.conv2d(F.pad(x, (2, 2, 2, 2), mode="reflect"), kernel, stride=2, groups=x.shape[1])
