"""Reads videos with PyAV, animations and folders of numbered pictures, and pictures as footage of one frame.

Frames come out upright, in square pixels, as sRGB, whatever the file holds: rotation and mirroring, anamorphic
pixels, chroma subsampling and bit depth are undone here, and colours by `posegen.io.video_colors`. Decoding and
resizing stream, so memory is bounded by the frames that are kept. Decoding is deterministic.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Literal

import av
import cv2
import numpy as np

from posegen.errors import VideoError, counted, suggestion
from posegen.io.media import is_animation, list_numbered_pictures
from posegen.io.picture_reader import count_frames, decode_animation, decode_picture, is_heic, name_format
from posegen.io.records import MAX_PIXELS
from posegen.io.video_colors import ColorTags, convert_frame

Box = tuple[float, float, float, float]
"""x0, y0, x1, y1: edges of a rectangle, in which a whole frame is (0, 0, width, height)."""

DETAIL_SIDES = (256, 512)
"""Pixels of the longer side in which people are looked for: BlazePose looks at 256. Larger frames cost memory and gain
nothing, and in smaller ones, though they are enlarged anyway, the detector overlooks people (all of some videos of
64×64)."""

_MIN_SIDE = 32  # pixels; below it a person has no visible limbs
_RATE_FRAMES = 50  # by which the frame rate is told
_PICTURES_FPS = 25  # of a folder of pictures, which says none
_MAX_LOST = 0.02  # of a video's frames; encoders may announce a frame or two more than they wrote


@dataclass(frozen=True)
class Footage:
    """The frames of one video, upright, cropped and resized, and how they came from their source."""

    images: np.ndarray
    """(T, H, W, 3) uint8 RGB."""
    times: np.ndarray
    """(T,) float64: presentation time of each frame in seconds, the first at 0."""
    indices: np.ndarray
    """(T,) int32: number of each frame in its source."""
    fps: float
    """Frames per second; the average where the source's rate varies."""
    source: Path
    """The video file."""
    transform: np.ndarray
    """(2, 3) float64 affine from (upright) source pixels to pixels of `images`: [x, y] = A @ [x_src, y_src, 1]."""
    notes: tuple[str, ...] = ()
    """Changes and guesses made while reading the file, one line each."""
    source_size: tuple[int, int] | None = None
    """Height and width of the upright source in pixels, where somebody knows them."""
    padded_share: float = 0.0
    """Share of `images` that lies beyond the source's picture, whose border is repeated there."""


@dataclass(frozen=True)
class DetailedFootage:
    """One window of one video in two sizes."""

    small: Footage
    """Footage at the working size."""
    detail: Footage
    """Footage for analysis: in the source's pixels, with a longer side within `DETAIL_SIDES`."""

    @property
    def to_small(self) -> np.ndarray:
        """(2, 3) affine from pixels of the detailed frames to those of the small ones."""
        whole = [np.vstack([footage.transform, [0, 0, 1]]) for footage in (self.small, self.detail)]
        return np.asarray(whole[0] @ np.linalg.inv(whole[1]))[:2]


def read_video(
    path: Path,
    *,
    size: tuple[int, int] | None = (384, 256),
    crop: Literal["center", "none"] | Box = "center",
    max_frames: int | None = None,
) -> Footage:
    """Read a whole video, cropped and resized.

    Args:
        path: the video file, an animated GIF or WebP, or a folder of numbered pictures.
        size: height and width of the images; None keeps the resolution and the aspect of the crop.
        crop: "center" is the largest centred window of the target aspect; "none" is the whole frame, letterboxed
            with replicated borders; a box in upright source pixels is grown to the target aspect about its centre
            and may exceed the frame, which then is continued by its border.
        max_frames: more frames than this are an error.

    Raises:
        VideoError: if the file is not a readable video of at least two frames and 32 × 32 pixels.
    """
    return _read(path, (size,), crop, max_frames)[0]


