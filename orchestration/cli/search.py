"""``posegen tune, compare, ui``: searches, and the runs that MLflow has."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from orchestration.cli.console import console
from orchestration.cli.parsing import Positional, Section
from orchestration.runtime.ports import LAST_PORT
from orchestration.search.settings import TuneSettings
from orchestration.search.tables import describe_plan, describe_trial, plan_table
from posegen.errors import SearchError, UsageError, counted
from posegen.io.output_files import WEB_PAGE, OverwriteSettings, written_as

if TYPE_CHECKING:
    from orchestration.search.results import TrialResult

SEARCH_COMMANDS = Section("Search and compare")
"""The commands of this file."""


@SEARCH_COMMANDS.command("tune")
def _tune(space: Positional[str], dataset: Positional[str], settings: TuneSettings, plan: bool = False) -> None:
    """Search the settings of a method, by Optuna on Ray Tune.

    Trial 0 has the preset's own settings. Runs that several trials need, such as equal encoders, are trained once. The
    same command continues a search that was stopped.

    Args:
        space: What is searched. Of videos: codes_and_losses, joint, latent_sizes, loss_weights, optional_losses; of
            motions: motion_codes, motion_kl, motion_diffusion, behavior_information, behavior_flow.
        dataset: Folder of a clip dataset with all its recolorings, or of a dataset of motions.
        plan: Print what would be tried and what it costs, and do nothing.

    Examples:
        posegen tune codes_and_losses data --preset tiny --trials 12 --plan
        posegen tune latent_sizes data --objectives lpips size --pruning none
    """
    from orchestration.search.tune import plan as make_plan
    from orchestration.search.tune import tune

    if plan:
        planned = make_plan(space, dataset, settings)
        console.print(plan_table(planned))
        console.print(describe_plan(planned))
        return
    found = tune(space, dataset, settings, on_trial=_print_trial)
    counts = {state: found.count(state) for state in ("complete", "pruned", "failed", "running")}
    console.print(
        f"{found.name}: {counted(len(found.trials), 'trial')} in {found.seconds / 60:.1f} min, "
        + ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    )
    trained, reused = (sum(getattr(trial, name) for trial in found.trials) for name in ("trained", "reused"))
    console.print(f"of the runs that trials need, {trained} were trained and {reused} were there already")
    if settings.constraint and not found.best and found.count("complete"):
        console.print(f"no trial keeps {' and '.join(settings.constraint)}", markup=False)
    for trial in found.best:
        console.print(f"best: {describe_trial(trial)}; its run: {trial.run}", markup=False)
    if found.trials and counts["failed"] == len(found.trials):
        raise SearchError(f"every trial of {found.name} failed, trial 0 because {found.trials[0].reason}")


@SEARCH_COMMANDS.command("compare")
def _compare(
    targets: Positional[tuple[str, ...]],
    writing: OverwriteSettings,
    metric: str = "",
    top: int = 20,
    out: Annotated[Path | None, written_as(WEB_PAGE)] = None,
) -> None:
    """Rank runs in MLflow by a metric, and write a page on them.

    The page has plots, pictures and videos. A metric without a direction, or whose goal is the value of real data, is
    listed and not ranked.

    Args:
        targets: Experiments, searches or runs, by name; a run also by its folder or its id.
        metric: The metric; by default the objective of a search, or the first metric of an evaluation.
        top: Runs in the table; the page has all.
        out: The page, one .html file that needs no other; by default comparison.html, which is
            replaced.

    Examples:
        posegen compare codes_and_losses
        posegen compare runs/a runs/b --metric test/st_lpips
    """
    from orchestration.evaluation.compare import compare_runs
    from orchestration.evaluation.compare_page import write_page
    from orchestration.evaluation.tables import comparison_table

    if not targets:
        raise UsageError("no runs given, expected posegen compare RUN …")
    if out is not None:
        writing.require_writable([out])
    found = compare_runs(targets, metric)
    console.print(comparison_table(found, top))
    if found.without:
        console.print(f"{counted(found.without, 'more run')} without {found.info.name}", markup=False)
    console.print(f"with plots, pictures and videos: {write_page(found, out or Path('comparison.html'))}", markup=False)


@SEARCH_COMMANDS.command("ui")
def _ui(port: int = 5000, optuna: str = "") -> None:
    """Serve MLflow's page of all runs, or Optuna's of a search.

    Args:
        port: Port on this machine; other machines cannot reach it.
        optuna: Folder of a search, or its --storage: serve Optuna's dashboard of its study instead.

    Examples:
        posegen ui
        posegen ui --optuna runs/codes_and_losses
    """
    if not 1 <= port <= LAST_PORT:
        raise UsageError(f"got port {port}, expected 1 to {LAST_PORT}; see posegen ui --help")
    if optuna:
        from orchestration.search.dashboard import serve_dashboard

        serve_dashboard(optuna, port, on_ready=lambda address: console.print(f"Optuna: {address}; Ctrl-C stops it"))
        return
    from orchestration.tracking.server import serve_page

    serve_page(port, on_ready=lambda address: console.print(f"MLflow: {address}; Ctrl-C stops it", markup=False))


def _print_trial(trial: TrialResult, best: list[TrialResult]) -> None:
    leads = " [green]best by now[/]" if trial.number in {one.number for one in best} else ""
    console.print(f"{describe_trial(trial)}{leads}")
