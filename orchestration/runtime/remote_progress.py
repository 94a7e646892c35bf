"""Carries the progress of Ray's workers to the driver."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from typing import Any, Self

from orchestration.runtime.progress import ProgressListener, TrainingStep
from orchestration.runtime.watchdog import Heartbeat, Watchdog

_QUIET = 0.5  # seconds between two messages from a worker


class RemoteProgress(ProgressListener):
    """A listener that workers of Ray call, and that calls another one in the driver. Use it as a context there.

    Args:
        listener: Called in the driver.
        watchdog: Gets the workers' heartbeats.
    """

    def __init__(self, listener: ProgressListener, watchdog: Watchdog):
        import ray
        from ray.util.queue import Queue
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        # On the driver's machine: elsewhere it would be lost with a machine that training itself can do without.
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        self._queue = Queue(actor_options={"num_cpus": 0, "scheduling_strategy": here})
        self._last_step, self._last_heartbeat = 0.0, 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._deliver, args=[listener, watchdog], daemon=True)

    def __getstate__(self) -> dict[str, Any]:
        return {"_queue": self._queue, "_last_step": 0.0, "_last_heartbeat": 0.0}  # all that a worker needs

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()
        self._queue.shutdown()

    def on_step(self, step: TrainingStep) -> None:
        now = time.monotonic()
        if now - self._last_step >= _QUIET or step.step == step.num_steps:
            self._last_step = now
            self._send("on_step", step)

    def on_epoch(self, run: str, epoch: int, num_epochs: int, metrics: Mapping[str, float]) -> None:
        self._send("on_epoch", run, epoch, num_epochs, dict(metrics))

    def on_warning(self, run: str, epoch: int | None, message: str) -> None:
        self._send("on_warning", run, epoch, message)

    def on_print(self, run: str, line: str) -> None:
        self._send("on_print", run, line)

    def on_pause(self, rank: int) -> None:
        self._send("on_pause", rank)

    def on_heartbeat(self, rank: int, activity: str) -> None:
        now = time.monotonic()
        if now - self._last_heartbeat >= _QUIET or not activity:
            import ray

            self._last_heartbeat = now
            node = ray.get_runtime_context().get_node_id()
            self._send("on_heartbeat", Heartbeat(rank, os.getpid(), node, activity))

    def _send(self, method: str, *arguments: Any) -> None:
        self._queue.actor.put.remote((method, arguments))  # type: ignore[attr-defined]  # without waiting for it, as `put` would

    def _deliver(self, listener: ProgressListener, watchdog: Watchdog) -> None:
        from ray.exceptions import ActorUnavailableError, RayActorError

        while True:
            stopping = self._stop.is_set()
            try:
                self._take_all(listener, watchdog)
            except ActorUnavailableError:  # for a moment, or the cluster is going
                pass
            except RayActorError:  # the cluster is gone, of which the trainer tells
                return
            if stopping:
                return
            watchdog.check()
            self._stop.wait(_QUIET)

    def _take_all(self, listener: ProgressListener, watchdog: Watchdog) -> None:
        while not self._queue.empty():
            method, arguments = self._queue.get()
            if method == "on_heartbeat":
                watchdog.record(*arguments)
            elif method == "on_pause":
                watchdog.pause(*arguments)
            else:
                getattr(listener, method)(*arguments)
