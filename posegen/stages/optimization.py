"""How a step is taken: optimizers, gradients over all workers, and sums of named losses."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.optim import Adam

Losses = dict[str, Tensor]
"""Terms of an objective by name, each a scalar as it enters the sum."""


def adam(parameters: Iterable[nn.Parameter], lr: float) -> Adam:
    """Adam with β₁ = 0.5, as GANs are trained (Radford et al., 2016, arXiv:1511.06434, Section 4).

    Fused, because small networks feel the loop over tensors: 1 to 5 % of a step on a CPU.
    """
    return Adam(parameters, lr=lr, betas=(0.5, 0.999), fused=True)


def cut(x: Tensor) -> Tensor:
    """The same values as a leaf, at which a backward pass ends and leaves a gradient."""
    return x.detach().requires_grad_()


def with_gradient(x: Tensor, gradient: Tensor) -> Tensor:
    """A loss whose gradient with respect to x is `gradient`: it takes a backward pass up again behind a `cut`."""
    return (x * gradient).sum()


def average_gradients(parameters: Sequence[nn.Parameter]) -> None:
    """Average gradients over all workers, in one message. Does nothing in a single process.

    DistributedDataParallel expects one backward per forward of a module; a GAN step calls a network several times
    for several losses, so the average is taken here, after the last of them.
    """
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    for gradient, averaged in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(averaged.view_as(gradient))


def mean_over_workers(value: Tensor) -> Tensor:
    """The mean of a value without a graph over all workers. The value itself in a single process."""
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return value
    total = value.clone()
    dist.all_reduce(total)
    return total / dist.get_world_size()


def sum_losses(losses: Losses) -> Tensor:
    """The sum of all terms."""
    return torch.stack(list(losses.values())).sum()


def detached(losses: Losses) -> Losses:
    """The same values without their graphs."""
    return {name: loss.detach() for name, loss in losses.items()}
