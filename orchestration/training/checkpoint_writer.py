"""Writes a run's checkpoints beside the training, one after another, and keeps the newest."""

from __future__ import annotations

import math
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Self

from posegen.checkpoints.checkpoint import Snapshot, TrainingProgress, epoch_folder, take_snapshot, write_snapshot
from posegen.io.storage import StorageFolder
from posegen.stages import Stage


class CheckpointWriter:
    """Writes the checkpoints of one run. Use it as a context: its end waits for what is being written.

    Within an epoch a checkpoint costs the training the copy of its tensors, and a thread writes the copy; at the end
    of an epoch training waits for it, because what is recorded of an epoch must be in its checkpoint.

    Args:
        run: The run's folder.
        keep: Checkpoints that stay, the newest ones; of two or more, one is the best, see `best`.
        share: Of the time, at most so much goes by between the beginning and the end of a checkpoint within an epoch:
            those that would be more are left out. 1 leaves none out.
    """

    def __init__(self, run: StorageFolder, keep: int, share: float = 1.0):
        self._folder, self._keep, self._share = run / "checkpoints", max(keep, 1), share
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._pending: Future[None] | None = None
        self._not_before = -math.inf
        self.best = 0
        """The epoch whose checkpoint stays, too; 0 for none."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        try:
            if error[0] is None:
                self.wait()
        finally:
            self._thread.shutdown()

    def begin(self, stage: Stage, progress: TrainingProgress, *, always: bool = False) -> None:
        """Have a checkpoint written as the stage is now, unless the last one is too recent for its cost.

        Args:
            stage: What is trained.
            progress: How far it is.
            always: Whatever it costs.

        Raises what the writing of the one before raised.
        """
        now = time.monotonic()
        if self._share < 1 and now < self._not_before and not always:
            return
        self.wait()
        self._not_before = math.inf  # what this one costs is known when it is written
        self._pending = self._thread.submit(self._write_since, now, take_snapshot(stage, progress))

    def save(self, stage: Stage, progress: TrainingProgress, instead_of: TrainingProgress | None = None) -> None:
        """Write a checkpoint, and return when it is there; the one that it stands for is deleted then."""
        self.wait()
        self._write(take_snapshot(stage, progress, copy=False), instead_of)

    def wait(self) -> None:
        """Return when what was begun is there. Raises what its writing raised."""
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()

    def _write_since(self, start: float, snapshot: Snapshot) -> None:
        try:
            self._write(snapshot)
        finally:
            self._not_before = start + (time.monotonic() - start) / self._share

    def _write(self, snapshot: Snapshot, instead_of: TrainingProgress | None = None) -> None:
        folder = self._folder / _name(snapshot.progress)
        write_snapshot(folder, snapshot)
        folder.sweep()
        if instead_of is not None and _name(instead_of) in self._folder.folders():
            self._folder.delete(_name(instead_of))
        self._drop_old()

    def _drop_old(self) -> None:
        """Delete what is not among the newest; of several that stay one is the best."""
        names = self._folder.folders()
        best = epoch_folder(self.best) if self.best else ""
        kept = {*names[-self._keep :]}
        if best in names and best not in kept and self._keep > 1:
            kept = {best, *names[-self._keep + 1 :]}
        for name in names:
            if name not in kept:
                self._folder.delete(name)


def _name(progress: TrainingProgress) -> str:
    """Names sort as their progress does."""
    within = f"-step-{progress.epoch_step:06d}" if progress.epoch_step else ""
    return f"{epoch_folder(progress.epoch)}{within}"