def read_with_detail(
    path: Path,
    *,
    size: tuple[int, int],
    crop: Literal["center", "none"] | Box = "center",
    max_frames: int | None = None,
) -> DetailedFootage:
    """Read a whole video as `read_video`, and the same window once more in the pixels that it has in the source."""
    return DetailedFootage(*_read(path, (size, "detail"), crop, max_frames))


def _read(
    path: Path,
    sizes: tuple[tuple[int, int] | Literal["detail"] | None, ...],
    crop: Literal["center", "none"] | Box,
    max_frames: int | None,
) -> list[Footage]:
    """Read a video once, in several sizes of one window, which has the aspect of the first."""
    images: list[list[np.ndarray]] = [[] for _ in sizes]
    times: list[float] = []
    window: tuple[int, int, int, int] | None = None
    for _, time, frame in iterate_frames(path, max_frames=max_frames):
        if window is None:
            first = sizes[0] if isinstance(sizes[0], tuple) else None
            frame_size = frame.shape[1], frame.shape[0]
            window = _window(frame_size, first, crop)
            resolved = [_detail(window, first) if size == "detail" else size for size in sizes]
        for kept, size in zip(images, resolved, strict=True):
            kept.append(_cut(frame, window, size))
        times.append(time)
    if window is None or len(times) < 2:
        raise VideoError(f"{path}: {_few(len(times))}, expected at least two")
    notes = describe_source(path)
    return [
        Footage(
            images=np.stack(kept),
            times=np.array(times),
            indices=np.arange(len(kept), dtype=np.int32),
            fps=(len(times) - 1) / times[-1],
            source=path,
            transform=_transform(window, kept[0].shape[:2]),
            notes=notes,
            source_size=frame_size[::-1],
            padded_share=_padded_share(window, frame_size),
        )
        for kept in images
    ]


