"""Errors as people read them."""

from __future__ import annotations

import errno

_AWS = ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION")
DISK_FULL = "the disk is full"


def first_line(error: BaseException) -> str:
    """What an error says, in one line; its type where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def complain(error: Exception) -> str:
    """What a command that fails says to whom can put it right: all of an error in one line."""
    text = " ".join(str(error).split()) or type(error).__name__
    if "AWS Error" in text:
        text += f" (endpoint and credentials are those of {', '.join(_AWS)} or of ~/.aws)"
    return text


def reason_of(error: Exception) -> str:
    """Why one clip of many came to nothing; a ValueError says it itself."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DISK_FULL
    return str(error) if isinstance(error, ValueError) else f"failed: {error!r}"
