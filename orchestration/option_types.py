"""Types of command-line options that people write shorter than Python does."""

from __future__ import annotations

import re
from typing import Annotated, Self

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


class WorkerCount(int):
    """A number of workers that may grow up to `most` while they work, and fall to the number itself."""

    most: int
    """At least the number itself."""

    def __new__(cls, least: int, most: int = 0) -> Self:
        count = super().__new__(cls, least)
        count.most = max(most, least)
        return count

    def __reduce__(self) -> tuple[type[WorkerCount], tuple[int, int]]:
        return WorkerCount, (int(self), self.most)


def parse_workers(text: str) -> int:
    """Read ``N`` or ``MIN:MAX``. Raises ConfigError."""
    match = re.fullmatch(r"(-?\d+)(?::(\d+))?", text)
    if not match or (match[2] and not 1 <= int(match[1]) <= int(match[2])):
        raise ConfigError(f"got {text!r}, expected a number, or MIN:MAX, for example 2:8")
    return WorkerCount(int(match[1]), int(match[2])) if match[2] else int(match[1])


def format_workers(workers: int) -> str:
    """Write a number of workers as `parse_workers` reads it."""
    most = workers.most if isinstance(workers, WorkerCount) else workers
    return f"{workers:d}" if most == workers else f"{workers:d}:{most}"


Workers = Annotated[
    int,
    PrimitiveConstructorSpec(
        nargs=1,
        metavar="N|MIN:MAX",
        instance_from_str=lambda texts: parse_workers(texts[0]),
        is_instance=lambda value: isinstance(value, int),
        str_from_instance=lambda workers: [format_workers(workers)],
    ),
]
"""Number of workers, or its bounds."""

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
