"""The networks of pix2pixHD (Wang et al., 2018, arXiv:1711.11585, Section 3 and appendix), with a colour code.

The generators make a frame from a feature map, the frame before (Chan et al., 2019, arXiv:1808.07371, Section 3.2)
and a code z. All norms are instance norms without parameters; all convolutions have biases.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from posegen.errors import ConfigError
from posegen.networks.initialization import init_normal
from posegen.networks.layers import check_divisible, halve, tile

ZInject = Literal["tile_nonorm_stem", "tile_masked", "adain", "spade", "tile"]
"""Injection of the code into a generator.

A code that is equal at all pixels adds a constant to every channel of a convolution with reflection padding, and
the instance norm after it subtracts that constant: a generator with ``tile`` cannot see its code.

tile_nonorm_stem    tiled and concatenated to the input; the first convolution of each scale has no norm after it.
tile_masked         the same, tiled inside the region that each part of the code is for, 0 outside.
adain               a scale and a shift of every residual block (Huang and Belongie, 2017, arXiv:1703.06868),
                    computed by a small network (Karras et al., 2019, arXiv:1812.04948, Section 2).
spade               a scale and a shift of every pixel behind the last norm (Park et al., 2019, arXiv:1903.07291),
                    computed from the parts of the code in whose regions it lies (Zhu et al., 2020,
                    arXiv:1911.12861). As no norm follows, a code reaches only its region and three pixels around it.
tile                tiled and concatenated, and erased; kept to show that.
"""


@dataclass(frozen=True, kw_only=True)
class GeneratorSize:
    """Size of a generator."""

    width: int
    """Channels of the first convolution, doubled by each halving. Of a `LocalEnhancer` those of the fine scale; its
    coarse generator has twice as many."""
    num_downs: int = 4
    """Halvings, of the coarse generator."""
    num_blocks: int = 9
    """Residual blocks, of the coarse generator."""
    num_local_blocks: int = 3
    """Residual blocks of a `LocalEnhancer`'s fine scale; a `GlobalGenerator` has none."""


_GLOBAL, _LOCAL = GeneratorSize(width=64), GeneratorSize(width=32)
_REGIONAL = ("tile_masked", "spade")
_STYLE_DIM = 256
_MODULATION_WIDTH = 64


class GlobalGenerator(nn.Module):
    """The coarse generator G1 (Section 3.2): a ResNet at 1/16 of the resolution.

    Args:
        in_channels: Channels of feature map and previous frame together.
        out_channels: Channels of the frame.
        latent_dims: Size of each part of the code; no code without any.
        size: As published, by default.
        z_inject: How the code enters, see `ZInject`.
        checkpoint_activations: Recompute residual blocks in the backward pass: less memory, more time.
    """

    def __init__(
        self,
        in_channels: int = 7,
        out_channels: int = 3,
        latent_dims: Sequence[int] = (16, 8),
        size: GeneratorSize = _GLOBAL,
        z_inject: ZInject = "tile_nonorm_stem",
        checkpoint_activations: bool = False,
    ):
        super().__init__()
        self.num_downs = size.num_downs
        self.conditioning = _Conditioning(latent_dims, z_inject)
        self.trunk = _Trunk(
            in_channels + self.conditioning.num_channels,
            size,
            norm_stem=self.conditioning.norm_stem,
            style_dim=self.conditioning.style_dim,
            map_dim=self.conditioning.map_dim,
            checkpoint_activations=checkpoint_activations,
        )
        self.output = _output(size.width, out_channels)
        init_normal(self)

    @property
    def stride_multiple(self) -> int:
        """Height and width must be multiples of this."""
        return 2**self.num_downs

    def check_size(self, size: Sequence[int]) -> None:
        """Raise PosegenError unless the network takes images of this height and width."""
        check_divisible(size, multiple=self.stride_multiple, minimum=2 * self.stride_multiple)

    def forward(
        self, features: Tensor, previous: Tensor, z: Tensor | None = None, regions: Tensor | None = None
    ) -> Tensor:
        """Draw a frame (N, 3, H, W) in [-1, 1].

        Args:
            features: Feature map (N, 4, H, W) in [-1, 1].
            previous: The frame before (N, 3, H, W) in [-1, 1].
            z: Code (N, Z), its parts one after another.
            regions: (N, P, H, W) in [0, 1], where each part of the code applies; ``tile_masked`` and ``spade`` need it.

        Raises:
            PosegenError: For an illegal size, or without a code or regions that are needed.
        """
        self.check_size(features.shape[-2:])
        x, style, code_map = self.conditioning(torch.cat([features, previous], dim=1), z, regions)
        x = self.trunk(x, style, code_map)  # (N, D, H, W)
        return self.output(x)  # (N, 3, H, W)


