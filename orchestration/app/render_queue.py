"""A queue that draws for several people at once: one thread, and one step of each session's work in turn."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Collection, Generator
from concurrent.futures import Future
from typing import Any

from posegen.errors import PosegenError

Steps = Generator[None, None, Any]
"""Work that pauses after each step, such as a frame. What it returns is the result."""


class JobCancelledError(PosegenError):
    """Work that was cancelled, or that newer work of the same kind replaced."""


class QueueFullError(PosegenError):
    """A session that asks for more work while much of it is still waiting."""


class RenderJob:
    """Work in the queue."""

    def __init__(self, session: str, steps: Steps, kind: str):
        self.session, self.kind = session, kind
        self.result: Future[Any] = Future()
        self.result.set_running_or_notify_cancel()  # who waits cannot cancel it behind the thread's back: see `cancel`
        self._steps, self._is_cancelled = steps, threading.Event()

    def cancel(self) -> None:
        """Ask for an end; it comes before the next step."""
        self._is_cancelled.set()

    def step(self) -> bool:
        """Do one step; return whether there may be more. Called by the queue's thread alone."""
        try:
            if self._is_cancelled.is_set():
                self._steps.close()
                raise JobCancelledError("cancelled")
            next(self._steps)
        except StopIteration as end:
            self.result.set_result(end.value)
        except BaseException as error:
            self.result.set_exception(error)
        return not self.result.done()


class RenderQueue:
    """One thread that does the work of all sessions, a step of each in turn.

    In a session, urgent work (a still) goes before long work (a video), and otherwise what came first.

    Args:
        most: Jobs of one session that may wait or be under way at once.
    """

    def __init__(self, most: int = 12):
        self._most = most
        self._jobs: OrderedDict[str, tuple[deque[RenderJob], deque[RenderJob]]] = OrderedDict()
        self._changed, self._is_closed = threading.Condition(threading.RLock()), False
        self._thread = threading.Thread(target=self._work, name="posegen-app-render", daemon=True)
        self._thread.start()

    def submit(self, session: str, steps: Steps, *, kind: str, urgent: bool = False) -> RenderJob:
        """Add work.

        Args:
            session: Whose it is.
            steps: The work.
            kind: What is cancelled by newer work of the same kind; empty for what nothing replaces.
            urgent: Whether it goes before the session's work that is not.

        Raises:
            QueueFullError: The session has too much work waiting.
        """
        job = RenderJob(session, steps, kind)
        with self._changed:
            lanes = self._jobs.setdefault(session, (deque(), deque()))
            for other in (*lanes[0], *lanes[1]):
                if kind and other.kind == kind:
                    other.cancel()
            if sum(map(len, lanes)) >= self._most:
                raise QueueFullError("Much is waiting to be drawn already. Wait a moment, or cancel something.")
            lanes[0 if urgent else 1].append(job)
            self._changed.notify()
        return job

    def cancel_all(self, session: str) -> None:
        """Cancel all work of a session."""
        with self._changed:
            for lane in self._jobs.get(session, ()):
                for job in lane:
                    job.cancel()

    def cancel_kinds(self, session: str, kinds: Collection[str]) -> None:
        """Cancel some kinds of work of a session."""
        with self._changed:
            for lane in self._jobs.get(session, ()):
                for job in lane:
                    if job.kind in kinds:
                        job.cancel()

    def close(self) -> None:
        """End the thread after its present step; what waits is cancelled."""
        with self._changed:
            self._is_closed = True
            for session in self._jobs:
                self.cancel_all(session)
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while (job := self._next()) is not None:
            more = job.step()
            with self._changed:
                lanes = self._jobs[job.session]
                if not more:
                    lanes[0 if job in lanes[0] else 1].remove(job)
                if not any(lanes):
                    del self._jobs[job.session]
                else:
                    self._jobs.move_to_end(job.session)

    def _next(self) -> RenderJob | None:
        """The job whose turn it is; None once the queue is closed and empty."""
        with self._changed:
            while not self._jobs:
                if self._is_closed:
                    return None
                self._changed.wait()
            urgent, long = next(iter(self._jobs.values()))
            return urgent[0] if urgent else long[0]
