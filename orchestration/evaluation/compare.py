"""Compares runs that MLflow has: a table, best first, and a page with the plots."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orchestration.evaluation.video import meaning
from orchestration.search.settings import OBJECTIVES
from orchestration.tracking.client import require_store
from orchestration.tracking.mirror import sync_pending
from orchestration.tracking.queries import Recorded, children_of, find_runs
from posegen.errors import EvaluationError

_PREFERRED = (
    *(f"objective/{name}" for name in OBJECTIVES),
    "test/st_lpips_masked",
    "test/ms_ssim_masked",
    "test/ssim_masked",
    "val/st_lpips_masked",
    "val/psnr",
    "val/l1",
)
"""What is compared unless another metric is asked for: the first that a run has."""
_BOOKKEEPING = ("stage", "seed", "upper_encoder", "lower_encoder", "restoration", "behavior")
_HIGHER = ("psnr", "ssim", "texture", "accuracy", "posture_error")


@dataclass(frozen=True)
class Entry:
    """One run of a comparison."""

    run: Recorded
    value: float
    interval: tuple[float, float] | None
    """95 % interval of the value over clips, where an evaluation knows it."""
    parameters: Mapping[str, str]
    """Those that vary."""

    @property
    def state(self) -> str:
        """How it ended: a trial's own word, or MLflow's."""
        return self.run.tags.get("posegen.state", self.run.status.lower())


@dataclass(frozen=True)
class Comparison:
    """Runs, best first."""

    title: str
    metric: str
    higher_is_better: bool
    objectives: list[str]
    """Other metrics that the runs were searched by, the compared one first."""
    varied: list[str]
    """Parameters in which they differ."""
    entries: list[Entry]
    without: int
    """Runs that do not have the metric."""


def compare(targets: Sequence[str], metric: str = "", title: str = "") -> Comparison:
    """Compare runs by a metric.

    Args:
        targets: Experiments and runs, see `find_runs`.
        metric: By default what the search was for, or else what an evaluation measured first. What none of the runs
            has is looked for in the runs below them.
        title: Of the page; by default the targets.

    Raises:
        EvaluationError: There is no such run, or none has the metric.
    """
    require_store()
    sync_pending()
    runs = {run.run_id: run for target in targets for run in find_runs(target)}
    known = sorted({name for run in runs.values() for name in run.metrics})
    chosen = metric or next((name for name in _PREFERRED if name in known), "")
    if chosen and chosen not in known:  # a report has runs of methods below it
        runs |= {run.run_id: run for above in list(runs) for run in children_of(above)}
    with_metric = [run for run in runs.values() if math.isfinite(run.metrics.get(chosen, math.nan))]
    if not with_metric:
        raise EvaluationError(
            f"no run of {', '.join(targets)} has the metric {chosen or 'of an evaluation'!r}, expected one of "
            f"{', '.join(known) or 'none: they recorded nothing yet'}"
        )
    if chosen.startswith("motion/") and len({run.tags.get("posegen.recognizer") for run in with_metric}) > 1:
        raise EvaluationError(f"{chosen} of these runs rests on different recognisers and does not compare")
    higher = is_higher_better(chosen)
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
    # A trial that was stopped early had less time: it comes after those that finished.
    entries.sort(key=lambda entry: (entry.state == "pruned", -entry.value if higher else entry.value))
    objectives = [name for name in known if name.startswith("objective/")] if chosen.startswith("objective/") else []
    return Comparison(
        title=title or ", ".join(targets),
        metric=chosen,
        higher_is_better=higher,
        objectives=[chosen, *(name for name in objectives if name != chosen)],
        varied=varied,
        entries=entries,
        without=len(runs) - len(with_metric),
    )


def varied_parameters(runs: Sequence[Recorded]) -> list[str]:
    """Names of the parameters in which runs differ, those that merely name other runs left out."""
    names = sorted({name for run in runs for name in run.parameters})
    return [name for name in names if name not in _BOOKKEEPING and len({run.parameters.get(name) for run in runs}) > 1]


def is_higher_better(metric: str) -> bool:
    """Whether more of a metric is better."""
    phase, _, name = metric.rpartition("/")
    if phase == "objective" and name in OBJECTIVES:
        return OBJECTIVES[name].mode == "max"
    try:
        return meaning(name).better == "↑"
    except KeyError:
        return any(word in name for word in _HIGHER)


def _interval(run: Recorded, metric: str) -> tuple[float, float] | None:
    ends = [run.metrics.get(f"{metric}.{end}") for end in ("low", "high")]
    return (ends[0], ends[1]) if ends[0] is not None and ends[1] is not None else None
