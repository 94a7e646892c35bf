"""A generator whose output is blended over a picture by its own opacity."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from posegen.networks.pix2pixhd import GlobalGenerator, LocalEnhancer


class Compositor(nn.Module):
    """Lays what a generator draws over a picture that it is shown, pixel by pixel as opaque as the generator says.

    Args:
        generator: With four channels out, red, green, blue and opacity, all in [-1, 1].
        keeps: Whether the features say, in the channel before the picture, where it is kept: from -1, where the
            generator may draw, to 1, where the picture shows as it is.
    """

    def __init__(self, generator: GlobalGenerator | LocalEnhancer, keeps: bool = False):
        super().__init__()
        self.generator, self.keeps = generator, keeps

    def check_size(self, size: Sequence[int]) -> None:
        """Raise PosegenError unless the network takes images of this height and width."""
        self.generator.check_size(size)

    def forward(
        self, features: Tensor, previous: Tensor, z: Tensor | None = None, regions: Tensor | None = None
    ) -> Tensor:
        """Draw a frame (N, 3, H, W) in [-1, 1].

        Args and errors as in `GlobalGenerator.forward`, but the last three channels of the features (N, F, H, W) are
        the picture.
        """
        drawn = self.generator(features, previous, z, regions).to(features.dtype)  # (N, 4, H, W)
        opacity = (drawn[:, 3:] + 1) / 2  # (N, 1, H, W)
        if self.keeps:
            opacity = opacity * (1 - features[:, -4:-3]) / 2
        return torch.lerp(features[:, -3:], drawn[:, :3], opacity)
