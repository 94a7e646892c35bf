"""What commands print of plans, trials, comparisons and evaluations."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from math import isfinite
from typing import TYPE_CHECKING

from rich.table import Table

from orchestration.evaluation.video import Evaluation, meaning

if TYPE_CHECKING:
    from orchestration.evaluation.compare import Comparison
    from orchestration.search.plan import SearchPlan
    from orchestration.search.results import TrialResult


def plan_table(plan: SearchPlan) -> Table:
    """What every trial costs."""
    table = Table(title="what would be tried, if nothing is stopped early")
    for head in ("trial", "point", "TFLOP", "memory", "disk", "trained first", "there already"):
        words = head in ("point", "trained first", "there already")
        table.add_column(head, justify="left" if words else "right", overflow="fold")
    for trial in plan.trials:
        needed = trial.runs[:-1]
        table.add_row(
            str(trial.number),
            trial.unfit or _describe_point(trial.point),
            f"{trial.cost.flops / 1e12:.1f}",
            f"{trial.cost.memory / 2**20:.0f} MiB",
            f"{trial.cost.disk / 2**20:.0f} MiB",
            ", ".join(run.name for run in needed if run.is_new),
            ", ".join(run.name for run in needed if not run.is_new),
        )
    return table


def describe_plan(plan: SearchPlan) -> str:
    """What all trials cost, and how many run at once."""
    total, without = plan.total, plan.without_reuse
    known = isfinite(plan.capacity.memory)
    memory = f"{plan.capacity.memory / 2**30:.1f} GiB" if known else "the memory of machines that are to start"
    return (
        f"in all {total.flops / 1e12:,.0f} TFLOP, {total.disk / 2**30:.2f} GiB of checkpoints; "
        f"{without.flops / total.flops:.2f} times as much if nothing was used twice\n"
        f"{plan.capacity.trials} at a time on this cluster, with {memory} each"
    )


def describe_trial(trial: TrialResult) -> str:
    """A trial in a line: how it ended, its objectives, what it tried."""
    values = "  ".join(f"{name} {value:.4g}" for name, value in trial.values.items())
    ended = f"{trial.state} after {trial.epochs} epochs" if trial.epochs else trial.state
    reason = f": {trial.reason}" if trial.reason else ""
    return f"trial {trial.number}  {ended}{reason}  {values}  {_describe_point(trial.point)}"


def _describe_point(point: Mapping[str, object]) -> str:
    """Fields and values, without the stages."""
    return "  ".join(
        f"{key.partition('.')[2]} {value:.3g}" if isinstance(value, float) else f"{key.partition('.')[2]} {value}"
        for key, value in point.items()
    )


def comparison_table(found: Comparison, top: int) -> Table:
    """The best runs with the parameters in which they differ."""
    best = "highest" if found.higher_is_better else "lowest"
    table = Table(title=f"{len(found.entries)} runs, {best} {found.metric} first")
    table.add_column("run", no_wrap=True)
    table.add_column("state", no_wrap=True)
    measured = any(entry.interval for entry in found.entries)
    numbers = [*found.objectives, *(["95 % interval"] if measured else [])]
    for name in (*numbers, *(name.rpartition(".")[2] for name in found.varied)):
        table.add_column(name, justify="right", overflow="fold")
    for entry in found.entries[:top]:
        values = [f"{entry.run.metrics[name]:.4g}" if name in entry.run.metrics else "" for name in found.objectives]
        interval = "{:.4g} – {:.4g}".format(*entry.interval) if entry.interval else ""
        varied = [_shorten(entry.parameters.get(name, "")) for name in found.varied]
        table.add_row(entry.run.name, entry.state, *values, *([interval] if measured else []), *varied)
    return table


def _shorten(text: str) -> str:
    """A number in four digits; anything else as it is."""
    try:
        return f"{float(text):.4g}"
    except ValueError:
        return text


def score_table(result: Evaluation) -> Table:
    """Means of all scores over clips, those of structure, time and colour apart."""
    height, width = result.size
    title = f"{result.split} split: {len(result.clips)} clips, {result.num_frames} frames of {height}×{width}"
    table = Table(title=title)
    table.add_column("metric", no_wrap=True)
    table.add_column("better", justify="center")
    table.add_column("mean", justify="right")
    table.add_column("95 % interval", justify="right", no_wrap=True)
    table.add_column("unit")
    for group, names in groupby(result.scores, key=lambda name: meaning(name).group):
        table.add_section()
        table.add_row(f"[bold]{group}[/]")
        for name in names:
            score, read = result.scores[name], meaning(name)
            interval = "{:.4f} – {:.4f}".format(*score.interval) if score.interval else "one clip"
            table.add_row(name, read.better, f"{score.mean:.4f}", interval, read.unit)
    return table
