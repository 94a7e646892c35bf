"""Files in a local folder, on a shared mount or in an object store, through `pyarrow.fs`.

A file is there whole or not at all, whatever kills the process that writes it: in a folder it gets its name when it is
complete, in S3 an object appears when its upload ends.
"""

from __future__ import annotations

import http.client
import io
import json
import os
import platform
import re
import shutil
import ssl
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import parse_qs, urlsplit

import psutil
import pyarrow as pa
import pyarrow.fs as pafs

from posegen.errors import StorageError, first_line

_SCRATCH = re.compile(r"\.(?P<pid>\d+)@(?P<node>.+)\.[0-9a-f]{32}\.")
_WITH_USER = re.compile(r"\b(?:s3|gs|gcs)://[^/\s@]+@[^/\s?@]+")  # and the bucket
_PATIENCE = 5.0  # seconds for an object store's answer
_SCRATCH_AGE = timedelta(days=1)
_WITH_KEYS = ("s3", "gs", "gcs")  # elsewhere an @ may stand for something else
_users: dict[tuple[str, str], str] = {}  # key and secret by scheme and bucket, as addresses gave them
_OBJECT_STORE = "s3"
"""The type of file system in which a move is a copy, and a file appears when it is closed."""


class StorageFolder:
    """A folder anywhere that `pyarrow.fs` reaches: ``data/clips``, ``/mnt/share``, ``s3://bucket/key``.

    An address may end in options as pyarrow knows them, ``s3://bucket/key?region=eu-west-1``; folders inside have them
    too. Key and secret of ``s3://KEY:SECRET@bucket/key`` are kept in memory, for all folders of the bucket: no address
    that is written or printed has them. Cheap to make and to pickle; nothing is created before something is written.
    """

    def __init__(self, uri: str | os.PathLike[str] | StorageFolder):
        text = uri.uri if isinstance(uri, StorageFolder) else os.fspath(uri)
        if "://" in text:
            place, mark, options = text.partition("?")
            scheme, _, rest = place.partition("://")
            host, mark_of_path, inside = rest.partition("/")
            if scheme in _WITH_KEYS and "@" in host:
                user, _, host = host.rpartition("@")
                _users[scheme, host] = user
            text = f"{scheme}://{host}{mark_of_path}{inside}".rstrip("/") + mark + options
        else:
            text = str(expand_home(text).absolute())
        self.uri: str = text

    def __truediv__(self, name: str) -> StorageFolder:
        place, options = self._divide()
        return StorageFolder(f"{place}/{name}{options}")

    def __str__(self) -> str:
        return self.uri

    def __repr__(self) -> str:
        return f"StorageFolder({self.uri!r})"

    def __getstate__(self) -> tuple[str, str]:
        scheme, host, _ = self._parts()
        return self.uri, _users.get((scheme, host), "")

    def __setstate__(self, state: tuple[str, str]) -> None:
        self.uri, user = state
        scheme, host, _ = self._parts()
        if user:
            _users.setdefault((scheme, host), user)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StorageFolder) and other.uri == self.uri

    def __hash__(self) -> int:
        return hash(self.uri)

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self._divide()[0].rsplit("/", 1)[-1]

    def contains(self, uri: str) -> bool:
        """Return whether a path or an address is of something inside, or of the folder itself."""
        if not uri:
            return False
        here, there = self.place, StorageFolder(uri).place
        return there == here or there.startswith(f"{here.rstrip('/')}/")

    @property
    def place(self) -> str:
        """The address without its options, or the path."""
        return self._divide()[0]

    @property
    def is_local(self) -> bool:
        """True if ordinary file functions can open it."""
        return "://" not in self.uri

    def resolve(self, name: str = "") -> tuple[pafs.FileSystem, str]:
        """Return the file system and the path on it, of the folder or of a file inside it."""
        if self.is_local:
            filesystem, path = pafs.LocalFileSystem(), self.uri
        else:
            _, options = self._divide()
            scheme, host, inside = self._parts()
            user = _users.get((scheme, host), "")
            # The path is no part of what is parsed, so that names may have any letters.
            filesystem, root = _connect(f"{scheme}://{user and f'{user}@'}{host}/{options}", os.getpid())
            path = f"{root.rstrip('/')}/{inside}" if inside else root
        return filesystem, f"{path}/{name}" if name else path

    def exists(self, name: str = "") -> bool:
        """Return whether the folder, or a file or folder inside it, is there."""
        filesystem, path = self.resolve(name)
        return filesystem.get_file_info(path).type != pafs.FileType.NotFound

    def files(self, suffix: str = "") -> list[str]:
        """Return the sorted names of the files directly inside, empty if the folder does not exist."""
        return list(self.sizes(suffix))

    def sizes(self, suffix: str = "") -> dict[str, int]:
        """Return the bytes of the files directly inside by their sorted names, empty if the folder does not exist."""
        filesystem, path = self.resolve()
        infos = filesystem.get_file_info(pafs.FileSelector(path, allow_not_found=True))
        found = {info.base_name: info.size for info in infos if info.type == pafs.FileType.File}
        return {name: found[name] for name in sorted(found) if name.endswith(suffix) and not name.startswith(".")}

    def folders(self) -> list[str]:
        """Return the sorted names of the folders directly inside, empty if the folder does not exist."""
        filesystem, path = self.resolve()
        infos = filesystem.get_file_info(pafs.FileSelector(path, allow_not_found=True))
        return sorted(info.base_name for info in infos if info.type == pafs.FileType.Directory)

    def read(self, name: str) -> bytes:
        """Return a file's bytes. Raises FileNotFoundError."""
        filesystem, path = self.resolve(name)
        with filesystem.open_input_file(path) as file:  # whose size is known: an object comes in one request
            return file.read()

    @contextmanager
    def write(self, name: str) -> Iterator[BinaryIO]:
        """Open a file for writing that appears under its name whole, when the block ends without an error."""
        filesystem, path = self.resolve(name)
        if filesystem.type_name == _OBJECT_STORE:
            # Closing a stream ends the upload, also after an error: nothing is sent before all of it is known.
            content = io.BytesIO()
            yield content
            _upload(filesystem, path, content.getbuffer())
            return
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
        filesystem, path = self.resolve(name)
        if filesystem.type_name == _OBJECT_STORE:
            _upload(filesystem, path, content)
            return
        with self.write(name) as stream:
            stream.write(content)

    def read_json(self, name: str) -> Any:
        """Return the content of a JSON file. Raises StorageError where it is none."""
        try:
            return json.loads(self.read(name))
        except (ValueError, RecursionError) as error:
            raise StorageError(f"{self / name} is not JSON: {error}") from None

    def write_json(self, name: str, content: Any) -> None:
        """Write a JSON file for people and machines: indented, keys in the order given."""
        self.write_bytes(name, (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())

    def require_writable(self) -> None:
        """Raise OSError where nothing can be written, before work is done that would be lost."""
        name = scratch_name("probe")
        with leaving_no_empty_folder(self):
            self.write_bytes(name, b"")
            self.delete(name)

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

    def _divide(self) -> tuple[str, str]:
        """The address, or the path, and the options behind it with their question mark."""
        if self.is_local:
            return self.uri, ""
        place, mark, options = self.uri.partition("?")
        return place, mark + options

    def _parts(self) -> tuple[str, str, str]:
        """Scheme and host of an address, which a local folder has none of, and the path."""
        scheme, _, rest = self._divide()[0].rpartition("://")
        host, _, inside = rest.partition("/")
        return (scheme, host, inside) if scheme else ("", "", self.uri)


@cache
def _connect(address: str, process: int) -> tuple[pafs.FileSystem, str]:
    """The file system at an address and its root, once per process.

    A connection takes a while to make and serves many requests. It must not outlive a fork: two processes on one would
    read each other's answers.
    """
    _require_answer(address)
    try:
        return pafs.FileSystem.from_uri(address)
    except pa.ArrowInvalid as error:
        raise StorageError(f"{address} is not an address: {first_line(error)}") from None


def without_user(text: str) -> str:
    """Take key and secret out of the addresses of buckets in a text. This process knows them from now on."""
    return _WITH_USER.sub(lambda match: StorageFolder(match[0]).uri, text)


def _require_answer(address: str) -> None:
    """Raise StorageError where an endpoint of S3 does not answer, which Arrow asks again for minutes.

    AWS itself is not asked.
    """
    options = parse_qs(urlsplit(address).query)
    variable = next((name for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL") if os.environ.get(name)), "")
    given = options.get("endpoint_override", [""])[0]
    endpoint = f"{options.get('scheme', ['https'])[0]}://{given}" if given else os.environ.get(variable, "")
    url = urlsplit(endpoint)
    if not address.startswith(f"{_OBJECT_STORE}://") or not url.hostname:
        return
    kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
    connection = kind(url.hostname, url.port, timeout=_PATIENCE)
    try:
        connection.request("HEAD", "/")
        connection.getresponse()
    except (ssl.SSLError, http.client.HTTPException):
        pass  # it answers, in a way that Arrow has its own settings for
    except OSError as error:
        name = variable if not given else "endpoint_override"
        reason = f"no object store answers at {endpoint}, which {name} names ({first_line(error)})"
        raise StorageError(f"{reason}: see to it, or change {name}") from None
    finally:
        connection.close()


def _upload(filesystem: pafs.FileSystem, path: str, content: bytes | memoryview) -> None:
    with filesystem.open_output_stream(path, compression=None) as stream:
        stream.write(content)


def expand_home(path: str | os.PathLike[str]) -> Path:
    """Read ``~`` and ``~user`` as a shell does: what names nobody's home stays as it is."""
    return Path(os.path.expanduser(path))  # noqa: PTH111, which raises RuntimeError there


def scratch_name(name: str) -> str:
    """Return a name for what will be, or belongs to, the file `name`, and is not to stay.

    It is hidden, of this process alone, and ends as `name` does; `StorageFolder.sweep` finds it.
    """
    return f".{os.getpid()}@{platform.node()}.{uuid.uuid4().hex}.{name}"


def _is_left_over(info: pafs.FileInfo) -> bool:
    owner = _SCRATCH.match(info.base_name)
    if owner is None or info.type != pafs.FileType.File:
        return False
    if owner["node"] == platform.node():
        return not psutil.pid_exists(int(owner["pid"]))
    return info.mtime is not None and datetime.now(UTC) - info.mtime > _SCRATCH_AGE


@contextmanager
def leaving_no_empty_folder(folder: StorageFolder) -> Iterator[None]:
    """Delete what this context made of a local folder and those around it, where nothing is in it at the end."""
    place = Path(folder.uri) if folder.is_local else None
    missing = [one for one in (place, *place.parents) if not one.exists()] if place else []
    try:
        yield
    finally:
        for one in missing:
            with suppress(OSError):  # something is in it
                one.rmdir()


def free_space(place: Path) -> tuple[Path, int]:
    """Return the nearest folder that is there of one that may still be made, and the bytes that are free on its
    disk."""
    disk = next(folder for folder in (place, *place.parents) if folder.is_dir())
    return disk, shutil.disk_usage(disk).free
