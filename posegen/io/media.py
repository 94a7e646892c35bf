"""Media type of a path: a picture, or a video, which may also be an animation or a folder of numbered pictures."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path, PurePath

from posegen.errors import VideoError
from posegen.io.picture_reader import ANIMATION_SUFFIXES, PICTURE_SUFFIXES, count_frames

VIDEO_SUFFIXES = frozenset(
    (".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv", ".webm", ".wmv")
)
"""Files with these endings are taken for videos."""

_NUMBERED = re.compile(r"(.*?)(\d+)")


def is_picture_file(path: Path) -> bool:
    """Return whether a name is that of a picture, unless the file is one of several frames."""
    suffix = path.suffix.lower()
    return suffix in PICTURE_SUFFIXES | {".gif"} and not is_animation(path)


def is_video_source(path: Path) -> bool:
    """Return whether something is read as a video: by its name, by the frames in it, or as a folder of pictures."""
    if path.suffix.lower() in VIDEO_SUFFIXES:
        return True
    return is_animation(path) or (path.is_dir() and bool(list_numbered_pictures(path)))


def is_animation(path: Path) -> bool:
    """Return whether a GIF, WebP, AVIF or PNG has several frames; False where it cannot be read."""
    if path.suffix.lower() not in ANIMATION_SUFFIXES or not path.is_file():
        return False
    try:
        return is_animated(path.read_bytes(), str(path))
    except OSError:
        return False


def is_animated(content: bytes, name: str) -> bool:
    """Return whether a picture has several frames; False where it is none."""
    try:
        return count_frames(content, name) > 1
    except VideoError:
        return False


def list_numbered_pictures(folder: Path) -> list[Path]:
    """Return the pictures of a folder whose names differ by a number at the end, in its order; empty for less than two.

    Raises VideoError where there are several series, such as of pictures and of masks.
    """
    names = (path.name for path in folder.iterdir() if path.is_file())
    remedy = "name one photo of it, or give each series a folder"
    return [folder / name for name in numbered_names(names, folder, remedy)]


def numbered_names(names: Iterable[str], folder: object, remedy: str = "give each a folder") -> list[str]:
    """Return the same of names, which are those of files in a folder. Raises VideoError, with a remedy."""
    series: dict[tuple[str, str], list[tuple[int, str]]] = defaultdict(list)
    for name in names:
        path = PurePath(name)
        match = _NUMBERED.fullmatch(path.stem)
        if match and path.suffix.lower() in PICTURE_SUFFIXES and not name.startswith("."):
            series[match[1], path.suffix.lower()].append((int(match[2]), name))
    found = {key: one for key, one in series.items() if len(one) > 1}
    if len(found) > 1:
        shown = ", ".join(sorted(min(one)[1] for one in found.values()))
        raise VideoError(f"{folder} holds several series of pictures ({shown}, …), expected one: {remedy}")
    return [name for _, name in sorted(*found.values())] if found else []
