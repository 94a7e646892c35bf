"""``posegen behavior VERB …``: what runs of the stages behavior and behavior_flow have learned."""

from __future__ import annotations

from tyro.conf import Positional
from tyro.extras import SubcommandApp

from orchestration.cli.behavior_commands import add_behavior_commands
from orchestration.cli.console import console, deferred
from orchestration.cli.progress import CountProgress
from posegen.errors import UsageError
from posegen.evaluation.behavior import BehaviorProtocol


def behavior_app() -> SubcommandApp:
    """All verbs."""
    app = SubcommandApp()
    app.command(name="evaluate")(deferred(evaluate))
    app.command(name="compare")(deferred(compare))
    add_behavior_commands(app)
    return app


def evaluate(
    run: Positional[str], dataset: str = "", pictures: bool = True, protocol: BehaviorProtocol = BehaviorProtocol()
) -> None:
    """Measure what a run does on held-out motions: transfers, random futures, and what posture its codes tell.

    Args:
        run: Run of the stage behavior or behavior_flow.
        dataset: Motions; by default those that it was trained on. Judges learn from its training split.
        pictures: Draw transfers, random futures and a map of codes.
    """
    from orchestration.evaluation.behavior import evaluate_behavior
    from orchestration.evaluation.behavior_tables import behavior_tables

    with CountProgress(console, "measuring") as listener:
        found = evaluate_behavior(run, protocol, dataset=dataset, pictures=pictures, on_part=listener.update)
    console.print(*behavior_tables(found))
    for line in found.basis:
        console.print(line, markup=False)
    console.print(f"figures: {found.run}/evaluation/behavior.json", markup=False)
    if pictures:
        console.print(f"strips, videos, pages and a map of codes: {found.run}/behavior", markup=False)


def compare(runs: Positional[tuple[str, ...]]) -> None:
    """Put the figures of several runs beside each other; refused where data or protocol differ.

    Args:
        runs: Runs that `posegen behavior evaluate` has measured.
    """
    from orchestration.evaluation.behavior import check_comparable, read_behavior
    from orchestration.evaluation.behavior_tables import compared_table

    if not runs:
        raise UsageError("say which runs to compare")
    found = [read_behavior(run) for run in runs]
    check_comparable(found)
    console.print(compared_table(found))
    for line in found[0].basis:
        console.print(line, markup=False)
