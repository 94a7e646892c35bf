"""One trial of a search, in a process of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from orchestration.runtime.progress import ProgressListener
from orchestration.search.run_cache import Made, Needed
from orchestration.search.settings import EPOCH, TuneSettings
from orchestration.search.space_binding import Search
from orchestration.tracking.tracker import Tracker
from orchestration.training.recipes import Training
from orchestration.training.runs import history
from orchestration.training.train import TrainSettings, train
from posegen.errors import PosegenError, RunError
from posegen.io.storage import StorageFolder
from posegen.stages import Stage

if TYPE_CHECKING:
    from ray.actor import ActorHandle


@dataclass(frozen=True, kw_only=True)
class TrialJob:
    """All that a trial's process needs to know. Picklable."""

    search: Search
    dataset: str
    folder: str
    settings: TuneSettings
    store: ActorHandle[Any]


def run_trial(config: dict[str, Any], job: TrialJob) -> None:
    """Train one trial, in a process of its own: what it needs from the store, then the run that is compared.

    An error is reported as the trial's reason and not raised, for Tune would try again; it does so where the process
    itself dies.
    """
    from ray import tune as ray_tune

    tracker = Tracker(*config["tracker"])
    configs = job.search.configs(config["point"])
    last: dict[str, Any] = {}

    def report(metrics: Mapping[str, Any]) -> None:
        last.update(metrics)
        ray_tune.report({**last})

    try:
        runs, counts = _make_needed(job, configs, tracker)
        last.update(counts)
        method, training = job.search.method, job.search.trainings[job.search.method]
        name = trial_name(config["number"])
        reporter = _Reporter(StorageFolder(job.folder) / name, report)
        reporter.catch_up()
        train(
            training.stage,
            _fill(configs[method], training, runs),
            job.dataset,
            TrainSettings(
                name=name,
                runs=job.folder,
                workers=job.settings.workers,
                cpus=job.settings.cpus_per_trial // max(job.settings.workers, 1),
                gpus=job.settings.gpus_per_trial / max(job.settings.workers, 1),
                experiment=job.settings.experiment,
                track=tracker.is_on,
            ),
            listener=reporter,
            parent=tracker,
        )
        reporter.catch_up()
    except PosegenError as error:
        report({"reason": str(error)})
    except Exception as error:
        report({"reason": f"{type(error).__name__}: {error}"})


def _make_needed(
    job: TrialJob, configs: Mapping[str, Stage.Config], tracker: Tracker
) -> tuple[dict[str, str], dict[str, int]]:
    """Have all runs made that the last one needs: their folders, and how many were trained and found."""
    import ray

    runs: dict[str, str] = {}
    counts = {"trained": 0, "reused": 0}
    waiting = {name: job.search.trainings[name] for name in job.search.trainings if name != job.search.method}
    while waiting:
        ready = {name: training for name, training in waiting.items() if set(training.needs.values()) <= set(runs)}
        needed = {
            name: Needed(training.stage, _fill(configs[name], training, runs)) for name, training in ready.items()
        }
        try:
            made: list[Made] = ray.get([job.store.make.remote(one, tracker) for one in needed.values()])
        except ray.exceptions.RayError as error:
            raise RunError(f"{' or '.join(ready)} failed: {getattr(error, 'cause', error)}") from error
        for name, one in zip(ready, made, strict=True):
            runs[name] = one.run
            counts["reused" if one.reused else "trained"] += 1
            tracker.set_tags({f"posegen.{name}": one.run})
            del waiting[name]
    return runs, counts


def _fill(config: Stage.Config, training: Training, runs: Mapping[str, str]) -> Stage.Config:
    """The configuration with the runs that it needs."""
    needs: dict[str, Any] = {field: runs[need] for field, need in training.needs.items()}
    return replace(config, **needs)


class _Reporter(ProgressListener):
    """Reports every epoch of a run to Tune, once and in order.

    A worker that dies between an epoch's checkpoint and its report goes on with the next one, but the epoch that
    nobody heard of may decide whether the trial is stopped: it is read from the run's own record.
    """

    def __init__(self, run: StorageFolder, report: Callable[[Mapping[str, Any]], None]):
        self._run, self._report = run, report
        self._reported = 0

    def on_epoch(self, run: str, epoch: int, num_epochs: int, metrics: Mapping[str, float]) -> None:
        self.catch_up()

    def catch_up(self) -> None:
        """Report what the run has behind it and Tune has not heard of."""
        for epoch, metrics in history(self._run).items():
            if epoch > self._reported:
                self._reported = epoch
                self._report({**metrics, EPOCH: epoch})


def trial_name(number: int) -> str:
    """The run of a trial."""
    return f"trial-{number:04d}"
