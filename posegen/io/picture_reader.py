"""Decodes pictures and animations with Pillow: upright, opaque, 8 bits a channel, in sRGB, whatever the file holds.

Pixels of a picture that is all this already stay exactly as they are.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageCms, ImageOps

from posegen.errors import VideoError
from posegen.io.records import MAX_PIXELS

PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".avif", ".heic", ".heif"})
"""Of pictures' names; HEIC is not read, but named."""
ANIMATION_SUFFIXES = frozenset({".gif", ".webp", ".apng", ".avif"})
"""Of files that hold a picture, or several, which play."""

_FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "AVIF")
"""Pillow's readers that are used: others run programs or fetch files."""
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}  # ISO/IEC 23008-12
_AVIF_BRANDS = {b"avif", b"avis"}
_TIFF = (b"II*\0", b"MM\0*")
_SAVE_AS = "save it as JPEG or PNG first"
_SAME = 3  # of 255: profiles that change no colour by more are sRGB, whose curves programs round differently
_SHORTEST, _USUAL = 0.011, 0.1  # seconds: browsers show a frame that asks for less than the first for the second
_GRAY_LEVELS = np.arange(256, dtype=np.uint8)
_WHITE = (255, 255, 255)


@dataclass(frozen=True)
class Picture:
    """A decoded picture."""

    image: np.ndarray
    """(H, W, 3) uint8 sRGB."""
    notes: tuple[str, ...]
    """Changes and guesses made while reading, one line each; empty for most files."""


