"""Results of a search: its trials, and what is recorded of them in the study and in the runs' folders."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from optuna.trial import FrozenTrial, TrialState

from orchestration.evaluation.compare import compare_runs
from orchestration.evaluation.compare_page import write_page
from orchestration.search.settings import TuneSettings
from orchestration.search.study import OpenStudy, TrialCallbacks
from orchestration.search.trial import trial_name
from orchestration.tracking.mirror import sync
from orchestration.tracking.run_log import RunLog
from posegen.datasets.dataset import Dataset
from posegen.errors import hide_credentials
from posegen.io.storage import StorageFolder
from search_spaces.space import Value

_STATES = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "waiting",
}


@dataclass(frozen=True)
class TrialResult:
    """A trial and its outcome."""

    number: int
    state: str
    """``complete``, ``pruned``, ``failed`` or ``running``, which goes on with the same command."""
    epochs: int
    values: dict[str, float]
    """Values by objective; of a pruned trial those at the time it was stopped."""
    point: dict[str, Value]
    reason: str
    """Reason of the failure."""
    broken: tuple[str, ...]
    """Constraints that it does not keep."""
    trained: int
    """Runs before it that were trained for it."""
    reused: int
    """Runs before it that were there already."""
    run: str


@dataclass(frozen=True)
class SearchResult:
    """The trials of a search by now."""

    name: str
    folder: str
    trials: list[TrialResult]
    best: list[TrialResult]
    """The best trial; with several objectives the Pareto front."""
    seconds: float

    def count(self, state: str) -> int:
        """Trials that ended so."""
        return sum(trial.state == state for trial in self.trials)


OnTrial = Callable[[TrialResult, list[TrialResult]], None]
"""Called with each trial that ended, and with the best ones by now."""


class SearchRecorder(TrialCallbacks):
    """Records trials in the folders of their runs, and calls back with their results.

    Args:
        opened: The study.
        folder: The search's folder.
        settings: How the search is run.
        check: Called with each point before it starts, see `TrialCallbacks.check`.
        on_trial: Called with each trial that ended.
    """

    def __init__(
        self,
        opened: OpenStudy,
        folder: StorageFolder,
        settings: TuneSettings,
        *,
        check: Callable[[Mapping[str, Value]], None],
        on_trial: OnTrial,
    ):
        self._opened, self._folder, self._settings = opened, folder, settings
        self._check, self._on_trial = check, on_trial
        self._log = RunLog(folder)

    def open(self, space: str, data: Dataset) -> None:
        """Record that the search begins, or goes on."""
        if self._settings.track:
            self._log.open(
                experiment=self._settings.experiment,
                parameters={
                    "space": space,
                    **asdict(self._settings),
                    "storage": hide_credentials(self._settings.storage),
                },
                tags={"posegen.search": str(self._folder), "posegen.data_fingerprint": data.fingerprint},
            )

    def check(self, point: Mapping[str, Value]) -> None:
        self._check(point)

    def begin(self, trial: FrozenTrial) -> None:
        if self._settings.track:
            RunLog(self._folder / trial_name(trial.number)).open(
                experiment=self._settings.experiment,
                parameters=self._opened.search.values(trial.params),
                tags={"posegen.search": str(self._folder), "posegen.trial": str(trial.number)},
                parent=self._log,
            )

    def end(self, trial: FrozenTrial) -> None:
        result = self._result(trial)
        log = RunLog(self._folder / trial_name(trial.number))
        if self._settings.track:
            if log.description is None:  # a point that was refused
                self.begin(trial)
            values = {f"objective/{name}": value for name, value in result.values.items()}
            log.log_metrics(values, result.epochs, group="objective")
            log.set_tags(
                {
                    "posegen.state": result.state,
                    "posegen.stages_trained": str(result.trained),
                    "posegen.stages_reused": str(result.reused),
                    **({"posegen.reason": result.reason} if result.reason else {}),
                }
            )
            log.set_status("FAILED" if result.state == "failed" else "FINISHED", result.reason)
        self._on_trial(result, self.best())

    def result(self, seconds: float) -> SearchResult:
        """Return all trials by now."""
        trials = self._opened.study.get_trials(deepcopy=False)
        known = [self._result(trial) for trial in trials if trial.state != TrialState.WAITING]
        return SearchResult(self._folder.name, str(self._folder), known, self.best(), seconds)

    def best(self) -> list[TrialResult]:
        """Return the best trial, or the Pareto front; nothing before a trial is complete."""
        study = self._opened.study
        complete = study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
        return [self._result(trial) for trial in study.best_trials] if complete else []

    def close(self, result: SearchResult) -> None:
        """Record that the search ends, with the study as a table and as it is, and compare its trials."""
        if not self._settings.track:
            return
        totals = {name: sum(getattr(trial, name) for trial in result.trials) for name in ("trained", "reused")}
        self._log.set_tags({f"posegen.{name}": str(total) for name, total in totals.items()})
        with tempfile.TemporaryDirectory() as name:
            table = Path(name) / "trials.csv"
            self._opened.study.trials_dataframe().to_csv(table, index=False)
            self._log.log_file(table, "study")
            for trial in result.trials:
                sync(self._folder / trial_name(trial.number))
            if result.best and sync(self._folder):  # the comparison is read from MLflow
                page = write_page(
                    compare_runs([str(self._folder)], title=self._folder.name), Path(name) / "comparison.html"
                )
                self._log.log_file(page)
        database = Path(self._folder.uri) / "study.db"
        if self._folder.is_local and database.exists():
            self._log.log_file(database, "study")
        self._log.set_status("KILLED" if result.count("running") else "FINISHED")

    def _result(self, trial: FrozenTrial) -> TrialResult:
        names = self._settings.objectives
        values = trial.values or ([trial.value] if trial.value is not None else [])
        if not values and trial.intermediate_values:
            values = [trial.intermediate_values[max(trial.intermediate_values)]]
        return TrialResult(
            number=trial.number,
            state=_STATES[trial.state],
            epochs=max(trial.intermediate_values, default=0),
            values=dict(zip(names, values, strict=False)),
            point=trial.params,
            reason=trial.user_attrs.get("reason", ""),
            broken=tuple(trial.user_attrs.get("broken", ())),
            trained=trial.user_attrs.get("trained", 0),
            reused=trial.user_attrs.get("reused", 0),
            run=str(self._folder / trial_name(trial.number)),
        )
