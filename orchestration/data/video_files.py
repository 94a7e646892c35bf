"""List the videos in a folder, with the person and action of each, without reading any video."""

from __future__ import annotations

import os
import re
import stat
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import pyarrow.fs as pafs

from orchestration.data.rejections import Rejection
from posegen.errors import DatasetError, VideoError
from posegen.io.media import VIDEO_SUFFIXES, is_animated, numbered_names
from posegen.io.picture_reader import ANIMATION_SUFFIXES, PICTURE_SUFFIXES
from posegen.io.storage import StorageFolder

DEFAULT_PERSON = "person"
"""Person if neither a folder nor a pattern gives one."""

_PICTURES = ".pictures"  # what a folder of pictures is called for a pattern, which has a suffix
_HEIC_SUFFIXES = {".heic", ".heif"}
_FIELDS = ("person", "action")
_TOKEN = re.compile(r"\{([^{}]*)\}|(\*)")
_ROOT = PurePosixPath()


@dataclass(frozen=True)
class VideoFile:
    """A video, by what its path and the list of files say."""

    source: str
    """Path or address."""
    folder: str
    """The same of the folder in which it lies."""
    relative: str
    """The path inside the folder of all videos, with forward slashes."""
    person: str
    action: str
    files: Mapping[str, str]
    """Its files, by path from `folder`, with size and time of each: the video itself, or the numbered pictures of a
    folder."""
    beside: Mapping[str, str]
    """The same of the files and folders that have its name, ``STEM.*``, ``STEM/`` and ``STEM_json/``: true poses,
    OpenPose's JSON."""


class FoundVideos(NamedTuple):
    """Videos found in a folder."""

    sources: list[VideoFile]
    rejections: list[Rejection]
    """Of what cannot be read or does not match the pattern, and of folders with several series of pictures."""
    passed_over: str
    """Number of files that are no videos and belong to none, in one line; empty if there are none."""


def find_videos(folder: StorageFolder | Path | str, pattern: str = "") -> FoundVideos:
    """Find the videos in a folder and in those inside it, sorted by path.

    Animated GIF and WebP are videos, and so is a folder of numbered pictures, whose name is the action.

    Without a pattern ``PERSON/ACTION.mp4`` is expected: the innermost folder is the person, the file's name the
    action; a file that lies in `folder` itself is of `DEFAULT_PERSON`. Hidden files and folders are passed over.

    Args:
        folder: Where to look: a path or an address such as ``s3://bucket/videos``. Links to folders are followed.
        pattern: The whole relative path, with ``{person}`` and ``{action}`` for what is wanted and ``*`` for what
            is not, none of which crosses a slash: ``{person}_{action}.mp4``, ``*/{action}-{person}-*.avi``. A
            pattern without a suffix fits any. A field takes as little as it can; a second time it stands for the same
            text. Without ``{person}`` everybody is `DEFAULT_PERSON`.

    Raises:
        DatasetError: There is no such folder, no video in it, or the pattern is not one.
    """
    place = StorageFolder(folder)
    parse = compile_pattern(pattern) if pattern else _DEFAULT
    listing = _Listing(place)
    sources, rejections = [], list(listing.rejections)
    for path, files in sorted(listing.videos.items()):
        source = str(place / str(path))
        suffix = _PICTURES if path in listing.tree and path.suffix.lower() not in VIDEO_SUFFIXES else ""
        match = parse.fullmatch(unicodedata.normalize("NFC", f"{path}{suffix}"))
        if match is None:
            rejections.append(Rejection(source, f"its name does not match the pattern {pattern!r}"))
        else:
            names = match.groupdict()
            person = names.get("person") or DEFAULT_PERSON
            sources.append(
                VideoFile(
                    source=source,
                    folder=str(place if path.parent == _ROOT else place / str(path.parent)),
                    relative=str(path),
                    person=person,
                    action=names["action"],
                    files=files,
                    beside=listing.beside(path),
                )
            )
    passed_over = _describe_passed_over(listing.passed_over())
    if not sources and not rejections:
        reason = f"no videos in {place}, expected files like PERSON/ACTION.mp4"
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


