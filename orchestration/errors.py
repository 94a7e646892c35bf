"""Texts of errors for commands and summaries."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

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
        text = in_one_line(error)
        if error.filename is not None and error.strerror:  # without the number of the error
            text = f"{error.filename}: {error.strerror}"
        if "AWS Error" in text:
            text += f" (endpoint and credentials are those of {', '.join(_AWS)} or of ~/.aws)"
        raise StorageError(text) from error


def reason_of(error: Exception) -> str:
    """The reason, in one line, why one clip of many was rejected."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DISK_FULL
    return str(error) if isinstance(error, PosegenError) else f"failed: {error!r}"
