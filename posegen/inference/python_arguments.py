"""Arguments of Python calls, checked and converted to what settings have and the command line reads from texts.

Every error is a ConfigError, whose line says what was got and what is expected.
"""

from __future__ import annotations

import reprlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from numbers import Integral, Real
from os import PathLike, fspath
from pathlib import Path
from types import UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

import numpy as np
from PIL import Image, ImageOps

from posegen.errors import ConfigError
from posegen.io.images import write_picture

_COLORS = ("upper", "lower", "upper_to", "lower_to")
_COLOR = "a colour such as 'teal', '#2a6fdb', 'lab(40 10 -30)' or (42, 111, 219), or the name of a photo"
_PHOTO = "the name of a file, a uint8 array (H, W, 3), or a picture of Pillow"
_SIZE = "height and width such as '384x256' or (384, 256)"
_SEVERAL = (list, tuple, np.ndarray)


def convert_options(settings: type, options: Mapping[str, object]) -> dict[str, Any]:
    """Convert the options that settings have, by the types of their fields; None is an option that is left out.

    Args:
        settings: A dataclass.
        options: Fields of it, and their values as Python has them.

    Raises:
        ConfigError: A value is of another type than the field takes.
    """
    kinds = get_type_hints(settings)
    return {name: _convert(name, kinds[name], value) for name, value in options.items() if value is not None}


def color_text(name: str, color: object) -> str:
    """Return a colour as settings have it: a text, a path, or r, g, b of 0 to 255 as ``#rrggbb``."""
    if isinstance(color, str | PathLike):
        return _text(name, color)
    if isinstance(color, _SEVERAL) and _is_rgb(color):
        return "#" + "".join(f"{int(one):02x}" for one in color)
    raise _unexpected(name, color, _COLOR)


def color_texts(name: str, colors: object) -> tuple[str, ...]:
    """Return colours as settings have them; one alone counts as a list of one."""
    if isinstance(colors, Sequence | np.ndarray) and not isinstance(colors, str) and not _is_rgb(colors):
        return tuple(color_text(name, one) for one in colors)
    return (color_text(name, colors),)


def action_text(action: object) -> str:
    """Return the name of one action. Raises ConfigError for several, which are the option ``actions``."""
    if not isinstance(action, str):
        hint = ": give several in a row as actions=[…]" if isinstance(action, _SEVERAL) else ""
        raise _unexpected("action", action, f"the name of one such as 'wave'{hint}")
    if len([one for one in action.split(",") if one.strip()]) > 1:
        raise _unexpected("action", action, "the name of one such as 'wave': give several in a row as actions=[…]")
    return action


def _size_text(size: object) -> str:
    """Return a size as settings have it, HEIGHTxWIDTH, of such a text or of two numbers."""
    if isinstance(size, str):
        return size
    if isinstance(size, _SEVERAL) and len(size) == 2 and all(_is_number(side, Integral) for side in size):
        return f"{size[0]}x{size[1]}"
    raise _unexpected("size", size, _SIZE)


def file_path(name: str, value: object) -> Path:
    """Return a file's name as a path; `name` is that of the argument."""
    return Path(_text(name, value, "the name of a file"))


@contextmanager
def photo_as_file(photo: object) -> Iterator[str]:
    """Give the name of a photo's file: its own, or one that lasts as long as the context, of an array or a picture.

    Args:
        photo: A file, a uint8 array (H, W, 3) RGB, or a picture of Pillow.

    Raises:
        ConfigError: It is none of them.
    """
    if isinstance(photo, str | PathLike):
        yield _text("photo", photo)
        return
    if isinstance(photo, Image.Image):
        photo = np.asarray(ImageOps.exif_transpose(photo).convert("RGB"))
    if not isinstance(photo, np.ndarray):
        raise _unexpected("photo", photo, _PHOTO)
    if photo.dtype != np.uint8 or photo.ndim != 3 or photo.shape[2] != 3 or not photo.size:
        raise ConfigError(f"got a photo of shape {photo.shape} and {photo.dtype}, expected {_PHOTO}")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "photo.png"
        write_picture(file, np.ascontiguousarray(photo))
        yield str(file)


def _convert(name: str, kind: Any, value: object) -> object:
    if name in _COLORS:
        return color_text(name, value)
    if name == "action":
        return (action_text(value),)
    if name == "size":
        return _size_text(value)
    if get_origin(kind) is UnionType:
        [kind] = set(get_args(kind)) - {type(None)}
    if kind is Path:
        return file_path(name, value)
    if get_origin(kind) is tuple:
        several = (value,) if isinstance(value, str | PathLike) else value
        if not isinstance(several, Sequence | np.ndarray):
            raise _unexpected(name, value, "a list of names")
        return tuple(_text(name, one) for one in several)
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            raise _unexpected(name, value, " or ".join(map(repr, get_args(kind))))
        return value
    return _plain(name, kind, value)


def _plain(name: str, kind: Any, value: object) -> object:
    """A number, a truth value or a text."""
    if kind is int:
        if not _is_number(value, Integral):
            raise _unexpected(name, value, "a whole number")
        return int(value)  # type: ignore[call-overload]
    if kind is float:
        if not _is_number(value, Real):
            raise _unexpected(name, value, "a number")
        return float(value)  # type: ignore[arg-type]
    if kind is bool:
        if not isinstance(value, bool | np.bool_):
            raise _unexpected(name, value, "True or False")
        return bool(value)
    return _text(name, value)


def _text(name: str, value: object, expected: str = "a text") -> str:
    if not isinstance(value, str | PathLike) or isinstance(fspath(value), bytes):
        raise _unexpected(name, value, expected)
    return str(fspath(value))


def _is_number(value: object, kind: type) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


def _is_rgb(values: Sequence[Any] | np.ndarray) -> bool:
    return len(values) == 3 and all(_is_number(one, Integral) and 0 <= one <= 255 for one in values)


def _unexpected(name: str, value: object, expected: str) -> ConfigError:
    shown = " ".join(reprlib.repr(value).split())  # the repr of an array has several lines
    return ConfigError(f"got {name} {shown}, expected {expected}")
