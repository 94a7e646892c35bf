"""Plan of a search: its cost, and the capacity of the machines, before anything runs."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import optuna
import psutil
import torch
from torch.nn import functional

from orchestration.runtime.ray_session import count_resources, is_ray_running
from orchestration.search.costs import Cost, cost_of_run, sum_costs
from orchestration.search.run_cache import cached_name
from orchestration.search.settings import TuneSettings
from orchestration.search.space_binding import Search
from orchestration.search.study import StudySettings, make_sampler
from posegen.datasets.dataset import Dataset
from posegen.errors import CapacityError, PosegenError, SearchError, counted
from posegen.networks.device import default_device
from posegen.stages import Stage
from search_spaces.space import Value

_MEASURED_SECONDS = 0.3
_MEMORY_SHARE = 0.8  # of a node's memory, what trials may take


@dataclass(frozen=True)
class Capacity:
    """Capacity of the cluster for trials."""

    trials: int
    """Number of trials at a time."""
    memory: float
    """Bytes that each of them has, of a GPU's where it is given one."""


def find_capacity(settings: TuneSettings) -> Capacity:
    """See how many trials at once leave every one its CPUs and GPUs.

    A cluster is taken at its word, that it starts machines for as many as are asked for; what memory those will have is
    not known. Raises SearchError where not even one fits.
    """
    cluster = count_resources()
    cpus, gpus = cluster.get("CPU", 1), cluster.get("GPU", 0)
    fitting = cpus // settings.cpus_per_trial
    if settings.gpus_per_trial:
        fitting = min(fitting, gpus // settings.gpus_per_trial)
    if os.environ.get("RAY_ADDRESS") and fitting < settings.concurrency:
        return Capacity(settings.concurrency, math.inf)
    if fitting < 1:
        raise SearchError(
            f"a trial needs {counted(settings.cpus_per_trial, 'CPU')} and {counted(settings.gpus_per_trial, 'GPU')}, "
            f"the cluster has {cpus:g} and {gpus:g}; where it starts machines for work that waits, say --concurrency"
        )
    trials = int(min(settings.concurrency or fitting, fitting))
    if settings.gpus_per_trial and torch.cuda.is_available():
        return Capacity(trials, torch.cuda.get_device_properties(0).total_memory * min(settings.gpus_per_trial, 1.0))
    return Capacity(trials, psutil.virtual_memory().total * _MEMORY_SHARE * _count_machines() / trials)


def _count_machines() -> int:
    import ray

    return max(len(ray.nodes()), 1) if is_ray_running() else 1


class Costs:
    """Costs of runs on a dataset; computed once for all settings that cost the same."""

    def __init__(self, data: Dataset):
        self._data = data
        self._known: dict[str, Cost] = {}

    @property
    def fingerprint(self) -> str:
        """Of the dataset."""
        return self._data.fingerprint

    def of(self, config: Stage.Config) -> Cost:
        """See `cost_of_run`."""
        kind = f"{config.stage.name} {_of_cost(config)}"
        if kind not in self._known:
            self._known[kind] = cost_of_run(config, self._data)
        return self._known[kind]


def check_point(search: Search, point: Mapping[str, Value], costs: Costs, capacity: Capacity) -> None:
    """Raise ConfigError for a point that a configuration refuses, CapacityError for one that needs too much memory."""
    for name, config in search.configs(point).items():
        reason = _reason_unfit(name, costs.of(config), capacity)
        if reason:
            raise CapacityError(reason)


@dataclass(frozen=True)
class PlannedRun:
    """A run that a trial needs."""

    name: str
    cost: Cost
    is_new: bool
    """True if no earlier trial needs an equal one."""


@dataclass(frozen=True)
class PlannedTrial:
    """A trial, if it is not stopped early."""

    number: int
    point: dict[str, Value]
    runs: list[PlannedRun]
    unfit: str
    """Reason why it would not be started; empty if it would."""

    @cached_property
    def cost(self) -> Cost:
        """Of the runs that are trained for it."""
        return sum_costs(run.cost for run in self.runs if run.is_new)


@dataclass(frozen=True)
class SearchPlan:
    """Maximum cost of a search: early stopping will make it less."""

    trials: list[PlannedTrial]
    capacity: Capacity
    rate: float
    """FLOP/s that a trial's training reaches, about, see `measure_rate`."""

    @cached_property
    def total(self) -> Cost:
        """Of all trials."""
        return sum_costs(trial.cost for trial in self.trials if not trial.unfit)

    @cached_property
    def without_reuse(self) -> Cost:
        """The same, if every trial trained all that it needs."""
        return sum_costs(run.cost for trial in self.trials if not trial.unfit for run in trial.runs)


def measure_rate() -> float:
    """Estimate the FLOP/s of training on one core, or on a GPU where there is one: half of a convolution's."""
    device = default_device()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        x, weight = torch.rand(4, 32, 64, 64, device=device), torch.rand(32, 32, 3, 3, device=device)
        of_one = 2 * x.shape[0] * 64 * 64 * 32 * 32 * 9
        rounds, begin = 0, time.perf_counter()
        while (seconds := time.perf_counter() - begin) < _MEASURED_SECONDS:
            float(functional.conv2d(x, weight, padding=1).sum())  # waits for a GPU
            rounds += 1
    finally:
        torch.set_num_threads(threads)
    return rounds * of_one / seconds / 2


def plan_search(search: Search, how: StudySettings, data: Dataset, num_trials: int, capacity: Capacity) -> SearchPlan:
    """Plan a search without running it. Points that depend on earlier results are sampled as if there were none."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(directions=how.directions)
    for point in search.starts:
        study.enqueue_trial(point)
    known: set[str] = set()
    costs = Costs(data)
    trials = []
    for number in range(num_trials):
        study.sampler = make_sampler(search, how, number)
        trial = study.ask()
        search.suggest(trial)
        trials.append(_plan_trial(number, trial.params, search, capacity, costs, known))
    return SearchPlan(trials, capacity, measure_rate())


def _plan_trial(
    number: int, point: dict[str, Value], search: Search, capacity: Capacity, costs: Costs, known: set[str]
) -> PlannedTrial:
    """Plan one trial; `known` has the addresses of all runs before, and gets its own."""
    try:
        configs = search.configs(point)
    except PosegenError as error:
        return PlannedTrial(number, point, [], str(error))
    runs = []
    for name, config in configs.items():
        place = f"{number} {name}" if name == search.method else cached_name(config, costs.fingerprint)
        runs.append(PlannedRun(name, costs.of(config), place not in known))
        known.add(place)
    largest = max(runs, key=lambda run: run.cost.memory)
    return PlannedTrial(number, point, runs, _reason_unfit(largest.name, largest.cost, capacity))


def _of_cost(config: Stage.Config) -> dict[str, Any]:
    """Return the settings that decide a configuration's cost; of a loss weight, whether it is on."""
    values = {name: bool(x) if name.startswith("lambda_") else x for name, x in asdict(config).items()}
    return {name: x for name, x in values.items() if name not in ("lr", "seed", "z_noise")}


def _reason_unfit(name: str, cost: Cost, capacity: Capacity) -> str:
    """Say that a run takes more memory than there is; nothing if it does not."""
    if cost.memory <= capacity.memory:
        return ""
    return f"{name} takes {cost.memory / 2**30:.1f} GiB of memory, a trial has {capacity.memory / 2**30:.1f}"
