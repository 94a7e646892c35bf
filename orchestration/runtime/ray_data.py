"""Maps rows on Ray Data: each row to one result, whatever dies on the way.

Rows travel in blocks, of which every task has one, and results as they come: a task of Ray costs some 10 ms, and so
does each message, which would be most of what small clips take.
"""

from __future__ import annotations

import logging
import math
import os
import pickle
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa

from orchestration.errors import DISK_FULL
from orchestration.runtime.progress import ProgressCallback, ignore_progress
from orchestration.runtime.ray_session import start_ray
from posegen.errors import ConfigError
from posegen.io.storage import StorageFolder
from posegen.parallel import map_in_processes, set_threads

if TYPE_CHECKING:
    from ray.data import Dataset

Row = dict[str, Any]
_MAX_RETRIES = 2  # a video that kills its process must not do so for ever
_LARGEST_BLOCK = 256  # rows
_SHARE = 4  # a block is a fourth of a process's part of what is left: the last are small, and nobody waits for long
_QUIET = 0.2  # seconds between two messages from a process
_LATER = 4  # of so many processes, one does what follows the first steps


@dataclass(frozen=True)
class Step:
    """Something that is done with rows, one after the other."""

    worker: type
    """A class whose instances, made once per process, map one row to one."""
    arguments: tuple[Any, ...] = ()
    """Picklable; of which each instance is made."""
    gpus: float = 0.0
    """GPUs, or a share of one, that a process takes where there are any. Without, it sees none."""


@dataclass(frozen=True)
class RowWork:
    """Work on rows."""

    steps: tuple[Step, ...]
    """The first gets rows, the others what those before give; all of it picklable."""
    key: str
    """The field of a row, of which each has another one, that its result has, too."""

    def load(self) -> Callable[[Row], Row]:
        """Make the workers of all steps in this process, and return what they do as one function."""
        return _Chain(self.steps)


def map_rows(
    rows: Sequence[Row],
    work: RowWork,
    *,
    out: StorageFolder,
    workers: int,
    on_progress: ProgressCallback = ignore_progress,
) -> Iterator[Row]:
    """Work on every row and yield the results as they come, in any order. Without rows, nothing is started.

    Where there are GPUs that a step wants, each step has processes of its own, and reads ahead of those with a GPU;
    otherwise a process does all steps. A process that dies costs the rows whose results it has not told, which are
    tried again, each by itself. A row that kills four is given up: its result has its key and a ``reason`` alone.

    Args:
        rows: Picklable.
        work: What is done with each.
        out: Where the results are written, to be told before if nothing can be.
        workers: Processes, each with one CPU; -1 takes the CPUs that are there. A private Ray runs no more than
            those; a cluster may start nodes for those that wait. 0 works in this process, without Ray.
        on_progress: Called after every row.

    Raises:
        ConfigError: The `reason` of a result is that the disk is full.
        OSError: Nothing can be written to `out`.
    """
    if not rows:
        return
    out.require_writable()
    left = {row[work.key]: row for row in rows}
    results = _map_on_ray(left, work, workers) if workers else map_in_processes(work.load(), rows, 0)
    for result in results:
        if result.get("reason") == DISK_FULL:  # the others would be worked on for nothing
            raise ConfigError(f"{out}: {DISK_FULL}; what is finished stays, and the same command goes on from it")
        left.pop(result[work.key], None)
        on_progress(len(rows) - len(left), len(rows))
        yield result
    for key in left:
        yield {work.key: key, "reason": f"the process that worked on it died {_MAX_RETRIES + 2} times"}


def _map_on_ray(left: dict[Any, Row], work: RowWork, workers: int) -> Iterator[Row]:
    """Work on the rows that are left, which the caller takes away, in blocks first and then one by one."""
    start_ray()
    processes = _cluster_cpus(workers)
    yield from _map_blocks(_blocks(list(left.values()), _SHARE * processes), work, processes, retries=0)
    if left:
        yield from _map_blocks([[row] for row in left.values()], work, processes, retries=_MAX_RETRIES)


def _blocks(rows: Sequence[Row], parts: int) -> Iterator[list[Row]]:
    """Divide rows into blocks, each the same part of what is left (Polychronopoulos and Kuck, 1987)."""
    start = 0
    while start < len(rows):
        size = min(math.ceil((len(rows) - start) / parts), _LARGEST_BLOCK)
        yield list(rows[start : start + size])
        start += size


