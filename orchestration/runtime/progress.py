"""How far long work has come: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from typing import Any, NamedTuple, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from orchestration.runtime.watchdog import Beat, Watchdog

_QUIET = 0.5  # seconds between two messages from a worker


class Event(NamedTuple):
    """A training step that was taken."""

    run: str
    epoch: int
    num_epochs: int
    step: int
    num_steps: int


class ProgressListener:
    """Hears of a run's progress. This one ignores it."""

    def on_step(self, event: Event) -> None:
        """Called after every step."""

    def on_epoch(self, run: str, epoch: int, num_epochs: int, metrics: Mapping[str, float]) -> None:
        """Called after every epoch, with its metrics."""

    def on_warning(self, run: str, epoch: int | None, message: str) -> None:
        """Called when something goes wrong, with what to do about it; with the epoch whose metrics show it."""

    def on_heartbeat(self, rank: int, doing: str) -> None:
        """Called with what a worker is at, step by step, and with nothing when it is ready."""


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

    def on_step(self, event: Event) -> None:
        if not self.console.is_terminal:
            return
        total = event.num_epochs * event.num_steps
        if event.run not in self._tasks:
            self._tasks[event.run] = self._bar.add_task(event.run, total=total)
        self._bar.update(self._tasks[event.run], completed=event.epoch * event.num_steps + event.step)

    def on_epoch(self, run: str, epoch: int, num_epochs: int, metrics: Mapping[str, float]) -> None:
        shown = {name: value for name, value in metrics.items() if not name.startswith("time/")}
        numbers = "  ".join(f"{name} {value:.4g}" for name, value in shown.items())
        seconds = metrics.get("time/epoch_seconds", 0.0)
        self.console.print(f"{run}  epoch {epoch}/{num_epochs}  {seconds:.1f} s  {numbers}", highlight=False)

    def on_warning(self, run: str, epoch: int | None, message: str) -> None:
        where = "" if epoch is None else f"epoch {epoch}: "
        self.console.print(f"{run}  [yellow]warning:[/] {where}{message}", highlight=False, soft_wrap=True)


class CountProgress(_OnConsole):
    """Counts things that are done: a bar on a terminal, a line each tenth elsewhere. Use it as a context."""

    def __init__(self, console: Console, what: str):
        self.console, self.what = console, what
        self._bar = Progress(
            TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=console, transient=True
        )
        self._task = self._bar.add_task(what, total=None)

    def update(self, done: int, total: int, what: object = None) -> None:
        """Called whenever `done` of `total` are done, and with what was."""
        if self.console.is_terminal:
            self._bar.update(self._task, completed=done, total=total)
        elif done and (done == total or done * 10 // total > (done - 1) * 10 // total):
            self.console.print(f"{self.what} {done}/{total}")


class RemoteProgress(ProgressListener):
    """Carries what a worker of Ray says to a listener in the driver. Use it as a context in the driver.

    Args:
        listener: Hears it.
        watchdog: Hears of the workers' signs of life.
    """

    def __init__(self, listener: ProgressListener, watchdog: Watchdog):
        import ray
        from ray.util.queue import Queue
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        # On the driver's machine: elsewhere it would be lost with a machine that training itself can do without.
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        self._queue = Queue(actor_options={"num_cpus": 0, "scheduling_strategy": here})
        self._last, self._last_beat = 0.0, 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._deliver, args=[listener, watchdog], daemon=True)

    def __getstate__(self) -> dict[str, Any]:
        return {"_queue": self._queue, "_last": 0.0, "_last_beat": 0.0}  # all that a worker needs

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()
        self._queue.shutdown()

    def on_step(self, event: Event) -> None:
        now = time.monotonic()
        if now - self._last >= _QUIET or event.step == event.num_steps:
            self._last = now
            self._send("on_step", (event,))

    def on_epoch(self, run: str, epoch: int, num_epochs: int, metrics: Mapping[str, float]) -> None:
        self._send("on_epoch", (run, epoch, num_epochs, dict(metrics)))

    def on_warning(self, run: str, epoch: int | None, message: str) -> None:
        self._send("on_warning", (run, epoch, message))

    def on_heartbeat(self, rank: int, doing: str) -> None:
        now = time.monotonic()
        if now - self._last_beat >= _QUIET or not doing:
            import ray

            self._last_beat = now
            self._send("on_heartbeat", (Beat(rank, os.getpid(), ray.get_runtime_context().get_node_id(), doing),))

    def _send(self, method: str, arguments: tuple[Any, ...]) -> None:
        self._queue.actor.put.remote((method, arguments))  # type: ignore[attr-defined]  # without waiting for it, as `put` would

    def _deliver(self, listener: ProgressListener, watchdog: Watchdog) -> None:
        while True:
            stopping = self._stop.is_set()
            while not self._queue.empty():
                method, arguments = self._queue.get()
                if method == "on_heartbeat":
                    watchdog.record(*arguments)
                else:
                    getattr(listener, method)(*arguments)
            if stopping:
                return
            watchdog.check()
            self._stop.wait(_QUIET)
