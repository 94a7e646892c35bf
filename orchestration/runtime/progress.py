"""Progress of long work: what is reported, and to whom."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

ProgressCallback = Callable[[int, int], object]
"""Called with how many of how many things are done."""


def ignore_progress(done: int, total: int) -> None:
    """Show nothing."""


class TrainingStep(NamedTuple):
    """A training step that was taken."""

    run: str
    epoch: int
    num_epochs: int
    step: int
    num_steps: int


class ProgressListener:
    """Called with the progress of runs. This one ignores it."""

    def on_step(self, step: TrainingStep) -> None:
        """Called after every step."""

    def on_epoch(self, run: str, epoch: int, num_epochs: int, metrics: Mapping[str, float]) -> None:
        """Called after every epoch, with its metrics, when they are written."""

    def on_warning(self, run: str, epoch: int | None, message: str) -> None:
        """Called when something goes wrong, with what to do about it, and the epoch whose metrics show it."""

    def on_print(self, run: str, line: str) -> None:
        """Called with every line that the leading worker prints, where it has no console of its own."""

    def on_heartbeat(self, rank: int, activity: str) -> None:
        """Called with what a worker begins to do, such as "step 3 of epoch 1", and with nothing when it is done."""

    def on_pause(self, rank: int) -> None:
        """Called when a worker waits for a person, with whom no hurry helps, until its next sign of life."""


class ForwardingListener(ProgressListener):
    """Passes everything on to another listener: the base of those that do something besides."""

    def __init__(self, listener: ProgressListener):
        self._listener = listener

    def on_step(self, step: TrainingStep) -> None:
        self._listener.on_step(step)

    def on_epoch(self, run: str, epoch: int, num_epochs: int, metrics: Mapping[str, float]) -> None:
        self._listener.on_epoch(run, epoch, num_epochs, metrics)

    def on_warning(self, run: str, epoch: int | None, message: str) -> None:
        self._listener.on_warning(run, epoch, message)

    def on_print(self, run: str, line: str) -> None:
        self._listener.on_print(run, line)

    def on_heartbeat(self, rank: int, activity: str) -> None:
        self._listener.on_heartbeat(rank, activity)

    def on_pause(self, rank: int) -> None:
        self._listener.on_pause(rank)
