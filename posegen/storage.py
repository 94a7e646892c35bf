"""Files in a local folder, on a shared mount or in an object store, through `pyarrow.fs`."""

from __future__ import annotations

import json
import os
import platform
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO

import psutil
import pyarrow.fs as pafs

_SCRATCH = re.compile(r"\.(?P<pid>\d+)@(?P<node>.+)\.[0-9a-f]{32}\.")
_SCRATCH_AGE = timedelta(days=1)


class Folder:
    """A folder anywhere that `pyarrow.fs` reaches: ``data/clips``, ``/mnt/share``, ``s3://bucket/key``.

    Cheap to make and to pickle; nothing is created before something is written.
    """

    def __init__(self, uri: str | os.PathLike[str] | Folder):
        text = uri.uri if isinstance(uri, Folder) else os.fspath(uri)
        self.uri: str = text.rstrip("/") if "://" in text else str(expand_home(text).absolute())

    def __truediv__(self, name: str) -> Folder:
        return Folder(f"{self.uri}/{name}")

    def __str__(self) -> str:
        return self.uri

    def __repr__(self) -> str:
        return f"Folder({self.uri!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Folder) and other.uri == self.uri

    def __hash__(self) -> int:
        return hash(self.uri)

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.uri.rsplit("/", 1)[-1]

    @property
    def is_local(self) -> bool:
        """Whether ordinary file functions can open it."""
        return "://" not in self.uri

    def resolve(self, name: str = "") -> tuple[pafs.FileSystem, str]:
        """Return the file system and the path on it, of the folder or of a file inside it."""
        filesystem, root = pafs.FileSystem.from_uri(self.uri if "://" in self.uri else Path(self.uri).as_uri())
        return filesystem, f"{root}/{name}" if name else root

    def exists(self, name: str = "") -> bool:
        """Return whether the folder, or a file or folder inside it, is there."""
        filesystem, path = self.resolve(name)
        return filesystem.get_file_info(path).type != pafs.FileType.NotFound

    def files(self, suffix: str = "") -> list[str]:
        """Return the sorted names of the files directly inside, empty if the folder does not exist."""
        filesystem, path = self.resolve()
        infos = filesystem.get_file_info(pafs.FileSelector(path, allow_not_found=True))
        names = (info.base_name for info in infos if info.type == pafs.FileType.File)
        return sorted(name for name in names if name.endswith(suffix) and not name.startswith("."))

    def folders(self) -> list[str]:
        """Return the sorted names of the folders directly inside, empty if the folder does not exist."""
        filesystem, path = self.resolve()
        infos = filesystem.get_file_info(pafs.FileSelector(path, allow_not_found=True))
        return sorted(info.base_name for info in infos if info.type == pafs.FileType.Directory)

    def read(self, name: str) -> bytes:
        """Return a file's bytes. Raises FileNotFoundError."""
        filesystem, path = self.resolve(name)
        with filesystem.open_input_stream(path, compression=None) as stream:
            return stream.read()

    @contextmanager
    def write(self, name: str) -> Iterator[BinaryIO]:
        """Open a file for writing that appears under its name whole, when the block ends without an error."""
        filesystem, path = self.resolve(name)
        parent, _, base = path.rpartition("/")
        filesystem.create_dir(parent, recursive=True)
        temporary = f"{parent}/{scratch_name(base)}"
        try:
            with filesystem.open_output_stream(temporary, compression=None) as stream:
                yield stream
            filesystem.move(temporary, path)
        except BaseException:
            if filesystem.get_file_info(temporary).type != pafs.FileType.NotFound:
                filesystem.delete_file(temporary)
            raise

    def write_bytes(self, name: str, content: bytes) -> None:
        """Write a whole file at once."""
        with self.write(name) as stream:
            stream.write(content)

    def read_json(self, name: str) -> Any:
        """Return the content of a JSON file. Raises ValueError where it is none."""
        try:
            return json.loads(self.read(name))
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{self / name} is not JSON: {error}") from None

    def write_json(self, name: str, content: Any) -> None:
        """Write a JSON file for people and machines: indented, keys in the order given."""
        self.write_bytes(name, (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())

    def sweep(self) -> None:
        """Delete scratch files directly inside whose process was killed; those of other machines after a day."""
        filesystem, path = self.resolve()
        for info in filesystem.get_file_info(pafs.FileSelector(path, allow_not_found=True)):
            if _is_left_over(info):
                with suppress(FileNotFoundError):  # somebody else sweeps too
                    filesystem.delete_file(info.path)

    def upload(self, local: Path) -> None:
        """Copy all files of a local folder into this one."""
        filesystem, path = self.resolve()
        filesystem.create_dir(path, recursive=True)
        pafs.copy_files(str(local), path, pafs.LocalFileSystem(), filesystem)

    def delete(self, name: str) -> None:
        """Delete a file or a folder with all that is in it."""
        filesystem, path = self.resolve(name)
        if filesystem.get_file_info(path).type == pafs.FileType.Directory:
            filesystem.delete_dir(path)
        else:
            filesystem.delete_file(path)


def expand_home(path: str | os.PathLike[str]) -> Path:
    """Read ``~`` and ``~user`` as a shell does: what names nobody's home stays as it is."""
    return Path(os.path.expanduser(path))  # noqa: PTH111, which raises RuntimeError there


def scratch_name(name: str) -> str:
    """Return a name for what will be, or belongs to, the file `name`, and is not to stay.

    It is hidden, of this process alone, and ends as `name` does; `Folder.sweep` finds it.
    """
    return f".{os.getpid()}@{platform.node()}.{uuid.uuid4().hex}.{name}"


def _is_left_over(info: pafs.FileInfo) -> bool:
    owner = _SCRATCH.match(info.base_name)
    if owner is None or info.type != pafs.FileType.File:
        return False
    if owner["node"] == platform.node():
        return not psutil.pid_exists(int(owner["pid"]))
    return info.mtime is not None and datetime.now(UTC) - info.mtime > _SCRATCH_AGE
