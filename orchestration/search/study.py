"""The Optuna study of a search: what to try next, what to stop early, and what is known after any crash.

All that decides is in the study's storage. A sampler is made anew for every trial, seeded with the trial's number,
so its state is the history of the study; early stopping is Optuna's successive halving, whose rungs are the values
that trials reported. A search whose driver was killed therefore goes on as if it had not been.
"""

from __future__ import annotations

import json
import math
import socket
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.pruners import BasePruner, NopPruner, SuccessiveHalvingPruner
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, GridSampler, RandomSampler, TPESampler
from optuna.storages import BaseStorage, GrpcStorageProxy, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from orchestration.search.settings import BEST, EPOCH, Constraint, Objective, Pruning, SamplerName
from orchestration.search.space_binding import ON, Search, distribution_of
from posegen.errors import CapacityError, ConfigError, PosegenError, SearchError, first_line
from search_spaces.space import Switched, Value

_PATIENCE = 10  # seconds that a storage has to answer


@dataclass(frozen=True, kw_only=True)
class StudySettings:
    """Settings of a study: storage, objectives and algorithms."""

    name: str
    """Of the study in its storage."""
    storage: str
    """An address that SQLAlchemy can open: ``sqlite:///study.db``, ``postgresql://…``."""
    objectives: tuple[Objective, ...]
    """Objectives; several give a Pareto front."""
    constraints: tuple[Constraint, ...] = ()
    """Bounds that the best trials keep."""
    sampler: SamplerName
    """Algorithm that chooses points."""
    pruning: Pruning
    """Rule that stops weak trials."""
    grace: int
    """Epochs that every trial is given."""
    reduction: int
    """Of the trials that come to a rung, one in so many goes on; the next rung is so many times later."""
    seed: int
    """Decides the points, with the number of the trial."""
    identity: Mapping[str, Any]
    """Values that may not change while a study goes on: its space, its data, …"""

    def __post_init__(self) -> None:
        if not self.objectives:
            raise ConfigError("got no objectives, expected one or more")
        if len(self.objectives) > 1 and self.pruning != "none":
            raise ConfigError("early stopping compares by one objective: with several ask for --pruning none")
        if len(self.objectives) > 1 and self.sampler == "cmaes":
            raise ConfigError("cmaes has one objective: with several take tpe, gp or random")

    @property
    def metrics(self) -> list[str]:
        """Metrics that are compared."""
        return [objective.metric for objective in self.objectives]

    @property
    def directions(self) -> list[Literal["minimize", "maximize"]]:
        """For each objective, ``minimize`` or ``maximize``."""
        return ["minimize" if objective.mode == "min" else "maximize" for objective in self.objectives]


@dataclass(frozen=True)
class OpenStudy:
    """A study in its storage, and the space that it searches.

    Trials are found by their numbers, which are all that outlives a process.
    """

    study: optuna.Study
    storage: BaseStorage
    search: Search
    settings: StudySettings

    def trial(self, number: int) -> optuna.Trial:
        """Return a trial that is running, to be continued."""
        return optuna.Trial(self.study, self._id(number))

    def frozen(self, number: int) -> FrozenTrial:
        """Return a trial as it is in the storage now."""
        return self.storage.get_trial(self._id(number))

    def unfinished(self) -> list[int]:
        """Return the trials that a killed driver left running."""
        trials = self.study.get_trials(deepcopy=False, states=[TrialState.RUNNING])
        return [trial.number for trial in trials]

    def num_begun(self) -> int:
        """Number of trials that were started, including ended ones."""
        return sum(trial.state != TrialState.WAITING for trial in self.study.get_trials(deepcopy=False))

    def ask(self, most: int) -> optuna.Trial | None:
        """Return a new trial, whose sampler depends on its number alone; None where there are `most` already."""
        number = self.num_begun()
        if number >= most:
            return None
        self.study.sampler = make_sampler(self.search, self.settings, number)
        return self.study.ask()

    def _id(self, number: int) -> int:
        study = self.storage.get_study_id_from_name(self.study.study_name)
        return self.storage.get_trial_id_from_study_id_trial_number(study, number)


def is_database(address: str) -> bool:
    """Return whether the address of a study is one of a database."""
    return bool(address) and address.partition("://")[0] not in ("grpc", "journal")


