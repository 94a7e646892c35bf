"""The replicas that render videos."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import posegen as pg
from posegen.errors import PosegenError
from posegen.io.images import encode_jpeg

_SECONDS = [1.0, 2.0, 5.0, 10.0, 30.0, 60.0]  # of the histogram
_QUALITY = 85  # of JPEG frames
BOUNDARY = "frame"
"""Between the frames of a stream."""


class Renderer:
    """Renders videos, one at a time.

    Args:
        run: Run that renders; empty for the photo pipeline.
        dataset: With a run, clip dataset whose clips can be named.
    """

    def __init__(self, run: str = "", dataset: str = ""):
        from ray.util.metrics import Counter, Histogram

        self._renderer = pg.load(run or None, dataset=dataset)
        self._videos = Counter("posegen_videos", "Videos that were rendered.")
        self._frames = Counter("posegen_frames", "Frames that were rendered.")
        self._refused = Counter("posegen_refused", "Requests that cannot be rendered.")
        self._seconds = Histogram("posegen_video_seconds", "Seconds that a video took.", boundaries=_SECONDS)

    def render(self, content: bytes, suffix: str, options: dict[str, Any]) -> bytes | str:
        """Render a video.

        Args:
            content: The photo, or for a run the name of a clip.
            suffix: The photo's ending; empty where the content is a name.
            options: See `posegen.api.RenderOptions`.

        Returns:
            The bytes of an MP4, or the reason why there is none.
        """
        begin = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            try:
                video = self._open(Path(folder), content, suffix, options)
                file = video.save(Path(folder) / "video.mp4")
            except PosegenError as error:
                self._refused.inc()
                return str(error)
            self._videos.inc()
            self._frames.inc(len(video))
            self._seconds.observe(time.perf_counter() - begin)
            return file.read_bytes()

    def stream(self, content: bytes, suffix: str, options: dict[str, Any]) -> Iterator[bytes]:
        """Render the frames of a video, each a part of a multipart stream of JPEGs.

        The first part is empty where all is well, and otherwise the reason why there is no video.
        """
        with tempfile.TemporaryDirectory() as folder:
            try:
                frames = iter(self._open(Path(folder), content, suffix, options))
            except PosegenError as error:
                self._refused.inc()
                yield str(error).encode()
                return
            yield b""
            for frame in frames:
                picture = encode_jpeg(frame, _QUALITY)
                head = f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n"
                self._frames.inc()
                yield head.encode() + picture + b"\r\n"
            yield f"--{BOUNDARY}--\r\n".encode()

    def ping(self) -> None:
        """Show that the process answers."""

    def _open(self, folder: Path, content: bytes, suffix: str, options: dict[str, Any]) -> pg.Video:
        if not suffix:
            return self._renderer.render(content.decode(), **options)
        photo = folder / f"photo{suffix}"
        photo.write_bytes(content)
        return self._renderer.render(photo, **options)
