"""Number of threads of a process, and work on many small items in several processes.

Small operations that are shared out to threads waste ten times the CPU where other processes want it too: the threads
wait for each other, and spin meanwhile. So a process computes in one thread, and who has many items works on them in
as many processes as there are CPUs. Training alone has threads, see `threads`.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import TypeVar, cast

import cv2
import torch
from threadpoolctl import threadpool_limits

from posegen.errors import ConfigError

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

_START_SECONDS = 4.0  # of CPU, until a process has imported what it needs
_own_threads = 0  # of PyTorch before `one_thread`, for training that is called in it


def set_threads(count: int) -> None:
    """Let PyTorch compute in so many threads from now on, and OpenCV and BLAS, whose work here is small, in one."""
    torch.set_num_threads(count)
    cv2.setNumThreads(1)
    threadpool_limits(1, user_api="blas")


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Let PyTorch compute in so many threads meanwhile; 0 gives all that the process has, also within `one_thread`."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or _own_threads or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute in one thread meanwhile, in PyTorch, OpenCV and BLAS; in those of ``OMP_NUM_THREADS`` where it is set."""
    global _own_threads
    before, opencv, own = torch.get_num_threads(), cv2.getNumThreads(), _own_threads
    if before == opencv == 1:
        yield
        return
    _own_threads = own or before
    try:
        with ExitStack() as stack:
            if not os.environ.get("OMP_NUM_THREADS"):
                torch.set_num_threads(1)
                cv2.setNumThreads(1)
                stack.enter_context(threadpool_limits(1, user_api="blas"))
            yield
    finally:
        _own_threads = own
        torch.set_num_threads(before)
        cv2.setNumThreads(opencv)


def num_processes(num_items: int, seconds: float) -> int:
    """Count the processes that have CPUs and are worth their start; 0 where this process alone is as fast.

    Args:
        num_items: How much there is to do.
        seconds: Of CPU that an item takes, roughly.
    """
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    cpus = min(there, _own_threads or torch.get_num_threads())  # who limits threads wants no more CPUs than those
    processes = min(cpus, int(num_items * seconds / _START_SECONDS))
    return processes if processes > 1 else 0


def map_in_processes(
    function: Callable[[_Item], _Result], items: Sequence[_Item], processes: int
) -> Generator[_Result, None, None]:
    """Call a function with each item, in processes of one thread each, and yield the results in order.

    The processes end with this one, however it ends.

    Args:
        function: It, items and results are picklable.
        items: What it is called with.
        processes: How many, see `num_processes`; 0 calls it in this process, in one thread.

    Raises:
        ConfigError: A process died, such as for want of memory.
    """
    if not processes:
        for item in items:
            with one_thread():
                result = function(item)
            yield result
        return
    from joblib import Parallel, delayed, parallel_config
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    call = delayed(_call_in_one_thread)
    # Arrays travel as they are: joblib would give large ones as files that cannot be written.
    with parallel_config(backend="loky", inner_max_num_threads=1):
        pool = Parallel(n_jobs=processes, return_as="generator", max_nbytes=None)
    results = pool(call(os.getpid(), function, item) for item in items)
    try:
        yield from cast(Generator[_Result, None, None], results)
    except TerminatedWorkerError:
        raise ConfigError(
            "a process died, for want of memory perhaps: the same command goes on from what is finished, "
            "with OMP_NUM_THREADS=1 in this process alone"
        ) from None
    finally:
        results.close()  # ends what is not done


def _call_in_one_thread(parent: int, function: Callable[[_Item], _Result], item: _Item) -> _Result:
    _prepare_process(parent)
    return function(item)


@cache
def _prepare_process(parent: int) -> None:
    """Set a process up, once: in one thread, and at an end when the one that began it was killed."""
    set_threads(1)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGKILL)  # from a thread, and without waiting for the work
