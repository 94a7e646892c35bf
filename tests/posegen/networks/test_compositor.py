"""A generator that draws over a picture."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from posegen.networks.compositor import Compositor
from posegen.networks.pix2pixhd import GeneratorSize, GlobalGenerator


class Painter(nn.Module):
    """Draws red, as opaque as it is told, in [-1, 1]."""

    def __init__(self, opacity: Tensor):
        super().__init__()
        self.opacity = opacity

    def forward(self, features, previous, z, regions):
        red = torch.tensor([1.0, -1.0, -1.0]).view(1, 3, 1, 1).expand(len(features), 3, *features.shape[-2:])
        return torch.cat([red, self.opacity.expand(len(features), 1, *features.shape[-2:])], dim=1)


def test_a_picture_is_left_where_nothing_is_drawn():
    features = torch.rand(2, 7, 4, 6) * 2 - 1
    opacity = torch.tensor([-1.0, -1.0, 0.0, 0.0, 1.0, 1.0])  # from none to all, column by column
    frame = Compositor(Painter(opacity))(features, torch.zeros(2, 3, 4, 6))
    picture, red = features[:, 4:], torch.tensor([1.0, -1.0, -1.0]).view(3, 1, 1)
    torch.testing.assert_close(frame[..., :2], picture[..., :2])
    torch.testing.assert_close(frame[..., 2:4], (picture[..., 2:4] + red) / 2)
    torch.testing.assert_close(frame[..., 4:], red.expand(2, 3, 4, 2))


def test_a_generator_learns_what_to_leave():
    """One picture is right but for a square: after some steps the rest is as it was shown, to a third of a level."""
    torch.manual_seed(0)
    network = Compositor(GlobalGenerator(10, 4, latent_dims=(), size=GeneratorSize(width=8, num_downs=2, num_blocks=1)))
    shown = torch.rand(1, 3, 32, 32) * 2 - 1
    wanted = shown.clone()
    wanted[..., 8:24, 8:24] = 0.5
    features = torch.cat([(wanted - shown).abs().sum(dim=1, keepdim=True).expand(-1, 4, -1, -1), shown], dim=1)
    optimizer = torch.optim.Adam(network.parameters(), 2e-3)
    for _ in range(150):
        loss = (network(features, shown) - wanted).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    error = (network(features, shown) - wanted).abs().mean(dim=1)[0]
    assert error[:4].mean() < 0.02 and error[10:22, 10:22].mean() < 0.2


def test_size_is_the_generators_own():
    network = Compositor(GlobalGenerator(10, 4, latent_dims=(), size=GeneratorSize(width=4, num_downs=2, num_blocks=1)))
    network.check_size((32, 32))
    with pytest.raises(ValueError, match="multiples of 4"):
        network.check_size((33, 32))
