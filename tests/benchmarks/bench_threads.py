"""CPU and time of small operations in one thread and in several: ``python tests/benchmarks/bench_threads.py``.

Rotations of motions are found as `posegen motion convert` does. On a busy machine several threads take ten times the
CPU; processes of one thread each take as much as one.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import psutil
import torch

from posegen.motion.editing import FoundRotations, find_rotations
from posegen.motion.motion import Motion
from posegen.parallel import map_in_processes, threads
from posegen.synthetic.actions import ACTIONS
from posegen.synthetic.motions import make_subject, perform

NUM_MOTIONS = 200
IN_SEVERAL_THREADS = 20  # of them


class Cost(NamedTuple):
    """Of a motion, in milliseconds."""

    cpu: float
    wall: float


def motions() -> list[Motion]:
    """Three seconds each, of joints alone."""
    made = [perform(action, make_subject(0), frames=72) for action in ACTIONS]
    return [replace(made[number % len(made)], rot6d=None, rest=None) for number in range(NUM_MOTIONS)]


def measure(count: int, work: Callable[[], object]) -> Cost:
    """CPU of this process and of those that it started, and time."""

    def spent() -> float:
        both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        alive = (one.cpu_times() for one in psutil.Process().children(recursive=True))
        return sum(usage.ru_utime + usage.ru_stime for usage in both) + sum(one.user + one.system for one in alive)

    cpu, start = spent(), time.perf_counter()
    work()
    return Cost(1000 * (spent() - cpu) / count, 1000 * (time.perf_counter() - start) / count)


def convert(some: Sequence[Motion], count: int) -> None:
    """In this process, in so many threads."""
    with threads(count):
        for motion in some:
            find_rotations(motion)


def convert_in_processes(some: Sequence[Motion], count: int) -> list[FoundRotations]:
    """In so many processes of one thread each, which go on to wait for more."""
    return list(map_in_processes(find_rotations, some, count))


def main() -> None:
    """Print the costs and their ratios."""
    given, cpus = motions(), max(torch.get_num_threads(), 2)
    convert(given[:2], 1)
    one = measure(len(given), partial(convert, given, 1))
    several = measure(IN_SEVERAL_THREADS, partial(convert, given[:IN_SEVERAL_THREADS], cpus))
    start = measure(cpus, partial(convert_in_processes, given[:cpus], cpus))
    pool = measure(len(given), partial(convert_in_processes, given, cpus))
    print(f"a process starts in {start.cpu / 1000:.1f} s of CPU")
    for name, cost in ((f"{cpus} threads", several), ("one thread", one), (f"{cpus} processes", pool)):
        print(f"{name}: {cost.cpu:.0f} CPU-ms and {cost.wall:.0f} ms a motion; ", end="")
        print(f"{cost.cpu / one.cpu:.1f} and {cost.wall / one.wall:.1f} times one thread's")
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs")


if __name__ == "__main__":
    main()
