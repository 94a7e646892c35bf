"""Sessions of the page: in memory, with a folder each that is deleted when they end."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

from orchestration.app.designer import Designer
from orchestration.app.render_queue import RenderQueue, Steps
from posegen.errors import PosegenError

_PREFIX = "posegen-app-"
_OWNER = "process"  # file with the number of the process that a folder belongs to


class SessionEndedError(PosegenError):
    """A session that has ended, or never was."""


class SessionStore:
    """All sessions of a server.

    Args:
        queue: What draws for them.
        seconds: Without a sign of life after which a session ends.
        most: Sessions at once.
        clock: Seconds, for tests.
    """

    def __init__(
        self, queue: RenderQueue, seconds: float = 1800.0, most: int = 64, clock: Callable[[], float] = time.monotonic
    ):
        self._queue, self._seconds, self._most, self._clock = queue, seconds, most, clock
        self._sessions: dict[str, tuple[Designer, float]] = {}
        remove_abandoned()
        self.folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        (self.folder / _OWNER).write_text(str(os.getpid()))

    def create(self) -> Designer:
        """Begin a session. Raises PosegenError where there are too many."""
        self.end_idle()
        if len(self._sessions) >= self._most:
            raise PosegenError("Many people use this page now. Try again in a few minutes.")
        name = secrets.token_urlsafe(24)
        folder = self.folder / secrets.token_hex(8)
        folder.mkdir()
        designer = Designer(name, folder)
        self._sessions[name] = designer, self._clock()
        return designer

    def get(self, name: str) -> Designer:
        """Return a session, which lives on. Raises SessionEndedError where there is none."""
        if name not in self._sessions:
            raise SessionEndedError("This session has ended and its files are deleted. Reload the page to begin again.")
        designer, _ = self._sessions[name]
        self._sessions[name] = designer, self._clock()
        return designer

    def end(self, name: str) -> None:
        """End a session: its work is cancelled, and its files are deleted, once the step under way is done."""
        if self._sessions.get(name) is None:
            return
        designer, _ = self._sessions.pop(name)
        self._queue.cancel_all(name)
        self._queue.submit(f"end of {name}", _remove(designer.folder), kind="", urgent=True)

    def end_idle(self) -> None:
        """End the sessions that nobody has used for long."""
        latest = self._clock() - self._seconds
        for name in [name for name, (_, used) in self._sessions.items() if used < latest]:
            self.end(name)

    def close(self) -> None:
        """End all sessions, and delete the folder that they were in. The queue is closed before."""
        self._sessions.clear()
        shutil.rmtree(self.folder, ignore_errors=True)


def remove_abandoned() -> None:
    """Delete what servers left that were killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError, ValueError):
            is_mine = folder.lstat().st_uid == os.getuid() and not folder.is_symlink()
            if is_mine and not psutil.pid_exists(int((folder / _OWNER).read_text())):
                shutil.rmtree(folder, ignore_errors=True)


def _remove(folder: Path) -> Steps:
    shutil.rmtree(folder, ignore_errors=True)
    return
    yield
