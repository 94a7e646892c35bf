"""Number of threads of a process, and work on many small items in several processes.

Small operations that are shared out to threads waste ten times the CPU where other processes want it too: the threads
wait for each other, and spin meanwhile. So a process computes in one thread, and many items are worked on in as many
processes as there are CPUs. Training alone has threads, see `threads`.

A process that starts imports this file first, and PyTorch only where the work needs it: without, it is there in a
tenth of the time.
"""

from __future__ import annotations

import os
import pickle
import signal
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

import cv2
from threadpoolctl import threadpool_limits

from posegen.errors import ConfigError

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

START_SECONDS = 4.0
"""CPU seconds until a process has imported what networks need."""
LIGHT_START_SECONDS = 0.8
"""CPU seconds until a process has imported what works without PyTorch."""
_IDLE_SECONDS = 300.0  # after which a process ends that has nothing to do; loky warns of shorter ones
_AHEAD = 2  # items of each process that are worked on or done before their turn
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
_own_threads = 0  # of PyTorch before `one_thread`, for training that is called in it
_in_use: set[Path] = set()  # functions of `map_in_processes` whose results are not all read
_functions: dict[str, Callable[[Any], Any]] = {}  # of a process that works, by the hash of their content
_KEPT = 2  # of them, each with all that it holds


def set_threads(count: int) -> None:
    """Let PyTorch compute in so many threads from now on, and OpenCV and BLAS, whose work here is small, in one."""
    import torch

    torch.set_num_threads(count)
    cv2.setNumThreads(1)
    threadpool_limits(1, user_api="blas")


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Let PyTorch compute in so many threads meanwhile; 0 gives all that the process has, also within `one_thread`."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count or _own_threads or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute in one thread meanwhile, in PyTorch, OpenCV and BLAS; in those of ``OMP_NUM_THREADS`` where it is set."""
    import torch

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


def num_processes(num_items: int, seconds: float, start_seconds: float = START_SECONDS) -> int:
    """Count the processes that have CPUs and are worth their start; 0 where this process alone is as fast.

    Args:
        num_items: How much there is to do.
        seconds: CPU seconds of an item, roughly.
        start_seconds: CPU seconds until a process can begin.
    """
    import torch

    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    cpus = min(there, _own_threads or torch.get_num_threads())  # a limit of threads is one of CPUs
    processes = min(cpus, int(num_items * seconds / start_seconds))
    return processes if processes > 1 else 0


def map_in_processes(
    function: Callable[[_Item], _Result], items: Iterable[_Item], processes: int
) -> Generator[_Result, None, None]:
    """Call a function with each item, in processes of one thread each, and yield the results in order.

    The function travels to each process once, and a few items at a time: whatever their number, no more than two
    results of each process wait to be read. Processes stay for the next work for some minutes, and end with this one
    however it ends.

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
    from joblib.externals.loky import get_reusable_executor
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    pool = get_reusable_executor(
        processes, timeout=_IDLE_SECONDS, initializer=_prepare_process, initargs=(os.getpid(),), env=_ONE_THREAD
    )
    pending: deque[Any] = deque()
    with _written(function) as file:
        try:
            for item in items:
                if len(pending) == _AHEAD * processes:
                    yield pending.popleft().result()
                pending.append(pool.submit(_call, file, item))
            while pending:
                yield pending.popleft().result()
        except TerminatedWorkerError:
            raise ConfigError(
                "a process died, for want of memory perhaps: the same command goes on from what is finished, "
                "with OMP_NUM_THREADS=1 in this process alone"
            ) from None
        finally:
            unfinished = [one for one in pending if not one.cancel() and not one.done()]
            if unfinished and _in_use == {file}:  # an interrupted command does not wait for them
                pool.shutdown(wait=False, kill_workers=True)


@contextmanager
def _written(function: Callable[[Any], Any]) -> Iterator[Path]:
    """Write a function to a file that is named by its content, and delete it at the end."""
    content = pickle.dumps(function, protocol=pickle.HIGHEST_PROTOCOL)
    with tempfile.TemporaryDirectory(prefix="posegen-") as folder:
        file = Path(folder) / sha256(content).hexdigest()
        file.write_bytes(content)
        _in_use.add(file)
        try:
            yield file
        finally:
            _in_use.discard(file)


def _call(file: Path, item: Any) -> Any:
    if file.name not in _functions:
        while len(_functions) >= _KEPT:
            del _functions[next(iter(_functions))]
        _functions[file.name] = pickle.loads(file.read_bytes())  # of the process that started this one
    return _functions[file.name](item)


@cache
def _prepare_process(parent: int) -> None:
    """Set a process up, once: in one thread, and at an end when the one that began it was killed."""
    cv2.setNumThreads(1)  # PyTorch and BLAS have it from the environment
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGKILL)  # from a thread, and without waiting for the work
