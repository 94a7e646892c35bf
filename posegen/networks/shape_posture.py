"""The shape-and-posture network of behaviour-driven synthesis (Blattmann et al., 2021, arXiv:2103.04677).

A VUNet (Esser et al., 2018, arXiv:1804.04694), as in the published code: one U-Net half reads what a person looks like
into two small maps of codes, another reads a stick figure, and a decoder renders the person in that posture. Where the
VUNet learned its prior, this one's is N(0, I).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from posegen.errors import ConfigError
from posegen.networks.layers import check_divisible

_LATENT_SCALES = 2  # the coarsest ones, at which a code says what a person looks like
_FEWEST_SCALES = _LATENT_SCALES + 1


class ShapeCode(NamedTuple):
    """Posterior N(mean, exp(logstd)²) of an appearance, at each latent scale, coarsest first."""

    z: tuple[Tensor, ...]
    """Drawn from the posterior, or its mean, (N, D, h, w) each."""
    mean: tuple[Tensor, ...]
    """(N, D, h, w) each."""
    logstd: tuple[Tensor, ...]
    """(N, D, h, w) each, in (0, 1), so that a deviation is between 1 and e."""


class ShapePostureNetwork(nn.Module):
    """Draws the person of one picture in the posture of a stick figure.

    Args:
        appearance_channels: Of what shows the person: 3 of a picture, or 30 of its ten part crops.
        num_scales: Resolutions of the posture's path, each half of the one before.
        appearance_scales: Resolutions of the appearance's path; crops are smaller than the picture and have fewer.
        width: Channels of the full resolution, doubled at each scale.
        max_width: Most channels of a scale.

    Raises:
        ConfigError: There are fewer than three scales.
    """

    def __init__(
        self,
        appearance_channels: int = 3,
        num_scales: int = 7,
        appearance_scales: int = 7,
        width: int = 32,
        max_width: int = 128,
    ):
        super().__init__()
        if not _FEWEST_SCALES <= appearance_scales <= num_scales:
            raise ConfigError(
                f"expected from {_FEWEST_SCALES} scales to the {num_scales} of the posture, got {appearance_scales} of "
                "the appearance: take larger frames, a smaller bottleneck_factor, or a smaller box_factor"
            )
        self.appearance_multiple, self.multiple = 2 ** (appearance_scales - 1), 2 ** (num_scales - 1)
        widths, appearance_widths = (
            [min(width * 2**scale, max_width) for scale in range(count)] for count in (num_scales, appearance_scales)
        )
        if widths[-_FEWEST_SCALES:] != appearance_widths[-_FEWEST_SCALES:]:
            raise ConfigError(
                f"the coarsest scales of posture and appearance have {widths[-_FEWEST_SCALES:]} and "
                f"{appearance_widths[-_FEWEST_SCALES:]} channels, which must be equal: take a smaller max_width"
            )
        self.latent_dim = widths[-1]
        self.appearance = _Descent(appearance_channels, appearance_widths)
        self.shape = _ShapeReader(appearance_widths[-_FEWEST_SCALES:])
        self.posture = _Descent(3, widths)
        self.decoder = _Decoder(widths)

    def latent_sizes(self, size: Sequence[int]) -> tuple[tuple[int, int], ...]:
        """Height and width of the codes at each latent scale, coarsest first, for frames of a size."""
        height, width = (side // self.multiple for side in size)
        return tuple((height * 2**scale, width * 2**scale) for scale in range(_LATENT_SCALES))

    def check_size(self, size: Sequence[int]) -> None:
        """Raise PosegenError unless the network can render images of this height and width."""
        check_divisible(size, multiple=self.multiple, minimum=self.multiple)

    def encode(self, appearance: Tensor, *, noise: float | Tensor | None = None) -> ShapeCode:
        """Read what a person looks like, (N, C, H, W) in [-1, 1].

        Codes are posterior means, or, with a share of the posterior's noise, near them: 1 draws samples of it.
        """
        check_divisible(appearance.shape[-2:], multiple=self.appearance_multiple, minimum=self.appearance_multiple)
        return self.shape(self.appearance(appearance), noise)

    def decode(self, z: Sequence[Tensor], posture: Tensor) -> Tensor:
        """Draw codes in the posture of a stick figure (N, 3, H, W) in [-1, 1].

        Returns an image (N, 3, H, W) around [-1, 1]: the last layer is linear.
        """
        self.check_size(posture.shape[-2:])
        return self.decoder(self.posture(posture), z)

    def forward(self, appearance: Tensor, posture: Tensor) -> Tensor:
        """`decode` the posterior means of an appearance: what transfers a posture."""
        return self.decode(self.encode(appearance).z, posture)


class _NormConv(nn.Module):
    """A weight-normalized convolution (Salimans and Kingma, 2016, arXiv:1602.07868), then a gain and a shift.

    Both are linear, and are taken together into the weights of one convolution.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 3, stride: int = 1):
        super().__init__()
        self.stride, self.padding = stride, kernel_size // 2
        drawn = nn.Conv2d(in_channels, out_channels, kernel_size)
        self.beta = nn.Parameter(torch.zeros(1, out_channels, 1, 1))
        self.gamma = nn.Parameter(torch.ones(1, out_channels, 1, 1))
        self.bias = nn.Parameter(drawn.bias.detach())  # type: ignore[union-attr]
        self.length = nn.Parameter(_norm(drawn.weight.detach()))
        self.direction = nn.Parameter(drawn.weight.detach())

    def forward(self, x: Tensor) -> Tensor:
        gain = self.gamma.view_as(self.length) * self.length / _norm(self.direction)  # (D, 1, 1, 1)
        bias = self.gamma.flatten() * self.bias + self.beta.flatten()  # (D,)
        return F.conv2d(x, gain * self.direction, bias, self.stride, self.padding)  # (N, D, H / stride, W / stride)