def _map_blocks(blocks: Iterable[list[Row]], work: RowWork, processes: int, retries: int) -> Iterator[Row]:
    import ray.data

    # On the context, because Ray Data's environment variables are read only once.
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.max_errored_blocks = -1  # rows whose processes died: the caller misses them and goes on
    context.max_consecutive_actor_init_deaths = _MAX_RETRIES  # such as with a machine; none by default
    context.target_max_block_size = 1  # what a process yields is sent at once
    context.execution_no_progress_timeout_s = -1  # a long video of full size is worked on for hours
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    tables = [_pack(block) for block in blocks]
    results: Dataset = ray.data.from_arrow(tables)
    for stage in _stages(work.steps, ray.cluster_resources().get("GPU", 0), min(processes, len(tables))):
        results = _map(results, stage, retries)
    for block in results.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
        yield from _unpack(cast(pa.Table, block))


@dataclass(frozen=True)
class _Stage:
    """Steps that a process does one after the other."""

    steps: tuple[Step, ...]
    num_processes: int
    gpus: float = 0.0
    """GPUs of each of them."""


def _stages(steps: tuple[Step, ...], gpus: float, processes: int) -> list[_Stage]:
    """Divide steps so that those with GPUs wait for no others, and processes among them."""
    groups = [tuple(group) for _, group in groupby(steps, key=lambda step: bool(gpus and step.gpus))]
    if processes < len(groups):
        groups = [steps]
    shares = [max(step.gpus for step in group) if gpus else 0.0 for group in groups]
    most = [int(gpus / share) if share else processes for share in shares]
    later = [min(max(processes // _LATER, 1), number) for number in most[1:]]
    numbers = [max(min(processes - sum(later), most[0]), 1), *later]
    return [_Stage(*one) for one in zip(groups, numbers, shares, strict=True)]


def _map(dataset: Dataset, stage: _Stage, retries: int) -> Dataset:
    import ray.data

    with warnings.catch_warnings():
        # Ray 2.60 deprecates max_task_retries here and has no other place for it.
        warnings.simplefilter("ignore", DeprecationWarning)
        return dataset.map_batches(
            _Actor,
            fn_constructor_args=(stage.steps,),
            batch_size=1,  # a block is one value, see `_pack`
            batch_format="pyarrow",
            # One block at a time: those that wait for an actor would spend their retries when it dies.
            compute=ray.data.ActorPoolStrategy(size=stage.num_processes, max_tasks_in_flight_per_actor=1),
            num_cpus=1,
            num_gpus=stage.gpus,
            max_task_retries=retries,
        )


class _Actor:
    """Does steps in a process of its own, which has one CPU."""

    def __init__(self, steps: tuple[Step, ...]):
        set_threads(1)  # Ray sees to OpenMP, but OpenCV would take all CPUs in every process
        self._work = _Chain(steps)

    def __call__(self, table: pa.Table) -> Iterator[pa.Table]:
        done, told = [], time.monotonic()
        for row in _unpack(table):
            done.append(self._work(row))
            if time.monotonic() - told > _QUIET:
                yield _pack(done)
                done, told = [], time.monotonic()
        if done:
            yield _pack(done)


class _Chain:
    """Does steps one after the other."""

    def __init__(self, steps: tuple[Step, ...]):
        self._workers = [step.worker(*step.arguments) for step in steps]

    def __call__(self, row: Row) -> Row:
        for worker in self._workers:
            row = worker(row)
        return row


def _pack(rows: list[Row]) -> pa.Table:
    """Rows as one value, whatever is in them: Ray cuts it nowhere."""
    return pa.table({"rows": pa.array([pickle.dumps(rows, protocol=5)], pa.large_binary())})


def _unpack(table: pa.Table) -> Iterator[Row]:
    for rows in table["rows"]:
        yield from pickle.loads(rows.as_buffer())


def _cluster_cpus(wanted: int) -> int:
    if wanted > 0 and os.environ.get("RAY_ADDRESS"):
        return wanted
    import ray

    cpus = max(int(ray.cluster_resources().get("CPU", 1)), 1)
    return cpus if wanted < 0 else min(wanted, cpus)
