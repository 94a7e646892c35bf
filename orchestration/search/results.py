"""What becomes of a search: kept in its study, shown in MLflow, told to whoever listens."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from orchestration.evaluation.compare import compare_runs
from orchestration.evaluation.compare_page import write_page
from orchestration.search.settings import TuneSettings
from orchestration.search.space_binding import Search
from orchestration.search.trial import trial_name
from orchestration.tracking import tracker as tracking
from orchestration.tracking.tracker import Tracker
from posegen.datasets.dataset import Dataset
from posegen.io.storage import StorageFolder
from search_spaces.space import Value

_MLFLOW = "mlflow_run_id"
_STATES = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "waiting",
}


@dataclass(frozen=True)
class Tried:
    """What is known of one trial."""

    number: int
    state: str
    """``complete``, ``pruned``, ``failed`` or ``running``, which goes on with the same command."""
    epochs: int
    values: dict[str, float]
    """By objective; of a pruned trial what it had when it was stopped."""
    point: dict[str, Value]
    reason: str
    """Why it failed."""
    trained: int
    """Runs before it that were trained for it."""
    reused: int
    """Runs before it that were there already."""
    run: str


@dataclass(frozen=True)
class Found:
    """What a search found by now."""

    name: str
    folder: str
    trials: list[Tried]
    best: list[Tried]
    """The best trial; with several objectives the Pareto front."""
    seconds: float

    def count(self, state: str) -> int:
        """Trials that ended so."""
        return sum(trial.state == state for trial in self.trials)


OnTrial = Callable[[Tried, list[Tried]], None]
"""Called with each trial that ended, and with the best ones by now."""


class Ledger:
    """Keeps what becomes of a search: in the study, in MLflow, for whoever listens."""

    def __init__(
        self, study: optuna.Study, search: Search, folder: StorageFolder, settings: TuneSettings, on_trial: OnTrial
    ):
        self._study, self._search, self._folder, self._settings = study, search, folder, settings
        self._on_trial = on_trial
        self._parent = tracking.OFF

    def open(self, space: str, data: Dataset) -> None:
        """Begin the search's MLflow run, or go on with it."""
        if not self._settings.track:
            return
        self._parent = tracking.start_run(
            self._folder.name,
            experiment=self._settings.experiment,
            parameters={"space": space, **asdict(self._settings)},
            tags={"posegen.search": str(self._folder), "posegen.data_fingerprint": data.fingerprint},
            run_id=self._study.user_attrs.get(_MLFLOW, ""),
        )
        self._study.set_user_attr(_MLFLOW, self._parent.run_id)

    def begin(self, trial: FrozenTrial) -> dict[str, Any]:
        """Begin a trial's MLflow run, or go on with it."""
        tracker = tracking.OFF
        if self._parent.is_on:
            tracker = tracking.start_run(
                trial_name(trial.number),
                experiment=self._settings.experiment,
                parameters=self._search.values(trial.params),
                tags={"posegen.search": str(self._folder), "posegen.trial": str(trial.number)},
                parent=self._parent,
                run_id=trial.user_attrs.get(_MLFLOW, ""),
            )
            self._study._storage.set_trial_user_attr(trial._trial_id, _MLFLOW, tracker.run_id)
        return {"tracker": (tracker.uri, tracker.run_id)}

    def end(self, trial: FrozenTrial) -> None:
        """Close a trial's MLflow run with what came out."""
        tried = self._tried(trial)
        tracker = Tracker(self._parent.uri, trial.user_attrs.get(_MLFLOW, ""))
        tracker.log_metrics({f"objective/{name}": value for name, value in tried.values.items()}, step=tried.epochs)
        tracker.set_tags(
            {
                "posegen.state": tried.state,
                "posegen.stages_trained": str(tried.trained),
                "posegen.stages_reused": str(tried.reused),
                **({"posegen.reason": tried.reason} if tried.reason else {}),
            }
        )
        tracker.finish("FAILED" if tried.state == "failed" else "FINISHED")
        self._on_trial(tried, self.best())

    def found(self, seconds: float) -> Found:
        """All that is known."""
        trials = self._study.get_trials(deepcopy=False)
        known = [self._tried(trial) for trial in trials if trial.state != TrialState.WAITING]
        return Found(self._folder.name, str(self._folder), known, self.best(), seconds)

    def best(self) -> list[Tried]:
        """The best trial, or the Pareto front; nothing before a trial is complete."""
        complete = self._study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
        return [self._tried(trial) for trial in self._study.best_trials] if complete else []

    def close(self, found: Found) -> None:
        """Close the search's MLflow run, with the study as a table and as it is."""
        self._parent.set_tags(
            {
                f"posegen.{name}": str(sum(getattr(tried, name) for tried in found.trials))
                for name in ("trained", "reused")
            }
        )
        with tempfile.TemporaryDirectory() as name:
            table = Path(name) / "trials.csv"
            self._study.trials_dataframe().to_csv(table, index=False)
            self._parent.log_file(table, "study")
            if self._parent.is_on and found.best:
                comparison = compare_runs([self._parent.run_id], title=self._folder.name)
                page = write_page(comparison, Path(name) / "comparison.html")
                self._parent.log_file(page)
        database = Path(self._folder.uri) / "study.db"
        if database.exists():
            self._parent.log_file(database, "study")
        self._parent.finish("KILLED" if found.count("running") else "FINISHED")

    def _tried(self, trial: FrozenTrial) -> Tried:
        names = self._settings.objectives
        values = trial.values or ([trial.value] if trial.value is not None else [])
        if not values and trial.intermediate_values:
            values = [trial.intermediate_values[max(trial.intermediate_values)]]
        return Tried(
            number=trial.number,
            state=_STATES[trial.state],
            epochs=max(trial.intermediate_values, default=0),
            values=dict(zip(names, values, strict=False)),
            point=trial.params,
            reason=trial.user_attrs.get("reason", ""),
            trained=trial.user_attrs.get("trained", 0),
            reused=trial.user_attrs.get("reused", 0),
            run=str(self._folder / trial_name(trial.number)),
        )
