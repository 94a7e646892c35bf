"""The refiner's network, and how its output changes a picture."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from posegen.color.lab import rgb_to_lab
from posegen.errors import ConfigError
from posegen.losses import lab_colors
from posegen.networks.recomposition import Composition, recompose, sample
from posegen.networks.refiner import Refinement, RefinerNetwork


def make_composition(size: tuple[int, int] = (8, 8)) -> Composition:
    """A person whose picture is shown as it is on the left half, before a background."""
    generator = torch.Generator().manual_seed(0)
    height, width = size
    source, background = (torch.rand((1, 3, height, width), generator=generator) for _ in range(2))
    rows, columns = torch.meshgrid(torch.arange(height).float(), torch.arange(width).float(), indexing="ij")
    opacity = torch.zeros(1, 1, height, width)
    opacity[..., : width // 2] = 1
    return Composition(
        composed=source * opacity + background * (1 - opacity),
        background=background,
        source=source,
        positions=torch.stack([columns, rows])[None],
        opacity=opacity,
        near=(opacity > 0).float(),
        sure=(opacity > 0).float(),
        garment=torch.zeros_like(opacity),
        repairable=torch.ones_like(opacity),
        trunk=torch.full((1,), 10.0),
    )


def make_change(size: tuple[int, int] = (8, 8), **values: float) -> Refinement:
    channels = {"shift": 2, "opacity": 1, "shade": 1, "residual": 3}
    return Refinement(**{name: torch.full((1, n, *size), values.get(name, 0.0)) for name, n in channels.items()})


def test_a_new_network_changes_nothing():
    network = RefinerNetwork(24, 144, width=8)
    change = network(torch.randn(2, 24, 32, 48), torch.randn(2, 144))
    assert all((one == 0).all() for one in change)
    assert [tuple(one.shape[1:]) for one in change] == [(n, 32, 48) for n in (2, 1, 1, 3)]
    composition = make_composition()
    refined = recompose(composition, make_change())
    torch.testing.assert_close(refined.image, composition.composed, atol=1e-6, rtol=0)


def test_weights_are_few():
    count = sum(parameter.numel() for parameter in RefinerNetwork(24, 144, width=28).parameters())
    assert count <= 1_400_000


def test_pose_and_picture_reach_the_output():
    torch.manual_seed(0)
    network = RefinerNetwork(3, 5, width=8)
    for layer in (network.head, *network.modulations):
        torch.nn.init.normal_(layer.weight)
    inputs, pose = torch.randn(1, 3, 16, 16, requires_grad=True), torch.randn(1, 5, requires_grad=True)
    sum(one.sum() for one in network(inputs, pose)).backward()
    assert inputs.grad.abs().sum() > 0 and pose.grad.abs().sum() > 0


@pytest.mark.parametrize("size", [(16, 24), (8, 16)])
def test_illegal_sizes_are_named(size):
    with pytest.raises(ConfigError, match="multiples of 16"):
        RefinerNetwork(3, 5, width=8)(torch.zeros(1, 3, *size), torch.zeros(1, 5))


def test_pixels_come_from_elsewhere():
    composition = make_composition()
    refined = recompose(composition, make_change(shift=0.1))  # one pixel to the right and down
    torch.testing.assert_close(refined.image[..., :7, :4], composition.source[..., 1:, 1:5], atol=1e-5, rtol=0)
    torch.testing.assert_close(refined.image[..., 4:], composition.background[..., 4:], atol=1e-6, rtol=0)


def test_opacity_shows_the_background():
    composition = make_composition()
    refined = recompose(composition, make_change(opacity=-1.0))
    torch.testing.assert_close(refined.image, composition.background, atol=1e-6, rtol=0)
    assert not refined.opacity.any()


def test_a_garment_keeps_its_chroma():
    composition = make_composition()._replace(garment=torch.ones(1, 1, 8, 8))
    refined = recompose(composition, make_change(shade=-0.4, residual=0.2))
    ratio = refined.image[..., :4] / composition.source[..., :4]
    torch.testing.assert_close(ratio, torch.full_like(ratio, float(np.exp(-0.4))), atol=1e-5, rtol=1e-4)


def test_colours_are_added_only_where_something_is_repairable():
    composition = make_composition()
    repairable = torch.zeros(1, 1, 8, 8)
    repairable[..., :2] = 1
    refined = recompose(composition._replace(repairable=repairable), make_change(residual=0.1))
    change = refined.image - composition.composed
    assert (change[..., :2] > 0).any() and change[..., 2:].abs().max() < 1e-6


def test_sampling_is_bilinear_and_clamped():
    image = torch.arange(4.0).reshape(1, 1, 1, 4)
    positions = torch.tensor([[0.0, 1.5, 9.0], [0.0, 0.0, 0.0]]).reshape(1, 2, 1, 3)
    assert sample(image, positions).flatten().tolist() == pytest.approx([0, 1.5, 3])


def test_lab_is_that_of_the_metrics():
    images = torch.rand((2, 3, 5, 4), generator=torch.Generator().manual_seed(1))
    expected = rgb_to_lab(images.permute(0, 2, 3, 1).numpy()) / 100
    np.testing.assert_allclose(lab_colors(images).permute(0, 2, 3, 1).numpy(), expected, atol=2e-3)
    black = torch.zeros(1, 3, 2, 2, requires_grad=True)
    lab_colors(black).sum().backward()
    assert black.grad.isfinite().all()
