"""The parser's network: its size, its cost and the shapes that it takes."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from posegen.errors import ConfigError
from posegen.networks.person_parser import IN_CHANNELS, PersonParserNetwork
from tests.support.reference import count_parameters


def test_is_small_and_fast():
    network = PersonParserNetwork().eval()
    assert 0.3e6 < count_parameters(network) < 1e6
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, IN_CHANNELS, 192, 128))
    assert counter.get_total_flops() < 0.52e9


@pytest.mark.parametrize("size", [(64, 64), (128, 96)])
def test_scores_every_pixel(size):
    torch.manual_seed(0)
    network = PersonParserNetwork(width=12).eval()
    scores = network(torch.rand(2, IN_CHANNELS, *size))
    assert scores.shape == (2, 8, *size)
    scores.sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_refuses_other_sizes():
    with pytest.raises(ConfigError, match="multiples of 32 and at least 64, got 100×96"):
        PersonParserNetwork(width=12)(torch.zeros(1, IN_CHANNELS, 100, 96))
