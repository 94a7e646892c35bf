"""Progress on the console: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from orchestration.runtime.progress import ProgressListener, TrainingStep
from posegen.evaluation.metric_registry import metric_info

_FIGURES = 6  # in the line of an epoch; MLflow has all


class _OnConsole:
    """A context in which a bar is shown, if the console is a terminal."""

    console: Console
    _bar: Progress

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self.console.is_terminal:
            self._bar.stop()


class ConsoleProgress(_OnConsole, ProgressListener):
    """Shows a bar per run on a terminal, and a line per epoch everywhere. Use it as a context."""

    def __init__(self, console: Console):
        self.console = console
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
        )
        self._tasks: dict[str, TaskID] = {}
        self._begun: dict[str, tuple[float, int]] = {}

    def on_step(self, step: TrainingStep) -> None:
        if not self.console.is_terminal:
            return
        total = step.num_epochs * step.num_steps
        if step.run not in self._tasks:
            self._tasks[step.run] = self._bar.add_task(step.run, total=total)
        self._bar.update(self._tasks[step.run], completed=step.epoch * step.num_steps + step.step)

    def on_epoch(self, run: str, epoch: int, num_epochs: int, metrics: Mapping[str, float]) -> None:
        numbers = "  ".join(f"{name} {metrics[name]:.4g}" for name in _most_telling(metrics))
        seconds = metrics.get("time/epoch_seconds", 0.0)
        # What comes after the steps, such as validation, takes time, too.
        begin, first = self._begun.setdefault(run, (time.monotonic() - seconds, epoch))
        each = (time.monotonic() - begin) / (epoch - first + 1)
        left = f", {_in_words(each * (num_epochs - epoch))} left" if epoch < num_epochs else ""
        self.console.print(f"{run}  epoch {epoch}/{num_epochs}  {seconds:.1f} s{left}  {numbers}", highlight=False)

    def on_print(self, run: str, line: str) -> None:
        self.console.print(line, highlight=False, markup=False, soft_wrap=True)

    def on_warning(self, run: str, epoch: int | None, message: str) -> None:
        where = "" if epoch is None else f"epoch {epoch}: "
        self.console.print(f"{run}  [yellow]warning:[/] {where}{message}", highlight=False, soft_wrap=True)


def _most_telling(metrics: Mapping[str, float]) -> list[str]:
    """The few metrics that a line has room for: of validation first, those with a direction before others."""

    def rank(name: str) -> tuple[bool, bool]:
        return not name.startswith("val/"), not metric_info(name).is_ranked

    names = [name for name in metrics if not name.startswith(("time/", "system/"))]
    return sorted(names, key=rank)[:_FIGURES]


def _in_words(seconds: float) -> str:
    """A duration as people say it: ``40 s``, ``12 min``, ``3.5 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


class CountProgress(_OnConsole):
    """Counts things that are done: a bar on a terminal, a line each tenth elsewhere. Use it as a context."""

    def __init__(self, console: Console, what: str):
        self.console, self.what = console, what
        self._bar = Progress(
            TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=console, transient=True
        )
        self._task = self._bar.add_task(what, total=None)

    def update(self, done: int, total: int) -> None:
        """Show that `done` of `total` are done."""
        if self.console.is_terminal:
            self._bar.update(self._task, completed=done, total=total)
        elif done and (done == total or done * 10 // total > (done - 1) * 10 // total):
            self.console.print(f"{self.what} {done}/{total}")
