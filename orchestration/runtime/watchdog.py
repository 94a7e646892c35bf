"""Finds workers of Ray that have stopped making progress, and kills them.

A process that hangs, waits for a lock or was stopped does not die by itself, and would hold its GPU for ever. Ray Train
starts it again from the last checkpoint.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import NamedTuple

_REMINDER = 30.0  # seconds between two lines on what is waited for
_GRACE = 30.0  # seconds until a worker that was to be killed is tried again


class Heartbeat(NamedTuple):
    """A sign of life of a worker."""

    rank: int
    pid: int
    node_id: str
    activity: str
    """Current activity, such as "step 3 of epoch 1"; empty when it is done."""


class Watchdog:
    """Knows when each worker last gave a sign of life. Lives in the driver.

    Workers wait for each other: while one of them works, those that wait for it are well.

    Args:
        patience: Seconds without one from any worker after which those that began something are killed; 0 waits for
            ever.
        on_stuck: Called with which worker is stuck, and where; and twice a minute with what is waited for.
        waits_for: What the workers need before they start; empty where it is there.
    """

    def __init__(self, patience: float, on_stuck: Callable[[str], None], waits_for: str = ""):
        self._patience, self._on_stuck, self._waits_for = patience, on_stuck, waits_for
        self._heartbeats: dict[int, tuple[Heartbeat, float]] = {}
        self._told = time.monotonic()
        self._paused: set[int] = set()

    def record(self, heartbeat: Heartbeat) -> None:
        """Note a sign of life."""
        self._waits_for = ""
        self._paused.discard(heartbeat.rank)
        if heartbeat.activity:
            self._heartbeats[heartbeat.rank] = heartbeat, time.monotonic()
        else:
            self._heartbeats.pop(heartbeat.rank, None)

    def pause(self, rank: int) -> None:
        """Expect nothing of any worker until this one's next sign of life: a person looks at it."""
        self._paused.add(rank)

    def check(self) -> None:
        """Kill the workers whose time is over. Those that wait for them die with them, and start again with them."""
        now = time.monotonic()
        if self._waits_for and now - self._told >= _REMINDER:
            self._told = now
            self._on_stuck(f"waiting for {self._waits_for}")
        if self._paused:
            self._heartbeats = {rank: (heartbeat, now) for rank, (heartbeat, _) in self._heartbeats.items()}
        newest = max((at for _, at in self._heartbeats.values()), default=now)
        if not self._patience or now - newest <= self._patience:
            return
        for rank, (heartbeat, at) in list(self._heartbeats.items()):
            if now - at > self._patience:
                self._on_stuck(
                    f"worker {rank} has made no progress for {now - at:.0f} s, since {heartbeat.activity}: "
                    "training starts again from the last checkpoint"
                )
                _kill(heartbeat)
                self._heartbeats[rank] = heartbeat, now + _GRACE


def _kill(heartbeat: Heartbeat) -> None:
    """Send SIGKILL, which reaches a process that is stopped or hangs, too, on whatever machine it is."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    there = NodeAffinitySchedulingStrategy(heartbeat.node_id, soft=False)
    ray.remote(_end).options(num_cpus=0, scheduling_strategy=there).remote(heartbeat.pid)


def _end(pid: int) -> None:  # Ray takes functions of Python alone, which os.kill is not
    os.kill(pid, signal.SIGKILL)