class _Listing:
    """Every video below a folder, each folder once, however links lead to it."""

    def __init__(self, place: StorageFolder):
        self.videos: dict[PurePosixPath, dict[str, str]] = {}
        """The files of each, see `VideoFile`."""
        self.rejections: list[Rejection] = []
        self._others: list[PurePosixPath] = []
        self._place = place
        self.tree = _list_local(Path(place.uri)) if place.is_local else _list_objects(place)
        """Of every folder, its files with their states."""
        for parent, files in self.tree.items():
            pictures = self._pictures(parent, files)
            for name, state in files.items():
                path = parent / name
                if path.suffix.lower() in VIDEO_SUFFIXES:
                    self._take(path, state)
                elif name not in pictures:
                    if path.suffix.lower() in ANIMATION_SUFFIXES and self._is_animated(path, state):
                        self._take(path, state)
                    else:
                        self._others.append(path)

    def _take(self, path: PurePosixPath, state: _State) -> None:
        if state.reason:
            self._reject(path, f"cannot be read ({state.reason})")
        else:
            self.videos[path] = {path.name: state.stamp}

    def _reject(self, path: PurePosixPath, reason: str) -> None:
        self.rejections.append(Rejection(str(self._place / str(path)), reason))

    def _is_animated(self, path: PurePosixPath, state: _State) -> bool:
        try:
            return not state.reason and is_animated(self._place.read(str(path)), path.name)
        except OSError:
            return False

    def _pictures(self, parent: PurePosixPath, files: Mapping[str, _State]) -> set[str]:
        """Take the numbered pictures of a folder for a video, unless they belong to one beside it, and return them.

        A folder that is named like a video and is none is rejected, so that it is not lost.
        """
        if parent == _ROOT:
            return set()
        beside = self.tree[parent.parent]
        if any(parent.with_suffix(suffix).name in beside for suffix in VIDEO_SUFFIXES):
            return set()
        try:
            pictures = numbered_names((name for name, state in files.items() if not state.reason), parent)
        except VideoError as error:
            self._reject(parent, str(error).removeprefix(f"{parent} "))
            return set()
        if pictures:
            self.videos[parent] = {f"{parent.name}/{name}": files[name].stamp for name in pictures}
        elif parent.suffix.lower() in VIDEO_SUFFIXES:
            self._reject(parent, "cannot be read (Is a directory)")
        return set(pictures)

    def beside(self, video: PurePosixPath) -> dict[str, str]:
        """The files that have a video's name, see `VideoFile`."""
        own, parent = self.videos[video], video.parent
        found = {
            name: state.stamp
            for name, state in self.tree[parent].items()
            if name.startswith(f"{video.stem}.") and name not in own and not state.reason
        }
        for folder in (video.stem, f"{video.stem}_json"):
            inside = self.tree.get(parent / folder, {})
            found |= {f"{folder}/{name}": state.stamp for name, state in inside.items() if not state.reason}
        return {name: found[name] for name in sorted(found.keys() - own.keys(), key=lambda name: name.split("/"))}

    def passed_over(self) -> dict[str, int]:
        """Count files that are no videos, by suffix, without those beside a video that have its name."""
        stems = {(video.parent, video.stem) for video in self.videos} | {(video, "") for video in self.videos}
        return dict(sorted(Counter(path.suffix.lower() for path in self._others if not _belongs(path, stems)).items()))


def _belongs(path: PurePosixPath, videos: set[tuple[PurePosixPath, str]]) -> bool:
    """Return whether a file lies beside a video and has its name, or in a folder that does, or among its pictures."""
    folder = path.parent
    beside = {(folder, path.name.split(".")[0]), (folder, path.stem), (folder, "")}
    inside = {(folder.parent, folder.name), (folder.parent, folder.name.removesuffix("_json"))}
    return bool((beside | inside) & videos)


class _State(NamedTuple):
    """State of a file in a list of files."""

    stamp: str
    """Size in bytes and time of the last change: those of a file that is changed differ."""
    reason: str = ""
    """Reason why it cannot be read; empty if it can."""


_Tree = dict[PurePosixPath, dict[str, _State]]


def _list_local(folder: Path) -> _Tree:
    """List a folder and all inside it, by path from it. Raises DatasetError where there is none."""
    if not folder.is_dir():
        raise DatasetError(f"no folder of videos at {folder}")
    tree: _Tree = {}
    visited = set()
    for name, folders, files in os.walk(folder, followlinks=True):
        parent = Path(name)
        visited.add(parent.resolve())
        relative = PurePosixPath(parent.relative_to(folder).as_posix())
        tree[relative] = {file: _state(parent / file) for file in files if not file.startswith(".")}
        folders[:] = [
            inside for inside in folders if not inside.startswith(".") and (parent / inside).resolve() not in visited
        ]
    return tree


def _state(path: Path) -> _State:
    try:
        found = path.stat()
    except OSError as error:
        return _State("", error.strerror or str(error))
    regular = stat.S_ISREG(found.st_mode)  # a pipe would be waited for
    return _State(f"{found.st_size} {found.st_mtime_ns}", "" if regular else "not a file")


def _list_objects(place: StorageFolder) -> _Tree:
    """The same of a folder in an object store, in a request for a thousand files."""
    filesystem, root = place.resolve()
    infos = filesystem.get_file_info(pafs.FileSelector(root, allow_not_found=True, recursive=True))
    tree: _Tree = defaultdict(dict, {_ROOT: {}})
    for info in infos:
        path = PurePosixPath(info.path).relative_to(root)
        if any(part.startswith(".") for part in path.parts):
            continue
        if info.type == pafs.FileType.File:
            tree[path.parent][path.name] = _State(f"{info.size} {info.mtime_ns}")
        else:
            tree[path].update()
    if not infos:
        raise DatasetError(f"no folder of videos at {place}")
    for path in list(tree):
        for parent in path.parents:
            tree[parent].update()
    return dict(tree)
