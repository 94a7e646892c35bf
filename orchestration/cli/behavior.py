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
    """Measure a run on held-out motions: transfers, random futures, and the postures that its codes reveal.

    Args:
        run: Run of the stage behavior or behavior_flow.
        dataset: Motions; by default those that it was trained on. Probes are trained on its training split.
        pictures: Render transfers, random futures and a map of codes.
    """
    from orchestration.evaluation.behavior import evaluate_behavior
    from orchestration.evaluation.tables import record_tables

    with CountProgress(console, "measuring") as listener:
        found = evaluate_behavior(run, protocol, dataset=dataset, pictures=pictures, on_progress=listener.update)
    console.print(*record_tables(found))
    for line in found.notes:
        console.print(line, markup=False)
    console.print(f"scores: {found.folder}/evaluation.json", markup=False)
    if pictures:
        console.print(f"strips, videos, pages and a map of codes: {found.run}/behavior", markup=False)


def compare(runs: Positional[tuple[str, ...]]) -> None:
    """Print the scores of several runs in one table; refused where data or protocol differ.

    Args:
        runs: Runs that `posegen behavior evaluate` has measured.
    """
    from orchestration.evaluation.behavior import BehaviorBasis
    from orchestration.evaluation.records import check_comparable, read_evaluation
    from orchestration.evaluation.tables import behavior_comparison

    if not runs:
        raise UsageError("say which runs to compare")
    found = [read_evaluation(run, BehaviorBasis) for run in runs]
    check_comparable(found)
    console.print(behavior_comparison(found))
    for line in found[0].notes:
        console.print(line, markup=False)
