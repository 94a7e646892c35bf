"""The restorer begins as the identity and changes edges alone."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from posegen.networks.restoration import FeatureRestorer
from tests.support.reference import count_parameters


def make_inputs(size: tuple[int, int] = (32, 24)) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    features = torch.rand(2, 4, *size, generator=generator) * 2 - 1
    return features, (torch.rand(2, 1, *size, generator=generator) > 0.5).float()


def make_restorer(output_std: float = 0.0, num_blocks: int = 6) -> FeatureRestorer:
    torch.manual_seed(0)
    restorer = FeatureRestorer(width=4, num_blocks=num_blocks)
    torch.nn.init.normal_(restorer.output.weight, std=output_std)
    return restorer


def test_begins_as_the_identity():
    torch.manual_seed(0)
    features, support = make_inputs()
    torch.testing.assert_close(FeatureRestorer(width=4)(features, support), features, rtol=0, atol=1e-6)


@pytest.mark.parametrize("size", [(20, 20), (36, 24)])
def test_changes_edges_alone_and_stays_in_range(size):
    features, support = make_inputs(size)
    restored = make_restorer(output_std=1.0)(features, support)
    assert restored.shape == features.shape
    torch.testing.assert_close(restored[:, :3], features[:, :3], rtol=0, atol=0)
    assert (restored[:, 3] - features[:, 3]).abs().mean() > 0.1
    assert restored.abs().max() <= 1 + 1e-6


def test_gradient_leads_back_from_beyond_the_range():
    """Edges cut at -1 that should be 1 still pull the network up."""
    restorer = make_restorer()
    torch.nn.init.constant_(restorer.output.bias, -0.5)
    features, support = make_inputs()
    features[:, 3] = -1
    restored = restorer(features, support)[:, 3]
    torch.testing.assert_close(restored, torch.full_like(restored, -1.0))
    (1 - restored).abs().mean().backward()
    assert restorer.output.bias.grad.item() < -0.1


def test_support_matters():
    restorer, (features, support) = make_restorer(output_std=0.1), make_inputs()
    assert (restorer(features, support) - restorer(features, 1 - support)).abs().max() > 1e-3


def test_dilations_grow_to_four():
    dilations = [block.conv1.dilation[0] for block in make_restorer(num_blocks=8).blocks]
    assert dilations == [1, 1, 2, 2, 4, 4, 4, 4]


def test_number_of_parameters():
    """5 channels in: 7872 + 92352 in the two halvings + 6 · 295168 + 92256 in the two doublings + 1569."""
    assert count_parameters(FeatureRestorer()) == 1_965_057


@pytest.mark.parametrize("size", [(34, 32), (32, 30), (16, 32)])
def test_refuses_sizes(size):
    height, width = size
    with pytest.raises(ValueError, match=f"multiples of 4 and at least 20, got {height}×{width}"):
        make_restorer()(torch.zeros(1, 4, *size), torch.zeros(1, 1, *size))
