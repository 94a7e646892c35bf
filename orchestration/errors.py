"""Errors as people read them."""

from __future__ import annotations

import errno

DISK_FULL = "the disk is full"


def first_line(error: BaseException) -> str:
    """What an error says, in one line; its type where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def reason_of(error: Exception) -> str:
    """Why one clip of many came to nothing; a ValueError says it itself."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DISK_FULL
    return str(error) if isinstance(error, ValueError) else f"failed: {error!r}"