def decode_picture(content: bytes, name: str) -> Picture:
    """Decode a picture: PNG, JPEG, WebP, TIFF, BMP, the first frame of a GIF, and AVIF where Pillow has it.

    It is turned as its EXIF data say. A colour profile (ICC) other than sRGB is converted, with relative colorimetric
    intent and black point compensation. Transparency is laid on white. Of 16 bits a channel the upper 8 are kept.

    Args:
        content: The file.
        name: What messages call it.

    Raises:
        VideoError: It is no such picture, is damaged, or claims more pixels than `MAX_PIXELS`; what its header claims
            is looked at before memory is given to it.
    """
    picture = _open(content, name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _load(picture, name)
        with suppress(Exception):  # damaged EXIF data turn nothing
            ImageOps.exif_transpose(picture, in_place=True)
        return _to_srgb(picture, name)


def count_frames(content: bytes, name: str) -> int:
    """Count the frames of a picture or an animation. Raises VideoError for other content."""
    return int(getattr(_open(content, name), "n_frames", 1))


def decode_animation(content: bytes, name: str) -> Iterator[tuple[float, np.ndarray]]:
    """Yield (seconds since the first, frame (H, W, 3) uint8 sRGB) of an animated GIF, WebP, PNG or AVIF.

    Raises:
        VideoError: As `decode_picture`.
    """
    picture, elapsed = _open(content, name), 0.0
    for index in range(getattr(picture, "n_frames", 1)):
        _load(picture, name, index)
        yield elapsed, _to_srgb(picture.copy(), name).image
        shown = float(picture.info.get("duration", 0) or 0) / 1000
        elapsed += shown if shown >= _SHORTEST else _USUAL


def _open(content: bytes, name: str) -> Image.Image:
    """Open a picture without decoding it, once its header has been looked at."""
    if not content:
        raise VideoError(f"{name}: zero bytes")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about EXIF and TIFF tags
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            picture = Image.open(io.BytesIO(content), formats=_FORMATS)
        except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
            raise VideoError(f"{name}: more than {MAX_PIXELS:,} pixels: make it smaller first") from error
        except Exception as error:  # of Pillow's many readers
            raise VideoError(f"{name}: {name_format(content)}") from error
    if picture.width * picture.height > MAX_PIXELS:
        size = f"{picture.width}×{picture.height}"
        raise VideoError(f"{name}: {size} pixels, expected at most {MAX_PIXELS:,}: make it smaller first")
    return picture


def _load(picture: Image.Image, name: str, frame: int = 0) -> None:
    try:
        if frame:
            picture.seek(frame)
        picture.load()
    except Exception as error:
        raise VideoError(f"{name}: damaged or cut off: it does not decode") from error


def is_heic(header: bytes) -> bool:
    """Return whether a file that begins so is HEIC, which neither Pillow nor a video reader should be given."""
    return header[4:8] == b"ftyp" and header[8:12] in _HEIC_BRANDS


def name_format(content: bytes) -> str:
    """Say what a file is that is not read as a picture, and what to do about it."""
    brand = content[8:12] if content[4:8] == b"ftyp" else b""
    if brand in _HEIC_BRANDS:
        return f"HEIC, which is not read: {_SAVE_AS} (iPhone: Settings, Camera, Formats, Most Compatible)"
    if brand in _AVIF_BRANDS:
        return f"AVIF that this Pillow does not read: {_SAVE_AS}"
    if brand:
        return "not a picture, but a video"
    if content.startswith(_TIFF):
        return f"TIFF of a kind that is not read: {_SAVE_AS}"
    return "not a picture, expected JPEG, PNG, WebP, TIFF or BMP"


def _to_srgb(picture: Image.Image, name: str) -> Picture:
    """Bring a decoded picture to opaque sRGB."""
    notes = []
    profile = picture.info.get("icc_profile")
    colors, opacity = _split_opacity(picture, name)
    if profile:
        converted = _converted(colors, profile)
        if converted is None:
            notes.append(f"{name}: its colour profile cannot be used: colours are taken as sRGB's")
        colors = converted or colors
    if colors.mode == "CMYK":
        notes.append(f"{name}: CMYK without a usable profile: its colours are approximate; save it in sRGB to be exact")
    colors = colors if colors.mode == "RGB" else colors.convert("RGB")
    if opacity is not None and opacity.getextrema()[0] < 255:  # type: ignore[operator]
        opaque = Image.new("RGB", colors.size, _WHITE)
        opaque.paste(colors, mask=opacity)
        colors = opaque
        notes.append(f"{name}: transparent pixels are shown on white; save it on another background for another colour")
    return Picture(np.array(colors), tuple(notes))


def _split_opacity(picture: Image.Image, name: str) -> tuple[Image.Image, Image.Image | None]:
    """The colours of a picture, 8 bits a channel in mode L, RGB, CMYK or LAB, and its opacity if it has one."""
    if picture.has_transparency_data:
        mode = "LA" if picture.mode in ("L", "LA", "La") else "RGBA"
        with_opacity = picture.convert(mode)
        return with_opacity.convert(mode[:-1]), with_opacity.getchannel("A")
    if picture.mode.startswith("I"):
        levels = np.asarray(picture).astype(np.int64)
        if levels.min() >= 0 and levels.max() < 2**16:
            return Image.fromarray((levels >> 8).astype(np.uint8)), None
    if picture.mode.startswith(("I", "F")):
        raise VideoError(f"{name}: 32 bits a pixel, expected 8 or 16: {_SAVE_AS}")
    if picture.mode == "1":
        return picture.convert("L"), None
    return (picture if picture.mode in ("L", "RGB", "CMYK", "LAB") else picture.convert("RGB")), None


def _converted(colors: Image.Image, profile: bytes) -> Image.Image | None:
    """Convert colours from a profile to sRGB; as they are where it is sRGB's, None where it does not fit them."""
    try:
        transform = ImageCms.buildTransform(
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            colors.mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
        return colors if _changes_nothing(transform, colors.mode) else ImageCms.applyTransform(colors, transform)
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None


def _changes_nothing(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Return whether a transform to sRGB leaves colours of a mode as they are."""
    if mode == "L":
        probe = Image.fromarray(_GRAY_LEVELS[None])
    elif mode == "RGB":
        levels = _GRAY_LEVELS[::51]
        probe = Image.fromarray(np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(1, -1, 3))
    else:
        return False
    before = np.asarray(probe.convert("RGB")).astype(int)
    after = ImageCms.applyTransform(probe, transform)
    return after is not None and bool(np.abs(np.asarray(after).astype(int) - before).max() <= _SAME)
