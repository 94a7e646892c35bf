"""Judges of behaviour: small networks that learn from some motions and are asked about others.

The published code trains its judges on what it scores; here nothing that is scored was learned from. Judges learn with
Adam and not, as the published one of realism, with SGD, which after a few hundred steps still calls everything half
real. Whatever is random follows the seed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Adam

from posegen.networks.behavior_probes import ActionLSTM, PostureMLP, RealismGRU

_BATCH, _LR = 64, 1e-3
_ASKED = 256  # sequences that a judge sees at once

Network = TypeVar("Network", bound=nn.Module)


class Realism(NamedTuple):
    """What a judge thinks of motions that it has not learned from."""

    fakes: float
    """Mean probability that a drawn one is real: at best that of the real ones, about 0.5."""
    reals: float
    """The same for real ones."""
    accuracy: float
    """How often it is right, in the mean of both kinds; 0.5 where they cannot be told apart."""


class PostureReading(NamedTuple):
    """How well postures (N, D) are read out of codes that the reader has not learned from."""

    error: float
    """Mean Euclidean distance, in standard deviations."""
    constant: float
    """The same where the mean of what was learned from is said each time."""
    r2: float
    """Share of the variance about that mean that is read: 1 is all, 0 or less is nothing."""


def learn_actions(
    postures: Tensor, labels: Tensor, num_actions: int, *, hidden_dim: int, steps: int, seed: int
) -> ActionLSTM:
    """Train what tells actions, on postures (N, T, D) of actions (N,)."""
    network = _seeded(lambda: ActionLSTM(postures.shape[-1], num_actions, hidden_dim), seed).to(postures)

    def loss(rows: Tensor) -> Tensor:
        return F.cross_entropy(network(postures[rows]), labels[rows])

    return _fit(network, loss, len(postures), steps, seed)


def tell_actions(judge: ActionLSTM, postures: Tensor) -> Tensor:
    """The actions (N,) that sequences of postures (N, T, D) show."""
    return _ask(judge, postures).argmax(dim=1)


def learn_realism(real: Tensor, fake: Tensor, *, hidden_dim: int, steps: int, seed: int) -> RealismGRU:
    """Train what tells real postures (N, T, D) from as many drawn ones (N, T, D)."""
    network = _seeded(lambda: RealismGRU(real.shape[-1], hidden_dim), seed).to(real)
    both = torch.cat([real, fake])
    truth = torch.cat([torch.ones(len(real)), torch.zeros(len(fake))]).to(real)

    def loss(rows: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(network(both[rows]), truth[rows])

    return _fit(network, loss, len(both), steps, seed)


def judge_realism(judge: RealismGRU, real: Tensor, fake: Tensor) -> Realism:
    """Ask about real postures (N, T, D) and drawn ones (M, T, D), none of which the judge has learned from."""
    reals, fakes = (_ask(judge, postures).sigmoid() for postures in (real, fake))
    accuracy = ((reals > 0.5).float().mean() + (fakes <= 0.5).float().mean()) / 2
    return Realism(fakes.mean().item(), reals.mean().item(), accuracy.item())


def learn_postures(codes: Tensor, postures: Tensor, *, steps: int, seed: int) -> PostureMLP:
    """Train what reads a posture (N, D) out of a code (N, Z)."""
    network = _seeded(lambda: PostureMLP(codes.shape[1], postures.shape[1]), seed).to(codes)

    def loss(rows: Tensor) -> Tensor:
        return F.mse_loss(network(codes[rows]), postures[rows])

    return _fit(network, loss, len(codes), steps, seed)


def judge_postures(reader: PostureMLP, codes: Tensor, postures: Tensor, mean: Tensor) -> PostureReading:
    """Ask for postures (N, D) of codes (N, Z) that are new to the reader; the mean (D,) is of what it learned."""
    read, about_mean = _ask(reader, codes) - postures, mean - postures  # (N, D), (N, D)
    r2 = 1 - read.square().sum() / about_mean.square().sum()
    return PostureReading(read.norm(dim=1).mean().item(), about_mean.norm(dim=1).mean().item(), r2.item())


def _seeded(make: Callable[[], Network], seed: int) -> Network:
    """A network whose first weights follow the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make()


@torch.enable_grad()
def _fit(network: Network, loss: Callable[[Tensor], Tensor], count: int, steps: int, seed: int) -> Network:
    """Take steps of Adam, each on random ones of so many rows."""
    generator = torch.Generator().manual_seed(seed)
    optimizer = Adam(network.parameters(), lr=_LR, fused=True)
    device = next(network.parameters()).device
    for _ in range(steps):
        rows = torch.randint(count, (_BATCH,), generator=generator).to(device)
        optimizer.zero_grad(set_to_none=True)
        loss(rows).backward()
        optimizer.step()
    return network.eval()


@torch.no_grad()
def _ask(judge: nn.Module, inputs: Tensor) -> Tensor:
    return torch.cat([judge(some) for some in inputs.split(_ASKED)])
