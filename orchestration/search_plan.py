"""What a search will cost and what there is room for, before anything runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import psutil
import torch

from orchestration.costs import cost_of_run
from orchestration.search_settings import TuneSettings
from orchestration.spaces import Search
from orchestration.study import UnfitError
from posegen.clips import ClipDataset
from search_spaces.space import Value

_MEMORY_SHARE = 0.8  # of a node's memory, what trials may take


@dataclass(frozen=True)
class Room:
    """What the cluster has for trials."""

    trials: int
    """How many run at a time."""
    memory: float
    """Bytes that each of them has, of a GPU's where it is given one."""


def room_for_trials(settings: TuneSettings) -> Room:
    """See how many trials at once leave every one its CPUs and GPUs. Raises ValueError where not even one fits."""
    import ray

    cluster = ray.cluster_resources()
    cpus, gpus = cluster.get("CPU", 1), cluster.get("GPU", 0)
    fitting = cpus // settings.cpus_per_trial
    if settings.gpus_per_trial:
        fitting = min(fitting, gpus // settings.gpus_per_trial)
    if fitting < 1:
        raise ValueError(
            f"a trial needs {settings.cpus_per_trial} CPUs and {settings.gpus_per_trial:g} GPUs, "
            f"the cluster has {cpus:g} and {gpus:g}"
        )
    trials = int(min(settings.concurrency or fitting, fitting))
    if settings.gpus_per_trial and torch.cuda.is_available():
        return Room(trials, torch.cuda.get_device_properties(0).total_memory * min(settings.gpus_per_trial, 1.0))
    return Room(trials, psutil.virtual_memory().total * _MEMORY_SHARE * max(len(ray.nodes()), 1) / trials)


def check_point(search: Search, point: Mapping[str, Value], data: ClipDataset, room: Room) -> None:
    """Raise ValueError where a configuration refuses a point, UnfitError where it takes more memory than there is."""
    for name, config in search.configs(point).items():
        cost = cost_of_run(search.trainings[name].stage, config, data)
        if cost.memory > room.memory:
            needed, there = cost.memory / 2**30, room.memory / 2**30
            raise UnfitError(f"{name} takes {needed:.1f} GiB of memory, a trial has {there:.1f}")