class LocalEnhancer(nn.Module):
    """The coarse-to-fine generator {G1, G2} (Section 3.2): a coarse one at half the size, and what refines it.

    Args:
        in_channels: Channels of feature map and previous frame together.
        out_channels: Channels of the frame.
        latent_dims: Size of each part of the code; no code without any.
        size: As published, by default.
        z_inject: How the code enters, see `ZInject`.
        checkpoint_activations: Recompute residual blocks in the backward pass: less memory, more time.
    """

    def __init__(
        self,
        in_channels: int = 7,
        out_channels: int = 3,
        latent_dims: Sequence[int] = (16, 8),
        size: GeneratorSize = _LOCAL,
        z_inject: ZInject = "tile_nonorm_stem",
        checkpoint_activations: bool = False,
    ):
        super().__init__()
        self.num_downs = size.num_downs
        self.conditioning = _Conditioning(latent_dims, z_inject)
        channels = in_channels + self.conditioning.num_channels
        norm_stem, style_dim = self.conditioning.norm_stem, self.conditioning.style_dim
        self.coarse = _Trunk(
            channels,
            replace(size, width=2 * size.width),
            norm_stem=norm_stem,
            style_dim=style_dim,
            checkpoint_activations=checkpoint_activations,
        )
        self.stem = _stem(channels, size.width, norm=norm_stem)
        self.down = _down(size.width)
        self.blocks = _ResidualBlocks(2 * size.width, size.num_local_blocks, style_dim, checkpoint_activations)
        self.up = _Up(2 * size.width, self.conditioning.map_dim)
        self.output = _output(size.width, out_channels)
        init_normal(self)

    @property
    def stride_multiple(self) -> int:
        """Height and width must be multiples of this."""
        return 2 ** (self.num_downs + 1)

    def check_size(self, size: Sequence[int]) -> None:
        """Raise PosegenError unless the network takes images of this height and width."""
        check_divisible(size, multiple=self.stride_multiple, minimum=2 * self.stride_multiple)

    def forward(
        self, features: Tensor, previous: Tensor, z: Tensor | None = None, regions: Tensor | None = None
    ) -> Tensor:
        """Draw a frame (N, 3, H, W) in [-1, 1]; arguments and errors as in `GlobalGenerator.forward`."""
        self.check_size(features.shape[-2:])
        x, style, code_map = self.conditioning(torch.cat([features, previous], dim=1), z, regions)
        coarse = self.coarse(halve(x), style)  # (N, 2 D, H / 2, W / 2)
        x = self.down(self.stem(x))  # (N, 2 D, H / 2, W / 2)
        x = self.blocks(x + coarse, style)  # (N, 2 D, H / 2, W / 2)
        x = self.up(x, code_map)  # (N, D, H, W)
        return self.output(x)  # (N, 3, H, W)


class _Conditions(NamedTuple):
    """Conditions of a generator by its code, at one of three places."""

    x: Tensor
    """The input (N, C, H, W), with the code's channels if it has any."""
    style: Tensor | None
    """The style (N, S) of the residual blocks."""
    code_map: Tensor | None
    """The code (N, Z, H, W) for the last norm, each part in its region."""


