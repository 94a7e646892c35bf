"""JSON that others may have written, read as dataclasses: what does not fit is refused in one line."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

MAX_PIXELS = 2**26
"""Of a picture, twice as many as those of 8K video. A file that claims more is refused before it fills the memory."""

T = TypeVar("T")


def parse_json(kind: type[T], content: bytes | str, place: str, error: type[ValueError] = ValueError) -> T:
    """Read JSON as a dataclass, or as any other type: nothing missing, nothing unknown, nothing converted.

    Args:
        kind: What it should be.
        content: The JSON.
        place: Where it was found, for the message.
        error: What is raised where it is something else.
    """
    try:
        return TypeAdapter(kind).validate_json(content, strict=True, extra="forbid")
    except ValidationError as invalid:
        raise error(f"{place} is damaged or was not written by posegen:{_first(invalid)}") from None


def parse_partial(kind: type[T], values: Any, place: str, error: type[ValueError] = ValueError) -> T:
    """Read part of what other programs wrote as a dataclass; the rest may be anything.

    Args:
        kind: The part.
        values: Plain data.
        place: Where it was found, for the message.
        error: What is raised where it is something else.
    """
    try:
        return TypeAdapter(kind).validate_python(values, extra="ignore")
    except ValidationError as invalid:
        raise error(f"{place} is not as expected:{_first(invalid)}") from None


def _first(invalid: ValidationError) -> str:
    """The first of what is wrong, and where."""
    first = invalid.errors(include_url=False, include_input=False)[0]
    where = "".join(f" {key} →" for key in first["loc"])
    return f"{where} {first['msg']}"


def check_size(size: tuple[int, int], place: str, error: type[ValueError] = ValueError) -> None:
    """Raise `error` where no picture has this height and width."""
    height, width = size
    if min(size) < 1 or height * width > MAX_PIXELS:
        raise error(f"{place} has frames of {width}×{height} pixels, expected at least 1×1 and at most {MAX_PIXELS:,}")
