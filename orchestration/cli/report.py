"""``posegen report VERB …``: the papers' tables and figures, from any dataset."""

from __future__ import annotations

from rich.table import Table
from tyro.conf import Positional
from tyro.extras import SubcommandApp

from orchestration.cli.console import console, deferred
from orchestration.cli.progress import ConsoleProgress, CountProgress
from orchestration.reports.estimator_comparison import EstimatorSettings
from orchestration.reports.figures import Figure2Settings, Figure4Settings, Figure5Settings
from orchestration.reports.table1 import Table1Settings


def report_app() -> SubcommandApp:
    """All tables and figures."""
    app = SubcommandApp()
    app.command(name="table1")(deferred(report_table1))
    app.command(name="figure2")(deferred(report_figure2))
    app.command(name="figure4")(deferred(report_figure4))
    app.command(name="figure5")(deferred(report_figure5))
    app.command(name="estimators")(deferred(report_estimators))
    return app


def report_table1(dataset: Positional[str], settings: Table1Settings = Table1Settings()) -> None:
    """Compare the method with its baselines as Table 1 does (Section 4.3); trains the runs that are not there.

    Args:
        dataset: Folder of a clip dataset with all its colours.
    """
    from orchestration.reports.table1 import table1, table_rows

    with ConsoleProgress(console) as listener, CountProgress(console, "measuring") as count:
        result = table1(dataset, settings, listener=listener, on_progress=count.update)
    heads, *rows = table_rows(result)
    table = Table(title="Table 1")
    for head in heads:
        table.add_column(head, justify="left" if head == heads[0] else "right")
    for row in rows:
        table.add_row(*row)
    console.print(table)
    for line in result.protocol:
        console.print(line, markup=False)
    console.print(f"scores of every clip, and this table: {settings.folder}", markup=False)
    console.print(f"pictures, from above {', '.join(['real', *result.scores])}: {settings.folder}/clips", markup=False)
    taken = f"{dataset} --runs {settings.runs} --preset {settings.preset}"
    console.print(f"next: posegen report figure4 {taken}; posegen report figure5 {taken}", markup=False)


def report_figure2(dataset: Positional[str], settings: Figure2Settings = Figure2Settings()) -> None:
    """Show frames beside their recolourings (Figure 2): upper garment, lower garment, both.

    Args:
        dataset: Folder of a clip dataset with all its colours.
    """
    from orchestration.reports.figures import figure2

    console.print(f"Figure 2: {figure2(dataset, settings)}", markup=False)
    console.print("columns: the frame, then its upper garment painted, its lower one, both")
    console.print(f"next: posegen report table1 {dataset}", markup=False)


def report_figure4(
    dataset: Positional[str], run: Positional[str] = "", settings: Figure4Settings = Figure4Settings()
) -> None:
    """Draw videos whose clothes go from one colour to another (Figure 4, Section 4.4).

    Two codes are drawn from the Gaussian that is fitted to the training codes, and those between them, one a frame.

    Args:
        dataset: Folder of a clip dataset with all its colours.
        run: Run of the stage video_generator or end_to_end; by default the report's own, trained if it is not there.
    """
    from orchestration.reports.figures import figure4

    with ConsoleProgress(console) as listener, CountProgress(console, "drawing") as count:
        path, videos = figure4(dataset, settings, run=run, listener=listener, on_progress=count.update)
    console.print(f"Figure 4: {path}; its videos: {', '.join(map(str, videos))}", markup=False)


def report_figure5(dataset: Positional[str], settings: Figure5Settings = Figure5Settings()) -> None:
    """Map the codes of painted frames, decoupled beside end-to-end (Figure 5, Section 4.5).

    Under each map: how well a linear probe reads the colour from the code, on clips that it has not seen.

    Args:
        dataset: Folder of a clip dataset with all its colours.
    """
    from orchestration.reports.figures import figure5

    with ConsoleProgress(console) as listener, CountProgress(console, "encoding") as count:
        path, summaries = figure5(dataset, settings, listener=listener, on_progress=count.update)
    for title, summary in summaries.items():
        console.print(f"{title}: R² = {summary.probe_r2:.3f} over {summary.num_codes:,} codes", markup=False)
    console.print(f"Figure 5: {path}", markup=False)


def report_estimators(settings: EstimatorSettings) -> None:
    """Compare estimators of poses by the motions that ACTOR learns from them; trains the runs that are not there.

    One action classifier, trained on the motions of all, measures them; the layout is that of the comparison on NTU13,
    whose figures stand below.
    """
    from orchestration.evaluation.tables import motion_table
    from orchestration.reports.estimator_comparison import compare_estimators
    from posegen.evaluation.published_results import MOTION_RESULTS

    with ConsoleProgress(console) as listener, CountProgress(console, "measuring") as count:
        result = compare_estimators(settings, listener=listener, on_progress=count.update)
    console.print(motion_table(result.rows, MOTION_RESULTS["ntu13"], title="NTU13's layout"))
    for name, evaluation in result.evaluations.items():
        for line in evaluation.notes[:2]:
            console.print(f"{name}: {line}", markup=False)
    console.print(f"this table: {settings.folder}/estimators.txt", markup=False)
