"""Settings of a search: how points are chosen, what is optimized, and what resources it may take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from orchestration.option_types import require_name
from posegen.errors import ConfigError, SearchError
from posegen.evaluation.metric_registry import objective_info
from posegen.stages import Stage

SEARCH_EXPERIMENT = "posegen-search"
EPOCH = "epoch"
"""In what a trial reports: how many epochs are done."""
SamplerName = Literal["tpe", "gp", "cmaes", "random", "grid"]
Pruning = Literal["asha", "none"]


@dataclass(frozen=True)
class Objective:
    """A metric that a search optimizes."""

    name: str
    """Short name, of the stage's `objectives`."""
    metric: str
    """As training reports it after every epoch."""
    mode: Literal["min", "max"]


def find_objectives(stage: type[Stage], names: Sequence[str] = ()) -> tuple[Objective, ...]:
    """Look up objectives of a stage by their short names; by default the first that the stage names.

    Raises SearchError for a name that the stage does not have, and ConfigError for a metric without a direction.
    """
    known = stage.objectives
    if not known:
        raise SearchError(f"the stage {stage.name} has no objectives: name a metric of its own in its class")
    unknown = [name for name in names if name not in known]
    if unknown:
        raise SearchError(f"{unknown[0]!r} is no objective of {stage.name}, expected one of {', '.join(known)}")
    chosen = tuple(names) or tuple(known)[:1]
    return tuple(Objective(name, known[name], objective_info(known[name]).mode) for name in chosen)


@dataclass(frozen=True, kw_only=True)
class TuneSettings:
    """How a search is run."""

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
    """Objectives of the space's stage, such as lpips, color or size of video_generator; by default the first. Several
    give a Pareto front. An unknown name prints the list of them."""
    sampler: SamplerName = "tpe"
    """How trials are chosen."""
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
    """Address of the study's database for a cluster, such as postgresql://…; by default a file beside the runs."""
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
            raise ConfigError(f"gpus_per_trial {self.gpus_per_trial:g} is {each:g} for each of {self.workers} workers")
        require_name(self.name, "a search's")
