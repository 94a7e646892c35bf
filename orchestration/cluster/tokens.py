"""Permissions of a cluster's token: anyone who can read it can run code on the cluster."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from posegen.errors import ClusterError

_FOLDER, _TOKEN = ".ray", "auth_token"
_MODES = {True: 0o700, False: 0o600}  # of a folder, and of a file


class OpenPlace(NamedTuple):
    """A token, or the folder that it is in, that others can read."""

    path: Path
    mode: int
    """Mode that it should have."""

    def __str__(self) -> str:
        return f"others can read {self.path}: `chmod {self.mode:o} {self.path}`"


def find_open_places(place: Path) -> Iterator[OpenPlace]:
    """Find places that make a token readable to others, given the file or the folder ``.ray``; other folders are left
    out."""
    places = (place, place / _TOKEN) if place.is_dir() else (place, place.parent)
    for path in places:
        if path.exists() and not (path.is_dir() and path.name != _FOLDER):
            mode = _MODES[path.is_dir()]
            if stat.S_IMODE(path.stat().st_mode) & ~mode:
                yield OpenPlace(path, mode)


def close_token(path: Path) -> None:
    """Let a token's owner alone read it.

    Raises ClusterError where others can read it and that cannot be changed.
    """
    for place in find_open_places(path):
        try:
            place.path.chmod(place.mode)
        except OSError as error:
            raise ClusterError(str(place)) from error
