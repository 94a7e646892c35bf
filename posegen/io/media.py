"""Media type of a path: a picture, or a video, which may also be an animation or a folder of numbered pictures."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

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
        return count_frames(path.read_bytes(), str(path)) > 1
    except (VideoError, OSError):
        return False


def list_numbered_pictures(folder: Path) -> list[Path]:
    """Return the pictures of a folder whose names differ by a number at the end, in its order; empty for less than two.

    Raises VideoError where there are several series, such as of pictures and of masks.
    """
    series: dict[tuple[str, str], list[tuple[int, Path]]] = defaultdict(list)
    for path in folder.iterdir():
        match = _NUMBERED.fullmatch(path.stem)
        if match and path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith(".") and path.is_file():
            series[match[1], path.suffix.lower()].append((int(match[2]), path))
    found = {key: one for key, one in series.items() if len(one) > 1}
    if len(found) > 1:
        names = ", ".join(sorted(min(one)[1].name for one in found.values()))
        raise VideoError(f"{folder} holds several series of pictures ({names}, …), expected one: give each a folder")
    return [path for _, path in sorted(*found.values())] if found else []
