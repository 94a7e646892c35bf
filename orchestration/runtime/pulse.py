"""Signs of life of work that has no steps to count, such as opening data or writing a checkpoint."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import psutil

_INTERVAL = 2.0  # seconds
_LEAST_SHARE = 0.02  # of the interval that is spent on a processor where something is done: looking takes less


@contextmanager
def pulse(beat: Callable[[], object], interval: float = _INTERVAL) -> Iterator[None]:
    """Call `beat` again and again as long as this process works: uses a processor, reads or writes.

    A process that hangs, waits for a lock or was stopped does nothing of it.
    """
    stop = threading.Event()

    def watch() -> None:
        process = psutil.Process()
        before = _work_of(process)
        while not stop.wait(interval):
            now = _work_of(process)
            if now[0] - before[0] > _LEAST_SHARE * interval or now[1:] != before[1:]:
                beat()
            before = now

    thread = threading.Thread(target=watch, name="pulse", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _work_of(process: psutil.Process) -> tuple[float, int, int]:
    """Seconds on processors, and bytes read from and written to disks, until now."""
    times = process.cpu_times()
    read = written = 0
    with suppress(AttributeError, psutil.Error):  # macOS does not count them
        counts = process.io_counters()
        read, written = counts.read_bytes, counts.write_bytes
    return times.user + times.system, read, written
