"""The network of RCF (Liu et al., 2017, "Richer Convolutional Features for Edge Detection", arXiv:1612.02103)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from posegen.errors import PerceptionError

_MEAN_BGR = (104.00698793, 116.66876762, 122.67891434)  # of ImageNet, as the Caffe model was trained
_SCALES = (0.5, 1.0, 1.5)  # of the image pyramid (Section 3.4)
_DEPTHS, _WIDTHS = (2, 2, 3, 3, 3), (64, 128, 256, 512, 512)
_STRIDES = (1, 2, 4, 8, 8)  # the fourth pooling has stride 1, the fifth block is dilated instead
_CROPS = (0, 1, 2, 4, 0)  # pixels that the published code cuts from the top left of the upsampled scores
_SIDE_CHANNELS = 21
_SMALLEST = 16  # what is less than 2 pixels after three poolings cannot be pooled again


class RCFNetwork(nn.Module):
    """VGG-16 of which every convolution, not only the last of its block, contributes to the edges (Section 3.1).

    Input is (N, 3, H, W) RGB in [0, 255], of any size from 16 pixels on. Output are six probabilities of an edge,
    (N, 1, H, W) each: those of the five blocks and, last, the fused one.
    """

    def __init__(self) -> None:
        super().__init__()
        self.blocks, self.downs = nn.ModuleList(), nn.ModuleList()
        in_channels = 3
        for level, (depth, width) in enumerate(zip(_DEPTHS, _WIDTHS, strict=True)):
            channels = [in_channels] + [width] * depth
            dilation = 2 if level == 4 else 1
            convs = (
                nn.Conv2d(channels[i], channels[i + 1], 3, padding=dilation, dilation=dilation) for i in range(depth)
            )
            self.blocks.append(nn.ModuleList(convs))
            self.downs.append(nn.ModuleList(nn.Conv2d(width, _SIDE_CHANNELS, 1) for _ in range(depth)))
            in_channels = width
        self.scores = nn.ModuleList(nn.Conv2d(_SIDE_CHANNELS, 1, 1) for _ in _WIDTHS)
        self.fuse = nn.Conv2d(len(_WIDTHS), 1, 1)
        self.register_buffer("mean", torch.tensor(_MEAN_BGR).view(1, 3, 1, 1), persistent=False)
        for stride in sorted({*_STRIDES} - {1}):
            self.register_buffer(f"kernel_{stride}", bilinear_kernel(2 * stride), persistent=False)

    def forward(self, image: Tensor) -> list[Tensor]:
        size = image.shape[-2:]
        if min(size) < _SMALLEST:
            raise PerceptionError(f"RCF needs at least {_SMALLEST} pixels on a side, got {size[0]}×{size[1]}")
        x = image.flip(1) - self.get_buffer("mean")  # (N, 3, H, W) BGR
        sides = []
        for level, (block, downs) in enumerate(zip(self.blocks, self.downs, strict=True)):
            if level > 0:
                x = F.max_pool2d(x, 2, stride=1 if level == 4 else 2, ceil_mode=True)  # (N, C, ⌈H/s⌉, ⌈W/s⌉)
            rich = []
            for conv, down in zip(block, downs, strict=True):  # type: ignore[call-overload]
                x = F.relu(conv(x))
                rich.append(down(x))  # (N, 21, ⌈H/s⌉, ⌈W/s⌉)
            score = self.scores[level](torch.stack(rich).sum(0))  # (N, 1, ⌈H/s⌉, ⌈W/s⌉)
            sides.append(self._enlarge(score, level, size))  # (N, 1, H, W)
        fused = self.fuse(torch.cat(sides, dim=1))  # (N, 1, H, W)
        return [torch.sigmoid(side) for side in (*sides, fused)]  # 6 × (N, 1, H, W)

    def _enlarge(self, score: Tensor, level: int, size: torch.Size) -> Tensor:
        """Bring a block's score back to the image's size, as the published code does."""
        stride, crop = _STRIDES[level], _CROPS[level]
        if stride > 1:
            score = F.conv_transpose2d(score, self.get_buffer(f"kernel_{stride}"), stride=stride)
        return score[..., crop : crop + size[0], crop : crop + size[1]]


def bilinear_kernel(size: int) -> Tensor:
    """Return the kernel (1, 1, size, size) with which a transposed convolution of stride size / 2 interpolates
    linearly."""
    taps = 1 - (torch.arange(size) - (size - 1) / 2).abs() / (size / 2)
    return torch.outer(taps, taps)[None, None]


def multiscale_edges(network: RCFNetwork, image: Tensor) -> Tensor:
    """Average the fused edges of three sizes of an image: (N, 3, H, W) in [0, 255] to P(edge) (N, 1, H, W).

    Section 3.4. The published scripts save 255 · (1 − P); here white is an edge.
    """
    size = image.shape[-2:]
    scaled = [[round(side * scale) for side in size] for scale in _SCALES]
    fused = [network(F.interpolate(image, shape, mode="bilinear"))[-1] for shape in scaled]
    return torch.stack([F.interpolate(edges, size, mode="bilinear") for edges in fused]).mean(0)
