"""HED edges."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from posegen.networks.hed import HEDNetwork
from posegen.perception.hed import HED


def test_network_takes_any_size():
    network = HEDNetwork().eval()
    with torch.inference_mode():
        for height, width in ((32, 48), (33, 47)):
            edges = network(torch.rand(2, 3, height, width) * 255)
            assert edges.shape == (2, 1, height, width)
            assert edges.min() >= 0 and edges.max() <= 1


def test_number_of_parameters():
    """VGG-16's 13 convolutions (14,714,688), five side scores (1,477) and the fusion (6)."""
    assert sum(parameter.numel() for parameter in HEDNetwork().parameters()) == 14_714_688 + 1_477 + 6


def test_blue_is_the_first_channel_and_the_mean_is_subtracted():
    network = HEDNetwork().eval()
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.zeros_(module.weight)
            nn.init.zeros_(module.bias)
    first, second = network.blocks[0]
    first.weight.data[0, 0, 1, 1] = second.weight.data[0, 0, 1, 1] = 1  # pass the first channel on
    network.dsn[0].weight.data[0, 0] = network.fuse.weight.data[0, 0] = 1
    image = torch.zeros(1, 3, 4, 4)
    image[:, 2] = 106.00699  # RGB: blue, two above its mean
    with torch.inference_mode():
        np.testing.assert_allclose(network(image)[0, 0], 1 / (1 + np.exp(-2.0)), rtol=1e-4)


@pytest.mark.usefixtures("real_weights")
def test_edges_of_a_disc(make_footage):
    image = np.full((96, 80, 3), 60, np.uint8)
    cv2.circle(image, (40, 48), 24, (220, 180, 140), -1)
    footage = make_footage(np.stack([image] * 5 + [np.full_like(image, 60)]))  # more than a batch
    edges = HED()(footage)
    assert edges.shape == (6, 96, 80) and edges.dtype == np.uint8
    outline = [edges[0, 48, 16], edges[0, 48, 64], edges[0, 24, 40], edges[0, 72, 40]]
    assert min(outline) > 200
    assert edges[0, 48, 40] < 60 and edges[0, 5, 5] < 60
    assert edges[5].max() < 100  # nothing but the border
    np.testing.assert_allclose(edges[4].astype(int), edges[0].astype(int), atol=1)
