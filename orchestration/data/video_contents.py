"""Content of videos' files: hashed once, and afterwards recognised by size and time, as rsync does."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

import pyarrow as pa

from orchestration.data.video_files import VideoFile
from posegen.datasets.clip_index import read_index_table, write_index_table
from posegen.io.storage import StorageFolder

CONTENTS = "videos.parquet"
"""The file, in a dataset's folder. Without it, or where a video is not in it, the video is hashed."""

_SCHEMA = pa.schema([(name, pa.string()) for name in ("source", "stamp", "sha256", "beside_sha256")])
_LEAST_ROW = 16  # bytes: the lengths of four texts
_PART = 1 << 20  # bytes that are copied at once


@dataclass(frozen=True)
class VideoContent:
    """Content of a video's files and, if requested, of those that belong to it."""

    source: str
    """Path or address of the video."""
    stamp: str
    """Its files, with their sizes and times, see `stamp_of`."""
    sha256: str
    """Of the video."""
    beside_sha256: str = ""
    """Of the files beside it, see `VideoFile`."""


def stamp_of(video: VideoFile, *, beside: bool) -> str:
    """Name the files of a video, and with `beside` those beside it, by names, sizes and times."""
    files = {**video.files, **(video.beside if beside else {})}
    return hashlib.sha256("\n".join(f"{name}:{files[name]}" for name in sorted(files)).encode()).hexdigest()


def load_contents(dataset: StorageFolder) -> dict[str, VideoContent]:
    """Read what is known, by source; nothing where the file is missing or damaged."""
    table = read_index_table(dataset, CONTENTS, _SCHEMA, _LEAST_ROW)
    return {row["source"]: VideoContent(**row) for row in table.to_pylist()} if table is not None else {}


def save_contents(dataset: StorageFolder, contents: Iterable[VideoContent]) -> None:
    """Write what is known."""
    rows = [asdict(content) for content in sorted(contents, key=lambda content: content.source)]
    write_index_table(dataset, CONTENTS, pa.Table.from_pylist(rows, _SCHEMA))


@contextmanager
def on_this_machine(folder: StorageFolder, name: str, files: Iterable[str]) -> Iterator[Path]:
    """Give the path of a video; one in an object store is copied while the context lasts.

    Args:
        folder: Where it lies.
        name: Its name there.
        files: What to copy, by path from `folder`.

    Raises OSError where a file is not there.
    """
    if folder.is_local:
        yield Path(folder.uri, name)
        return
    with tempfile.TemporaryDirectory(prefix="posegen-") as place:
        for file in files:
            target = Path(place, file)
            target.parent.mkdir(parents=True, exist_ok=True)
            filesystem, path = folder.resolve(file)
            with filesystem.open_input_file(path) as stream, target.open("wb") as copy:
                shutil.copyfileobj(stream, copy, _PART)
        yield Path(place, name)


def hash_video(folder: Path, files: Iterable[str]) -> str:
    """Hash a video: a file, or the pictures of a folder, by path from the folder in which it lies."""
    first, *others = files
    if "/" not in first:
        return _hash(folder / first)
    lines = [f"{PurePosixPath(name).name}:{_hash(folder / name)}" for name in (first, *others)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def hash_beside(folder: Path, files: Iterable[str] = ()) -> str:
    """Hash names and contents of files beside a video; nothing without any."""
    lines = [f"{name if '/' in name else f'{name}/{name}'}:{_hash(folder / name)}" for name in files]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest() if lines else ""


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
