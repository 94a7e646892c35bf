"""Uploads to the page: read in pieces up to a limit, identified by content, and refused in plain words.

A name is shown and never used as a path: files lie under random names. Nothing is decoded before its header was looked
at, and what is refused is deleted.
"""

from __future__ import annotations

import secrets
import warnings
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import av
from PIL import Image

from posegen.errors import PosegenError
from posegen.io.picture_reader import is_heic

FileKind = Literal["picture", "video", "motion"]

MEBIBYTE = 2**20
_LARGEST: dict[FileKind, int] = {"picture": 60 * MEBIBYTE, "video": 200 * MEBIBYTE, "motion": 50 * MEBIBYTE}
LARGEST_UPLOAD = max(_LARGEST.values())
"""Bytes."""
MOST_PIXELS = 40_000_000
_LONGEST_VIDEO = 120.0  # seconds
_LONGEST_NAME = 80
_HEADER = 4096  # bytes that are looked at
_PICTURES: dict[bytes, tuple[str, str]] = {  # Pillow's reader and a name's ending
    b"\xff\xd8\xff": ("JPEG", ".jpg"),
    b"\x89PNG\r\n\x1a\n": ("PNG", ".png"),
    b"GIF8": ("GIF", ".gif"),
    b"II*\0": ("TIFF", ".tif"),
    b"MM\0*": ("TIFF", ".tif"),
    b"BM": ("BMP", ".bmp"),
}
_VIDEOS = {
    b"\x1a\x45\xdf\xa3": ".mkv",  # and WebM
    b"FLV": ".flv",
    b"\0\0\1\xba": ".mpg",
    b"\0\0\1\xb3": ".mpg",
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11": ".wmv",
    b"OggS": ".ogv",
}
_AVIF = (b"avif", b"avis")
_PROGRAMS = (b"MZ", b"\x7fELF", b"#!", b"\xca\xfe\xba\xbe", b"\xcf\xfa\xed\xfe", b"\xce\xfa\xed\xfe", b"\xfe\xed\xfa")
_WANTED = {
    "picture": "a photo (JPEG, PNG, WebP)",
    "video": "a video (MP4, MOV, WebM)",
    "motion": "a motion file (BVH, NPZ)",
}


class UploadRefusedError(PosegenError):
    """A file that is not taken. The message is for the person who gave it."""


class UploadTooLargeError(UploadRefusedError):
    """A file that is larger than its kind may be."""


@dataclass(frozen=True)
class StoredFile:
    """A file that somebody gave the page."""

    token: str
    """Random token by which the page refers to it."""
    path: Path
    kind: FileKind
    shown_name: str
    """Original name, for display only: not a path."""


async def store_upload(
    chunks: AsyncIterator[bytes], announced: int, folder: Path, name: str, wanted: Collection[FileKind]
) -> StoredFile:
    """Take a file into a folder, under a random name.

    Args:
        chunks: Its content.
        announced: Bytes that were announced; 0 where none were.
        folder: Where it is kept.
        name: What it was called.
        wanted: Which kinds are taken.

    Raises:
        UploadRefusedError: It is too large, of another kind, or damaged. Nothing of it is kept then.
    """
    limit = max(_LARGEST[kind] for kind in wanted)
    if announced > limit:
        raise UploadTooLargeError(_too_large(announced, limit))
    token = secrets.token_urlsafe(16)
    partial = folder / f"{token}.part"
    try:
        size = await _write(chunks, partial, limit)
        kind, suffix = _recognize(partial, wanted)
        if size > _LARGEST[kind]:
            raise UploadTooLargeError(_too_large(size, _LARGEST[kind]))
        path = partial.rename(folder / f"{token}{suffix}")
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    return StoredFile(token, path, kind, plain_file_name(name))


def plain_file_name(name: str) -> str:
    """Return a name without folders, control characters and what shells and pages could take for more than a name."""
    last = name.replace("\\", "/").rpartition("/")[2]
    kept = "".join(letter for letter in last if letter.isprintable() and letter not in "<>:\"|?*'`$&;")
    stem, dot, ending = kept.strip(". ").rpartition(".")
    stem = stem or ending
    short = stem[:_LONGEST_NAME] + dot + ending[:8] if dot else stem[:_LONGEST_NAME]
    return short.lstrip("-") or "photo.jpg"


async def _write(chunks: AsyncIterator[bytes], path: Path, limit: int) -> int:
    """Write what arrives, and stop at the limit."""
    size = 0
    with path.open("wb") as file:
        async for chunk in chunks:
            size += len(chunk)
            if size > limit:
                raise UploadTooLargeError(_too_large(0, limit))
            file.write(chunk)
    if not size:
        raise UploadRefusedError("This file is empty. Choose another one.")
    return size


