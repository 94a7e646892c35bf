"""Pictures: PNG in and out, and sheets of several for looking at."""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from posegen.errors import ImageError
from posegen.io.lettering import draw_text
from posegen.io.records import MAX_PIXELS
from posegen.io.storage import scratch_name

_TITLE_HEIGHT, _TITLE_LETTERS = 20, 13  # pixels


def grid(rows: Sequence[Sequence[np.ndarray]], gap: int = 2) -> np.ndarray:
    """Lay pictures (H, W, 3) of equal size out in rows, with white gaps; a short row is filled with white."""
    height, width = rows[0][0].shape[:2]
    columns = max(len(row) for row in rows)
    sheet = np.full((len(rows) * (height + gap) - gap, columns * (width + gap) - gap, 3), 255, np.uint8)
    for i, row in enumerate(rows):
        for j, picture in enumerate(row):
            sheet[i * (height + gap) :, j * (width + gap) :][:height, :width] = picture
    return sheet


def titled_grid(rows: Sequence[Sequence[np.ndarray]], titles: Sequence[str], gap: int = 2) -> np.ndarray:
    """Lay pictures out as `grid` does, with a line of text above each row; what does not fit is cut off."""
    bands = [grid([row], gap) for row in rows]
    width = max(band.shape[1] for band in bands)
    parts = []
    for band, title in zip(bands, titles, strict=True):
        parts += [
            text_line(title, width, _TITLE_HEIGHT, _TITLE_LETTERS, margin=2),
            np.pad(band, ((0, gap), (0, width - band.shape[1]), (0, 0)), constant_values=255),
        ]
    return np.concatenate(parts)


def text_line(text: str, width: int, height: int, letters: int, *, margin: int, bold: bool = False) -> np.ndarray:
    """Draw a line of text on white, (height, width, 3) uint8, in letters of so many pixels; what is too long is cut."""
    line = np.full((height, width, 3), 255, np.uint8)
    draw_text(line, text, (margin, margin + letters), letters, bold=bold)
    return line


def encode_jpeg(picture: np.ndarray, quality: int, *, full_color: bool = False) -> bytes:
    """Encode a picture (H, W, 3) uint8 RGB as JPEG.

    Args:
        picture: The picture.
        quality: Of Pillow, 1 to 95.
        full_color: Keep colours as fine as lightness (4:4:4), and not at half the resolution.
    """
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=quality, **({"subsampling": 0} if full_color else {}))
    return buffer.getvalue()


def write_picture(path: Path, picture: np.ndarray) -> None:
    """Write a PNG of a picture (H, W, 3), whole or not at all; its folder is made where there is none."""
    write_whole(path, encode_png(picture))


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that appears under its name whole, or not at all; its folder is made where there is none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(scratch_name(path.name))
    try:
        partial.write_bytes(content)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def shrink(picture: np.ndarray, longest: int) -> np.ndarray:
    """Make a picture (H, W, 3) smaller where its longer side has more pixels than given."""
    scale = longest / max(picture.shape[:2])
    size = [max(round(side * scale), 1) for side in picture.shape[1::-1]]
    return picture if scale >= 1 else cv2.resize(picture, size, interpolation=cv2.INTER_AREA)


def enlarge(picture: np.ndarray, factor: int) -> np.ndarray:
    """Enlarge a small picture for looking at it, keeping its pixels."""
    return cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_NEAREST)


_PNG_HEADER = struct.Struct(">8s4x4sII")


def encode_png(image: np.ndarray) -> bytes:
    """Encode a uint8 image, (H, W) or RGB (H, W, 3), as PNG: fast rather than small."""
    if image.ndim == 3:
        image = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()


def decode_png(content: bytes, *, gray: bool = False, size: tuple[int, int] | None = None) -> np.ndarray:
    """Decode a PNG to uint8: RGB (H, W, 3), or (H, W) with `gray`.

    Args:
        content: The file. Nothing else is decoded, whatever OpenCV knows.
        gray: Whether it has one channel.
        size: Height and width that it must have; by default any that fit into memory.

    Raises:
        ImageError: It is not such a picture. The size in its header is checked before it is decoded.
    """
    claimed = _claimed_size(content)
    if size is not None and claimed not in (None, size):
        raise ImageError(f"a picture has {_show(claimed)} pixels, expected {_show(size)}")
    image = None
    if claimed is not None and claimed[0] * claimed[1] <= MAX_PIXELS:
        try:
            image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_GRAYSCALE if gray else cv2.IMREAD_COLOR)
        except cv2.error:
            image = None
    if image is None or image.shape[:2] != claimed:
        raise ImageError("a picture does not decode")
    return image if gray else cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _claimed_size(content: bytes | None) -> tuple[int, int] | None:
    """Height and width in the header of a PNG; None for anything else."""
    if content is None or len(content) < _PNG_HEADER.size:
        return None
    signature, chunk, width, height = _PNG_HEADER.unpack_from(content)
    return (height, width) if signature == b"\x89PNG\r\n\x1a\n" and chunk == b"IHDR" else None


def _show(size: tuple[int, int] | None) -> str:
    return "no" if size is None else f"{size[1]}×{size[0]}"
