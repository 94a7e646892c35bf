"""What a run costs before it is started: arithmetic, memory and disk, from shapes alone."""

from __future__ import annotations

import math
import weakref
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from posegen.checkpoints.checkpoint import checkpoint_bytes
from posegen.datasets.dataset import Dataset
from posegen.networks.vgg import VGGFeatures
from posegen.samples import fixed_batch
from posegen.stages import ShapePosture, Stage
from posegen.stages.video_stage import VideoStage


@dataclass(frozen=True)
class Cost:
    """What a run, or several of them, costs."""

    flops: float
    """Floating-point operations of the whole training, two for a multiplication with its addition."""
    memory: float
    """Bytes that training takes at its peak, without the process itself."""
    disk: float
    """Bytes of the checkpoints that are kept."""
    parameters: float
    """Weights of all its networks."""


def sum_costs(costs: Iterable[Cost]) -> Cost:
    """Of several runs, one after another: their memory is that of the largest."""
    several = list(costs)
    return Cost(
        flops=sum(cost.flops for cost in several),
        memory=max((cost.memory for cost in several), default=0.0),
        disk=sum(cost.disk for cost in several),
        parameters=sum(cost.parameters for cost in several),
    )


def cost_of_run(config: Stage.Config, data: Dataset, *, keep: int = 2) -> Cost:
    """Cost of training a stage, found by taking one step with tensors that have shapes and no content.

    Raises PosegenError where the stage cannot be trained on this data.
    """
    config = config.stage.adapt(config, data)
    samples = config.stage.open_samples(config, data, "train")
    batch = {name: torch.empty_like(x, device="meta") for name, x in _one_batch(samples, config).items()}
    with torch.device("meta"):
        built = config.stage(config)
        if isinstance(built, VideoStage | ShapePosture) and built.config.lambda_vgg:
            built.use_vgg(VGGFeatures.untrained(built.config.vgg, 2 if isinstance(built, ShapePosture) else 1))
    # Adam's step needs content; SGD's does not, and no optimizer's arithmetic counts beside the networks'.
    built.optimizers = {
        name: torch.optim.SGD(optimizer.param_groups[0]["params"], lr=1.0)
        for name, optimizer in built.optimizers.items()
    }
    with _Meter() as meter:
        built.train()
        built.step(batch)
    steps = config.num_epochs * math.ceil(len(samples.plan(0)) / config.batch_size)
    state = checkpoint_bytes(built)
    return Cost(
        flops=float(steps * meter.flops),
        memory=float(state + meter.peak),
        disk=float(keep * state),
        parameters=float(sum(x.numel() for x in built.parameters())),
    )


def _one_batch(samples: Any, config: Stage.Config) -> Mapping[str, Tensor]:
    return fixed_batch(samples, config.batch_size, config.batch_size)[0]


class _Meter(TorchDispatchMode):
    """Counts the arithmetic of all operations inside, and the most bytes that their results take at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.flops, self.peak = 0, 0
        self._live = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        results = func(*args, **(kwargs or {}))
        count = flop_registry.get(func.overloadpacket)
        if count is not None:
            self.flops += count(*args, **(kwargs or {}), out_val=results)
        for result in tree_leaves(results):
            if isinstance(result, Tensor):
                self._note(result.untyped_storage())
        return results

    def _note(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._known:
            return
        self._known.add(key)
        self._live += size
        self.peak = max(self.peak, self._live)
        weakref.finalize(storage, self._forget, key, size)

    def _forget(self, key: int, size: int) -> None:
        self._known.discard(key)
        self._live -= size