class _Conditioning(nn.Module):
    """Brings the code into a generator."""

    def __init__(self, latent_dims: Sequence[int], z_inject: ZInject):
        super().__init__()
        if z_inject not in get_args(ZInject):
            raise ConfigError(f"unknown z_inject {z_inject!r}, expected one of {get_args(ZInject)}")
        self.latent_dims = tuple(latent_dims)
        self.z_inject = z_inject
        latent_dim = sum(self.latent_dims)
        styled = latent_dim > 0 and z_inject == "adain"
        self.map_dim = latent_dim if z_inject == "spade" else 0
        self.num_channels = latent_dim if z_inject.startswith("tile") else 0
        self.norm_stem = latent_dim == 0 or z_inject not in ("tile_nonorm_stem", "tile_masked")
        self.style_dim = _STYLE_DIM if styled else 0
        if styled:
            self.mapping = nn.Sequential(
                nn.Linear(latent_dim, _STYLE_DIM),
                nn.LeakyReLU(0.2),
                nn.Linear(_STYLE_DIM, _STYLE_DIM),
                nn.LeakyReLU(0.2),
            )
        if latent_dim and z_inject == "tile":
            warnings.warn(
                "z_inject 'tile' cannot work: the instance norm after the first convolution erases a code that "
                "is equal at all pixels. Use 'tile_nonorm_stem', 'tile_masked', 'adain' or 'spade'",
                stacklevel=3,
            )

    def forward(self, x: Tensor, z: Tensor | None, regions: Tensor | None) -> _Conditions:
        if not sum(self.latent_dims):
            return _Conditions(x, None, None)
        z = self._required(z)
        if self.style_dim:
            return _Conditions(x, self.mapping(z), None)
        code = tile(z, x.shape[-2:])  # (N, Z, H, W)
        if self.z_inject in _REGIONAL:
            code = code * self._masks(regions)
        if self.map_dim:
            return _Conditions(x, None, code)
        return _Conditions(torch.cat([x, code], dim=1), None, None)  # (N, C + Z, H, W)

    def _masks(self, regions: Tensor | None) -> Tensor:
        """The region of every dimension of the code, (N, Z, H, W)."""
        if regions is None or regions.shape[1] != len(self.latent_dims):
            got = None if regions is None else tuple(regions.shape)
            raise ConfigError(f"z_inject {self.z_inject!r} needs regions (N, {len(self.latent_dims)}, H, W), got {got}")
        parts = zip(regions.split(1, dim=1), self.latent_dims, strict=True)
        return torch.cat([region.expand(-1, latent_dim, -1, -1) for region, latent_dim in parts], dim=1)

    def _required(self, z: Tensor | None) -> Tensor:
        if z is None or z.shape[1] != sum(self.latent_dims):
            got = None if z is None else tuple(z.shape)
            raise ConfigError(f"the generator needs a code (N, {sum(self.latent_dims)}), got {got}")
        return z


class _Trunk(nn.Module):
    """A global generator without its last convolution: (N, C, H, W) to (N, D, H, W)."""

    def __init__(
        self,
        in_channels: int,
        size: GeneratorSize,
        *,
        norm_stem: bool,
        style_dim: int,
        map_dim: int = 0,
        checkpoint_activations: bool,
    ):
        super().__init__()
        widths = [size.width * 2**level for level in range(size.num_downs + 1)]
        self.stem = _stem(in_channels, size.width, norm=norm_stem)
        self.downs = nn.Sequential(*(_down(channels) for channels in widths[:-1]))
        self.blocks = _ResidualBlocks(widths[-1], size.num_blocks, style_dim, checkpoint_activations)
        self.ups = nn.Sequential(*(_Up(channels) for channels in reversed(widths[2:])))
        self.last_up = _Up(widths[1], map_dim)

    def forward(self, x: Tensor, style: Tensor | None, code_map: Tensor | None = None) -> Tensor:
        x = self.stem(x)  # (N, D, H, W)
        x = self.downs(x)  # (N, 2^L D, H / 2^L, W / 2^L) with L halvings
        x = self.blocks(x, style)  # (N, 2^L D, H / 2^L, W / 2^L)
        x = self.ups(x)  # (N, 2 D, H / 2, W / 2)
        return self.last_up(x, code_map)  # (N, D, H, W)


class _ResidualBlocks(nn.Module):
    """Residual blocks, one after another, whose activations may be recomputed in the backward pass."""

    def __init__(self, channels: int, num_blocks: int, style_dim: int, checkpoint_activations: bool):
        super().__init__()
        self.checkpoint_activations = checkpoint_activations
        self.blocks = nn.ModuleList(_ResidualBlock(channels, style_dim) for _ in range(num_blocks))

    def forward(self, x: Tensor, style: Tensor | None) -> Tensor:
        for block in self.blocks:
            if self.checkpoint_activations:
                x = checkpoint(block, x, style, use_reentrant=False, preserve_rng_state=False)
            else:
                x = block(x, style)  # (N, D, H, W)
        return x


