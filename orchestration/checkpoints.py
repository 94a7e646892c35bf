"""Writes a run's checkpoints beside the training, one after another, and keeps the newest."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Self

from posegen.checkpoint import Progress, Snapshot, take_snapshot, write_snapshot
from posegen.stages import Stage
from posegen.storage import Folder


class CheckpointWriter:
    """Writes the checkpoints of one run. Use it as a context: its end waits for what is being written.

    Within an epoch a checkpoint costs the training the copy of its tensors, and a thread writes the copy; at the end
    of an epoch training waits for it, because what is recorded of an epoch must be in its checkpoint.

    Args:
        run: The run's folder.
        keep: Checkpoints that stay, the newest ones.
    """

    def __init__(self, run: Folder, keep: int):
        self._folder, self._keep = run / "checkpoints", max(keep, 1)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._pending: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        try:
            if error[0] is None:
                self.wait()
        finally:
            self._thread.shutdown()

    def begin(self, stage: Stage, progress: Progress) -> None:
        """Have a checkpoint written as the stage is now. Raises what the writing of the one before raised."""
        self.wait()
        self._pending = self._thread.submit(self._write, take_snapshot(stage, progress))

    def save(self, stage: Stage, progress: Progress) -> None:
        """Write a checkpoint, and return when it is there."""
        self.wait()
        self._write(take_snapshot(stage, progress, copy=False))

    def wait(self) -> None:
        """Return when what was begun is there. Raises what its writing raised."""
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()

    def _write(self, snapshot: Snapshot) -> None:
        folder = self._folder / _name(snapshot.progress)
        write_snapshot(folder, snapshot)
        folder.sweep()
        self._drop_old()

    def _drop_old(self) -> None:
        for name in self._folder.folders()[: -self._keep]:
            self._folder.delete(name)


def _name(progress: Progress) -> str:
    """Names sort as their progress does."""
    within = f"-step-{progress.epoch_step:06d}" if progress.epoch_step else ""
    return f"epoch-{progress.epoch:04d}{within}"
