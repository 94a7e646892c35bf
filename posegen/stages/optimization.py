"""Optimization steps: optimizers, gradients over all workers, and sums of named losses."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Self

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.optim import Adam
from torch.utils.hooks import RemovableHandle

_BUCKET_BYTES = 25 * 2**20  # as DistributedDataParallel has them

Losses = dict[str, Tensor]
"""Terms of an objective by name, each a scalar as it enters the sum."""


def adam(parameters: Iterable[nn.Parameter], lr: float) -> Adam:
    """Adam with β₁ = 0.5, as GANs are trained (Radford et al., 2016, arXiv:1511.06434, Section 4).

    Fused, because small networks feel the loop over tensors: 1 to 5 % of a step on a CPU.
    """
    return Adam(parameters, lr=lr, betas=(0.5, 0.999), fused=True)


def cut(x: Tensor) -> Tensor:
    """Return the same values as a leaf, at which a backward pass ends and leaves a gradient."""
    return x.detach().requires_grad_()


def with_gradient(x: Tensor, gradient: Tensor) -> Tensor:
    """Return a loss whose gradient with respect to x is `gradient`: it takes a backward pass up again behind a
    `cut`."""
    return (x * gradient).sum()


class GradientAveraging:
    """Averages the gradients of a fixed list of parameters over all workers, while the backward pass goes on.

    Use it as a context around the backward pass: gradients are averaged when it ends. Nothing is done in a single
    process.

    DistributedDataParallel expects one backward pass per forward pass of a module; a GAN's step calls a network several
    times for several losses. Here gradients go out in buckets, as there (Li et al., 2020, arXiv:2006.15704), the last
    layers' first. Buckets and their order are those of the list and not those in which gradients come, so workers
    whose samples leave out different layers send the same; what one lacks counts as 0, and what all lack stays None.

    Args:
        parameters: The same list, in the same order, on all workers.
        bucket_bytes: Size of a message, at least.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], bucket_bytes: int = _BUCKET_BYTES):
        self._is_alone = not dist.is_initialized() or dist.get_world_size() == 1
        self._buckets = [] if self._is_alone else [_Bucket(part) for part in _divide(parameters, bucket_bytes)]
        self._hooks: list[RemovableHandle] = []
        self._next = 0

    def __enter__(self) -> Self:
        for bucket in self._buckets:
            for parameter in bucket.parameters:
                self._hooks.append(parameter.register_post_accumulate_grad_hook(partial(self._note, bucket)))
        return self

    def __exit__(self, *error: object) -> None:
        for hook in self._hooks:
            hook.remove()
        if error[0] is None:
            for bucket in self._buckets[self._next :]:
                bucket.send()
            for bucket in self._buckets:
                bucket.receive()

    def _note(self, bucket: _Bucket, parameter: Tensor) -> None:
        """Called when a gradient is there. Buckets go out in their order, each when it and those before are whole."""
        bucket.arrived(parameter)
        while self._next < len(self._buckets) and self._buckets[self._next].is_whole:
            self._buckets[self._next].send()
            self._next += 1


class _Bucket:
    """Parameters whose gradients are averaged in one message."""

    def __init__(self, parameters: Sequence[nn.Parameter]):
        self.parameters = parameters
        self._missing = set(map(id, parameters))
        self._flat: Tensor | None = None
        self._sending: dist.Work | None = None

    @property
    def is_whole(self) -> bool:
        return not self._missing

    def arrived(self, parameter: Tensor) -> None:
        if self._flat is not None:
            raise RuntimeError("a gradient came twice in one backward pass: what was sent is not what it became")
        self._missing.discard(id(parameter))

    def send(self) -> None:
        """Begin to sum: the gradients, and how many workers have each."""
        gradients = [parameter.grad for parameter in self.parameters]
        like = self.parameters[0]
        self._flat = torch.cat(
            [
                torch.zeros(parameter.numel(), dtype=like.dtype, device=like.device) if grad is None else grad.flatten()
                for parameter, grad in zip(self.parameters, gradients, strict=True)
            ]
            + [torch.tensor([grad is not None for grad in gradients], dtype=like.dtype, device=like.device)]
        )
        self._sending = dist.all_reduce(self._flat, async_op=True)

    def receive(self) -> None:
        """Wait for the sums, and set the gradients to their means."""
        assert self._flat is not None and self._sending is not None
        self._sending.wait()
        *sums, present = self._flat.split([*(parameter.numel() for parameter in self.parameters), len(self.parameters)])
        for parameter, total, count in zip(self.parameters, sums, present.tolist(), strict=True):
            if count:
                mean = (total / dist.get_world_size()).view_as(parameter)
                parameter.grad = mean if parameter.grad is None else parameter.grad.copy_(mean)


def _divide(parameters: Sequence[nn.Parameter], least: int) -> list[list[nn.Parameter]]:
    """Buckets of so many bytes at least, the last parameters first, each of one kind of number on one device."""
    buckets: list[list[nn.Parameter]] = []
    size, kind = 0, None
    for parameter in reversed(parameters):
        if not buckets or size >= least or (parameter.dtype, parameter.device) != kind:
            buckets.append([])
            size, kind = 0, (parameter.dtype, parameter.device)
        buckets[-1].append(parameter)
        size += parameter.numel() * parameter.element_size()
    return buckets


def mean_over_workers(value: Tensor) -> Tensor:
    """Return the mean of a value without a graph over all workers. The value itself in a single process."""
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return value
    total = value.clone()
    dist.all_reduce(total)
    return total / dist.get_world_size()


def sum_losses(losses: Losses) -> Tensor:
    """Return the sum of all terms."""
    return torch.stack(list(losses.values())).sum()


def detached(losses: Losses) -> Losses:
    """Return the same values without their graphs."""
    return {name: loss.detach() for name, loss in losses.items()}
