"""Archives of files, unpacked into one folder: first looked through as a whole, then written file by file."""

from __future__ import annotations

import gzip
import lzma
import shutil
import tarfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from posegen.errors import ArchiveError, first_line
from posegen.io.storage import StorageFolder

_CHUNK = 2**20  # bytes that are copied at once
_LITTER = (".DS_Store", "Thumbs.db")  # what machines leave in folders, besides files that begin with "._"


@dataclass(frozen=True)
class Member:
    """A file in an archive."""

    name: str
    """Name in the archive, with folders."""
    file: str
    """Its name without them."""
    size: int
    """Bytes."""


def list_members(path: Path, accepts: Callable[[str], bool], expected: str) -> list[Member]:
    """Look through an archive, ``.tar`` or compressed, without writing anything.

    Folders in it are passed over, as is what operating systems leave behind, and a file here and there that does not
    belong to the others.

    Args:
        path: The archive.
        accepts: Whether a file's name, with its folders, is one that is wanted.
        expected: What such names look like, for the message.

    Raises:
        FileNotFoundError: There is no such file.
        ArchiveError: It is damaged or no archive, has a member that is no plain file or would lie elsewhere, has a
            file twice, or has fewer files that are wanted than others.
    """
    members: dict[str, Member] = {}
    others: list[str] = []
    with _open(path) as archive:
        for entry in archive:
            place = PurePosixPath(entry.name)
            if place.is_absolute() or ".." in place.parts:
                raise ArchiveError(f"{path} has {entry.name!r}, which leads out of its folder: not extracted")
            if entry.isdir() or place.name.startswith("._") or place.name in _LITTER:
                continue
            if not entry.isreg():
                raise ArchiveError(f"{path} has {entry.name!r}, a link or a device: not extracted")
            if not accepts(entry.name):
                others.append(entry.name)
                continue
            if place.name in members:
                raise ArchiveError(f"{path} has {place.name!r} twice: not extracted")
            members[place.name] = Member(entry.name, place.name, entry.size)
    if len(others) > len(members):
        raise ArchiveError(f"{path} has {others[0]!r}, expected {expected}: is it of another dataset?")
    if not members:
        raise ArchiveError(f"{path} has no files, expected {expected}")
    return list(members.values())


def extract_members(path: Path, members: Sequence[Member], folder: StorageFolder) -> int:
    """Write files of an archive into a folder, without the folders that they are in, and return how many.

    Files that are there in full are left alone. A file is there whole or not at all.

    Raises:
        ArchiveError: The archive is damaged.
    """
    wanted = {member.name: member for member in members if not is_there(folder, member)}
    count = 0
    with _open(path) as archive:
        for entry in archive if wanted else ():
            member = wanted.get(entry.name)
            source = archive.extractfile(entry) if member else None
            if member and source:
                with folder.write(member.file) as target:
                    shutil.copyfileobj(source, target, _CHUNK)
                count += 1
    return count


def is_there(folder: StorageFolder, member: Member) -> bool:
    """Return True if a file was extracted in full."""
    filesystem, path = folder.resolve(member.file)
    return filesystem.get_file_info(path).size == member.size


@contextmanager
def _open(path: Path) -> Iterator[tarfile.TarFile]:
    """Open an archive, and turn what is wrong with it into one reason."""
    try:
        with tarfile.open(path) as archive:
            yield archive
    except FileNotFoundError:
        raise
    except (tarfile.TarError, EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError) as error:
        raise ArchiveError(f"{path} is cut off, damaged or no archive: {first_line(error)}") from None
