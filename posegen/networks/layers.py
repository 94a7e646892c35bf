"""What several networks need."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional as F


def check_size(size: Sequence[int], *, multiple: int, minimum: int) -> None:
    """Raise ValueError unless height and width are multiples of `multiple` and at least `minimum`."""
    height, width = size
    if height % multiple or width % multiple or min(height, width) < minimum:
        raise ValueError(
            f"height and width must be multiples of {multiple} and at least {minimum}, got {height}×{width}: "
            "resize the images, or build the network with fewer halvings"
        )


def tile(z: Tensor, size: Sequence[int]) -> Tensor:
    """Repeat a code (N, Z) at every pixel: (N, Z, H, W)."""
    height, width = size
    return z[:, :, None, None].expand(-1, -1, height, width)


def halve(x: Tensor) -> Tensor:
    """The next scale of an image pyramid, (N, C, ⌈H/2⌉, ⌈W/2⌉), with padding left out of the averages."""
    return F.avg_pool2d(x, kernel_size=3, stride=2, padding=1, count_include_pad=False)
