"""Maps rows on Ray Data: each row to one result, whatever dies on the way."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa
import pyarrow.parquet as pq

from orchestration.errors import DISK_FULL
from orchestration.runtime.progress import ProgressCallback, ignore_progress
from orchestration.runtime.ray_session import start_ray
from orchestration.runtime.threads import map_in_processes, set_threads
from posegen.errors import ConfigError
from posegen.io.storage import StorageFolder, scratch_name

if TYPE_CHECKING:
    from ray.data import Dataset

Row = dict[str, Any]
_MAX_RETRIES = 3  # a video that kills its process must not do so for ever


@dataclass(frozen=True)
class RowWork:
    """Work on rows."""

    worker: type
    """A class whose instances, made once per process, map one row to one result."""
    arguments: tuple[Any, ...]
    """Picklable; of which each instance is made."""
    key: str
    """The field of a row, of which each has another one, that its result has, too."""


def map_rows(
    rows: Sequence[Row],
    work: RowWork,
    *,
    manifest: StorageFolder,
    workers: int,
    on_progress: ProgressCallback = ignore_progress,
) -> Iterator[Row]:
    """Work on every row and yield the results as they come, in any order. Without rows, nothing is started.

    A process that dies costs the row in flight, which is tried again. A row that kills four is given up: its result
    has its key and a ``reason`` alone.

    Args:
        rows: Values that Arrow knows.
        work: What is done with each.
        manifest: Folder for a small file while it is needed; every node must reach it.
        workers: Processes, each with one CPU; -1 takes the CPUs that are there. A private Ray runs no more than
            those; a cluster may start nodes for those that wait. 0 works in this process, without Ray.
        on_progress: Called after every row.

    Raises:
        ConfigError: The `reason` of a result is that the disk is full.
        OSError: Nothing can be written to `manifest`.
    """
    if not rows:
        return
    manifest.require_writable()
    if workers:
        results = _map_on_ray(rows, work, manifest, workers)
    else:
        results = map_in_processes(work.worker(*work.arguments), rows, 0)
    lost = {row[work.key] for row in rows}
    for result in results:
        if result.get("reason") == DISK_FULL:  # the others would be worked on for nothing
            raise ConfigError(f"{manifest}: {DISK_FULL}; what is finished stays, and the same command goes on from it")
        lost.discard(result[work.key])
        on_progress(len(rows) - len(lost), len(rows))
        yield result
    for key in sorted(lost):
        yield {work.key: key, "reason": f"the process that worked on it died {_MAX_RETRIES + 1} times"}


def _map_on_ray(rows: Sequence[Row], work: RowWork, manifest: StorageFolder, workers: int) -> Iterator[Row]:
    start_ray()
    name = scratch_name(f"{work.worker.__name__}.parquet")
    with manifest.write(name) as stream:
        pq.write_table(pa.Table.from_pylist(list(rows)), stream)
    try:
        results = _read(manifest, name, num_blocks=len(rows))
        results = _map(results, work, min(_cluster_cpus(workers), len(rows)))
        for block in results.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
            yield from cast(pa.Table, block).to_pylist()
    finally:
        manifest.delete(name)


def _read(folder: StorageFolder, name: str, num_blocks: int) -> Dataset:
    import ray.data

    # On the context, because Ray Data's environment variables are read only once.
    context = ray.data.DataContext.get_current()
    context.use_datasource_v2 = False  # many times slower for small files, and takes the file as one block
    context.enable_progress_bars = False
    context.max_errored_blocks = -1  # a row whose workers died: the caller misses it and goes on
    context.execution_no_progress_timeout_s = -1  # a long video of full size is worked on for hours
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    filesystem, path = folder.resolve(name)
    # Reading reserves no CPU: the pool may then take them all, even a single one, without a deadlock.
    return ray.data.read_parquet(path, filesystem=filesystem, override_num_blocks=num_blocks, num_cpus=0)


def _map(dataset: Dataset, work: RowWork, num_actors: int) -> Dataset:
    import ray.data

    with warnings.catch_warnings():
        # Ray 2.60 deprecates max_task_retries here and has no other place for it.
        warnings.simplefilter("ignore", DeprecationWarning)
        return dataset.map(
            _Actor,  # type: ignore[arg-type]  # Ray's annotation knows functions only
            fn_constructor_args=(work,),
            # One row at a time: those that wait for an actor would spend their retries when it dies.
            compute=ray.data.ActorPoolStrategy(size=num_actors, max_tasks_in_flight_per_actor=1),
            num_cpus=1,
            max_task_retries=_MAX_RETRIES,
        )


class _Actor:
    """A worker in a process of its own, which has one CPU."""

    def __init__(self, work: RowWork):
        set_threads(1)  # Ray sees to OpenMP, but OpenCV would take all CPUs in every process
        self._work = work.worker(*work.arguments)

    def __call__(self, row: Row) -> Row:
        return self._work(row)


def _cluster_cpus(wanted: int) -> int:
    if wanted > 0 and os.environ.get("RAY_ADDRESS"):
        return wanted
    import ray

    cpus = max(int(ray.cluster_resources().get("CPU", 1)), 1)
    return cpus if wanted < 0 else min(wanted, cpus)