class _ResidualBlock(nn.Module):
    """x + f(x) without an activation after the sum.

    The style modulates the first norm: behind it a ReLU makes a shift visible, which the norm of the next block
    would erase behind the second.
    """

    def __init__(self, channels: int, style_dim: int):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, kernel_size=3, padding=1, padding_mode="reflect")
        self.conv2 = nn.Conv2d(channels, channels, kernel_size=3, padding=1, padding_mode="reflect")
        self.modulation = nn.Linear(style_dim, 2 * channels) if style_dim else None

    def forward(self, x: Tensor, style: Tensor | None) -> Tensor:
        h = F.instance_norm(self.conv1(x))  # (N, D, H, W)
        if self.modulation is not None:
            scale, shift = self.modulation(style)[:, :, None, None].chunk(2, dim=1)  # (N, D, 1, 1)
            h = (1 + scale) * h + shift
        h = F.instance_norm(self.conv2(F.relu(h)))  # (N, D, H, W)
        return x + h


class _Up(nn.Module):
    """(N, C, H, W) to (N, C / 2, 2 H, 2 W). A code modulates the norm, pixel by pixel, if `map_dim` says its size."""

    def __init__(self, channels: int, map_dim: int = 0):
        super().__init__()
        width = channels // 2
        self.conv = nn.ConvTranspose2d(channels, width, kernel_size=3, stride=2, padding=1, output_padding=1)
        self.modulation = (
            nn.Sequential(
                nn.Linear(map_dim, _MODULATION_WIDTH), nn.LeakyReLU(0.2), nn.Linear(_MODULATION_WIDTH, 2 * width)
            )
            if map_dim
            else None
        )

    def forward(self, x: Tensor, code_map: Tensor | None = None) -> Tensor:
        x = F.instance_norm(self.conv(x))  # (N, D, 2 H, 2 W)
        if self.modulation is not None:
            assert code_map is not None
            scale, shift = self.modulation(code_map.movedim(1, -1)).movedim(-1, 1).chunk(2, dim=1)  # (N, D, 2 H, 2 W)
            x = (1 + scale) * x + shift
        return F.relu(x)


def _stem(in_channels: int, width: int, *, norm: bool) -> nn.Sequential:
    conv = nn.Conv2d(in_channels, width, kernel_size=7, padding=3, padding_mode="reflect")
    return nn.Sequential(conv, nn.InstanceNorm2d(width) if norm else nn.Identity(), nn.ReLU())


def _down(channels: int) -> nn.Sequential:
    conv = nn.Conv2d(channels, 2 * channels, kernel_size=3, stride=2, padding=1)
    return nn.Sequential(conv, nn.InstanceNorm2d(2 * channels), nn.ReLU())


def _output(width: int, out_channels: int) -> nn.Sequential:
    conv = nn.Conv2d(width, out_channels, kernel_size=7, padding=3, padding_mode="reflect")
    return nn.Sequential(conv, nn.Tanh())


class MultiscaleDiscriminator(nn.Module):
    """Patch discriminators of equal width on an image and smaller copies of it (Section 3.2).

    All activations are returned, because stage II matches those of fake images to those of real ones.

    Args:
        in_channels: Channels of conditions and frames together.
        width: Channels of the first convolution, doubled at each layer up to 512.
        num_layers: Halvings. 3 gives patches of 70 × 70 pixels.
        num_scales: Scales, each half the size of the one before.
    """

    def __init__(self, in_channels: int = 14, width: int = 64, num_layers: int = 3, num_scales: int = 3):
        super().__init__()
        self.scales = nn.ModuleList(_discriminator_layers(in_channels, width, num_layers) for _ in range(num_scales))
        init_normal(self)

    def forward(self, x: Tensor) -> list[list[Tensor]]:
        """(N, C, H, W) to the activations of each scale, full resolution first.

        Of ``num_layers + 2`` tensors per scale the last is the scores, (N, 1, ·, ·) without bounds.
        """
        scales = []
        for layers in self.scales:
            activations = [x]  # (N, C, H, W)
            for layer in layers.children():
                activations.append(layer(activations[-1]))  # (N, D, H / 2 + 1, W / 2 + 1), …
            scales.append(activations[1:])
            x = halve(x)  # (N, C, H / 2, W / 2)
        return scales


def _discriminator_layers(in_channels: int, width: int, num_layers: int) -> nn.ModuleList:
    layers = nn.ModuleList()
    for n in range(num_layers + 1):
        out_channels = min(width * 2**n, 512)
        stride = 2 if n < num_layers else 1
        conv = nn.Conv2d(in_channels, out_channels, kernel_size=4, stride=stride, padding=2)
        norm = nn.InstanceNorm2d(out_channels) if n else nn.Identity()
        layers.append(nn.Sequential(conv, norm, nn.LeakyReLU(0.2)))
        in_channels = out_channels
    layers.append(nn.Conv2d(in_channels, 1, kernel_size=4, padding=2))
    return layers
