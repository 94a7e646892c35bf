"""``posegen demo, report``: every step on synthetic people, and the papers' tables and figures from any dataset."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.table import Table

from orchestration.cli.console import console
from orchestration.cli.parsing import Group, Positional, Section
from orchestration.cli.progress import ConsoleProgress, CountProgress
from orchestration.reports.demo import DemoSettings
from orchestration.reports.estimator_comparison import EstimatorSettings
from orchestration.reports.figures import Figure2Settings, Figure4Settings, Figure5Settings
from orchestration.reports.parsing import ParsingReportSettings
from orchestration.reports.table1 import Table1Settings
from orchestration.runtime.progress import ProgressCallback
from posegen.errors import counted

REPORT_COMMANDS = Section("Demo and reports")
"""The commands of this file."""
_reports = Section("Tables and figures")


@REPORT_COMMANDS.command("demo")
def _demo(settings: DemoSettings, out: Positional[Path] = Path("posegen-demo")) -> None:
    """Run every step on synthetic people, in about ten minutes.

    Needs no data and no GPU; two cores take about ten minutes. First, one photo is shown in actions and colours,
    without training: a video within a minute or so. Then people are rendered, their clips prepared and recolored, and
    all stages trained.

    Args:
        out: Folder for everything that is made.

    Examples:
        posegen demo
        posegen demo somewhere
    """
    from orchestration.reports.demo import demo

    demo(out, settings, ConsoleOutput(console))


class ConsoleOutput:
    """The demo's output on a console."""

    def __init__(self, console: Console):
        self._console = console

    def print(self, text: str) -> None:
        self._console.print(text)

    def training(self) -> ConsoleProgress:
        return ConsoleProgress(self._console)

    @contextmanager
    def counting(self, what: str) -> Iterator[ProgressCallback]:
        with CountProgress(self._console, what) as progress:
            yield progress.update


REPORT_COMMANDS.commands["report"] = Group("Make the papers' tables and figures, from any dataset.", (_reports,))


@_reports.command("table1")
def _table1(dataset: Positional[str], settings: Table1Settings) -> None:
    """Table 1: the method and its baselines (Section 4.3).

    Trains the runs that are missing.

    Args:
        dataset: Folder of a clip dataset with all its recolorings.

    Examples:
        posegen report table1 data
        posegen report table1 data --preset small --workers 0
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


@_reports.command("figure2")
def _figure2(dataset: Positional[str], settings: Figure2Settings) -> None:
    """Figure 2: frames and their recolorings.

    Columns are the frame, its upper garment recolored, its lower one, and both.

    Args:
        dataset: Folder of a clip dataset with all its recolorings.

    Examples:
        posegen report figure2 data
        posegen report figure2 data --out pictures
    """
    from orchestration.reports.figures import figure2

    console.print(f"Figure 2: {figure2(dataset, settings)}", markup=False)
    console.print("columns: the frame, then its upper garment recolored, its lower one, both")
    console.print(f"next: posegen report table1 {dataset}", markup=False)


@_reports.command("figure4")
def _figure4(dataset: Positional[str], settings: Figure4Settings, run: Positional[str] = "") -> None:
    """Figure 4: clothes that change colour along a video (Section 4.4).

    Two codes are sampled from the Gaussian fitted to the training codes; the frames have the codes between them.

    Args:
        dataset: Folder of a clip dataset with all its recolorings.
        run: Run of the stage video_generator or end_to_end; by default the report's own, trained if it is missing.

    Examples:
        posegen report figure4 data
        posegen report figure4 data --out pictures
    """
    from orchestration.reports.figures import figure4

    with ConsoleProgress(console) as listener, CountProgress(console, "rendering") as count:
        path, videos = figure4(dataset, settings, run=run, listener=listener, on_progress=count.update)
    console.print(f"Figure 4: {path}; its videos: {', '.join(map(str, videos))}", markup=False)


@_reports.command("figure5")
def _figure5(dataset: Positional[str], settings: Figure5Settings) -> None:
    """Figure 5: maps of colour codes, decoupled and end-to-end (Section 4.5).

    Under each map: R² of a linear probe that reads the colour from the code, on held-out clips.

    Args:
        dataset: Folder of a clip dataset with all its recolorings.

    Examples:
        posegen report figure5 data
        posegen report figure5 data --out pictures
    """
    from orchestration.reports.figures import figure5

    with ConsoleProgress(console) as listener, CountProgress(console, "encoding") as count:
        path, summaries = figure5(dataset, settings, listener=listener, on_progress=count.update)
    for title, summary in summaries.items():
        console.print(f"{title}: R² = {summary.probe_r2:.3f} over {counted(summary.num_codes, 'code')}", markup=False)
    console.print(f"Figure 5: {path}", markup=False)


@_reports.command("parsing")
def _parsing_report(dataset: Positional[str], settings: ParsingReportSettings) -> None:
    """Measure the person parser on labelled photos.

    IoU of each class pooled over the photos at their own size, of the parser and of the heuristic, with 95 % bootstrap
    intervals over photos; painted is the share of skin and hair that is taken for a garment.

    Args:
        dataset: Folder of labelled photos, see `posegen data parsing`.

    Examples:
        posegen report parsing labelled --out pages
        posegen report parsing labelled --run runs/parser --out pages
    """
    from orchestration.reports.parsing import report_parsing

    with CountProgress(console, "parsing") as count:
        report = report_parsing(dataset, settings, on_progress=count.update)
    table = Table("", *report.columns, title="Person parsing")
    for row in report.rows():
        table.add_row(*row)
    console.print(table)
    for note in report.notes:
        console.print(note, markup=False)


@_reports.command("estimators")
def _estimators(settings: EstimatorSettings) -> None:
    """Compare pose estimators by the motions that ACTOR learns from them.

    Trains the runs that are missing. One action classifier, trained on the motions of all estimators, measures them.
    The table has the layout of the comparison on NTU13.

    Examples:
        posegen report estimators --tracks vibe motions/vibe pare motions/pare
        posegen report estimators --tracks vibe motions/vibe pare motions/pare --preset small
    """
    from orchestration.evaluation.tables import motion_tables
    from orchestration.reports.estimator_comparison import compare_estimators

    with ConsoleProgress(console) as listener, CountProgress(console, "measuring") as count:
        result = compare_estimators(settings, listener=listener, on_progress=count.update)
    console.print(*motion_tables(result.rows, title="NTU13's layout"))
    for name, evaluation in result.evaluations.items():
        for line in evaluation.notes[:2]:
            console.print(f"{name}: {line}", markup=False)
    console.print(f"this table: {settings.folder}/estimators.txt", markup=False)
