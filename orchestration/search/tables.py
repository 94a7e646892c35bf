"""Tables and lines about the plan and the trials of a search."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich.table import Table

from posegen.errors import counted

if TYPE_CHECKING:
    from orchestration.search.plan import SearchPlan
    from orchestration.search.results import TrialResult


def plan_table(plan: SearchPlan) -> Table:
    """Make a table of what every trial costs."""
    table = Table(title="planned trials, if none is stopped early")
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
    """Describe what all trials cost, and how many run at once."""
    total, without = plan.total, plan.without_reuse
    known = math.isfinite(plan.capacity.memory)
    memory = f"{plan.capacity.memory / 2**30:.1f} GiB" if known else "the memory of machines to be started"
    hours = total.flops / (plan.rate * plan.capacity.trials) / 3600
    return (
        f"about {_duration(hours)} if this machine's rate is that of each trial ({plan.rate / 1e9:.0f} GFLOP/s)\n"
        f"in all {total.flops / 1e12:,.0f} TFLOP, {total.disk / 2**30:.2f} GiB of checkpoints; "
        f"{without.flops / total.flops:.2f} times as much if no run was shared\n"
        f"{plan.capacity.trials} at a time on this cluster, with {memory} each"
    )


def _duration(hours: float) -> str:
    return f"{hours:.1f} hours" if hours >= 1 else f"{math.ceil(60 * hours)} min"


def describe_trial(trial: TrialResult) -> str:
    """Describe a trial in a line: its state, objectives and point."""
    values = "  ".join(f"{name} {value:.4g}" for name, value in trial.values.items())
    ended = f"{trial.state} after {counted(trial.epochs, 'epoch')}" if trial.epochs else trial.state
    reason = f": {trial.reason}" if trial.reason else ""
    reason += f", does not keep {' and '.join(trial.broken)}" if trial.broken else ""
    return f"trial {trial.number}  {ended}{reason}  {values}  {_describe_point(trial.point)}"


def _describe_point(point: Mapping[str, object]) -> str:
    """Describe a point: fields and values, without the stages."""
    return "  ".join(
        f"{key.partition('.')[2]} {value:.3g}" if isinstance(value, float) else f"{key.partition('.')[2]} {value}"
        for key, value in point.items()
    )
