"""Checks before a run begins, so that it does not fail later: data, settings, required runs, disk, memory."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from rich.filesize import decimal

from orchestration.option_types import WorkerCount
from posegen.checkpoints.checkpoint import checkpoint_bytes, find_checkpoint, load_config
from posegen.datasets.dataset import Dataset
from posegen.errors import ConfigError, RunError
from posegen.evaluation.validation import check_validation
from posegen.io.storage import StorageFolder, free_space
from posegen.samples import EpochLoader, share_batch
from posegen.stages import Stage


def check(config: Stage.Config, data: Dataset, *, workers: int, accumulate: int = 1) -> Stage:
    """Raise PosegenError where a stage cannot be trained on this data, whatever other runs it requires.

    Args:
        config: The stage's.
        data: Its dataset.
        workers: Processes that share each batch; 0 counts as one. Of a `WorkerCount`, every number must do.
        accumulate: Parts in which each takes its share.

    Returns the stage, built of shapes alone: the paper's generator fills 0.7 GB.
    """
    config = config.stage.adapt(config, data)
    with torch.device("meta"):
        built = config.stage(config)
    if data.frame_size is not None:
        built.check_size(data.frame_size)
    if accumulate > 1 and not built.accumulates:
        raise ConfigError(f"a step of {built.name} cannot be taken in {accumulate} parts: leave accumulate at 1")
    _check_shares(config, workers, accumulate)
    EpochLoader(built.open_samples(config, data, "train"), config.batch_size)
    return built


def _check_shares(config: Stage.Config, workers: int, accumulate: int) -> None:
    """Raise ConfigError where as many workers as there may be cannot share a batch."""
    parts = accumulate, config.samples_together
    if not isinstance(workers, WorkerCount):
        share_batch(config.batch_size, max(workers, 1), *parts)
        return
    unit = math.lcm(*range(workers, workers.most + 1)) * math.prod(parts)
    if config.batch_size % unit:
        raise ConfigError(
            f"{workers} to {workers.most} workers must share a batch of {config.batch_size}, whatever their number: "
            f"set batch_size to a multiple of {unit}, or workers to one number"
        )


def check_required_runs(config: Stage.Config) -> None:
    """Raise PosegenError where runs that a configuration requires are missing, or do not fit it.

    Reads their configurations alone; their weights are read once, by the worker.
    """
    for name, run in config.required_runs().items():
        _, other = load_config(find_checkpoint(run))
        config.stage.requires[name].check(config, name, run, other)
    check_validation(config)


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


@contextmanager
def naming_memory(config: Stage.Config) -> Iterator[None]:
    """Turn an error that means that memory ran out into one that says what to do."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if is_out_of_memory(error):
            raise RunError(f"out of memory: {suggest_less_memory(config)}") from error
        raise


def is_out_of_memory(error: BaseException) -> bool:
    """Return True if memory ran out: that of a GPU, that of the machine, or Ray's limit."""
    return (
        isinstance(error, MemoryError | torch.OutOfMemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or "DefaultCPUAllocator: can't allocate memory" in str(error)
    )


def suggest_less_memory(config: Stage.Config) -> str:
    """Return the settings of a configuration that make a step take less memory."""
    remedies = []
    if config.batch_size > 1:
        remedies.append(f"lower batch_size (it is {config.batch_size})")
        remedies += ["take each step in parts (accumulate)"] if config.stage.accumulates else []
    if getattr(config, "checkpoint_activations", True) is False:
        remedies.append("set checkpoint_activations")
    if getattr(config, "generator", "") == "local":
        remedies.append("choose the generator 'global'")
    widths = [name for name in ("generator_width", "width") if hasattr(config, name)]
    remedies += [f"lower {name}" for name in widths]
    return ", or ".join([*remedies, "prepare smaller frames"])
