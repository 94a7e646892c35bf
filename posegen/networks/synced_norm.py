"""Batch normalization over the whole batch, of which each worker may hold a share."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable


class _SyncedForward:
    """The forward pass of a batch normalization (Ioffe and Szegedy, 2015, arXiv:1502.03167, Algorithm 1).

    In training, mean and variance are those of the samples of all workers, which hold equally many. `nn.SyncBatchNorm`
    does the same on GPUs alone. With a single process, and when it measures, it is PyTorch's own layer.
    """

    def forward(self, input: Tensor) -> Tensor:  # named as in `nn.Module`
        assert isinstance(self, nn.BatchNorm1d | nn.BatchNorm2d)
        if not self.training or not dist.is_initialized() or dist.get_world_size() == 1:
            return super().forward(input)  # type: ignore[misc]  # of the layer that this is mixed into
        x = input.float()
        over = [0, *range(2, x.ndim)]
        shape = [1, -1, *[1] * (x.ndim - 2)]
        count = x.numel() // x.shape[1] * dist.get_world_size()
        mean = _sum_over_workers(x.sum(over)) / count  # (C,)
        centered = x - mean.view(shape)
        variance = _sum_over_workers(centered.square().sum(over)) / count  # (C,)
        self._note(mean.detach(), variance.detach() * count / max(count - 1, 1))
        normalized = centered * torch.rsqrt(variance + self.eps).view(shape)
        return (normalized * self.weight.view(shape) + self.bias.view(shape)).to(input.dtype)

    @torch.no_grad()
    def _note(self, mean: Tensor, variance: Tensor) -> None:
        """Move the running statistics, which measuring takes."""
        assert isinstance(self, nn.BatchNorm1d | nn.BatchNorm2d)
        assert self.running_mean is not None and self.running_var is not None and self.momentum is not None
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance, self.momentum)
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)


class SyncedBatchNorm1d(_SyncedForward, nn.BatchNorm1d):
    """Normalizes (N, C, L) over samples and places, of all workers together."""


class SyncedBatchNorm2d(_SyncedForward, nn.BatchNorm2d):
    """Normalizes (N, C, H, W) over samples and places, of all workers together."""


class _Sum(Function):
    """A sum over workers, whose gradient is the sum of all workers' gradients of it."""

    @staticmethod
    def forward(context: Any, x: Tensor) -> Tensor:
        total = x.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    @once_differentiable
    def backward(context: Any, gradient: Tensor) -> Tensor:
        total = gradient.contiguous().clone()
        dist.all_reduce(total)
        return total


def _sum_over_workers(x: Tensor) -> Tensor:
    return _Sum.apply(x)
