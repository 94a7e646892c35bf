"""The protocol of stages without one of their own: the mean of `Stage.evaluate` over all samples of a split."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch.utils.data import default_collate

from posegen.samples import Samples
from posegen.stages import Stage

MAX_BATCH = 16
"""Samples in a batch at most. It does not follow the training configuration, since some metrics depend on it."""


@torch.no_grad()
def score_batches(
    stage: Stage,
    samples: Samples,
    device: torch.device,
    *,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, float]:
    """Average `Stage.evaluate` over the first epoch of samples, in their order, weighted by the batches' sizes.

    Batches are as few as `MAX_BATCH` allows and nearly equal in size, so that none is left with a single sample. Random
    numbers that a stage takes from torch's global generator start from seed 0.

    Args:
        stage: The trained stage, in evaluation mode on `device`.
        samples: All samples of a split.
        device: Where to run.
        on_progress: Called with the number of samples that are done and the number of all.

    Returns:
        By metric; nothing where there are no samples.
    """
    plan = samples.plan(0)
    sums: dict[str, float] = {}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for rows in np.array_split(np.arange(len(plan)), -(-len(plan) // MAX_BATCH) or 1):
            if not len(rows):
                break
            on_progress(int(rows[0]), len(plan))
            batch = default_collate([samples.load(plan[row]) for row in rows])
            metrics = stage.evaluate({name: x.to(device) for name, x in batch.items()})
            for name, value in metrics.items():
                sums[name] = sums.get(name, 0.0) + value * len(rows) / len(plan)
    on_progress(len(plan), len(plan))
    return sums