def _recognize(path: Path, wanted: Collection[FileKind]) -> tuple[FileKind, str]:
    """Find out by its content what a file is, and the ending that readers know it by."""
    with path.open("rb") as file:
        header = file.read(_HEADER)
    _refuse_by_name(header)
    kind, suffix, reader = _kind_of(header)
    if kind not in wanted:
        raise UploadRefusedError(f"This file is not what is needed here. Choose {_say_wanted(wanted)}.")
    if kind == "picture":
        is_animated = _check_picture(path, reader)
        if is_animated and "video" in wanted:
            return "video", suffix
    elif kind == "video":
        _check_video(path)
    return kind, suffix


def _kind_of(header: bytes) -> tuple[FileKind, str, str]:
    """The kind, ending and Pillow's reader of a file by its first bytes."""
    for magic, (reader, suffix) in _PICTURES.items():
        if header.startswith(magic):
            return "picture", suffix, reader
    if header[:4] == b"RIFF" and header[8:12] in (b"WEBP", b"AVI "):
        return ("picture", ".webp", "WEBP") if header[8:12] == b"WEBP" else ("video", ".avi", "")
    if header[4:8] == b"ftyp":
        if header[8:12] in _AVIF:
            return "picture", ".avif", "AVIF"
        return "video", ".mov" if header[8:12] == b"qt  " else ".mp4", ""
    if header[4:8] in (b"moov", b"mdat", b"wide", b"free"):
        return "video", ".mov", ""
    for magic, suffix in _VIDEOS.items():
        if header.startswith(magic):
            return "video", suffix, ""
    if header[:1] == b"G" and header[188:189] == b"G":
        return "video", ".mts", ""
    if header.lstrip()[:9] == b"HIERARCHY":
        return "motion", ".bvh", ""
    if header.startswith(b"PK\3\4") and b".npy" in header:
        return "motion", ".npz", ""
    raise UploadRefusedError("This file is neither a photo nor a video that posegen knows. Save it as JPEG or MP4.")


def _refuse_by_name(header: bytes) -> None:
    """Name what people give by mistake, and say what to do."""
    text = header.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if is_heic(header):
        raise UploadRefusedError(
            "This is an iPhone photo in HEIC, which is not read. Save it as JPEG first, or set Settings, Camera, "
            "Formats to Most Compatible."
        )
    if text.startswith((b"<svg", b"<?xml", b"<!doctype", b"<html", b"<script")):
        raise UploadRefusedError("This is a drawing or a page (SVG, HTML), not a photo. Save it as PNG or JPEG.")
    if header.startswith(_PROGRAMS):
        raise UploadRefusedError("This is a program, not a photo. It was not opened.")
    if header.startswith(b"%PDF"):
        raise UploadRefusedError("This is a PDF. Save the picture in it as JPEG or PNG.")


def _check_picture(path: Path, reader: str) -> bool:
    """Look at a picture's header, without decoding it; return whether it has several frames."""
    damaged = UploadRefusedError("This picture is damaged or cut off. Save it again, or choose another one.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(path, formats=[reader]) as picture:
                width, height = picture.size
                is_animated = reader != "TIFF" and getattr(picture, "n_frames", 1) > 1
        except Image.DecompressionBombError:
            raise UploadTooLargeError(_too_many_pixels()) from None
        except Exception:  # of Pillow's many readers
            raise damaged from None
    if width * height > MOST_PIXELS:
        raise UploadTooLargeError(_too_many_pixels())
    return is_animated


def _check_video(path: Path) -> None:
    """Look at a video's header."""
    try:
        with av.open(str(path)) as container:
            stream = next(iter(container.streams.video), None)
            seconds = (container.duration or 0) / 1_000_000
            pixels = stream.width * stream.height if stream else 0
    except (av.error.FFmpegError, ValueError):
        raise UploadRefusedError("This video is damaged or cut off. Export it again as MP4.") from None
    if not pixels:
        raise UploadRefusedError("This file has sound, and no picture. Choose a video.")
    if pixels > MOST_PIXELS:
        raise UploadTooLargeError(_too_many_pixels())
    if seconds > _LONGEST_VIDEO:
        raise UploadTooLargeError(
            f"This video is {seconds / 60:.0f} minutes long. Cut it to {_LONGEST_VIDEO / 60:.0f} minutes or less."
        )


def _too_large(size: int, limit: int) -> str:
    has = f"This file has {size / MEBIBYTE:,.0f} MB. " if size else "This file is too large. "
    return f"{has}Up to {limit / MEBIBYTE:.0f} MB are taken: make it smaller, or cut it shorter."


def _too_many_pixels() -> str:
    return f"This picture has more than {MOST_PIXELS // 1_000_000} megapixels. Make it smaller first."


def _say_wanted(wanted: Collection[FileKind]) -> str:
    return " or ".join(text for kind, text in _WANTED.items() if kind in wanted)
