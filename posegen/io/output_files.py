"""Files that commands write: what is read is never replaced, and what is there already only where that is asked for."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from typing import Any, NamedTuple

from posegen.errors import ConfigError

_KEY = "written_as"


class OutputKind(NamedTuple):
    """Kind of file that a command writes."""

    noun: str
    """Its name in messages."""
    suffix: str
    """Such as ``.png``."""
    has_folder: bool = False
    """True where a folder may be named instead, for several of them."""

    def require(self, file: Path) -> None:
        """Raise ConfigError for a name with another suffix, or where nothing can be written."""
        if file.suffix.lower() != self.suffix and (file.suffix or not self.has_folder):
            raise ConfigError(f"{self.noun} is written as {self.suffix}, got {file.name!r}")
        _require_place(file if file.suffix else file / "one")


VIDEO = OutputKind("the video", ".mp4")
VIDEOS = VIDEO._replace(has_folder=True)
SHEET = OutputKind("the sheet", ".png")
PREVIEW = OutputKind("the preview", ".png")
EXPORT = OutputKind("the generator", ".onnx")
WEB_PAGE = OutputKind("the page", ".html")


def written_as(kind: OutputKind) -> Mapping[str, Any]:
    """Metadata of a settings' field, or of a parameter, that names a file to write.

    The command line refuses other names before anything is imported.
    """
    return {_KEY: kind}


def kind_of(metadata: Mapping[str, Any]) -> OutputKind | None:
    """Return the kind of the file that an option names; None where it names none."""
    return metadata.get(_KEY)


def default_file(source: Path | str, name: str) -> Path:
    """Return the file, in the current folder, of what is made of a photo or a run where no other is named.

    Args:
        source: The photo or run, by which it is called.
        name: What it shows, and its suffix.
    """
    return Path(f"{Path(source).stem}.{name}")


@dataclass(frozen=True, kw_only=True)
class OverwriteSettings:
    """Permission to replace existing files."""

    overwrite: bool = False
    """Replace existing files. Inputs of the command are never replaced."""

    def require_writable(self, files: Sequence[Path], *inputs: object) -> None:
        """Raise ConfigError, before any work is done, where a file cannot be written or would replace another.

        Args:
            files: All that will be written, also those whose names are implied.
            inputs: What is read: paths, names of files, and settings that have them.
        """
        require_no_input(files, *inputs)
        for file in files:
            if file.is_dir():
                raise ConfigError(f"{file} is a folder, expected a file to write")
            if file.exists() and not self.overwrite:
                raise ConfigError(
                    f"{file} is there already: choose another name, or replace it with --overwrite "
                    "(in Python overwrite=True)"
                )
            _require_place(file)


KEEP_FILES = OverwriteSettings()
"""No file is replaced."""


def require_no_input(files: Sequence[Path], *inputs: object) -> None:
    """Raise ConfigError where a file to write is one of those that are read, see `OverwriteSettings`."""
    read = list(_named_files(inputs))
    for file in files:
        if any(_is_same(file, one) for one in read):
            raise ConfigError(f"{file} is read, expected another file to write")


def _require_place(file: Path) -> None:
    """Raise ConfigError where the folder of a file is none, or cannot be written to."""
    parent = next(folder for folder in file.absolute().parents if folder.exists())
    if not parent.is_dir():
        raise ConfigError(f"{parent} is no folder, nothing can be written into it")
    if not os.access(parent, os.W_OK):
        raise ConfigError(f"{parent} cannot be written to: choose another folder, or change its permissions")


def _named_files(value: object) -> Iterator[Path]:
    """The paths among some values, and the files that texts among them name."""
    if isinstance(value, Path):
        yield value
    elif isinstance(value, str):
        if _is_file(value):
            yield Path(value)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _named_files(inner)
    elif is_dataclass(value):
        yield from _named_files(list(vars(value).values()))


def _is_file(name: str) -> bool:
    try:
        return Path(name).is_file()
    except (OSError, ValueError):  # too long a text, or a zero byte: no file has such a name
        return False


def _is_same(file: Path, other: Path) -> bool:
    """Return True if two paths are the same file, also through links."""
    if file.exists() and other.exists():
        return file.samefile(other)
    return file.resolve() == other.resolve()
