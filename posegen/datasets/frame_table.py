"""Parquet files of frames, of which a process has as many open as it may, however many a dataset has."""

from __future__ import annotations

import itertools
import os
import resource
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from posegen.errors import DatasetError, ImageError, first_line
from posegen.io.images import decode_png
from posegen.io.storage import StorageFolder

REMEDY = "prepare or colorize the clip again"
"""Advice for a damaged file."""
_ROW_GROUP = 16  # frames that are read together: small enough for random access, large enough for a stream
_LEAST_PNG = 64  # bytes: no PNG is smaller, and each row has one
_HANDLE_SHARE = 4  # of the files that a process may open, one in so many is a table: forks have their parent's, too
_MOST_HANDLES = 1024
_MOST_BYTES = 256 * 2**20
_TOKENS = itertools.count()
_T = TypeVar("_T")


def write_table(folder: StorageFolder, name: str, table: pa.Table) -> int:
    """Write a table of images, atomically, and return its size in bytes.

    PNG does not compress twice, so Parquet does not try.
    """
    with folder.write(name) as stream:
        pq.write_table(table, stream, compression="none", row_group_size=_ROW_GROUP, use_dictionary=False)
        return stream.tell()


@dataclass
class _Opened:
    """An open file and what was read of it."""

    file: pq.ParquetFile
    groups: dict[str, tuple[int, Sequence[bytes]]] = field(default_factory=dict)
    """Of each column the row group that was read last, since reads come in runs."""
    derived: dict[str, Any] = field(default_factory=dict)
    num_bytes: int = 0


class _OpenedTables:
    """The tables that this process looked into last. Those before them are closed, and forgotten.

    So a dataset may have more clips than a process may open files, and what is known of clips does not fill the memory.
    """

    def __init__(self) -> None:
        self._tables: OrderedDict[int, _Opened] = OrderedDict()  # the one that was used last is last
        self._process = os.getpid()
        self._num_bytes = 0

    def __len__(self) -> int:
        return len(self._tables)

    def find(self, token: int) -> _Opened | None:
        """The open table of a token, which counts as used now."""
        if self._process != os.getpid():  # a loader that was forked must not share a connection
            self._process, self._num_bytes, self._tables = os.getpid(), 0, OrderedDict()
        opened = self._tables.get(token)
        if opened is not None:
            self._tables.move_to_end(token)
        return opened

    def add(self, token: int, opened: _Opened) -> None:
        """Keep a table open, and close those that are too many."""
        self._tables[token] = opened
        while len(self._tables) > 1 and len(self._tables) > _most_handles():
            self._forget_oldest()

    def grow(self, opened: _Opened, num_bytes: int) -> None:
        """Note that an open table has so many more bytes, and close others where these are too many."""
        opened.num_bytes += num_bytes
        self._num_bytes += num_bytes
        while len(self._tables) > 1 and self._num_bytes > _MOST_BYTES:
            self._forget_oldest()

    def forget(self, token: int) -> None:
        """Close a table, if it is open."""
        if self._process == os.getpid() and (opened := self._tables.pop(token, None)):
            self._num_bytes -= opened.num_bytes

    def _forget_oldest(self) -> None:
        # Not closed by force: another thread may be reading, and the last who lets go of a file closes it.
        _, opened = self._tables.popitem(last=False)
        self._num_bytes -= opened.num_bytes


OPENED_TABLES = _OpenedTables()
"""Open tables of this process."""


