"""Settings of a search: how points are chosen, what is optimized, and what resources it may take."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from orchestration.option_types import require_name
from posegen.errors import ConfigError, SearchError, counted
from posegen.evaluation.metric_registry import find_metric_info, objective_info
from posegen.stages import Stage

SEARCH_EXPERIMENT = "posegen-search"
EPOCH = "epoch"
"""In what a trial reports: how many epochs are done."""
BEST = "best."
"""In what a trial reports, before a metric: its value after the epoch that is best by the first objective."""
SamplerName = Literal["tpe", "gp", "cmaes", "random", "grid"]
Pruning = Literal["asha", "none"]


@dataclass(frozen=True)
class Objective:
    """A metric that a search optimizes."""

    name: str
    """Short name, of the stage's `objectives`, or that of the metric."""
    metric: str
    """Metric as training reports it after every epoch."""
    mode: Literal["min", "max"]


def find_objectives(stage: type[Stage], names: Sequence[str] = ()) -> tuple[Objective, ...]:
    """Look up objectives of a stage; by default the first that the stage names.

    Args:
        stage: The stage.
        names: Short names of the stage's objectives, or metrics of the registry, such as ``val/ms_ssim``.

    Raises:
        SearchError: A name is neither.
        ConfigError: A metric has no direction.
    """
    if not stage.objectives and not names:
        raise SearchError(f"the stage {stage.name} has no objectives: name a metric of its own in its class")
    chosen = tuple(names) or tuple(stage.objectives)[:1]
    metrics = {name: find_metric(stage, name) for name in chosen}
    return tuple(Objective(name, metric, objective_info(metric).mode) for name, metric in metrics.items())


def find_metric(stage: type[Stage], name: str) -> str:
    """Return the metric that a name stands for, as training reports it.

    Raises SearchError for a name that is neither an objective of the stage nor a metric of the registry.
    """
    if name in stage.objectives:
        return stage.objectives[name]
    if "/" in name and find_metric_info(name) is not None:
        return name
    known = ", ".join(stage.objectives)
    raise SearchError(
        f"{name!r} is no objective of {stage.name}, expected one of {known}, or a metric such as val/ssim"
    )


@dataclass(frozen=True)
class Constraint:
    """Bound that a trial must keep to be among the best."""

    text: str
    """Constraint as the user wrote it."""
    metric: str
    """Metric as training reports it."""
    is_upper: bool
    """True if the bound is the highest value, False if it is the lowest."""
    bound: float

    def violation(self, value: float) -> float:
        """Return the distance of a value beyond the bound: 0 or less if it is kept."""
        return value - self.bound if self.is_upper else self.bound - value


def find_constraints(stage: type[Stage], texts: Sequence[str]) -> tuple[Constraint, ...]:
    """Read constraints such as ``hit<=3`` or ``val/ssim>=0.8``. Raises SearchError for what is none."""
    found = []
    for text in texts:
        match = re.fullmatch(r"\s*([\w/]+)\s*(<=|>=)\s*(\S+)\s*", text)
        try:
            if match is None:
                raise ValueError
            bound = float(match[3])
        except ValueError:
            raise SearchError(f"got the constraint {text!r}, expected METRIC<=NUMBER or METRIC>=NUMBER") from None
        found.append(Constraint(text, find_metric(stage, match[1]), match[2] == "<=", bound))
    return tuple(found)


@dataclass(frozen=True, kw_only=True)
class TuneSettings:
    """Settings of a search."""

    name: str = ""
    """Name of the search. A search of this name that exists is continued; by default the space's name."""
    runs: str = "runs"
    """Folder of all runs: local, a shared mount, or an address such as s3://bucket/runs."""
    preset: str = ""
    """Preset of the settings that are not searched; trial 0 is the preset itself. By default the stage's first."""
    method: str = ""
    """Method to train, of those whose last stage is the space's; by default the cheapest."""
    set: tuple[str, ...] = ()
    """Other settings, each STAGE.FIELD=VALUE, such as video_generator.num_epochs=4."""
    trials: int = 20
    """Number of trials."""
    budget: float = 0.0
    """Hours after which the search stops; the same command continues it. 0 is no limit."""
    concurrency: int = 0
    """Trials at a time; 0 takes as many as the machines have capacity for now. An autoscaling cluster starts machines
    for trials that wait."""
    objectives: tuple[str, ...] = ()
    """Objectives of the space's stage, such as lpips, color or size of video_generator, or any metric that training
    reports, such as val/ms_ssim; by default the first. Several give a Pareto front."""
    constraint: tuple[str, ...] = ()
    """Bounds that the best trials must keep, such as 'hit<=3' or 'val/ssim>=0.8'."""
    sampler: SamplerName = "tpe"
    """Algorithm that chooses trials."""
    pruning: Pruning = "asha"
    """Stop bad trials early, by successive halving; several objectives need none."""
    grace: int = 2
    """Epochs before a trial may be stopped."""
    reduction: int = 3
    """Of so many trials, the best one continues; and the next comparison is so many times later."""
    workers: int = 1
    """Training processes of each trial; 0 trains in the trial's own process, which starts sooner."""
    cpus_per_trial: int = 1
    """CPUs of each trial, over all its workers."""
    gpus_per_trial: float = 0.0
    """GPUs of each trial, over all its workers; a fraction lets several trials share one."""
    seed: int = 0
    """Seed of the sampler."""
    storage: str = ""
    """Address of the study for a cluster: a database, postgresql://…; Optuna's proxy before one, grpc://HOST:PORT; or a
    journal on a shared disk, journal:///PATH. By default a file beside the runs."""
    experiment: str = SEARCH_EXPERIMENT
    """Experiment in MLflow."""
    track: bool = True
    """Record the search in MLflow: in mlflow.db here, or at MLFLOW_TRACKING_URI."""

    def __post_init__(self) -> None:
        for field, least in (("trials", 1), ("grace", 1), ("reduction", 2), ("cpus_per_trial", 1), ("workers", 0)):
            if getattr(self, field) < least:
                raise ConfigError(f"{field} must be {least} or more, got {getattr(self, field)}")
        each = self.gpus_per_trial / max(self.workers, 1)
        if each > 1 and each % 1:
            raise ConfigError(
                f"gpus_per_trial {self.gpus_per_trial:g} is {each:g} for each of {counted(self.workers, 'worker')}"
            )
        require_name(self.name, "a search's")
