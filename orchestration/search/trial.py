"""One trial of a search, in a process of its own."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from orchestration.runtime.progress import ProgressListener
from orchestration.search.run_cache import CachedRun
from orchestration.search.settings import BEST, EPOCH, TuneSettings, find_constraints, find_objectives
from orchestration.search.space_binding import Search
from orchestration.tracking.run_log import RunLog
from orchestration.training.job import TrainSettings
from orchestration.training.recipes import make_runs
from orchestration.training.runs import history
from orchestration.training.train import Recording, train
from posegen.errors import PosegenError, RunError, SearchError
from posegen.io.storage import StorageFolder
from posegen.stages import Stage

if TYPE_CHECKING:
    from ray.actor import ActorHandle


@dataclass(frozen=True, kw_only=True)
class TrialJob:
    """All that a trial's process needs to know. Picklable."""

    search: Search
    dataset: StorageFolder
    folder: str
    """The search's."""
    settings: TuneSettings
    cache: ActorHandle[Any]


def run_trial(config: dict[str, Any], job: TrialJob) -> None:
    """Train one trial: the runs that it needs, by the cache, then the run that is compared.

    An error is reported as the trial's reason and not raised, for Tune would try again; it does so where the process
    itself dies.
    """
    from ray import tune as ray_tune

    last: dict[str, Any] = {}

    def report(metrics: Mapping[str, Any]) -> None:
        last.update(metrics)
        ray_tune.report({**last})

    run = StorageFolder(job.folder) / trial_name(config["number"])
    try:
        configs = job.search.configs(config["point"])
        places, counts = _make_needed(job, configs, run)
        last.update(counts)
        own = job.search.trainings[job.search.method].with_runs(configs[job.search.method], places)
        reporter = _EpochReporter(run, job, report)
        reporter.catch_up()
        # The search's own process keeps MLflow up to date with the folders of all trials.
        train(own, str(job.dataset), _settings(job, run.name), listener=reporter, recording=Recording(mirrored=False))
        reporter.catch_up()
    except PosegenError as error:
        report({"reason": str(error)})
    except Exception as error:
        report({"reason": f"{type(error).__name__}: {error}"})


def _settings(job: TrialJob, name: str) -> TrainSettings:
    workers = max(job.settings.workers, 1)
    return TrainSettings(
        name=name,
        runs=job.folder,
        workers=job.settings.workers,
        cpus=job.settings.cpus_per_trial // workers,
        gpus=job.settings.gpus_per_trial / workers,
        experiment=job.settings.experiment,
        track=job.settings.track,
    )


def _make_needed(
    job: TrialJob, configs: Mapping[str, Stage.Config], run: StorageFolder
) -> tuple[dict[str, str], dict[str, int]]:
    """Have all runs made that the last one needs: their folders, and how many were trained and found."""
    import ray

    made: list[CachedRun] = []
    needed = {name: training for name, training in job.search.trainings.items() if name != job.search.method}

    def make(name: str, places: Mapping[str, str]) -> str:
        config = needed[name].with_runs(configs[name], places)
        try:
            one = cast(CachedRun, ray.get(job.cache.make.remote(config, str(run))))
        except ray.exceptions.RayError as error:
            raise RunError(f"{name} failed: {getattr(error, 'cause', error)}") from error
        made.append(one)
        return one.run

    places = make_runs(needed, make, parallel=max(len(needed), 1))
    RunLog(run).set_tags({f"posegen.{name}": place for name, place in places.items()})
    reused = sum(each.reused for each in made)
    return places, {"trained": len(made) - reused, "reused": reused}


class _EpochReporter(ProgressListener):
    """Reports every epoch of a run to Tune, once and in order, and the metrics of the best one by now beside it.

    A worker that dies between an epoch's checkpoint and its report goes on with the next one, but the epoch that
    was not reported may decide whether the trial is stopped: it is read from the run's own metrics.
    """

    def __init__(self, run: StorageFolder, job: TrialJob, report: Callable[[Mapping[str, Any]], None]):
        stage, settings = job.search.trainings[job.search.method].stage, job.settings
        objectives = find_objectives(stage, settings.objectives)
        self._run, self._first, self._report = run, objectives[0], report
        bounded = [constraint.metric for constraint in find_constraints(stage, settings.constraint)]
        self._needed = [*(objective.metric for objective in objectives), *bounded]
        self._reported = 0
        self._best: Mapping[str, float] = {}

    def on_epoch(self, run: str, epoch: int, num_epochs: int, metrics: Mapping[str, float]) -> None:
        self.catch_up()

    def catch_up(self) -> None:
        """Report the finished epochs that Tune does not know yet."""
        for epoch, metrics in history(self._run).items():
            if epoch > self._reported:
                self._reported = epoch
                if missing := [name for name in self._needed if name not in metrics]:
                    reports = ", ".join(name for name in metrics if name.startswith("val/"))
                    raise SearchError(f"training does not report {missing[0]}: it reports {reports}")
                if self._is_better(metrics):
                    self._best = metrics
                best = {f"{BEST}{name}": value for name, value in self._best.items()}
                self._report({**metrics, **best, EPOCH: epoch})

    def _is_better(self, metrics: Mapping[str, float]) -> bool:
        value, best = (of.get(self._first.metric, math.nan) for of in (metrics, self._best))
        if not math.isfinite(value) or not math.isfinite(best):
            return not math.isfinite(best)
        return value < best if self._first.mode == "min" else value > best


def trial_name(number: int) -> str:
    """Return the run of a trial."""
    return f"trial-{number:04d}"
