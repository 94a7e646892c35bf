"""Cost of a run before it is started: arithmetic, memory and disk, from shapes alone."""

from __future__ import annotations

import math
import weakref
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode
from torch.utils.module_tracker import ModuleTracker

from posegen.checkpoints.checkpoint import checkpoint_bytes
from posegen.datasets.dataset import Dataset
from posegen.samples import fixed_batch
from posegen.stages import Stage


@dataclass(frozen=True)
class Cost:
    """Cost of one or several runs."""

    flops: float
    """Floating-point operations of the whole training, two for a multiplication with its addition."""
    memory: float
    """Bytes that training takes at its peak, without the process itself."""
    disk: float
    """Bytes of the checkpoints that are kept."""
    parameters: float
    """Weights of all its networks."""


def sum_costs(costs: Iterable[Cost]) -> Cost:
    """Sum the costs of several runs, one after another: their memory is that of the largest."""
    several = list(costs)
    return Cost(
        flops=sum(cost.flops for cost in several),
        memory=max((cost.memory for cost in several), default=0.0),
        disk=sum(cost.disk for cost in several),
        parameters=sum(cost.parameters for cost in several),
    )


def cost_of_run(config: Stage.Config, data: Dataset, *, keep: int = 2) -> Cost:
    """Cost of training a stage, found by taking one step with tensors that have shapes and no content.

    A stage whose steps read content takes it with a batch of the data, on the CPU.

    Raises PosegenError where the stage cannot be trained on this data.
    """
    config = config.stage.adapt(config, data)
    samples = config.stage.open_samples(config, data, "train")
    batch = _one_batch(samples, config)
    try:
        step = _take_step(config, {name: torch.empty_like(x, device="meta") for name, x in batch.items()}, "meta")
    except RuntimeError:  # what PyTorch raises for the content of a tensor that has none
        step = _take_step(config, batch, "cpu")
    num_steps = config.num_epochs * math.ceil(len(samples.plan(0)) / config.batch_size)
    return Cost(
        flops=float(num_steps * step.flops),
        memory=float(step.state + step.peak),
        disk=float(keep * step.state),
        parameters=float(step.parameters),
    )


class _StepCost(NamedTuple):
    flops: int
    peak: int
    """Bytes of what the step computes."""
    state: int
    """Bytes of a checkpoint."""
    parameters: int


def _take_step(config: Stage.Config, batch: dict[str, Tensor], device: str) -> _StepCost:
    with torch.random.fork_rng([]), torch.device(device):
        built = config.stage(config)
        built.leave_untrained()
    # Adam's step needs content; SGD's does not, and no optimizer's arithmetic counts beside the networks'.
    built.optimizers = {
        name: torch.optim.SGD(optimizer.param_groups[0]["params"], lr=1.0)
        for name, optimizer in built.optimizers.items()
    }
    with torch.random.fork_rng([]), _FlopCounter() as counter, _PeakMemory() as memory:
        built.train()
        built.step(batch)
    return _StepCost(
        flops=counter.get_total_flops(),
        peak=memory.peak,
        state=checkpoint_bytes(built),
        parameters=sum(x.numel() for x in built.parameters()),
    )


def _one_batch(samples: Any, config: Stage.Config) -> dict[str, Tensor]:
    return fixed_batch(samples, config.batch_size, config.batch_size)[0]


class _FlopCounter(FlopCounterMode):
    """Counts without telling modules apart: for that, PyTorch's hooks would keep tensors alive, which adds to the peak,
    and fail where a weight goes through a module, as in spectral normalization."""

    def __init__(self) -> None:
        super().__init__(display=False)
        self.mod_tracker = _OneModule()


class _OneModule(ModuleTracker):
    """A tracker that takes all that runs for one module."""

    def __init__(self) -> None:
        self.parents = {"Global"}

    def __enter__(self) -> _OneModule:
        return self

    def __exit__(self, *error: object) -> None:
        pass


class _PeakMemory(TorchDispatchMode):
    """The most bytes that results of the operations inside take at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.peak = 0
        self._live = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        results = func(*args, **(kwargs or {}))
        for result in results if isinstance(results, tuple | list) else [results]:
            if isinstance(result, Tensor):
                self._note(result.untyped_storage())
        return results

    def _note(self, storage: torch.UntypedStorage) -> None:
        key, size = id(storage), storage.nbytes()  # PyTorch keeps one object a storage for as long as that lives
        if key in self._known:
            return
        self._known.add(key)
        self._live += size
        self.peak = max(self.peak, self._live)
        weakref.finalize(storage, self._forget, key, size)

    def _forget(self, key: int, size: int) -> None:
        self._known.discard(key)
        self._live -= size
