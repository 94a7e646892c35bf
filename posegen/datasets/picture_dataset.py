"""Common parts of datasets of single pictures or pairs: a manifest of entries, and a file of one row for each."""

from __future__ import annotations

import hashlib
import json
import re
from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import asdict
from functools import cached_property
from typing import Any, Generic, Protocol, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from posegen.datasets.dataset import Dataset, Split
from posegen.errors import DatasetError, first_line
from posegen.io.records import check_size
from posegen.io.storage import StorageFolder


class PictureEntry(Protocol):
    """Entry of a file in a manifest, as a dataclass."""

    @property
    def file_id(self) -> str:
        """Name of the file, without its suffix."""

    @property
    def split(self) -> Split: ...

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""


_Entry = TypeVar("_Entry", bound=PictureEntry)


class PictureDataset(Dataset, Generic[_Entry]):
    """A folder with an entry a file, opened for reading."""

    @property
    @abstractmethod
    def entries(self) -> list[_Entry]:
        """All that the manifest lists, in its order."""

    @cached_property
    def fingerprint(self) -> str:
        content = [json.dumps(asdict(entry), sort_keys=True) for entry in self.entries]  # type: ignore[call-overload]
        return hashlib.sha256("\n".join(content).encode()).hexdigest()[:16]

    @property
    def frame_size(self) -> None:
        return None

    def has(self, split: Split) -> bool:
        return any(entry.split == split for entry in self.entries)

    def split(self, split: Split) -> list[_Entry]:
        """Return the entries of one split. Raises DatasetError if there are none."""
        entries = [entry for entry in self.entries if entry.split == split]
        if not entries:
            raise DatasetError(f"{self.folder} has nothing in the split {split!r}")
        return entries


def check_entries(entries: Iterable[PictureEntry], place: str) -> None:
    """Raise DatasetError for entries of a manifest that name no file or no size of a picture."""
    for entry in entries:
        check_size(entry.size, place, DatasetError)
        if not re.fullmatch(r"[\w-][\w.-]*", entry.file_id):
            raise DatasetError(f"{place} has an entry {entry.file_id!r}, which is no name of a file")


def read_row(folder: StorageFolder, name: str, schema: pa.Schema, remedy: str) -> dict[str, Any]:
    """Read a Parquet file of one row. Raises DatasetError, with the remedy, where it is missing, damaged or another."""
    place = f"{folder}/{name}"
    try:
        table = pq.read_table(pa.BufferReader(folder.read(name)))
    except (pa.ArrowException, OSError) as error:
        raise DatasetError(f"{place} cannot be read: {first_line(error)}; {remedy}") from error
    if table.schema != schema or table.num_rows != 1:
        raise DatasetError(f"{place} has other columns or rows than expected; {remedy}")
    return dict(table.to_pylist()[0])
