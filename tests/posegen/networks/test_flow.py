"""The normalizing flow against the numbers of the published code, and against what a flow is."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from posegen.networks.flow import Flow
from tests.support.reference import count_parameters, fill_listed, load_json, sine


@pytest.fixture
def published(fixtures) -> dict:
    """What the published code gave for a flow of three blocks in 16 dimensions."""
    return load_json(fixtures / "motion", "behavior_networks")["flow_small_16_32_d2_n3"]


def published_order(flow: Flow):
    """The flow's parameters with their published kinds and shapes, in the published order."""
    for block in flow.blocks:
        dim = len(block.permutation)
        yield block.norm.shift, "loc", (1, dim, 1, 1)
        yield block.norm.scale, "scale", (1, dim, 1, 1)
        for part in ("log_scale", "shift"):
            for coupling in (block.to_second, block.to_first):
                for parameter in getattr(coupling, part).parameters():
                    yield parameter, "weight", tuple(parameter.shape)


@pytest.fixture
def flow(published) -> Flow:
    """The flow of the parity numbers, float64."""
    flow = Flow(16, 32, depth=2, num_blocks=3)
    fill_listed(published_order(flow), published["coupling_gain"])
    for index, block in enumerate(flow.blocks):
        block.permutation.copy_((5 * torch.arange(16) + 3 + index) % 16)
    return flow.double()


@pytest.fixture
def codes() -> Tensor:
    """Four codes."""
    return sine((4, 16), 0.21, 0.4)


def random_flow(dim: int = 6) -> Flow:
    """A flow far from the identity, float64."""
    torch.manual_seed(0)
    flow = Flow(dim, 8, depth=1, num_blocks=4).double()
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(0.5 * torch.randn_like(parameter))
    return flow


def test_flows_have_the_published_number_of_parameters(fixtures, flow, published):
    expected = load_json(fixtures / "motion", "behavior_networks")["param_counts"]
    assert count_parameters(flow) == published["params"] == 32_064
    with torch.device("meta"):
        block, whole, own = Flow(1024, 2048, num_blocks=1), Flow(1024, 2048, num_blocks=15), Flow()
    assert count_parameters(block) == expected["flow_one_block"]
    assert count_parameters(whole) == expected["flow_1024_2048_d2_n15"] == 629_575_680
    assert count_parameters(own) == 33_636_352


def test_flow_gives_what_the_published_code_gives(flow, codes, published):
    noise, logdet = flow(codes)
    torch.testing.assert_close(noise, torch.tensor(published["gauss"]).double(), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(logdet, torch.tensor(published["logdet"]).double(), rtol=1e-6, atol=1e-6)
    loss = 0.5 * noise.square().sum(dim=1).mean() - logdet.mean()
    assert loss.item() == pytest.approx(published["flow_loss"], rel=1e-6)
    expected = torch.tensor(published["reverse_of_input"]).double()
    torch.testing.assert_close(flow.inverse(codes), expected, rtol=1e-6, atol=1e-6)


def test_inverse_is_exact(flow, codes):
    for network in (flow, random_flow(16)):
        for there, back in (
            (lambda x, f=network: f(x)[0], network.inverse),
            (network.inverse, lambda x, f=network: f(x)[0]),
        ):
            torch.testing.assert_close(back(there(codes)), codes, rtol=0, atol=1e-9)


def test_logarithm_of_the_determinant_is_that_of_the_jacobian():
    flow, codes = random_flow(), torch.randn(3, 6).double()
    _, logdet = flow(codes)
    for code, expected in zip(codes, logdet, strict=True):
        jacobian = torch.autograd.functional.jacobian(lambda x: flow(x[None])[0][0], code)
        torch.testing.assert_close(torch.linalg.slogdet(jacobian).logabsdet, expected)


def test_norms_standardize_what_they_are_fitted_to():
    flow, codes = random_flow(), 5 + 3 * torch.randn(200, 6).double()
    flow.fit_norms(codes)
    for block in flow.blocks:
        normed, _ = block.norm(codes)
        torch.testing.assert_close(normed.mean(dim=0), torch.zeros(6).double(), rtol=0, atol=1e-9)
        torch.testing.assert_close(normed.std(dim=0), torch.ones(6).double(), rtol=1e-5, atol=0)
        codes, _ = block(codes)


def test_permutations_follow_the_seed_and_are_kept():
    first, same, other = Flow(16, 8, 1, 2), Flow(16, 8, 1, 2), Flow(16, 8, 1, 2, seed=1)
    assert torch.equal(first.blocks[0].permutation, same.blocks[0].permutation)
    assert not torch.equal(first.blocks[0].permutation, other.blocks[0].permutation)
    assert not torch.equal(first.blocks[0].permutation, first.blocks[1].permutation)
    other.load_state_dict(first.state_dict())
    codes = torch.randn(2, 16)
    assert torch.equal(other(codes)[0], first(codes)[0])
