"""Compares runs that MLflow has by one metric, the nearest to its goal first."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

from orchestration.tracking.client import require_store
from orchestration.tracking.mirror import sync_pending
from orchestration.tracking.queries import Recorded, children_of, find_runs
from posegen.errors import EvaluationError
from posegen.evaluation.metric_info import MetricInfo
from posegen.evaluation.metric_registry import metric_info, objective_metric, table_position
from posegen.stages import STAGES, Stage

_PHASES = ("objective", "test", "motion", "behavior", "val")
"""Groups of metrics in which the default metric is looked for, in this order."""
_ENDS = ("low", "high")  # of intervals
_BOOKKEEPING = ("stage", "seed", "upper_encoder", "lower_encoder", "restoration", "behavior")


@dataclass(frozen=True)
class Entry:
    """One run of a comparison."""

    run: Recorded
    value: float
    interval: tuple[float, float] | None
    """95 % interval of the value over clips, where an evaluation computed one."""
    parameters: Mapping[str, str]
    """Parameters that vary."""

    @property
    def state(self) -> str:
        """Final state: the trial's, or MLflow's status."""
        return self.run.tags.get("posegen.state", self.run.status.lower())


@dataclass(frozen=True)
class Comparison:
    """Runs, the nearest to the metric's goal first; those of a metric without a direction by name."""

    title: str
    info: MetricInfo
    """The metric, under its logged name."""
    objectives: list[str]
    """Other metrics that the runs were searched by, the compared one first."""
    varied: list[str]
    """Parameters in which they differ."""
    entries: list[Entry]
    without: int
    """Runs that do not have the metric."""

    @property
    def order(self) -> str:
        """Order of the entries in words."""
        name, info = self.info.name, self.info
        match info.direction:
            case "up" | "down":
                return f"{info.order} {name} first"
            case "target" if info.is_ranked:
                return f"{name} {info.order} first"
            case "target":
                return f"by name: {name} is best where it equals that of real data, and is not ranked"
        return f"by name: {name} has no direction, and is not ranked"


def compare_runs(targets: Sequence[str], metric: str = "", title: str = "") -> Comparison:
    """Compare runs by a metric.

    Args:
        targets: Experiments and runs, see `find_runs`.
        metric: By default the objective of a search, or else the first metric of an evaluation or a validation. A
            metric that none of the runs has is looked for in the runs below them.
        title: Of the page; by default the targets.

    Raises:
        EvaluationError: There is no such run, or none has the metric.
    """
    require_store(of_runs=True)
    sync_pending()
    runs = {run.run_id: run for target in targets for run in find_runs(target)}
    known = sorted({name for run in runs.values() for name in run.metrics})
    chosen = metric or _default_metric(list(runs.values()))
    if chosen and chosen not in known:  # a report has runs of methods below it
        runs |= {run.run_id: run for above in list(runs) for run in children_of(above)}
    with_metric = [run for run in runs.values() if math.isfinite(run.metrics.get(chosen, math.nan))]
    if not with_metric:
        expected = ", ".join(name for name in known if not _is_end(name))
        raise EvaluationError(
            f"no run of {', '.join(targets)} has the metric {chosen or 'of an evaluation'!r}, expected one of "
            f"{expected or 'none: they recorded nothing yet'}"
        )
    if chosen.startswith("motion/") and len({run.tags.get("posegen.recognizer") for run in with_metric}) > 1:
        raise EvaluationError(f"{chosen} of these runs rests on different action classifiers and does not compare")
    info = metric_info(chosen)
    varied = varied_parameters(with_metric)
    entries = [
        Entry(
            run,
            run.metrics[chosen],
            _interval(run, chosen),
            {name: run.parameters[name] for name in varied if name in run.parameters},
        )
        for run in with_metric
    ]
    objectives = [name for name in known if name.startswith("objective/")] if chosen.startswith("objective/") else []
    return Comparison(
        title=title or ", ".join(targets),
        info=info,
        objectives=[chosen, *(name for name in objectives if name != chosen)],
        varied=varied,
        entries=_in_order(entries, info),
        without=len(runs) - len(with_metric),
    )


def varied_parameters(runs: Sequence[Recorded]) -> list[str]:
    """Return the names of the parameters in which runs differ, without those that merely name other runs."""
    names = sorted({name for run in runs for name in run.parameters})
    return [name for name in names if name not in _BOOKKEEPING and len({run.parameters.get(name) for run in runs}) > 1]


def _in_order(entries: Sequence[Entry], info: MetricInfo) -> list[Entry]:
    """The nearest to the goal first; by name where the metric has none."""
    if not info.is_ranked:
        return sorted(entries, key=lambda entry: entry.run.name)
    # A trial that was stopped early had less time: it comes after those that finished.
    return sorted(entries, key=lambda entry: (entry.state == "pruned", info.distance_to_goal(entry.value)))


def _default_metric(runs: Sequence[Recorded]) -> str:
    """The metric to compare: an objective before an evaluation's before a validation's, and of these the first that the
    runs' stages optimize, or else the first in the registry; empty where no run has one that is ranked."""
    known = {name for run in runs for name in run.metrics if name.partition("/")[0] in _PHASES and not _is_end(name)}
    objectives = {name.partition("/")[2] for name in known if name.startswith("objective/")}
    goals = [metric.partition("/")[2] for stage in _stages_of(runs, objectives) for metric in stage.objectives.values()]

    def key(name: str) -> tuple[object, ...]:
        phase, _, base = name.partition("/")
        base = objective_metric(base).partition("/")[2] if phase == "objective" else base
        place = goals.index(base) if base in goals else len(goals)
        return _PHASES.index(phase), place, table_position(name), not base.endswith("_masked"), name

    return min((name for name in known if metric_info(name).is_ranked), key=key, default="")


def _stages_of(runs: Sequence[Recorded], objectives: Set[str]) -> list[type[Stage]]:
    """The stages that runs name, or, of trials, which name none, the first that has all these objectives."""
    named = dict.fromkeys(run.parameters.get("stage", "") for run in runs)
    stages = [STAGES[name] for name in named if name in STAGES]
    searched = [stage for stage in STAGES.values() if objectives and objectives <= stage.objectives.keys()]
    return stages or searched[:1]


def _interval(run: Recorded, metric: str) -> tuple[float, float] | None:
    ends = [run.metrics.get(f"{metric}.{end}") for end in _ENDS]
    return (ends[0], ends[1]) if ends[0] is not None and ends[1] is not None else None


def _is_end(name: str) -> bool:
    """Return whether a metric is the end of another one's interval."""
    return name.rpartition(".")[2] in _ENDS
