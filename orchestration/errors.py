"""Texts of errors for commands and summaries."""

from __future__ import annotations

import errno
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from posegen.errors import PosegenError, StorageError, in_one_line

_AWS = ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION")
DISK_FULL = "the disk is full"


@contextmanager
def naming_system_errors() -> Iterator[None]:
    """Raise a StorageError, in one line, for what the operating system or an object store refuses.

    Disks fill up and permissions are missing wherever a file is touched, so these errors are named in one place.
    """
    try:
        yield
    except OSError as error:
        if isinstance(error, BrokenPipeError) and any(map(is_read_no_further, (sys.stdout, sys.stderr))):
            raise  # `… | head` has seen enough, which the program handles at its end
        text = in_one_line(error)
        if error.filename is not None and error.strerror:  # without the number of the error
            text = f"{error.filename}: {error.strerror}"
        if "AWS Error" in text:
            text += f" (endpoint and credentials are those of {', '.join(_AWS)} or of ~/.aws)"
        raise StorageError(text) from error


def is_read_no_further(stream: TextIO) -> bool:
    """Return True for an output whose reader is gone, such as ``head``."""
    try:
        poll = select.poll()
        poll.register(stream.fileno(), 0)
        return any(event & select.POLLERR for _, event in poll.poll(0))
    except (AttributeError, OSError, ValueError):  # no POSIX, or no pipe
        return False


def reason_of(error: Exception) -> str:
    """Return the reason, in one line, why one clip of many was rejected."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DISK_FULL
    return str(error) if isinstance(error, PosegenError) else f"failed: {error!r}"
