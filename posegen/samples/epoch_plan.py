"""Samples planned by (seed, epoch) alone, loaded in any process.

A plan names every sample of an epoch in order. Step k takes the k-th run of `batch_size` samples, and a worker its
slice of that run, so neither the number of workers nor a restart changes what is learned from. The noise that a
sample needs is sampled with it, for the same reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from posegen.errors import ConfigError, DatasetError

Arrays = dict[str, np.ndarray]
Batch = dict[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class EpochSettings:
    """Size and seed of an epoch."""

    epoch_size: int = 0
    """Samples in it; 0 takes all that there are once."""
    seed: int = 0
    """With the epoch, decides order and all else that is left to chance."""


class Samples(Protocol):
    """The samples of one split of a dataset, for one stage. Entries of its plan have a type of its own."""

    def plan(self, epoch: int) -> Sequence[Any]:
        """Return every sample of an epoch, in order: a function of the seed and the epoch."""
        ...

    def load(self, sample: Any) -> Arrays:
        """Read one sample: the keys and shapes of the stage's batch, without its first dimension."""
        ...


def shuffled(population: int, epoch_size: int, rng: np.random.Generator) -> np.ndarray:
    """Return a random order of all, or of `epoch_size` of them; a larger epoch goes through all more than once."""
    rounds = max(-(-epoch_size // max(population, 1)), 1)
    order = np.concatenate([rng.permutation(population) for _ in range(rounds)])
    return order[: epoch_size or population]


def share_batch(batch_size: int, world_size: int, parts: int = 1, together: int = 1) -> int:
    """Return the samples of a batch that each worker takes.

    Args:
        batch_size: Samples in all.
        world_size: Workers.
        parts: Equal parts in which each worker takes its share, one after another.
        together: Samples that no two parts may divide.

    Raises ConfigError where they do not divide it evenly, with the nearest settings that do.
    """
    unit = world_size * parts * together
    if batch_size % unit == 0:
        return batch_size // world_size
    sizes = [size for size in (batch_size // unit * unit, -(-batch_size // unit) * unit) if size]
    change = f"set batch_size to {' or '.join(map(str, sizes))}"
    fitting = [n for n in range(1, batch_size + 1) if batch_size % (n * parts * together) == 0]
    if fitting:
        change += f", or workers to {' or '.join(map(str, fitting))}"
    each = "" if parts == 1 else f" in {parts} parts each"
    pairs = "" if together == 1 else f", of which {together} samples belong together"
    who = f"{world_size} workers" if world_size > 1 else "1 worker"
    raise ConfigError(f"{who} cannot share a batch of {batch_size}{pairs}{each}: {change}")


class EpochLoader:
    """Batches of one worker, loaded ahead by other processes.

    Args:
        samples: What to load.
        batch_size: Samples per step over all workers. Raises PosegenError where workers cannot share it evenly, see
            `share_batch`, or where the split is smaller than one batch.
        rank: Number of this worker.
        world_size: Number of workers.
        num_processes: Processes that load; 0 loads in this one.
    """

    def __init__(
        self, samples: Samples, batch_size: int, *, rank: int = 0, world_size: int = 1, num_processes: int = 0
    ):
        share = share_batch(batch_size, world_size)
        self.samples, self.batch_size = samples, batch_size
        self._planned = 0, samples.plan(0)
        self.num_steps = len(self._planned[1]) // batch_size
        if self.num_steps == 0:
            raise DatasetError(f"{len(self._planned[1])} usable samples are fewer than one batch of {batch_size}")
        self._sampler = _StepSampler(self.num_steps, batch_size, slice(rank * share, (rank + 1) * share))
        self._loader = DataLoader(
            _LoadedSamples(samples),
            batch_sampler=self._sampler,
            num_workers=num_processes,
            persistent_workers=num_processes > 0,
            pin_memory=torch.cuda.is_available(),
        )

    def epoch(self, epoch: int, first_step: int = 0) -> Iterator[Batch]:
        """Return the batches of an epoch from `first_step` on; samples that fill no whole batch are left out."""
        if self._planned[0] != epoch:
            self._planned = epoch, self.samples.plan(epoch)
        self._sampler.plan, self._sampler.first_step = self._planned[1], first_step
        return iter(self._loader)


class _StepSampler:
    """Yields, for each step, the entries of the plan that are this worker's.

    A plan is made once, in the worker: the processes that load get its entries, and need no plan.
    """

    def __init__(self, num_steps: int, batch_size: int, share: slice):
        self.num_steps, self.batch_size, self.share = num_steps, batch_size, share
        self.plan: Sequence[Any] = ()
        self.first_step = 0

    def __len__(self) -> int:
        return self.num_steps - self.first_step

    def __iter__(self) -> Iterator[list[Any]]:
        for step in range(self.first_step, self.num_steps):
            start = step * self.batch_size
            yield [self.plan[start + k] for k in range(self.batch_size)[self.share]]


class _LoadedSamples(Dataset):
    """Samples of an entry of a plan."""

    def __init__(self, samples: Samples):
        self.samples = samples

    def __getitem__(self, sample: Any) -> Arrays:
        return self.samples.load(sample)


def fixed_batch(samples: Samples, count: int, batch_size: int, epoch: int = 0) -> list[Batch]:
    """Return the first `count` samples of an epoch, in batches: what previews and validation look at every time."""
    plan = samples.plan(epoch)[:count]
    loaded = [samples.load(sample) for sample in plan]
    return [
        torch.utils.data.default_collate(loaded[start : start + batch_size])
        for start in range(0, len(loaded), batch_size)
    ]