def _norm(weight: Tensor) -> Tensor:
    """Length of the weights of each output channel, (D, 1, 1, 1)."""
    return weight.flatten(1).norm(dim=1).view(-1, 1, 1, 1)


class _ResidualBlock(nn.Module):
    """x + f(x, skip), without a norm or an activation after the sum."""

    def __init__(self, channels: int, skip_channels: int = 0):
        super().__init__()
        self.skip = _NormConv(skip_channels, channels, kernel_size=1) if skip_channels else None
        self.conv = _NormConv(2 * channels if skip_channels else channels, channels)

    def forward(self, x: Tensor, skip: Tensor | None = None) -> Tensor:
        h = x  # (N, D, H, W)
        if self.skip is not None:
            assert skip is not None
            h = torch.cat([h, self.skip(F.elu(skip))], dim=1)  # (N, 2 D, H, W)
        return x + self.conv(F.elu(h))  # (N, D, H, W)


class _Descent(nn.Module):
    """The half of a U-Net that goes down, two residual blocks at each scale."""

    def __init__(self, in_channels: int, widths: Sequence[int]):
        super().__init__()
        self.stem = _NormConv(in_channels, widths[0], kernel_size=1)
        self.blocks = nn.ModuleList(_ResidualBlock(channels) for channels in widths for _ in range(2))
        self.downs = nn.ModuleList(_NormConv(*pair, stride=2) for pair in pairwise(widths))

    def forward(self, x: Tensor) -> list[Tensor]:
        """(N, C, H, W) to what each block gave, finest first."""
        x = self.stem(x)  # (N, D, H, W)
        activations = []
        for index, block in enumerate(self.blocks):
            if index and index % 2 == 0:
                x = self.downs[index // 2 - 1](x)  # (N, D, H / 2^scale, W / 2^scale)
            x = block(x)  # (N, D, H / 2^scale, W / 2^scale)
            activations.append(x)
        return activations


class _ShapeReader(nn.Module):
    """Reads the codes from the coarsest scales of an appearance; the finer code depends on the coarser one.

    Of the layers that would go on from the last code nothing reads what they give. They are kept because the published
    network has them, and are left out of the computation.
    """

    def __init__(self, widths: Sequence[int]):
        super().__init__()
        widths = widths[::-1]
        latent, above = widths[:_LATENT_SCALES], widths[1:]
        self.stem = _NormConv(widths[0], widths[0], kernel_size=1)
        self.blocks = nn.ModuleList(_ResidualBlock(d, factor * d) for d in latent for factor in (1, 2))
        self.ups = nn.ModuleList(_Up(*pair) for pair in zip(latent, above, strict=True))
        self.means = nn.ModuleList(_NormConv(d, d) for d in latent)
        self.logstds = nn.ModuleList(_NormConv(d, d) for d in latent)
        self.last_block = _ResidualBlock(widths[-1], widths[-1])

    def forward(self, activations: Sequence[Tensor], noise: float | Tensor | None) -> ShapeCode:
        skips = list(activations)
        x = self.stem(skips[-1])  # (N, D, h, w)
        codes: list[tuple[Tensor, Tensor, Tensor]] = []
        for scale in range(_LATENT_SCALES):
            if scale:
                seen = torch.cat([skips.pop(), codes[-1][0]], dim=1)  # (N, 2 D, h, w)
                x = self.ups[scale - 1](self.blocks[2 * scale - 1](x, seen))  # (N, D, 2 h, 2 w)
            x = self.blocks[2 * scale](x, skips.pop())  # (N, D, h, w)
            mean, logstd = self.means[scale](x), torch.sigmoid(self.logstds[scale](x))  # (N, D, h, w), (N, D, h, w)
            z = mean if noise is None else mean + noise * logstd.exp() * torch.randn_like(mean)  # (N, D, h, w)
            codes.append((z, mean, logstd))
        return ShapeCode(*zip(*codes, strict=True))


class _Decoder(nn.Module):
    """The half of a U-Net that goes up from a posture, and takes the codes in at the coarsest scales."""

    def __init__(self, widths: Sequence[int]):
        super().__init__()
        widths = widths[::-1]
        self.stem = _NormConv(widths[0], widths[0], kernel_size=1)
        self.blocks = nn.ModuleList(_ResidualBlock(d, d) for d in widths for _ in range(2))
        self.ups = nn.ModuleList(_Up(*pair) for pair in pairwise(widths))
        self.code_blocks = nn.ModuleList(_ResidualBlock(d, d) for d in widths[:_LATENT_SCALES])
        self.output = _NormConv(widths[-1], 3)

    def forward(self, activations: Sequence[Tensor], z: Sequence[Tensor]) -> Tensor:
        skips = list(activations)
        x = self.stem(skips[-1])  # (N, D, h, w)
        for index, block in enumerate(self.blocks):
            scale, is_second = divmod(index, 2)
            if scale and not is_second:
                x = self.ups[scale - 1](x)  # (N, D, 2^scale h, 2^scale w)
            if is_second and scale < _LATENT_SCALES:
                x = self.code_blocks[scale](x, z[scale])  # (N, D, 2^scale h, 2^scale w)
            x = block(x, skips.pop())  # (N, D, 2^scale h, 2^scale w)
        return self.output(x)  # (N, 3, H, W)


class _Up(nn.Module):
    """(N, C, H, W) to (N, D, 2 H, 2 W): a convolution to four times the channels, which become pixels.

    The place of a pixel is the slowest index of the channels, where PyTorch's PixelShuffle has it as the fastest.
    """

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.conv = _NormConv(in_channels, 4 * out_channels)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x).unflatten(1, (2, 2, -1))  # (N, 2, 2, D, H, W)
        return x.permute(0, 3, 4, 1, 5, 2).flatten(4, 5).flatten(2, 3)  # (N, D, 2 H, 2 W)


class PostureRegressor(nn.Module):
    """Predicts from the codes of an appearance the posture in which it was seen, which they should not contain.

    Args:
        latent_sizes: Height and width of the codes at each scale, see `ShapePostureNetwork.latent_sizes`.
        channels: Of the codes.
        num_joints: K.
    """

    def __init__(self, latent_sizes: Sequence[tuple[int, int]], channels: int = 128, num_joints: int = 18):
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(channels, channels, size) for size in latent_sizes)
        self.hidden = nn.Linear(len(latent_sizes) * channels, channels)
        self.head = nn.Linear(channels, 2 * num_joints)

    def forward(self, z: Sequence[Tensor]) -> Tensor:
        """Codes (N, D, h, w) to joints (N, K, 2), x and y as shares of the image's size."""
        seen = [F.relu(conv(code)).flatten(1) for conv, code in zip(self.convs, z, strict=True)]  # 2 × (N, D)
        x = F.relu(self.hidden(torch.cat(seen, dim=1)))  # (N, D)
        return self.head(x).unflatten(1, (-1, 2))  # (N, K, 2)
