"""Which videos there are in a folder, who does what in each, and whether their content is known already."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from orchestration.data.rejections import Rejection
from posegen.errors import DatasetError, VideoError
from posegen.io.media import VIDEO_SUFFIXES, is_animation, list_numbered_pictures
from posegen.io.picture_reader import PICTURE_SUFFIXES

DEFAULT_PERSON = "person"
"""Who it is where neither a folder nor a pattern tells."""

_PICTURES = ".pictures"  # what a folder of pictures is called for a pattern, which has a suffix
_HEIC_SUFFIXES = {".heic", ".heif"}
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


class FoundVideos(NamedTuple):
    """What is in a folder of videos."""

    sources: list[VideoFile]
    rejections: list[Rejection]
    """Of what does not match the pattern, and of folders with several series of pictures."""
    passed_over: str
    """How many files are no videos, and belong to none, in one line; empty without any."""


def find_videos(folder: Path, pattern: str = "") -> FoundVideos:
    """Find the videos in a folder and in those inside it, sorted by path.

    Animated GIF and WebP are videos, and so is a folder of numbered pictures, whose name is the action.

    Without a pattern ``PERSON/ACTION.mp4`` is expected: the innermost folder is the person, the file's name the
    action; a file that lies in `folder` itself is of `DEFAULT_PERSON`. Hidden files and folders are passed over.

    Args:
        folder: Where to look. Links to folders are followed.
        pattern: The whole relative path, with ``{person}`` and ``{action}`` for what is wanted and ``*`` for what
            is not, none of which crosses a slash: ``{person}_{action}.mp4``, ``*/{action}-{person}-*.avi``. A
            pattern without a suffix fits any. A field takes as little as it can; a second time it stands for the same
            text. Without ``{person}`` everybody is `DEFAULT_PERSON`.

    Raises:
        DatasetError: There is no such folder, no video in it, or the pattern is not one.
    """
    if not folder.is_dir():
        raise DatasetError(f"no folder of videos at {folder}")
    parse = compile_pattern(pattern) if pattern else _DEFAULT
    walk = _Walk(folder)
    sources, rejections = [], list(walk.rejections)
    for path in sorted(walk.videos):
        relative = path.relative_to(folder).as_posix()
        suffix = _PICTURES if path.is_dir() and path.suffix.lower() not in VIDEO_SUFFIXES else ""
        match = parse.fullmatch(unicodedata.normalize("NFC", relative + suffix))
        if match is None:
            rejections.append(Rejection(str(path), f"its name does not match the pattern {pattern!r}"))
        else:
            names = match.groupdict()
            sources.append(VideoFile(path, relative, names.get("person") or DEFAULT_PERSON, names["action"]))
    passed_over = _describe_passed_over(walk.passed_over())
    if not sources and not rejections:
        reason = f"no videos in {folder}, expected files like PERSON/ACTION.mp4"
        raise DatasetError(f"{reason}; {passed_over}" if passed_over else reason)
    return FoundVideos(sources, rejections, passed_over)


def _describe_passed_over(counts: Mapping[str, int]) -> str:
    """Say how many files are no videos, by suffix."""
    if not counts:
        return ""
    text = "passed over: " + ", ".join(f"{count:,} {suffix or 'without a suffix'}" for suffix, count in counts.items())
    if counts.keys() & _HEIC_SUFFIXES:
        return f"{text}; HEIC is not read: save such pictures as JPEG or PNG"
    if counts.keys() & (PICTURE_SUFFIXES | {".gif"}):
        return f"{text}; two or more numbered pictures in a folder inside it are a video, a single one is none"
    return text


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
    if path.is_dir():
        return _hash_pictures(path)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _hash_pictures(folder: Path) -> str:
    """Hash the numbered pictures of a folder; as a file where there are none, which is refused."""
    try:
        pictures = list_numbered_pictures(folder)
    except VideoError:
        pictures = []
    if not pictures:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    return hashlib.sha256("\n".join(f"{path.name}:{_hash(path)}" for path in pictures).encode()).hexdigest()


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


class _Walk:
    """Every video below a folder, each folder once, however links lead to it.

    A folder that is named like a video is given as one too, so that it is rejected and not lost.
    """

    def __init__(self, folder: Path):
        self.videos: list[Path] = []
        self.rejections: list[Rejection] = []
        self._others: list[Path] = []
        visited = set()
        for name, folders, files in os.walk(folder, followlinks=True):
            parent = Path(name)
            visited.add(parent.resolve())
            entries = [parent / entry for entry in (*files, *folders) if not entry.startswith(".")]
            pictures = set(self._pictures(parent, folder))
            for path in entries:
                if path.suffix.lower() in VIDEO_SUFFIXES or is_animation(path):
                    self.videos.append(path)
                elif path not in pictures and not path.is_dir():
                    self._others.append(path)
            folders[:] = [path.name for path in entries if path.is_dir() and path.resolve() not in visited]

    def _pictures(self, parent: Path, top: Path) -> list[Path]:
        """The numbered pictures of a folder, which are a video then, unless they belong to a video beside it."""
        if parent == top or any(parent.with_suffix(suffix).is_file() for suffix in VIDEO_SUFFIXES):
            return []
        try:
            pictures = list_numbered_pictures(parent)
        except VideoError as error:
            self.rejections.append(Rejection(str(parent), str(error).removeprefix(f"{parent} ")))
            return []
        if pictures:
            self.videos.append(parent)
        return pictures

    def passed_over(self) -> dict[str, int]:
        """How many files are no videos, by suffix, without those beside a video that have its name."""
        stems = {(video.parent, video.stem) for video in self.videos} | {(v, "") for v in self.videos}
        return dict(sorted(Counter(path.suffix.lower() for path in self._others if not _belongs(path, stems)).items()))


def _belongs(path: Path, videos: set[tuple[Path, str]]) -> bool:
    """Return whether a file lies beside a video and has its name, or in a folder that does, or among its pictures."""
    folder = path.parent
    beside = {(folder, path.name.split(".")[0]), (folder, path.stem), (folder, "")}
    inside = {(folder.parent, folder.name), (folder.parent, folder.name.removesuffix("_json"))}
    return bool((beside | inside) & videos)
