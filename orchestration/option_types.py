"""Types of command-line options that people write shorter than Python does."""

from __future__ import annotations

import re
from typing import Annotated

from tyro.constructors import PrimitiveConstructorSpec

from posegen.errors import ConfigError


def require_name(name: str, of: str) -> None:
    """Raise ConfigError where a name that becomes a folder's would lead out of the folder that it is in."""
    if "/" in name or name in (".", ".."):
        raise ConfigError(f"{of} name has no '/' and is no '..': got {name!r}")


def parse_size(text: str) -> tuple[int, int]:
    """Read ``HEIGHTxWIDTH``, for example ``384x256``. Raises ConfigError."""
    match = re.fullmatch(r"(\d+)[x×](\d+)", text)
    if not match:
        raise ConfigError(f"got {text!r}, expected HEIGHTxWIDTH, for example 384x256")
    return int(match[1]), int(match[2])


def format_size(size: tuple[int, int]) -> str:
    """Write a size as `parse_size` reads it."""
    return f"{size[0]}x{size[1]}"


FrameSize = Annotated[
    tuple[int, int],
    PrimitiveConstructorSpec(
        nargs=1,
        metavar="HxW",
        instance_from_str=lambda texts: parse_size(texts[0]),
        is_instance=lambda value: isinstance(value, tuple) and len(value) == 2,
        str_from_instance=lambda size: [format_size(size)],
    ),
]
"""Height and width of a frame in pixels."""
