"""Deformable GAN (Siarohin et al., 2018, arXiv:1801.00055, Section 3 and published code).

A person in one image is drawn in another pose; what the encoder sees of each body part is moved to where the part
will be.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from posegen.errors import ConfigError
from posegen.networks.initialization import init_xavier
from posegen.networks.layers import check_divisible
from posegen.skeletons import OPENPOSE_18

_JOINTS = len(OPENPOSE_18)
_WARPED_LEVELS = 4  # deeper ones are too coarse to tell parts apart
_DROPPED_LEVELS = 3  # of the decoder, the innermost
_SIGMA = 6 / 256  # of a heat map, as a share of the image's height


def heat_maps(keypoints: Tensor, size: Sequence[int]) -> Tensor:
    """One Gaussian per joint, 1 at its peak (Section 3.1).

    σ is 6 pixels at the paper's height of 256, and grows with the height so that it covers the same of a body.

    Args:
        keypoints: (N, 18, 3) in pixels; confidence 0 where a joint was not seen, whose map is 0.
        size: (H, W).

    Returns:
        (N, 18, H, W) float32 in [0, 1].
    """
    height, width = size
    x, y, confidence = keypoints.float().unbind(-1)  # (N, 18)
    across = _gaussian(x, width, _SIGMA * height)  # (N, 18, W)
    down = _gaussian(y, height, _SIGMA * height) * (confidence > 0)[..., None]  # (N, 18, H)
    return down[..., :, None] * across[..., None, :]


def _gaussian(center: Tensor, length: int, sigma: float) -> Tensor:
    distance = torch.arange(length, device=center.device) - center[..., None]  # (N, 18, length)
    return torch.exp(-0.5 * (distance / sigma).square())


def warp_features(features: Tensor, affines: Tensor, masks: Tensor) -> Tensor:
    """Move each part of a feature map to its place in the target pose, and merge them by maximum (Section 3.2).

    Pixels outside every part are 0, and 0 takes part in the maximum: negative features do not survive. Sampling is
    bilinear, where the published code takes the nearest feature.

    Args:
        features: (N, C, h, w), any h × w of the image's proportions.
        affines: (N, 10, 2, 3), from pixels (x, y, 1) of the target image to pixels of the source image.
        masks: (N, 10, H, W) bool, the parts on the target image.

    Returns:
        (N, C, h, w).
    """
    size = features.shape[-2:]
    grid = _sampling_grid(affines, size, stride=masks.shape[-2] / size[0])  # (N, 10, h, w, 2)
    # One above the other, so that ten parts need no ten copies of the features.
    warped = F.grid_sample(features, grid.flatten(1, 2), mode="bilinear", padding_mode="zeros", align_corners=True)
    parts = warped.unflatten(2, (-1, size[0]))  # (N, C, 10, h, w)
    masks = F.interpolate(masks.to(features.dtype), size=size, mode="nearest")  # (N, 10, h, w)
    return (parts * masks[:, None]).max(dim=2).values  # amax goes back three times as slowly


def _sampling_grid(affines: Tensor, size: Sequence[int], stride: float) -> Tensor:
    """Compute the source position of each pixel of each part, (N, 10, h, w, 2) in grid_sample's [-1, 1].

    At a coarser scale the translations shrink and the linear maps stay. Element by element and not by a matrix
    product, which may run in TF32: wrong by a tenth of a pixel.
    """
    height, width = size
    linear_x, linear_y, offset = affines.float().unbind(-1)  # (N, 10, 2)
    rows = torch.arange(height, device=affines.device)[:, None, None]  # (h, 1, 1)
    columns = torch.arange(width, device=affines.device)[:, None]  # (w, 1)
    linear_x, linear_y, offset = (part[..., None, None, :] for part in (linear_x, linear_y, offset))  # (N, 10, 1, 1, 2)
    pixels = linear_x * columns + linear_y * rows + offset / stride  # (N, 10, h, w, 2)
    last = pixels.new_tensor([max(width - 1, 1), max(height - 1, 1)])  # align_corners: pixel 0 is -1, the last is 1
    return 2 * pixels / last - 1


class DeformableGenerator(nn.Module):
    """Draws a person in another pose: two encoders, skips that are warped part by part, one decoder (Section 3).

    Args:
        width: Channels of the full resolution, doubled at each level up to eight times.
        num_levels: Resolutions, each half of the one before. The published code has 6 for images of up to 128
            pixels on the longer side, 7 beyond.
        dropout: Share of the activations that the three innermost levels of the decoder drop.
    """

    def __init__(self, width: int = 64, num_levels: int = 7, dropout: float = 0.5):
        super().__init__()
        if num_levels <= _WARPED_LEVELS:
            raise ConfigError(f"num_levels must be more than {_WARPED_LEVELS}, got {num_levels}")
        self.num_levels = num_levels
        widths = [width * min(2**level, 8) for level in range(num_levels)]
        self.appearance = _encoder(3 + _JOINTS, widths)
        self.pose = _encoder(_JOINTS, widths)
        above = [*widths[1:], 0]  # channels that arrive from the level below a skip
        self.ups = nn.ModuleList(
            _up(2 * widths[level] + above[level], widths[level], dropout if depth < _DROPPED_LEVELS else 0.0)
            for depth, level in enumerate(range(num_levels - 1, 0, -1))
        )
        self.output = nn.Conv2d(2 * widths[0] + above[0], 3, kernel_size=3, padding=1)
        init_xavier(self, gain=1.0)

    def check_size(self, size: Sequence[int]) -> None:
        """Raise PosegenError unless the network takes images of this height and width."""
        multiple = 2 ** (self.num_levels - 1)
        check_divisible(size, multiple=multiple, minimum=multiple)

    def forward(self, image: Tensor, pose: Tensor, target_pose: Tensor, affines: Tensor, masks: Tensor) -> Tensor:
        """Draw the person of an image in the target pose.

        Args:
            image: (N, 3, H, W) in [-1, 1].
            pose: (N, 18, H, W), its `heat_maps`.
            target_pose: (N, 18, H, W).
            affines: (N, 10, 2, 3), as in `warp_features`.
            masks: (N, 10, H, W) bool, the same.

        Returns:
            (N, 3, H, W) in [-1, 1].

        Raises:
            PosegenError: Height or width is illegal.
        """
        self.check_size(image.shape[-2:])
        appearances = _encode(self.appearance, torch.cat([image, pose], dim=1))  # L × (N, D, H / 2^level, W / 2^level)
        poses = _encode(self.pose, target_pose)  # the same
        for level in range(_WARPED_LEVELS):
            appearances[level] = warp_features(appearances[level], affines, masks)  # (N, D, H / 2^level, W / 2^level)
        skips = [torch.cat(pair, dim=1) for pair in zip(appearances, poses, strict=True)]  # L × (N, 2 D, ·, ·)
        x = skips.pop()  # (N, 2 D, H / 2^(L - 1), W / 2^(L - 1))
        for up in self.ups:
            x = torch.cat([up(x), skips.pop()], dim=1)  # (N, D_below + 2 D, H / 2^level, W / 2^level)
        return torch.tanh(self.output(F.relu(x)))  # (N, 3, H, W)


def _encoder(in_channels: int, widths: Sequence[int]) -> nn.ModuleList:
    levels = nn.ModuleList([nn.Conv2d(in_channels, widths[0], kernel_size=3, padding=1)])
    for level in range(1, len(widths)):
        levels.append(_down(widths[level - 1], widths[level], norm=level < len(widths) - 1))
    return levels


def _encode(encoder: nn.ModuleList, x: Tensor) -> list[Tensor]:
    """The output of every level, full resolution first."""
    outputs = []
    for level in encoder:
        x = level(x)  # (N, D, H / 2^level, W / 2^level)
        outputs.append(x)
    return outputs


def _down(in_channels: int, out_channels: int, *, norm: bool) -> nn.Sequential:
    conv = nn.Conv2d(in_channels, out_channels, kernel_size=4, stride=2, padding=1, bias=False)
    return nn.Sequential(nn.LeakyReLU(0.2), conv, JointNorm() if norm else nn.Identity())


def _up(in_channels: int, out_channels: int, dropout: float) -> nn.Sequential:
    conv = nn.ConvTranspose2d(in_channels, out_channels, kernel_size=4, stride=2, padding=1, bias=False)
    return nn.Sequential(nn.ReLU(), conv, JointNorm(), nn.Dropout(dropout))


class JointNorm(nn.Module):
    """Normalizes a sample over channels and pixels together, then scales and shifts it by one number each.

    What the published code's "instance normalization" does, so that channels keep their relative strength.
    """

    def __init__(self) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(()))
        self.beta = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean(dim=(1, 2, 3), keepdim=True)  # (N, 1, 1, 1)
        std = x.std(dim=(1, 2, 3), correction=0, keepdim=True)  # (N, 1, 1, 1)
        return self.gamma * (x - mean) / (std + 1e-3) + self.beta  # (N, C, H, W)


class PairDiscriminator(nn.Module):
    """Tells by patches whether an image shows the person of another image in the pose that is asked for (Section 3.3).

    Args:
        width: Channels of the first convolution, doubled at each of the three that follow.
    """

    def __init__(self, width: int = 64):
        super().__init__()
        first = nn.Conv2d(2 * (3 + _JOINTS), width, kernel_size=4, stride=2)
        downs = [_down(width * 2**n, width * 2 ** (n + 1), norm=True) for n in range(3)]
        self.layers = nn.Sequential(first, *downs, _down(8 * width, 1, norm=False))
        init_xavier(self, gain=1.0)

    def check_size(self, size: Sequence[int]) -> None:
        """Raise PosegenError unless images of this height and width leave a patch to score."""
        check_divisible(size, multiple=1, minimum=34)  # ⌊34 / 2⌋ - 1 = 16, and four halvings

    def forward(self, source: Tensor, pose: Tensor, image: Tensor, target_pose: Tensor) -> Tensor:
        """Judge images (N, 3, H, W) beside their sources; the poses are heat maps (N, 18, H, W).

        Returns the probability that each of the P patches is real, (N, P).
        """
        x = torch.cat([source, pose, image, target_pose], dim=1)  # (N, 42, H, W)
        return torch.sigmoid(self.layers(x)).flatten(1)  # (N, P) with P about H / 32 · W / 32
