"""A video while it is drawn: its frames as JPEG for those who watch, in order and as they come."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np

from posegen.io.images import encode_jpeg

_META, _FRAME, _ERROR, _END = b"M", b"F", b"E", b"Z"
_QUALITY = 92


class Film:
    """A video that one thread draws and others watch.

    Args:
        path: Where its MP4 will lie.
        name: What it is called, without an ending.
    """

    def __init__(self, path: Path, name: str):
        self.path, self.name = path, name
        self.fps = 0.0
        self.is_done = False
        self.is_whole = False
        """Whether its MP4 is written."""
        self.frames: list[bytes] = []
        """JPEG."""
        self._records: list[bytes] = []
        self._lock = threading.Lock()
        self._watchers: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    def begin(self, fps: float, facts: dict[str, Any]) -> None:
        """Say what the video is; before its first frame."""
        self.fps = fps
        self._add(_META, json.dumps({"fps": fps, **facts}).encode())

    def add(self, frame: np.ndarray) -> None:
        """Add a frame (H, W, 3) uint8 RGB."""
        self.frames.append(page_jpeg(frame))
        self._add(_FRAME, self.frames[-1])

    def finish(self) -> None:
        """Tell the page that the MP4 is written."""
        self.is_whole = True
        self._end(_END, b"{}")

    def fail(self, message: str) -> None:
        """Say why there are no more frames."""
        self._end(_ERROR, json.dumps({"error": message}).encode())

    async def watch(self) -> AsyncIterator[bytes]:
        """Yield what there is and what comes: records of a letter, four bytes of length, and content.

        The letters are M for facts, F for a frame (JPEG), E for an error and Z for the end.
        """
        event, seen = asyncio.Event(), 0
        watcher = asyncio.get_running_loop(), event
        with self._lock:
            self._watchers.append(watcher)
        try:
            while True:
                event.clear()
                with self._lock:
                    new, is_done = self._records[seen:], self.is_done
                for record in new:
                    yield record
                seen += len(new)
                if is_done and not new:
                    return
                if not new:
                    await event.wait()
        finally:
            with self._lock:
                self._watchers.remove(watcher)

    def _end(self, letter: bytes, content: bytes) -> None:
        if not self.is_done:
            self._add(letter, content, is_last=True)

    def _add(self, letter: bytes, content: bytes, is_last: bool = False) -> None:
        with self._lock:
            self._records.append(letter + len(content).to_bytes(4, "big") + content)
            self.is_done = self.is_done or is_last
            for loop, event in self._watchers:
                if not loop.is_closed():
                    loop.call_soon_threadsafe(event.set)


def page_jpeg(image: np.ndarray) -> bytes:
    """Encode a picture (H, W, 3) uint8 RGB as the page shows it."""
    return encode_jpeg(image, _QUALITY, full_color=True)
