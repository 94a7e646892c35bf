"""The network of HED (Xie and Tu, 2015, "Holistically-Nested Edge Detection", arXiv:1504.06375)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_MEAN_BGR = (104.00699, 116.66877, 122.67892)  # of ImageNet, as the Caffe model was trained


class HEDNetwork(nn.Module):
    """VGG-16 whose five blocks each predict edges at their own scale, and a weighted sum of the five (Section 3).

    Input is (N, 3, H, W) RGB in [0, 255], of any size. Output is (N, 1, H, W), the probability of an edge.
    """

    def __init__(self) -> None:
        super().__init__()
        depths, widths = (2, 2, 3, 3, 3), (64, 128, 256, 512, 512)
        self.blocks = nn.ModuleList()
        in_channels = 3
        for depth, width in zip(depths, widths, strict=True):
            channels = [in_channels] + [width] * depth
            convs = (nn.Conv2d(channels[i], channels[i + 1], 3, padding=1) for i in range(depth))
            self.blocks.append(nn.ModuleList(convs))
            in_channels = width
        self.dsn = nn.ModuleList(nn.Conv2d(width, 1, 1) for width in widths)
        self.fuse = nn.Conv2d(5, 1, 1)
        self.register_buffer("mean", torch.tensor(_MEAN_BGR).view(1, 3, 1, 1), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        x = image.flip(1) - self.get_buffer("mean")  # (N, 3, H, W) BGR
        sides = []
        for level, (block, score) in enumerate(zip(self.blocks, self.dsn, strict=True)):
            if level > 0:
                x = F.max_pool2d(x, 2, ceil_mode=True)  # (N, C, H / 2^level, W / 2^level)
            for conv in block:  # type: ignore[attr-defined]
                x = F.relu(conv(x))
            sides.append(F.interpolate(score(x), image.shape[2:], mode="bilinear"))  # (N, 1, H, W)
        return torch.sigmoid(self.fuse(torch.cat(sides, dim=1)))  # (N, 1, H, W)
