"""What commands and summaries say of errors."""

from __future__ import annotations

import errno

from posegen.errors import in_one_line

_AWS = ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION")
DISK_FULL = "the disk is full"


def complain(error: Exception) -> str:
    """What a command that fails says to whom can put it right: all of an error in one line."""
    text = in_one_line(error)
    if "AWS Error" in text:
        text += f" (endpoint and credentials are those of {', '.join(_AWS)} or of ~/.aws)"
    return text


def reason_of(error: Exception) -> str:
    """Why one clip of many came to nothing; a ValueError says it itself."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DISK_FULL
    return str(error) if isinstance(error, ValueError) else f"failed: {error!r}"
