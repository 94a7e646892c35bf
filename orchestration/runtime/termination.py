"""End a command on a signal as after Ctrl-C, with all results written."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

_Result = TypeVar("_Result")

_WAKE = 0.5  # seconds
TERMINATED = 128 + signal.SIGTERM
"""Exit code of a command that SIGTERM ended."""


@contextmanager
def exiting_on_sigterm() -> Iterator[None]:
    """Have SIGTERM raise SystemExit meanwhile, whatever Ray sets, see `keep_sigterm`; afterwards it does what it did.

    Outside the main thread, where no signal arrives, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _exit)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL if before is None else before)


def keep_sigterm(call: Callable[[], Any]) -> None:
    """Call something that sets a handler of its own, and set ours again where it was."""
    is_ours = signal.getsignal(signal.SIGTERM) is _exit
    call()
    if is_ours and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _exit)


def call_interruptibly(call: Callable[[], _Result]) -> _Result:
    """Call something that would handle Ctrl-C in its own way, from a thread, where it does not.

    Returns what it returns, and raises what it raises, and what signals raise meanwhile.
    """
    if threading.current_thread() is not threading.main_thread():  # where no signal arrives
        return call()
    result: list[_Result] = []
    failure: list[BaseException] = []

    def run() -> None:
        try:
            result.append(call())
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(_WAKE)  # a signal that another thread gets wakes nobody
    if failure:
        raise failure[0]
    return result[0]


def _exit(number: int, frame: object) -> None:
    sys.exit(TERMINATED)
