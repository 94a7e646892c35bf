"""Probes of behaviour: small networks trained on some motions, or on their codes, and evaluated on held-out ones.

The published code (Blattmann et al., 2021, arXiv:2103.04677) trains its classifiers on the motions that they are then
evaluated on; here training and evaluation motions are disjoint. All probes are trained with Adam; the published
discriminator is trained with SGD and after a few hundred steps still gives every motion a probability near one half.
Initial weights and batches depend on the seed alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import AdamW
from torch.optim.lr_scheduler import OneCycleLR

from posegen.networks.behavior_probes import ActionJudge, PostureMLP, RealismGRU

_BATCH, _LR, _DECAY = 64, 1e-3, 0.01
_CHUNK = 256  # sequences of one forward pass

Network = TypeVar("Network", bound=nn.Module)


class Realism(NamedTuple):
    """A discriminator's predictions for held-out motions."""

    generated: float
    """Mean probability "real" of generated motions: at best that of real ones, about 0.5."""
    real: float
    """Mean probability "real" of real motions."""
    accuracy: float
    """Share of correct predictions, mean of both kinds; 0.5 where they cannot be distinguished."""


class PostureProbe(NamedTuple):
    """Accuracy of a probe that predicts postures (N, D) from held-out codes."""

    error: float
    """Mean Euclidean distance of predictions, in standard deviations."""
    constant_error: float
    """The same for the mean posture of the training data as the constant prediction."""
    r2: float
    """Share of the variance about that mean that is predicted: at most 1, 0 or less for none."""


class ActionWindows(NamedTuple):
    """Windows whose actions are known."""

    postures: Tensor
    """(N, T, D)."""
    lengths: Tensor
    """(N,), frames that count."""
    labels: Tensor
    """(N,), actions."""


def train_action_classifier(
    windows: ActionWindows, num_actions: int, *, hidden_dim: int, steps: int, seed: int
) -> ActionJudge:
    """Train a classifier of sequences of postures until its learning rate has fallen to nothing (Smith, 2018).

    Labels are smoothed and weights decay: a few thousand windows of a few people are soon known by heart.
    """
    postures = windows.postures
    network = _seeded(lambda: ActionJudge(postures.shape[-1], num_actions, hidden_dim), seed).to(postures)
    lengths, labels = windows.lengths.to(postures.device), windows.labels.to(postures.device)

    def loss(rows: Tensor) -> Tensor:
        return F.cross_entropy(network(postures[rows], lengths[rows]), labels[rows], label_smoothing=0.05)

    return _fit(network, loss, len(postures), steps, seed, annealed=True)


def predict_actions(classifier: ActionJudge, postures: Tensor, lengths: Tensor) -> Tensor:
    """Predict the actions (N,) of sequences of postures (N, T, D), of which the first (N,) frames count."""
    return _predict(classifier, postures, lengths.to(postures.device)).argmax(dim=1)


def train_discriminator(real: Tensor, generated: Tensor, *, hidden_dim: int, steps: int, seed: int) -> RealismGRU:
    """Train a discriminator of real and generated sequences of postures, (N, T, D) each."""
    network = _seeded(lambda: RealismGRU(real.shape[-1], hidden_dim), seed).to(real)
    both = torch.cat([real, generated])
    truth = torch.cat([torch.ones(len(real)), torch.zeros(len(generated))]).to(real)

    def loss(rows: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(network(both[rows]), truth[rows])

    return _fit(network, loss, len(both), steps, seed)


def measure_realism(discriminator: RealismGRU, real: Tensor, generated: Tensor) -> Realism:
    """Evaluate a discriminator on held-out real (N, T, D) and generated (M, T, D) sequences of postures."""
    of_real, of_generated = (_predict(discriminator, postures).sigmoid() for postures in (real, generated))
    accuracy = ((of_real > 0.5).float().mean() + (of_generated <= 0.5).float().mean()) / 2
    return Realism(of_generated.mean().item(), of_real.mean().item(), accuracy.item())


def train_posture_probe(codes: Tensor, postures: Tensor, *, steps: int, seed: int) -> PostureMLP:
    """Train a probe that predicts a posture (N, D) from a code (N, Z)."""
    network = _seeded(lambda: PostureMLP(codes.shape[1], postures.shape[1]), seed).to(codes)

    def loss(rows: Tensor) -> Tensor:
        return F.mse_loss(network(codes[rows]), postures[rows])

    return _fit(network, loss, len(codes), steps, seed)


def evaluate_posture_probe(probe: PostureMLP, codes: Tensor, postures: Tensor, mean: Tensor) -> PostureProbe:
    """Evaluate a probe on held-out codes (N, Z) and their postures (N, D); the mean (D,) is of its training data."""
    residual, about_mean = _predict(probe, codes) - postures, mean - postures  # (N, D), (N, D)
    r2 = 1 - residual.square().sum() / about_mean.square().sum()
    return PostureProbe(residual.norm(dim=1).mean().item(), about_mean.norm(dim=1).mean().item(), r2.item())


def _seeded(make: Callable[[], Network], seed: int) -> Network:
    """A network whose initial weights depend on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make()


@torch.enable_grad()
def _fit(
    network: Network, loss: Callable[[Tensor], Tensor], count: int, steps: int, seed: int, *, annealed: bool = False
) -> Network:
    """Take steps of Adam, each on a random batch of the first `count` rows.

    Annealed are weights that decay, and a learning rate that falls to nothing.
    """
    generator = torch.Generator().manual_seed(seed)
    optimizer = AdamW(network.parameters(), lr=_LR, weight_decay=_DECAY if annealed else 0, fused=True)
    schedule = OneCycleLR(optimizer, 2 * _LR, max(steps, 2)) if annealed else None
    device = next(network.parameters()).device
    with torch.random.fork_rng(devices=[]):  # of dropout
        torch.manual_seed(seed)
        for _ in range(steps):
            rows = torch.randint(count, (_BATCH,), generator=generator).to(device)
            optimizer.zero_grad(set_to_none=True)
            loss(rows).backward()
            optimizer.step()
            if schedule is not None:
                schedule.step()
    return network.eval()


@torch.no_grad()
def _predict(network: nn.Module, *inputs: Tensor) -> Tensor:
    chunks = zip(*(values.split(_CHUNK) for values in inputs), strict=True)
    return torch.cat([network(*chunk) for chunk in chunks])
