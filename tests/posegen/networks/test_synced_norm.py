"""Batch normalization over workers: two with half a batch each are one with all of it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from posegen.networks.synced_norm import SyncedBatchNorm1d, SyncedBatchNorm2d
from tests.posegen.stages.test_optimization import on_workers


def make(kind: type[nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    layer = kind(3)
    with torch.no_grad():
        layer.weight.uniform_(0.5, 2)
        layer.bias.uniform_(-1, 1)
    return layer


def data(kind: type[nn.Module]) -> torch.Tensor:
    shape = (4, 3, 5) if kind in (SyncedBatchNorm1d, nn.BatchNorm1d) else (4, 3, 5, 2)
    return 3 + 2 * torch.randn(shape, generator=torch.Generator().manual_seed(1))


def pass_through(layer: nn.Module, x: torch.Tensor) -> dict[str, torch.Tensor]:
    x = x.clone().requires_grad_()
    y = layer(x)
    (y**3).mean().backward()
    gradients = {f"gradient of {name}": parameter.grad for name, parameter in layer.named_parameters()}
    return {"y": y.detach(), "x": x.grad, **gradients, **layer.state_dict()}


@pytest.mark.parametrize(("kind", "plain"), [(SyncedBatchNorm1d, nn.BatchNorm1d), (SyncedBatchNorm2d, nn.BatchNorm2d)])
def test_two_workers_are_one(kind, plain, tmp_path):
    whole = pass_through(make(plain), data(kind))
    halves = on_workers(lambda rank: pass_through(make(kind), data(kind).chunk(2)[rank]), tmp_path)
    torch.testing.assert_close(torch.cat([half["y"] for half in halves]), whole["y"], rtol=0, atol=1e-5)
    # Each worker's objective is a mean over its half: the mean of both is that of the whole.
    torch.testing.assert_close(torch.cat([half["x"] for half in halves]) / 2, whole["x"], rtol=0, atol=1e-5)
    for name in ("weight", "bias"):
        mean = sum(half[f"gradient of {name}"] for half in halves) / 2
        torch.testing.assert_close(mean, whole[f"gradient of {name}"], rtol=1e-5, atol=1e-5)
    for half in halves:
        for name in ("running_mean", "running_var", "num_batches_tracked"):
            torch.testing.assert_close(half[name], whole[name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("training", [True, False])
def test_a_single_process_has_pytorchs_own(training):
    synced, plain = (
        pass_through(make(kind).train(training), data(kind)) for kind in (SyncedBatchNorm2d, nn.BatchNorm2d)
    )
    assert synced.keys() == plain.keys()
    for name, tensor in plain.items():
        torch.testing.assert_close(synced[name], tensor, rtol=0, atol=0, msg=name)
