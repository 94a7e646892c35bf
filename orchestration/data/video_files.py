"""Which videos there are in a folder, who does what in each, and whether their content is known already."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import unicodedata
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from orchestration.data.rejections import Rejection
from posegen.errors import DatasetError

VIDEO_SUFFIXES = frozenset(
    (".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv", ".webm", ".wmv")
)
"""Files with these endings are taken for videos; all others are passed over."""

DEFAULT_PERSON = "person"
"""Who it is where neither a folder nor a pattern tells."""

_READERS = 4  # files that are read at once: enough to keep a disk busy
_FIELDS = ("person", "action")
_TOKEN = re.compile(r"\{([^{}]*)\}|(\*)")


@dataclass(frozen=True)
class VideoFile:
    """A video, by what its path says."""

    path: Path
    relative: str
    """The path inside the folder, with forward slashes."""
    person: str
    action: str


@dataclass(frozen=True)
class VideoContent:
    """What is in a video's file and, where asked for, in the files that belong to it."""

    source: VideoFile
    sha256: str
    """Of the video."""
    beside_sha256: str = ""
    """Of the files and folders beside the video that have its name: true poses, OpenPose's JSON."""


def find_videos(folder: Path, pattern: str = "") -> tuple[list[VideoFile], list[Rejection]]:
    """Find the videos in a folder and in those inside it, sorted by path.

    Without a pattern ``PERSON/ACTION.mp4`` is expected: the innermost folder is the person, the file's name the
    action; a file that lies in `folder` itself is of `DEFAULT_PERSON`. Hidden files and folders are passed over.

    Args:
        folder: Where to look. Links to folders are followed.
        pattern: The whole relative path, with ``{person}`` and ``{action}`` for what is wanted and ``*`` for what
            is not, none of which crosses a slash: ``{person}_{action}.mp4``, ``*/{action}-{person}-*.avi``. A
            pattern without a suffix fits any. A field takes as little as it can; a second time it stands for the same
            text. Without ``{person}`` everybody is `DEFAULT_PERSON`.

    Returns:
        Sources, and rejections of the files that do not match the pattern.

    Raises:
        DatasetError: There is no such folder, no video in it, or the pattern is not one.
    """
    if not folder.is_dir():
        raise DatasetError(f"no folder of videos at {folder}")
    parse = compile_pattern(pattern) if pattern else _DEFAULT
    sources, rejections = [], []
    for path in sorted(_walk(folder)):
        relative = path.relative_to(folder).as_posix()
        match = parse.fullmatch(unicodedata.normalize("NFC", relative))
        if match is None:
            rejections.append(Rejection(str(path), f"its name does not match the pattern {pattern!r}"))
        else:
            names = match.groupdict()
            sources.append(VideoFile(path, relative, names.get("person") or DEFAULT_PERSON, names["action"]))
    if not sources and not rejections:
        raise DatasetError(f"no videos in {folder}, expected files like PERSON/ACTION.mp4")
    return sources, rejections


def read_contents(sources: Sequence[VideoFile], *, beside: bool) -> tuple[list[VideoContent], list[Rejection]]:
    """Hash all videos, and with `beside` what lies beside them; files that cannot be read are rejected."""

    def read(source: VideoFile) -> VideoContent | Rejection:
        try:
            others = _hash_beside(source.path) if beside else ""
            return VideoContent(source, _hash(source.path), others)
        except OSError as error:
            return Rejection(str(source.path), f"cannot be read ({error.strerror})")

    with ThreadPoolExecutor(_READERS) as pool:
        results = list(pool.map(read, sources))
    contents = [result for result in results if isinstance(result, VideoContent)]
    return contents, [result for result in results if isinstance(result, Rejection)]


def _hash(path: Path) -> str:
    if path.exists() and not path.is_file() and not path.is_dir():
        raise OSError(errno.EINVAL, "not a file")  # a pipe would be waited for
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _hash_beside(video: Path) -> str:
    """Hash names and contents of ``STEM.*``, ``STEM/`` and ``STEM_json/`` beside ``STEM.mp4``."""
    parts = []
    for path in sorted(video.parent.iterdir()):
        if path != video and (
            path.name.startswith(f"{video.stem}.") or path.name in (video.stem, f"{video.stem}_json")
        ):
            files = sorted(path.iterdir()) if path.is_dir() else [path]
            parts += [f"{path.name}/{file.name}:{_hash(file)}" for file in files if file.is_file()]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest() if parts else ""


_DEFAULT = re.compile(r"(?:(?:.*/)?(?P<person>[^/]+)/)?(?P<action>[^/]+)\.[^./]+", re.DOTALL)


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """Turn a pattern into a regular expression. Raises DatasetError for unknown fields or a missing action."""
    text, position, seen = "", 0, set[str]()
    for token in _TOKEN.finditer(pattern):
        text += re.escape(unicodedata.normalize("NFC", pattern[position : token.start()]))
        position, field = token.end(), token[1]
        if token[2]:
            text += "[^/]*"
        elif field not in _FIELDS:
            raise DatasetError(
                f"unknown field {{{field}}} in the pattern {pattern!r}, expected {{person}} and {{action}}"
            )
        else:
            text += f"(?P={field})" if field in seen else f"(?P<{field}>[^/]+?)"
            seen.add(field)
    if "action" not in seen:
        raise DatasetError(f"the pattern {pattern!r} has no {{action}}, expected one like {{person}}_{{action}}.mp4")
    text += re.escape(unicodedata.normalize("NFC", pattern[position:]))
    # Who leaves the suffix out means the names without it, not actions that are called wave.mp4.
    return re.compile(text if "." in pattern.rpartition("/")[2] else text + r"\.[^./]+")


def _walk(folder: Path) -> Iterator[Path]:
    """Every video below a folder, each folder once, however links lead to it.

    A folder that is named like a video is given as one too, so that it is rejected and not lost.
    """
    visited = set()
    for name, folders, files in os.walk(folder, followlinks=True):
        parent = Path(name)
        visited.add(parent.resolve())
        entries = [parent / entry for entry in (*files, *folders) if not entry.startswith(".")]
        yield from (path for path in entries if path.suffix.lower() in VIDEO_SUFFIXES)
        folders[:] = [path.name for path in entries if path.is_dir() and path.resolve() not in visited]
