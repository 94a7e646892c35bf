"""A training worker: its rank and device, and what it computes together with the other workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.distributed as dist

from orchestration.runtime.progress import ProgressListener
from posegen.io.storage import StorageFolder
from posegen.samples import Batch


@dataclass(frozen=True, kw_only=True)
class Worker:
    """Environment of a worker function."""

    rank: int = 0
    world_size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    listener: ProgressListener = field(default_factory=ProgressListener)
    report: Callable[[dict[str, float]], None] = lambda metrics: None

    @property
    def leads(self) -> bool:
        """True if this worker writes the files that are written once."""
        return self.rank == 0


def agree_on(checkpoint: StorageFolder | None, worker: Worker) -> StorageFolder | None:
    """Return the leader's choice of checkpoint: another may have become visible since."""
    if worker.world_size == 1:
        return checkpoint
    choice = [checkpoint]
    dist.broadcast_object_list(choice, src=0)
    return choice[0]


def seed_step(seed: int, epoch: int, step: int, rank: int) -> None:
    """Seed torch from (seed, epoch, step, rank)."""
    torch.manual_seed(int(np.random.SeedSequence([seed, epoch, step, rank]).generate_state(1)[0]))


def to_device(batch: Batch, device: torch.device) -> Batch:
    """Move a batch, without waiting where memory is pinned."""
    return {name: tensor.to(device, non_blocking=True) for name, tensor in batch.items()}


def prefetch(batches: Iterator[Batch], device: torch.device) -> Iterator[Batch]:
    """Batches on a device, each copied to a GPU while the one before is computed on."""
    if device.type != "cuda":
        for batch in batches:
            yield to_device(batch, device)
        return
    copying = torch.cuda.Stream(device)
    ahead: Batch | None = None
    for batch in batches:
        with torch.cuda.stream(copying):
            following = to_device(batch, device)
        if ahead is not None:
            yield ahead
        torch.cuda.current_stream(device).wait_stream(copying)
        for tensor in following.values():
            tensor.record_stream(torch.cuda.current_stream(device))  # whose memory is not given away while it computes
        ahead = following
    if ahead is not None:
        yield ahead


def average_metrics(values: Mapping[str, torch.Tensor], worker: Worker) -> dict[str, float]:
    """Return the mean of every value, equal on all workers."""
    if not values:
        return {}
    stacked = torch.stack([value.double().to(worker.device) for value in values.values()])
    if worker.world_size > 1:
        dist.all_reduce(stacked)
        stacked /= worker.world_size
    return dict(zip(values, stacked.tolist(), strict=True))
