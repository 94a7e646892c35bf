"""``print`` and ``breakpoint()`` in a worker of Ray, whose console nobody sees."""

from __future__ import annotations

import io
import os
import platform
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from typing import TextIO

_LOOPBACK = "127.0.0.1"  # whoever reaches the port runs code: by SSH alone


@contextmanager
def passing_prints(show: Callable[[str], object]) -> Iterator[None]:
    """Pass every line that is printed in this context on, besides writing it to the worker's own log."""
    lines = _Lines(sys.stdout, show)
    with redirect_stdout(lines):
        try:
            yield
        finally:
            lines.finish()


class _Lines(io.TextIOBase):
    """Writes to another stream, and passes whole lines on."""

    def __init__(self, stream: TextIO, show: Callable[[str], object]):
        self._stream, self._show = stream, show
        self._begun = ""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self._stream.write(text)
        *whole, self._begun = (self._begun + text).split("\n")
        for line in whole:
            self._show(line)
        return len(text)

    def flush(self) -> None:
        self._stream.flush()

    def finish(self) -> None:
        """Pass on what no line break followed."""
        if self._begun:
            self._show(self._begun)
        self._begun = ""


@contextmanager
def open_breakpoints(name: str, say: Callable[[str], object], pause: Callable[[], object]) -> Iterator[None]:
    """Have ``breakpoint()`` wait for a debugger of the protocol DAP (VS Code, PyCharm, nvim-dap) meanwhile.

    Args:
        name: Who waits, for the message.
        say: Called with where to attach it, or with what is missing.
        pause: Called before waiting: from then on no progress is expected.
    """
    address: list[str] = []

    def stop_here(*arguments: object, **options: object) -> None:
        try:
            import debugpy  # of the extra "debug"
        except ImportError:
            say("breakpoint() is passed over: install posegen[debug] on the nodes, or train with --workers 0")
            return
        if not address:
            host, port = debugpy.listen((_LOOPBACK, 0))
            address.append(f"{host}:{port}")
        port = address[0].rpartition(":")[2]
        say(
            f"{name} waits at a breakpoint, in process {os.getpid()}: attach a debugger to {address[0]} on "
            f"{platform.node()} (from elsewhere ssh -L {port}:{address[0]} {platform.node()}), and step out once"
        )
        pause()
        debugpy.wait_for_client()
        debugpy.breakpoint()

    before, sys.breakpointhook = sys.breakpointhook, stop_here
    try:
        yield
    finally:
        sys.breakpointhook = before
