"""What a run may run out of, memory and disk, and what to do about it."""

from __future__ import annotations

from pathlib import Path

import torch
from rich.filesize import decimal

from posegen.checkpoints.checkpoint import checkpoint_bytes
from posegen.errors import RunError
from posegen.io.storage import StorageFolder, free_space
from posegen.stages import Stage


def check_disk(run: StorageFolder, stage: Stage, keep: int) -> None:
    """Raise RunError where a run's checkpoints do not fit on its disk. An object store has room.

    Args:
        run: Its folder, which need not be there yet.
        stage: What is trained; of shapes alone will do.
        keep: Checkpoints that stay; one more is there while it is written.
    """
    if not run.is_local:
        return
    place = Path(str(run))
    present = sum(file.stat().st_size for file in place.glob("checkpoints/*/*"))
    disk, free = free_space(place)
    size = checkpoint_bytes(stage)
    if free + present < (keep + 1) * size:
        raise RunError(
            f"{disk} has {decimal(free)} free, but {keep + 1} checkpoints of {decimal(size)} must fit: "
            "free some, or choose another --runs or a smaller --keep"
        )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out: that of a GPU, that of the machine, or that which Ray allows."""
    return (
        isinstance(error, MemoryError | torch.OutOfMemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or "DefaultCPUAllocator: can't allocate memory" in str(error)
    )


def less_memory(config: Stage.Config) -> str:
    """The settings of a configuration that make a step take less memory."""
    remedies = [f"lower batch_size (it is {config.batch_size})"] if config.batch_size > 1 else []
    if getattr(config, "checkpoint_activations", True) is False:
        remedies.append("set checkpoint_activations")
    if getattr(config, "generator", "") == "local":
        remedies.append("choose the generator 'global'")
    widths = [name for name in ("generator_width", "width") if hasattr(config, name)]
    remedies += [f"lower {name}" for name in widths]
    return ", or ".join([*remedies, "prepare smaller frames"])
