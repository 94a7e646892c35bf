"""A `posegen serve` that draws the page's videos."""

from __future__ import annotations

import http.client
import io
import json
import queue
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from orchestration.app.scene import ResolvedScene, scene_options
from orchestration.app.uploads import StoredFile
from orchestration.runtime.token_file import read_token
from posegen.errors import ConfigError

_PATIENCE = 600.0  # seconds for the next frame: others' videos come first
_ANSWER = 10.0  # seconds for the server's first answer
_PAUSE = 0.02  # seconds that the page's own queue waits for a frame before it turns to others
_Piece = np.ndarray | Exception | None  # a frame, an error, or the end
_NO_ANSWER = "The server of videos does not answer. Try again later."


class VideoServer:
    """Address of a running `posegen serve`, and the token for it.

    Args:
        address: Such as http://gpu-box:8000.
        token: Token that requests send; empty for none.
    """

    def __init__(self, address: str, token: str = ""):
        self.address, self._token = address.rstrip("/"), token

    def require_answer(self) -> None:
        """Raise ConfigError if the server does not answer, or refuses the token."""
        try:
            self._open("/openapi.json", timeout=_ANSWER).close()
        except urllib.error.HTTPError as error:
            reason = "the token is missing or wrong: --token-file" if error.code == 401 else f"answer {error.code}"
            raise ConfigError(f"the server {self.address} refuses requests: {reason}") from None
        except (OSError, http.client.HTTPException) as error:
            raise ConfigError(f"no posegen serve answers at {self.address}: {error}") from None

    def can_draw(self, photo: StoredFile, scene: ResolvedScene) -> bool:
        """Return True for a photo in built-in actions and written colours: the server takes no other files."""
        colors = scene.colors
        files = any(color in scene.shown for color in (colors.upper, colors.lower, colors.upper_to, colors.lower_to))
        return photo.kind == "picture" and bool(scene.request.actions) and not scene.motions.actor and not files

    def frames(self, photo: StoredFile, scene: ResolvedScene) -> Iterator[np.ndarray | None]:
        """Yield the frames (H, W, 3) uint8 RGB of a scene as the server draws them, and None while there is no new one.

        Raises:
            ConfigError: The server refuses the scene, is busy, or does not answer.
        """
        come: queue.Queue[_Piece] = queue.Queue(maxsize=8)
        stop = threading.Event()
        query = urllib.parse.urlencode(scene_options(scene), doseq=True)
        reader = threading.Thread(target=self._read, args=(f"/frames?{query}", photo.path, come, stop), daemon=True)
        reader.start()
        try:
            while True:
                try:
                    piece = come.get(timeout=_PAUSE)
                except queue.Empty:
                    yield None
                    continue
                if piece is None:
                    return
                if isinstance(piece, Exception):
                    raise piece
                yield piece
        finally:
            stop.set()

    def _read(self, path: str, photo: Path, come: queue.Queue[_Piece], stop: threading.Event) -> None:
        """Put the frames of a stream into a queue, and at its end None or an error."""
        end: Exception | None = None
        try:
            with self._open(path, photo.read_bytes(), timeout=_PATIENCE) as stream:
                for picture in _parts(stream):
                    _put(come, np.array(Image.open(io.BytesIO(picture), formats=["JPEG"]).convert("RGB")), stop)
                    if stop.is_set():
                        return
        except urllib.error.HTTPError as error:
            end = ConfigError(_reason(error))
        except (OSError, ValueError, http.client.HTTPException):
            end = ConfigError(_NO_ANSWER)
        _put(come, end, stop)

    def _open(self, path: str, body: bytes | None = None, *, timeout: float) -> http.client.HTTPResponse:
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        request = urllib.request.Request(self.address + path, data=body, headers=headers)
        answer: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=timeout)
        return answer


def open_video_server(address: str, token_file: Path | None) -> VideoServer:
    """Open a server of videos. Raises ConfigError if it does not answer, or the token cannot be read."""
    server = VideoServer(address, read_token(token_file))
    server.require_answer()
    return server


def _put(come: queue.Queue[_Piece], piece: _Piece, stop: threading.Event) -> None:
    while not stop.is_set():
        try:
            come.put(piece, timeout=0.2)
            return
        except queue.Full:
            continue


def _parts(stream: BinaryIO | http.client.HTTPResponse) -> Iterator[bytes]:
    """Yield the bodies of a multipart stream whose parts tell their length. Raises ValueError if it is cut off."""
    while True:
        boundary = stream.readline().strip()
        if boundary.endswith(b"--"):
            return
        headers = http.client.parse_headers(stream)
        length = int(headers["Content-Length"])
        body = stream.read(length)
        if len(body) != length:
            raise ValueError("the stream is cut off")
        stream.readline()
        yield body


def _reason(error: urllib.error.HTTPError) -> str:
    """Return the server's reason for a refusal."""
    if error.code == 503:
        return "The server of videos is busy. Try again later."
    try:
        detail = json.loads(error.read())["detail"]
    except (ValueError, KeyError, OSError):
        detail = ""
    return detail if isinstance(detail, str) and detail else f"The server of videos refuses this ({error.code})."
