"""Finds workers of Ray that have stopped making progress, and ends them.

A process that hangs, waits for a lock or was stopped does not die by itself, and would hold its GPU for ever. Ray Train
starts it again from the last checkpoint.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import NamedTuple

_GRACE = 30.0  # seconds until a worker that was to be killed is tried again


class Beat(NamedTuple):
    """A sign of life of a worker."""

    rank: int
    pid: int
    node_id: str
    doing: str
    """Where it is, such as "step 3 of epoch 1"; empty when it is ready."""


class Watchdog:
    """Knows when each worker last gave a sign of life. Lives in the driver.

    Args:
        patience: Seconds without one after which a worker is killed; 0 waits for ever.
        on_stuck: Hears which worker that is, and at what.
    """

    def __init__(self, patience: float, on_stuck: Callable[[str], None]):
        self._patience, self._on_stuck = patience, on_stuck
        self._beats: dict[int, tuple[Beat, float]] = {}

    def record(self, beat: Beat) -> None:
        """Note a sign of life."""
        if beat.doing:
            self._beats[beat.rank] = beat, time.monotonic()
        else:
            self._beats.pop(beat.rank, None)

    def check(self) -> None:
        """Kill the workers whose time is over. Those that wait for them die with them, and start again with them."""
        if not self._patience:
            return
        now = time.monotonic()
        for rank, (beat, at) in list(self._beats.items()):
            if now - at > self._patience:
                self._on_stuck(
                    f"worker {rank} has made no progress for {now - at:.0f} s, since {beat.doing}: "
                    "training starts again from the last checkpoint"
                )
                _kill(beat)
                self._beats[rank] = beat, now + _GRACE


def _kill(beat: Beat) -> None:
    """SIGKILL, which reaches a process that is stopped or hangs, too, on whatever machine it is."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    there = NodeAffinitySchedulingStrategy(beat.node_id, soft=False)
    ray.remote(_end).options(num_cpus=0, scheduling_strategy=there).remote(beat.pid)


def _end(pid: int) -> None:  # Ray takes functions of Python alone, which os.kill is not
    os.kill(pid, signal.SIGKILL)
