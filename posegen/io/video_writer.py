"""Writes MP4 that every player and browser shows."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from uuid import uuid4

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace

from posegen.errors import VideoError, counted
from posegen.io.video_colors import BT709

_CLOCK = 90_000  # ticks per second for variable frame rates, as in MPEG-2 systems


def write_video(
    path: Path,
    images: Iterable[np.ndarray] | np.ndarray,
    *,
    fps: float,
    times: np.ndarray | None = None,
    crf: int = 18,
) -> None:
    """Write an MP4 that every player and browser shows: H.264, 4:2:0, BT.709, index in front.

    The file appears whole or not at all. An odd width or height grows by one replicated pixel, which 4:2:0 needs.

    Args:
        path: the file to write; one that exists is replaced.
        images: (H, W, 3) uint8 RGB frames of one size.
        fps: frames per second; with `times`, the nominal rate only.
        times: (T,) increasing seconds, for a variable frame rate.
        crf: x264's constant rate factor, 0 (lossless) to 51 (worst).

    Raises:
        PosegenError: if there are no frames, or frames and times that do not fit together.
    """
    with VideoWriter(path, fps=fps, times=times, crf=crf) as video:
        for image in images:
            video.write(image)


class VideoWriter:
    """Writes a video as `write_video` does, but takes its frames one by one: for several that grow together.

    A context: the file appears at its end, and not at all after an error. Arguments and errors are as there.

    Example:
        >>> with VideoWriter(Path("out.mp4"), fps=25) as video:
        ...     video.write(image)
    """

    def __init__(self, path: Path, *, fps: float, times: np.ndarray | None = None, crf: int = 18):
        self.path, self.fps, self.crf = path, fps, crf
        self._ticks = None if times is None else _ticks(times)
        self._time_base = 1 / (Fraction(fps).limit_denominator(1001) if times is None else Fraction(_CLOCK))
        self._partial = path.absolute().with_name(f".{uuid4().hex}.mp4")
        self._stream: av.VideoStream | None = None
        self._count = 0

    def __enter__(self) -> VideoWriter:
        self._container = av.open(self._partial, "w", format="mp4", options={"movflags": "faststart"})
        return self

    def write(self, image: np.ndarray) -> None:
        """Encode the next frame, (H, W, 3) uint8 RGB."""
        number, self._count = self._count, self._count + 1
        if self._ticks is not None and number >= len(self._ticks):
            return  # counted, for the message at the end
        padded = np.pad(image, [(0, image.shape[0] % 2), (0, image.shape[1] % 2), (0, 0)], mode="edge")
        self._stream = self._stream or _add_h264(self._container, padded.shape, self.fps, self._time_base, self.crf)
        frame = av.VideoFrame.from_ndarray(padded, format="rgb24")
        frame = frame.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG)
        frame.pts = number if self._ticks is None else int(self._ticks[number])
        frame.time_base = self._time_base
        self._container.mux(self._stream.encode(frame))

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            with self._container:
                if kind is None:
                    self._finish()
            if kind is None:
                self._partial.replace(self.path)
        finally:
            self._partial.unlink(missing_ok=True)

    def _finish(self) -> None:
        """Check the number of frames and encode what the encoder still holds."""
        if self._ticks is not None and self._count != len(self._ticks):
            raise VideoError(
                f"write_video got {counted(self._count, 'image')} and {len(self._ticks)} times, expected one each"
            )
        if self._stream is None:
            raise VideoError("write_video got no frames, expected at least one")
        self._container.mux(self._stream.encode(None))


def even_size_notes(size: tuple[int, int]) -> list[str]:
    """Say that a video of this height and width is written larger, where one of them is odd."""
    height, width = size
    if height % 2 == width % 2 == 0:
        return []
    return [f"the sides of an MP4 are even: {height}x{width} is written as {height + height % 2}x{width + width % 2}"]


def _ticks(times: np.ndarray) -> np.ndarray:
    """Seconds (T,) as ticks that count from the first on."""
    ticks = np.round((np.asarray(times, np.float64) - times[0]) * _CLOCK).astype(np.int64)
    if (np.diff(ticks) <= 0).any():
        raise VideoError("write_video got times that do not increase, expected seconds in increasing order")
    return ticks


def _add_h264(
    container: av.container.OutputContainer,
    shape: tuple[int, ...],
    fps: float,
    time_base: Fraction,
    crf: int,
) -> av.VideoStream:
    """Add a BT.709 H.264 stream whose bytes depend on the images alone.

    One thread, because x264's rate control depends on their number, and no macroblock tree, whose sums depend on
    where in memory they lie.
    """
    options = {"crf": str(crf), "x264-params": "mbtree=0"}
    stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001), options=options)
    stream.height, stream.width = shape[:2]
    stream.pix_fmt = "yuv420p"
    codec = stream.codec_context
    codec.time_base = time_base
    codec.thread_count = 1
    codec.colorspace = codec.color_primaries = codec.color_trc = BT709
    codec.color_range = ColorRange.MPEG
    return stream
