"""Options that not every subject uses: a photo has some that a run has not, and the other way round.

What would otherwise be ignored is refused. Which options those are is declared where they are defined, see `used_with`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any

from posegen.errors import ConfigError

PHOTO, RUN = "a photo", "a run"
_KEY = "used_with"


def used_with(subject: str) -> Mapping[str, Any]:
    """Metadata of a settings' field: the option is used with this subject alone, `PHOTO` or `RUN`."""
    return {_KEY: subject}


def is_used(option: Field[Any], subject: str) -> bool:
    """Return True if an option of settings applies to a subject."""
    return subject_of(option.metadata) in (subject, "")


def subject_of(metadata: Mapping[str, Any]) -> str:
    """Return the one subject that an option is used with; empty where it is used with every one."""
    return str(metadata.get(_KEY, ""))


def require_used(subject: str, *settings: object) -> None:
    """Raise ConfigError where an option was given that is used with another subject.

    Args:
        subject: What the command got.
        settings: Dataclasses with their options, also inside each other.
    """
    for group in settings:
        for option in _given(group):
            if not is_used(option, subject):
                name = f"--{option.name.replace('_', '-')}"
                raise ConfigError(f"{name} is used with {subject_of(option.metadata)}, got {subject}: leave {name} out")


def _given(settings: object) -> Iterator[Field[Any]]:
    """The options that differ from their defaults."""
    if not is_dataclass(settings):
        return
    for one in fields(settings):
        value = getattr(settings, one.name)
        default = one.default_factory() if one.default_factory is not MISSING else one.default
        if value != default:
            yield one
        yield from _given(value)