def read_image(
    path: Path, *, size: tuple[int, int] | None = (384, 256), crop: Literal["center", "none"] | Box = "center"
) -> Footage:
    """Read a picture in opaque sRGB, upright by its EXIF data, as footage of one frame.

    Formats, colour profiles and transparency are handled by `posegen.io.picture_reader`. `size` and `crop` are as for
    `read_video`.

    Raises:
        VideoError: if the file is not a readable picture of at least 32 × 32 pixels.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise VideoError(_explain_unreadable(path, error)) from error
    picture = decode_picture(content, str(path))
    _check_shape(picture.image, picture.image.shape, path)
    return replace(cut_still(picture.image, path, size, crop), notes=picture.notes)


def cut_still(
    image: np.ndarray, source: Path, size: tuple[int, int] | None, crop: Literal["center", "none"] | Box
) -> Footage:
    """Return an upright picture (H, W, 3) uint8, cropped and resized as by `read_video`, as footage of one frame."""
    return _still(image, source, _window((image.shape[1], image.shape[0]), size, crop), size)


def cut_still_with_detail(
    image: np.ndarray, source: Path, size: tuple[int, int], crop: Literal["center", "none"] | Box
) -> DetailedFootage:
    """Return an upright picture (H, W, 3) uint8 as `read_with_detail` does a video."""
    window = _window((image.shape[1], image.shape[0]), size, crop)
    return DetailedFootage(_still(image, source, window, size), _still(image, source, window, _detail(window, size)))


def _still(image: np.ndarray, source: Path, window: tuple[int, int, int, int], size: tuple[int, int] | None) -> Footage:
    cut = _cut(image, window, size)
    transform = _transform(window, cut.shape[:2])
    return Footage(cut[None], np.zeros(1), np.zeros(1, np.int32), 1.0, source, transform, source_size=image.shape[:2])


def _check_pixels(width: int, height: int, path: Path) -> None:
    if width * height > MAX_PIXELS:
        raise VideoError(f"{path}: {width}×{height} pixels, expected at most {MAX_PIXELS:,}")


def iterate_frames(path: Path, *, max_frames: int | None = None) -> Iterator[tuple[int, float, np.ndarray]]:
    """Yield (index, seconds since the first frame, upright RGB frame (H, W, 3) uint8) of a video, one at a time.

    Raises:
        VideoError: if the file is not a video, is cut off, is smaller than 32 pixels, changes its picture size, or
            has more than `max_frames` frames.
    """
    if path.is_dir():
        source = _pictures(path)
    elif is_animation(path):
        source = _animation(path)
    else:
        source = _video(path)
    shape = None
    for index, (announced, time, frame) in enumerate(source):
        if max_frames is not None and max(announced, index + 1) > max_frames:
            raise VideoError(f"{path}: {counted(max(announced, index + 1), 'frame')}, expected at most {max_frames}")
        shape = shape or frame.shape
        _check_shape(frame, shape, path)
        yield index, time, frame


def video_rate(path: Path) -> float:
    """Return the average frame rate of a video by its first seconds. Raises VideoError for fewer than two frames."""
    times = [time for _, time, _ in islice(iterate_frames(path), _RATE_FRAMES)]
    if len(times) < 2:
        raise VideoError(f"{path}: {_few(len(times))}, expected at least two")
    return (len(times) - 1) / times[-1]


def describe_source(path: Path) -> tuple[str, ...]:
    """List changes and guesses needed to read a video, one line each.

    Raises VideoError where it cannot be opened.
    """
    if path.is_dir():
        return (f"{path}: a folder of pictures has no frame rate: {_PICTURES_FPS} pictures a second are assumed",)
    if is_animation(path):
        return ()
    with _open(path) as container:
        for frame in _decode(container, _video_stream(container, path), path):
            line = ColorTags.of(frame).describe()
            return (f"{path}: {line}",) if line else ()
    return ()


# ---- Reading: each yields the number of frames that are announced, the time in seconds, and a frame


def _pictures(folder: Path) -> Iterator[tuple[int, float, np.ndarray]]:
    files = list_numbered_pictures(folder)
    if not files:
        raise VideoError(f"{folder}: cannot be read (Is a directory without numbered pictures such as 1.png, 2.png)")
    for index, file in enumerate(files):
        yield len(files), index / _PICTURES_FPS, read_image(file, size=None, crop="none").images[0]


def _animation(path: Path) -> Iterator[tuple[int, float, np.ndarray]]:
    content = path.read_bytes()
    announced = count_frames(content, str(path))
    for time, frame in decode_animation(content, str(path)):
        yield announced, time, frame


def _video(path: Path) -> Iterator[tuple[int, float, np.ndarray]]:
    with _open(path) as container:
        stream = _video_stream(container, path)
        for time, decoded in _timed(_decode(container, stream, path), stream):
            yield stream.frames, time, _upright(decoded, stream, path)


@contextmanager
def _open(path: Path) -> Iterator[av.container.InputContainer]:
    """Open a container, and turn what the file system and FFmpeg say about it into one reason."""
    header = b""
    try:
        with path.open("rb") as file:
            header = file.read(12)
            if not header:
                raise VideoError(f"{path}: zero bytes")
            if is_heic(header):
                raise VideoError(f"{path}: {name_format(header)}")
            file.seek(0)
            with av.open(file, "r") as container:
                yield container
    except av.error.FFmpegError as error:
        reason = "truncated: an MP4 without its index" if header[4:8] == b"ftyp" else "not a video"
        raise VideoError(f"{path}: {reason} ({error.strerror})") from error
    except OSError as error:
        raise VideoError(_explain_unreadable(path, error)) from error


def _explain_unreadable(path: Path, error: OSError) -> str:
    """Say why a file cannot be read, with the name of its folder that is most like one that is not there."""
    if re.match(r"\w{2,}:/", str(path)):  # a path has one slash of an address left
        return f"{path}: expected a local file: download it first"
    near = ""
    if isinstance(error, FileNotFoundError) and path.parent.is_dir():
        near = suggestion(path.name, sorted(one.name for one in path.parent.iterdir()), likeness=0.8)
    return f"{path}: cannot be read ({error.strerror}){near}"


def _video_stream(container: av.container.InputContainer, path: Path) -> av.VideoStream:
    """Return the first video stream that is not the cover picture of a song."""
    cover = av.stream.Disposition.attached_pic
    streams = [stream for stream in container.streams.video if not stream.disposition & cover]
    if not streams:
        raise VideoError(f"{path}: no video stream")
    return streams[0]


def _decode(container: av.container.InputContainer, stream: av.VideoStream, path: Path) -> Iterator[av.VideoFrame]:
    """Yield the sound frames, and fail at the end if too many of those that should be there were not."""
    decoded = lost = 0
    for packet in container.demux(stream):
        try:
            frames = packet.decode()
        except av.error.InvalidDataError:
            lost += 1
            continue
        for frame in frames:
            if frame.is_corrupt:
                lost += 1
            else:
                decoded += 1
                yield frame
    expected = max(_announced(container, stream), decoded + lost)
    if expected - decoded > max(1, _MAX_LOST * expected):
        raise VideoError(f"{path}: truncated: {decoded} of {counted(expected, 'frame')} decode")


def _announced(container: av.container.InputContainer, stream: av.VideoStream) -> int:
    """Return how many frames the container says it has; 0 where it cannot be relied upon.

    Only MP4's index is trusted: it leaves out what an edit list hides, while AVI counts frames that were dropped.
    """
    if "mp4" not in container.format.name:
        return 0
    return min(stream.frames, sum(not entry.is_discard for entry in stream.index_entries))


def _timed(frames: Iterator[av.VideoFrame], stream: av.VideoStream) -> Iterator[tuple[float, av.VideoFrame]]:
    """Yield frames with their seconds since the first; a missing or backward time is one period after the last.

    AVI stores times in decoding order only, and what FFmpeg derives for display is wrong with B-frames; the
    decoding times, which frames leave the decoder with in order, are right up to a constant.
    """
    period = 1 / float(stream.average_rate or stream.guessed_rate or 25)
    unit = float(stream.time_base or 0)
    avi = stream.container.format.name == "avi"
    start, previous = None, -period
    for frame in frames:
        stamp = frame.dts if avi else frame.pts
        time = None if stamp is None else stamp * unit
        start = time if start is None else start
        elapsed = previous if time is None or start is None else time - start
        previous = elapsed if elapsed > previous else previous + period
        yield previous, frame


def _upright(decoded: av.VideoFrame, stream: av.VideoStream, path: Path) -> np.ndarray:
    """Return a frame as it should be seen: RGB, square pixels, rotated and mirrored by its display matrix."""
    aspect = float(stream.sample_aspect_ratio or 1)
    square = (round(decoded.width * max(aspect, 1)), round(decoded.height * max(1 / aspect, 1)))
    _check_pixels(*square, path)
    frame = convert_frame(decoded, ColorTags.of(decoded), str(path))
    if aspect != 1:
        frame = cv2.resize(frame, square, interpolation=cv2.INTER_LINEAR)
    return _oriented(frame, _display_matrix(decoded))


def _display_matrix(decoded: av.VideoFrame) -> tuple[int, int, int, int]:
    """Return a, b, c, d of the display matrix; the identity if there is none."""
    try:
        matrix = decoded.side_data.get("DISPLAYMATRIX")
    except ValueError:  # PyAV knows not all kinds of side data, and then gives none but the rotation
        turned = np.rint(np.exp(1j * np.deg2rad(decoded.rotation)))
        return int(turned.real), int(-turned.imag), int(turned.imag), int(turned.real)
    if matrix is None:
        return 1, 0, 0, 1
    a, b, _, c, d = np.frombuffer(bytes(matrix), np.int32)[:5].tolist()  # type: ignore[call-overload]
    return a, b, c, d


def _oriented(frame: np.ndarray, matrix: tuple[int, int, int, int]) -> np.ndarray:
    """Apply the display matrix of ISO/IEC 14496-12: x' = a·x + c·y, y' = b·x + d·y, in quarter turns."""
    a, b, c, d = matrix
    if abs(b) > abs(a):
        frame, a, d = frame.transpose(1, 0, 2), c, b
    return np.ascontiguousarray(frame[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])


def _check_shape(frame: np.ndarray, first: tuple[int, ...], path: Path) -> None:
    height, width = frame.shape[:2]
    if min(height, width) < _MIN_SIDE:
        raise VideoError(f"{path}: {width}×{height} pixels, expected at least {_MIN_SIDE}×{_MIN_SIDE}")
    if frame.shape != first:
        raise VideoError(f"{path}: changes from {first[1]}×{first[0]} to {width}×{height} pixels on the way")


def _few(num_frames: int) -> str:
    return ("no frame", "one frame")[num_frames]


# ---- Cropping


def _window(
    frame: tuple[int, int], size: tuple[int, int] | None, crop: Literal["center", "none"] | Box
) -> tuple[int, int, int, int]:
    """Return x, y, width and height, in whole source pixels, of what becomes the image."""
    x0, y0, x1, y1 = (0, 0, *frame) if isinstance(crop, str) else crop
    width, height = x1 - x0, y1 - y0
    if size is not None:
        aspect = size[1] / size[0]
        too_wide = width > height * aspect
        if too_wide == (crop == "center"):
            width = height * aspect
        else:
            height = width / aspect
    width, height = max(round(width), 1), max(round(height), 1)
    x, y = round((x0 + x1 - width) / 2), round((y0 + y1 - height) / 2)
    if x1 <= x0 or y1 <= y0 or not (-width < x < frame[0] and -height < y < frame[1]):
        raise VideoError(f"got the crop {crop}, expected x0, y0, x1, y1 that meet the {frame[0]}×{frame[1]} frame")
    return x, y, width, height


def _padded_share(window: tuple[int, int, int, int], frame: tuple[int, int]) -> float:
    """The share of a window that lies beyond a frame of a width and a height."""
    (x, y, width, height), (across, down) = window, frame
    inside = (min(x + width, across) - max(x, 0)) * (min(y + height, down) - max(y, 0))
    return 1 - inside / (width * height)


def _detail(window: tuple[int, int, int, int], size: tuple[int, int] | None) -> tuple[int, int]:
    """Return height and width of a window in its own pixels, within `DETAIL_SIDES`, and no less than `size`."""
    width, height = window[2:]
    longer = max(width, height)
    side = max(min(max(longer, DETAIL_SIDES[0]), DETAIL_SIDES[1]), max(size or (1, 1)))
    return max(round(height * side / longer), 1), max(round(width * side / longer), 1)


def _cut(frame: np.ndarray, window: tuple[int, int, int, int], size: tuple[int, int] | None) -> np.ndarray:
    """Return the window of a frame, continued by replicated borders, resized to (height, width)."""
    x, y, width, height = window
    right, bottom = x + width - frame.shape[1], y + height - frame.shape[0]
    inside = frame[max(y, 0) : y + height, max(x, 0) : x + width]
    outside = [(max(-y, 0), max(bottom, 0)), (max(-x, 0), max(right, 0)), (0, 0)]
    image = np.pad(inside, outside, mode="edge")
    if size is None or size == (height, width):
        return image
    shrinks = size[0] < height or size[1] < width
    return cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)


def _transform(window: tuple[int, int, int, int], size: tuple[int, ...]) -> np.ndarray:
    """Return the affine from source to image pixels; centres are integers, so edges lie at halves."""
    x, y, width, height = window
    scale_x, scale_y = size[1] / width, size[0] / height
    return np.array(
        [
            [scale_x, 0, (0.5 - x) * scale_x - 0.5],
            [0, scale_y, (0.5 - y) * scale_y - 0.5],
        ]
    )


# ---- Writing
