"""The clips that a report is given: videos by their names, and all videos of folders."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from orchestration.data.video_files import find_videos
from posegen.errors import ConfigError


class RealVideo(NamedTuple):
    """A clip, by its files."""

    path: Path
    """A video, or a folder of numbered pictures."""
    files: list[Path]
    """The video itself, or the pictures."""
    name: str
    """Of no other clip."""


class FoundRealVideos(NamedTuple):
    """Clips among the paths that are given."""

    clips: list[RealVideo]
    rejected: dict[str, str]
    """Reasons why files of folders cannot be read, by path."""
    notes: list[str]
    """Files of folders that are no videos, counted in one line for each folder."""


def find_real_videos(paths: Sequence[Path]) -> FoundRealVideos:
    """Find the clips: a file is one, a folder has those that `find_videos` finds in it; each is taken once.

    A clip is called like its file without the suffix; those of one name like their folders, too: ``ann-wave``.

    Raises:
        ConfigError: A path does not exist.
        DatasetError: There is no video in a folder.
    """
    found: dict[Path, list[Path]] = {}
    rejected: dict[str, str] = {}
    notes = []
    for path in paths:
        if path.is_dir():
            videos = find_videos(path)
            found |= {Path(one.source): [Path(one.folder) / name for name in one.files] for one in videos.sources}
            rejected |= {one.source: one.reason for one in videos.rejections}
            notes += [f"{path}: {videos.passed_over}"] if videos.passed_over else []
        elif path.is_file():
            found[path] = [path]
        else:
            raise ConfigError(f"{path}: no such clip")
    unique = {path.resolve(): path for path in reversed(found)}
    kept = [path for path in found if unique[path.resolve()] == path]
    names = _name_apart(kept)
    return FoundRealVideos([RealVideo(path, found[path], names[path]) for path in kept], rejected, notes)


def _name_apart(paths: Sequence[Path]) -> dict[Path, str]:
    """Name paths by their last parts, as few as tell them apart, without suffixes where these do not have to."""
    names: dict[Path, str] = {}
    parts = {path: (path if path.is_dir() else path.with_suffix("")).absolute().parts[1:] for path in paths}
    for depth in range(1, max(map(len, parts.values()), default=0) + 1):
        tried = {path: "-".join(parts[path][-depth:]) for path in paths if path not in names}
        taken = Counter([*tried.values(), *names.values()])
        names |= {path: name for path, name in tried.items() if taken[name] == 1}
    return names | {path: "-".join(path.absolute().parts[1:]) for path in paths if path not in names}