def open_storage(address: str) -> BaseStorage:
    """Open the storage of studies: a database, Optuna's gRPC proxy before one, or a journal on a shared disk.

    Raises SearchError where the address of a proxy or a journal is none.
    """
    scheme, _, rest = address.partition("://")
    if scheme == "journal":
        if not Path(rest).parent.is_dir():
            raise SearchError(f"got the storage {address}, expected journal:///PATH of a file in a folder that exists")
        return JournalStorage(JournalFileBackend(rest))
    if scheme == "grpc":
        host, _, port = rest.rpartition(":")
        if not host or not port.isdigit():
            raise SearchError(f"got the storage {address}, expected grpc://HOST:PORT")
        with socket.create_connection((host, int(port)), timeout=_PATIENCE):  # gRPC itself waits for ever
            pass
        proxy = GrpcStorageProxy(host=host, port=int(port))
        proxy.wait_server_ready(timeout=_PATIENCE)
        return proxy
    return RDBStorage(address)


def open_study(search: Search, settings: StudySettings) -> OpenStudy:
    """Create the study, or continue it. Raises SearchError where the storage fails or holds another study."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        storage = open_storage(settings.storage)
        study = optuna.create_study(
            storage=storage,
            study_name=settings.name,
            directions=settings.directions,
            pruner=_make_pruner(settings),
            load_if_exists=True,
        )
        known = study.user_attrs.get("identity")
        identity = json.loads(json.dumps(settings.identity))
        if known is None and not study.get_trials(deepcopy=False):
            for point in search.starts:
                study.enqueue_trial(point)
            study.set_user_attr("identity", identity)
    except PosegenError:
        raise
    except Exception as error:  # SQLAlchemy's, of whatever driver
        raise SearchError(f"the study's storage {settings.storage} does not work: {first_line(error)}") from None
    if known not in (None, identity):
        changed = [name for name in identity if (known or {}).get(name) != identity[name]]
        raise SearchError(f"search {settings.name} exists with another {', '.join(changed)}: take another --name")
    return OpenStudy(study, storage, search, settings)


class TrialCallbacks:
    """Called as trials begin and end. This one does nothing."""

    def check(self, point: Mapping[str, Value]) -> None:
        """Called with each point before it starts. A CapacityError prunes it, another PosegenError fails it."""

    def begin(self, trial: FrozenTrial) -> None:
        """Called with each trial before it starts."""

    def end(self, trial: FrozenTrial) -> None:
        """Called with each trial that has ended."""


class StudySearch(Searcher):
    """Suggests the points of a study to Ray Tune, and reports the results to the study.

    A trial gets ``{"number": N, "point": {...}}``. Trials that a killed driver left unfinished come first. Points that
    are refused are never started: they end at once, with the reason, and count.

    Args:
        opened: The study.
        num_trials: After so many there are no more points.
        callbacks: Called as trials begin and end.
    """

    def __init__(self, opened: OpenStudy, num_trials: int, callbacks: TrialCallbacks | None = None):
        modes = ["min" if direction == "minimize" else "max" for direction in opened.settings.directions]
        single = len(modes) == 1
        super().__init__(
            metric=opened.settings.metrics[0] if single else opened.settings.metrics,  # type: ignore[arg-type]
            mode=modes[0] if single else modes,  # type: ignore[arg-type]  # lists are documented
        )
        self.opened, self.callbacks = opened, callbacks or TrialCallbacks()
        self._num_trials, self._unfinished = num_trials, opened.unfinished()
        self._trials: dict[str, optuna.Trial] = {}
        self._pruned: set[str] = set()

    def has_more(self) -> bool:
        """True if there is a trial to continue or to start."""
        return bool(self._unfinished) or self.opened.num_begun() < self._num_trials

    def suggest(self, trial_id: str) -> Any:
        """Return the next point, or `Searcher.FINISHED`."""
        while (trial := self._next()) is not None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                self.opened.search.suggest(trial)
            try:
                self.callbacks.check(trial.params)
            except PosegenError as error:
                state = TrialState.PRUNED if isinstance(error, CapacityError) else TrialState.FAIL
                self._give_up(trial, str(error), state)
                continue
            self._trials[trial_id] = trial
            self.callbacks.begin(self.opened.frozen(trial.number))
            return {"number": trial.number, "point": trial.params}
        return Searcher.FINISHED

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Note the value after an epoch, once, however often it is reported."""
        trial, epoch = self._trials[trial_id], result.get(EPOCH)
        metrics = self.opened.settings.metrics
        if len(metrics) > 1 or metrics[0] not in result or epoch is None:
            return
        if epoch not in self.opened.frozen(trial.number).intermediate_values:
            trial.report(result[metrics[0]], epoch)

    def should_prune(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Return True if a trial with this result should be stopped."""
        if self.opened.settings.pruning == "none":
            return False
        self.on_trial_result(trial_id, result)
        if self._trials[trial_id].should_prune():
            self._pruned.add(trial_id)
        return trial_id in self._pruned

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tell the study how a trial ended. One that Tune stopped before its time is left for the next start."""
        trial, result = self._trials[trial_id], result or {}
        if self.opened.frozen(trial.number).state.is_finished():
            return
        for name in ("trained", "reused"):
            if name in result:
                trial.set_user_attr(name, result[name])
        settings, search = self.opened.settings, self.opened.search
        values = [_of_best_epoch(result, metric) for metric in settings.metrics]
        bounded = {one: _of_best_epoch(result, one.metric) for one in settings.constraints}
        if error or "reason" in result:
            self._give_up(trial, result.get("reason", "its process died again and again"), TrialState.FAIL)
        elif trial_id in self._pruned:
            self._tell(trial, state=TrialState.PRUNED)
        elif result.get(EPOCH, 0) < search.configs(trial.params)[search.method].num_epochs:
            return
        elif not all(map(math.isfinite, values)):
            names = " and ".join(objective.name for objective in settings.objectives)
            reason = f"{names} is not finite: {values}"
            self._give_up(trial, reason, TrialState.FAIL)
        elif unknown := [one.text for one, value in bounded.items() if not math.isfinite(value)]:
            self._give_up(trial, f"training reports nothing for the constraint {unknown[0]!r}", TrialState.FAIL)
        else:
            violations = {one.text: one.violation(value) for one, value in bounded.items()}
            for text, violation in violations.items():
                trial.set_constraint(text, violation)
            trial.set_user_attr("broken", [text for text, violation in violations.items() if violation > 0])
            self._tell(trial, values=values)

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune writes its searcher to a file, which the study's password must not come into."""
        return {}

    def save(self, checkpoint_path: str) -> None:
        """Do nothing: the study is its own record."""

    def restore(self, checkpoint_path: str) -> None:
        """Do nothing, likewise."""

    def _next(self) -> optuna.Trial | None:
        """A trial that was left unfinished, or a new one."""
        if self._unfinished:
            return self.opened.trial(self._unfinished.pop(0))
        return self.opened.ask(self._num_trials)

    def _give_up(self, trial: optuna.Trial, reason: str, state: TrialState) -> None:
        trial.set_user_attr("reason", reason)
        self._tell(trial, state=state)

    def _tell(
        self, trial: optuna.Trial, values: Sequence[float] | None = None, state: TrialState | None = None
    ) -> None:
        self.opened.study.tell(trial, values, state=state)
        self.callbacks.end(self.opened.frozen(trial.number))


def _of_best_epoch(result: Mapping[str, Any], metric: str) -> float:
    """A metric after the epoch that counts; NaN where it was not reported."""
    return float(result.get(f"{BEST}{metric}", result.get(metric, math.nan)))


class StudyPruner(FIFOScheduler):
    """Stops the trials that a study gives up: asynchronous successive halving (Li et al., 2020, arXiv:1810.05934)."""

    def __init__(self, searcher: StudySearch):
        super().__init__()
        self._searcher = searcher

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Stop a trial that came to a rung and is not among its best."""
        stop = self._searcher.should_prune(trial.trial_id, result)
        return TrialScheduler.STOP if stop else TrialScheduler.CONTINUE


def make_sampler(search: Search, settings: StudySettings, number: int) -> BaseSampler:
    """Return the sampler of one trial, whose random numbers depend on the seed and the trial's number alone."""
    seed = (settings.seed * 1_000_003 + number) % 2**32
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        match settings.sampler:
            case "tpe":
                return TPESampler(seed=seed, multivariate=True, group=True, constant_liar=True)
            case "gp":
                return GPSampler(seed=seed, warn_independent_sampling=False)
            case "cmaes":
                return CmaEsSampler(seed=seed, warn_independent_sampling=False)
            case "random":
                return RandomSampler(seed=seed)
            case "grid":
                return GridSampler(grid_of(search), seed=settings.seed)


def grid_of(search: Search) -> dict[str, list[Value]]:
    """Return the values of every parameter on a grid: all of a choice, and of a range both ends and the middle."""
    grid: dict[str, list[Value]] = {}
    for key, parameter in search.space.parameters.items():
        if isinstance(parameter, Switched):
            grid[key + ON] = [True, False]
        grid[key] = _grid_points(distribution_of(parameter))
    return grid


def _grid_points(distribution: BaseDistribution) -> list[Value]:
    match distribution:
        case CategoricalDistribution(choices=choices):
            return [choice for choice in choices if choice is not None]
        case FloatDistribution(low=low, high=high, log=log):
            middle = math.sqrt(low * high) if log else (low + high) / 2
            return [low, middle, high]
        case IntDistribution(low=low, high=high):
            return sorted({low, (low + high) // 2, high})
    raise AssertionError(distribution)


def _make_pruner(settings: StudySettings) -> BasePruner:
    if settings.pruning == "none":
        return NopPruner()
    return SuccessiveHalvingPruner(min_resource=settings.grace, reduction_factor=settings.reduction)