def _most_handles() -> int:
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return _MOST_HANDLES if limit == resource.RLIM_INFINITY else min(max(limit // _HANDLE_SHARE, 1), _MOST_HANDLES)


class FrameTable:
    """One Parquet file of frames, opened when it is looked into, and again where it was closed meanwhile.

    Raises DatasetError for a file that is damaged or of something else, when it is first looked into.

    Args:
        folder: Where it lies.
        name: Of the file.
        schema: Columns that it must have.
    """

    def __init__(self, folder: StorageFolder, name: str, schema: pa.Schema):
        self.folder, self.name, self.schema = folder, name, schema
        self._token = next(_TOKENS)
        weakref.finalize(self, OPENED_TABLES.forget, self._token).atexit = False

    def __str__(self) -> str:
        return f"{self.folder}/{self.name}"

    @property
    def metadata(self) -> dict[bytes, bytes]:
        """Metadata of the file."""
        return self._file.schema_arrow.metadata or {}

    @property
    def num_rows(self) -> int:
        """Rows of the file."""
        return self._file.metadata.num_rows

    def values(self, column: str) -> list[Any]:
        """Return all values of a column."""
        return self._read(column).to_pylist()

    def numbers(self, column: str) -> np.ndarray:
        """Return all numbers of a column, one after another, of which none may be missing."""
        values = self._read(column).combine_chunks()
        if values.null_count == 0 and pa.types.is_fixed_size_list(values.type):
            values = values.flatten()
        if values.null_count:
            raise DatasetError(f"{self} lacks numbers in {column}; {REMEDY}")
        return values.to_numpy(zero_copy_only=False)

    def remember(self, name: str, make: Callable[[], _T]) -> _T:
        """Return the result of `make`, cached under a name as long as the file is open."""
        opened = self._open()
        if name not in opened.derived:
            opened.derived[name] = made = make()
            OPENED_TABLES.grow(opened, getattr(made, "nbytes", 0))
        return opened.derived[name]

    def picture(self, column: str, row: int, *, size: tuple[int, int] | None, gray: bool = False) -> np.ndarray:
        """Decode a picture, see `posegen.io.images.decode_png`."""
        try:
            return decode_png(self._cell(column, row), gray=gray, size=size)
        except ImageError as error:
            raise DatasetError(f"{self}, row {row}, {column}: {error}; {REMEDY}") from error

    def _cell(self, column: str, row: int) -> bytes:
        opened = self._open()
        group, offset = divmod(row, _ROW_GROUP)
        cached = opened.groups.get(column)
        if cached is None or cached[0] != group:
            before = _num_bytes(cached[1]) if cached else 0
            with self._reading():
                # A few pictures are read sooner by this thread than they are handed to others.
                table = opened.file.read_row_group(group, [column], use_threads=False)
            cached = (group, table[column].to_pylist())
            opened.groups[column] = cached
            OPENED_TABLES.grow(opened, _num_bytes(cached[1]) - before)
        return cached[1][offset]

    def _read(self, column: str) -> pa.ChunkedArray:
        file = self._file
        with self._reading():
            values = file.read([column])[column]
            values.validate(full=True)
        if len(values) != self.num_rows:
            raise DatasetError(f"{self} has {len(values)} rows of {column}, expected {self.num_rows}; {REMEDY}")
        return values

    @property
    def _file(self) -> pq.ParquetFile:
        return self._open().file

    def _open(self) -> _Opened:
        opened = OPENED_TABLES.find(self._token)
        if opened is None:
            with self._reading():
                filesystem, path = self.folder.resolve(self.name)
                stream = filesystem.open_input_file(path)
                opened = _Opened(pq.ParquetFile(stream))
                self._check_schema(opened.file.schema_arrow)
                self._check_rows(opened.file.metadata, stream.size())
            OPENED_TABLES.add(self._token, opened)
        return opened

    def _check_schema(self, found: pa.Schema) -> None:
        for wanted in self.schema:
            index = found.get_field_index(wanted.name)  # -1 where it is missing or there twice
            if index < 0 or found.field(index).type != wanted.type:
                got = "it once" if index < 0 else f"{found.field(index).type}"
                raise DatasetError(f"{self} has not {wanted.name} as {wanted.type} ({got}); {REMEDY}")

    def _check_rows(self, metadata: pq.FileMetaData, num_bytes: int) -> None:
        """Rows are found by counting, and what claims more of them than fit into the file would fill the memory."""
        counts = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
        left = metadata.num_rows - _ROW_GROUP * max(len(counts) - 1, 0)
        regular = counts == [_ROW_GROUP] * (len(counts) - 1) + [left] * bool(counts) and 0 <= left <= _ROW_GROUP
        if not regular or metadata.num_rows * _LEAST_PNG > num_bytes:
            raise DatasetError(f"{self} is not divided into groups of {_ROW_GROUP} rows; {REMEDY}")

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Turn what Arrow says of a broken file into one reason."""
        try:
            yield
        except (pa.ArrowException, OSError, MemoryError) as error:
            raise DatasetError(f"{self} cannot be read: {first_line(error)}; {REMEDY}") from error


def _num_bytes(cells: Sequence[bytes | None]) -> int:
    """Bytes of cells, of which a damaged table may lack some."""
    return sum(len(cell) for cell in cells if cell is not None)
