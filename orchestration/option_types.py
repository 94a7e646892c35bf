"""Options of commands: types that people write shorter than Python does, and options that not every subject uses.

A command whose first argument may be a photo or a run refuses what it would otherwise ignore. Which those are is
declared where they are defined, see `used_with`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Annotated, Any

from tyro.constructors import PrimitiveConstructorSpec

from posegen.errors import ConfigError

PHOTO, RUN = "a photo", "a run"
_KEY = "used_with"


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


def used_with(subject: str) -> Mapping[str, Any]:
    """Metadata of a settings' field: the option is used with this subject alone, `PHOTO` or `RUN`."""
    return {_KEY: subject}


def require_used(subject: str, *settings: object) -> None:
    """Raise ConfigError where an option was given that is used with another subject.

    Args:
        subject: What the command got.
        settings: Dataclasses with their options, also inside each other.
    """
    for group in settings:
        for option, needed in _given(group):
            if needed != subject:
                raise ConfigError(f"{option} is used with {needed}, got {subject}: leave {option} out")


def _given(settings: object) -> Iterator[tuple[str, str]]:
    """The options that differ from their defaults and are used with one subject alone, and that subject."""
    if not is_dataclass(settings):
        return
    for one in fields(settings):
        value = getattr(settings, one.name)
        default = one.default_factory() if one.default_factory is not MISSING else one.default
        if _KEY in one.metadata and value != default:
            yield f"--{one.name.replace('_', '-')}", one.metadata[_KEY]
        yield from _given(value)
