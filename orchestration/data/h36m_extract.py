"""Unpacks Human3.6M's archives, on Ray Data.

All archives are looked through before anything is written. What was extracted is remembered with the size and time of
its archive, so the same command goes on where it was stopped, and does not look again.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from orchestration.errors import reason_of
from orchestration.runtime.progress import ProgressCallback, ignore_progress
from orchestration.runtime.ray_data import Row, RowWork, Step, map_rows
from posegen.datasets.published.h36m_names import (
    H36M_SUBJECTS,
    IMAGE_POSES,
    POSES,
    VIDEOS,
    WORLD_POSES,
    belongs,
    example,
)
from posegen.errors import ConfigError, DatasetError, counted
from posegen.io.records import parse_json
from posegen.io.storage import StorageFolder, free_space
from posegen.io.tar import Member, extract_members, is_there, list_members

ENDINGS = (".tgz", ".tar.gz", ".tar")
"""Of archives, in the order in which they are looked for."""

_RECORD = "archives.json"
_THREADS = 4  # that look through archives: enough to keep a disk busy


@dataclass(frozen=True, kw_only=True)
class ExtractSettings:
    """Settings of the extraction."""

    subjects: tuple[str, ...] = H36M_SUBJECTS
    """People whose archives there are."""
    workers: int = -1
    """Processes that extract; -1 takes all CPUs of the cluster, 0 works in this process, without Ray."""

    def __post_init__(self) -> None:
        unknown = [subject for subject in self.subjects if subject not in H36M_SUBJECTS]
        if unknown or not self.subjects:
            raise ConfigError(f"subjects are {', '.join(H36M_SUBJECTS)}, got {', '.join(unknown) or 'none'}")


@dataclass(frozen=True)
class Extracted:
    """Summary of the extraction."""

    folder: Path
    num_archives: int
    num_files: int
    """Number of files that exist now."""
    num_new: int

    def __str__(self) -> str:
        return (
            f"{counted(self.num_files, 'file')} of {counted(self.num_archives, 'archive')} in "
            f"{self.folder}, {self.num_new:,} new"
        )


@dataclass(frozen=True)
class Known:
    """Record of an archive."""

    size: int
    """Bytes."""
    time: int
    """Nanoseconds: when it was last changed."""
    members: list[Member]


@dataclass(frozen=True)
class _Archive:
    path: Path
    subject: str
    kind: str

    @property
    def target(self) -> str:
        """The folder, inside the one of all, that its files go to."""
        return f"{self.subject}/{self.kind}"

    def stamp(self) -> tuple[int, int]:
        """Size and time, which tell whether the file is the same as it was."""
        stat = self.path.stat()
        return stat.st_size, stat.st_mtime_ns


def extract_h36m(
    archives: Path,
    out: Path,
    settings: ExtractSettings,
    *,
    on_progress: ProgressCallback = ignore_progress,
) -> Extracted:
    """Unpack the archives of some people to ``OUT/extracted/SUBJECT/KIND/``.

    Needed of each are ``Poses_D3_Positions_mono_universal_SUBJECT`` and ``Videos_SUBJECT``; taken where they are there
    are ``Poses_D3_Positions_SUBJECT`` and ``Poses_D2_Positions_SUBJECT``.

    Args:
        archives: Folder of ``.tgz``, ``.tar.gz`` or ``.tar``.
        out: Folder of the dataset.
        settings: Whose.
        on_progress: Called after every archive that was looked through, and then after every one that was extracted.

    Raises:
        DatasetError: Archives are missing, damaged, unsafe or of another dataset, and nothing was written; or the disk
            is full.
    """
    found = _find(archives, settings.subjects)
    folder = StorageFolder(out) / "extracted"
    record = _read_record(folder)
    members = _look_through(found, record, on_progress)
    missing = {
        archive: [member for member in listed if not is_there(folder / archive.target, member)]
        for archive, listed in members.items()
    }
    _check_space(sum(member.size for lacking in missing.values() for member in lacking), folder)
    rows = [
        {
            "archive": archive.path.name,
            "path": str(archive.path.absolute()),
            "target": archive.target,
            "members": [asdict(member) for member in lacking],
        }
        for archive, lacking in missing.items()
        if lacking
    ]
    work = RowWork((Step(_Extractor, (folder,)),), key="archive")
    results = list(map_rows(rows, work, out=folder, workers=settings.workers, on_progress=on_progress))
    num_new = sum(result.get("count", 0) for result in results)
    reasons = [f"{result['archive']}: {result['reason']}" for result in results if result["reason"]]
    if reasons:
        raise DatasetError("; ".join(sorted(reasons)))
    record |= {archive.path.name: Known(*archive.stamp(), members[archive]) for archive in found}
    folder.write_json(_RECORD, {name: asdict(known) for name, known in record.items()})
    return Extracted(out / "extracted", len(found), sum(map(len, members.values())), num_new)


def _find(archives: Path, subjects: Sequence[str]) -> list[_Archive]:
    """The archives that there are. Raises DatasetError, with all names, where one that is needed is missing."""
    if not archives.is_dir():
        raise DatasetError(f"no folder of archives at {archives}")
    found, missing = [], []
    for subject in subjects:
        for kind in (POSES, VIDEOS, WORLD_POSES, IMAGE_POSES):
            paths = [path for ending in ENDINGS if (path := archives / f"{kind}_{subject}{ending}").is_file()]
            if paths:
                found.append(_Archive(paths[0], subject, kind))
            elif kind in (POSES, VIDEOS):
                missing.append(f"{kind}_{subject}.tgz")
    if missing:
        raise DatasetError(
            f"{archives} lacks {', '.join(missing)}: download them, or name those present with --subjects"
        )
    return found


def _read_record(folder: StorageFolder) -> dict[str, Known]:
    """Read the records of archives, by their names."""
    if not folder.exists(_RECORD):
        return {}
    return parse_json(dict[str, Known], folder.read(_RECORD), f"{folder}/{_RECORD}")


def _look_through(
    found: Sequence[_Archive], record: dict[str, Known], on_progress: ProgressCallback
) -> dict[_Archive, list[Member]]:
    """List the members of each archive. Raises PosegenError if one does not match its name."""

    def look(archive: _Archive) -> list[Member]:
        known = record.get(archive.path.name)
        if known and (known.size, known.time) == archive.stamp():
            return known.members
        return list_members(
            archive.path, lambda name: belongs(name, archive.subject, archive.kind), example(archive.kind)
        )

    members = {}
    with ThreadPoolExecutor(_THREADS) as pool:
        for done, (archive, listed) in enumerate(zip(found, pool.map(look, found), strict=True), start=1):
            members[archive] = listed
            on_progress(done, len(found))
    return members


def _check_space(needed: int, folder: StorageFolder) -> None:
    """Raise DatasetError where so many bytes do not fit on the disk."""
    _, free = free_space(Path(str(folder)))
    if needed > free:
        raise DatasetError(f"{folder} needs {needed / 1e9:,.1f} GB and the disk has {free / 1e9:,.1f} GB: make room")


class _Extractor:
    """Unpacks one archive after the other."""

    def __init__(self, folder: StorageFolder):
        self.folder = folder

    def __call__(self, row: Row) -> Row:
        """Unpack an archive; what goes wrong becomes its reason."""
        target = self.folder / row["target"]
        try:
            target.sweep()
            count = extract_members(Path(row["path"]), [Member(**member) for member in row["members"]], target)
        except Exception as error:
            return {"archive": row["archive"], "count": 0, "reason": reason_of(error)}
        return {"archive": row["archive"], "count": count, "reason": ""}
