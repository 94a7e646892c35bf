"""What could not be delivered yet: on disk, in order, and delivered once."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

_TURN = 5.0  # seconds
Record = dict[str, Any]
Send = Callable[[Record, Path | None], None]
"""Delivers a record, with the file that belongs to it; raises if it cannot be delivered now."""


class Outbox:
    """A queue of records in a folder, to which several processes may add.

    Args:
        folder: Made when something is put into it, and gone when it is empty.
    """

    def __init__(self, folder: Path):
        self.folder = folder

    def __bool__(self) -> bool:
        return self.folder.is_dir() and any(self.folder.glob("*.json"))

    def put(self, record: Record, attachment: bytes | None = None) -> None:
        """Add a record at the end, with a file's content if one belongs to it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        name = f"{time.time_ns():020d}-{uuid.uuid4().hex[:8]}"
        if attachment is not None:
            (self.folder / f"{name}.bin").write_bytes(attachment)
        temporary = self.folder / f".{name}"
        temporary.write_text(json.dumps(record))
        temporary.rename(self.folder / f"{name}.json")

    def deliver(self, send: Send) -> None:
        """Send all records, the oldest first. What is sent is forgotten; raises what `send` raises.

        Processes take turns; one whose turn does not come leaves its records to the next call.
        """
        if not self:
            return
        try:
            with FileLock(self.folder.parent / ".lock", timeout=_TURN):
                for path in sorted(self.folder.glob("*.json")):
                    attachment = path.with_suffix(".bin")
                    send(json.loads(path.read_text()), attachment if attachment.exists() else None)
                    path.unlink()
                    attachment.unlink(missing_ok=True)
        except Timeout:
            return
        with suppress(OSError):  # something was put into it meanwhile
            self.folder.rmdir()
