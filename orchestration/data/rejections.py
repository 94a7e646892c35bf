"""Rejections: what a dataset leaves out, and why, in ``rejected.json``, for datasets of every kind."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from posegen.errors import DatasetError, first_line
from posegen.io.records import parse_json
from posegen.io.storage import StorageFolder

REJECTED = "rejected.json"
"""The file, in a dataset's folder."""

REJECTED_BEFORE = "rejected.parquet"
"""File of rejections in clip datasets of version 0.1."""

_COLUMNS = ["source", "reason", "key"]


@dataclass(frozen=True)
class Rejection:
    """A source that was left out."""

    source: str
    """Path of the file, or the name of what is in it."""
    reason: str
    key: str = ""
    """Names the content and the settings that were refused; empty where the file was not looked into."""


def load_rejections(folder: StorageFolder) -> list[Rejection]:
    """Read the list, empty without one. Raises DatasetError for a damaged one."""
    if folder.exists(REJECTED):
        try:
            return parse_json(list[Rejection], folder.read(REJECTED), f"{folder}/{REJECTED}", DatasetError)
        except DatasetError as error:
            raise DatasetError(f"{error}; delete it") from None
    return _load_from_parquet(folder) if folder.exists(REJECTED_BEFORE) else []


def save_rejections(folder: StorageFolder, rejections: Iterable[Rejection]) -> None:
    """Write the list, sorted by source, in the place of what version 0.1 wrote; without any there is none."""
    rows = [asdict(one) for one in sorted(rejections, key=lambda one: one.source)]
    if rows:
        folder.write_json(REJECTED, [{key: text for key, text in row.items() if text or key != "key"} for row in rows])
    for name in (REJECTED_BEFORE, *([] if rows else [REJECTED])):
        if folder.exists(name):
            folder.delete(name)


def first_of(rejections: Sequence[Rejection], most: int = 3) -> str:
    """Return the first of what was left out, for one line."""
    shown = "; ".join(f"{one.source}: {one.reason}" for one in rejections[:most])
    return f"{shown}; …" if len(rejections) > most else shown


def _load_from_parquet(folder: StorageFolder) -> list[Rejection]:
    place = f"{folder}/{REJECTED_BEFORE}"
    try:
        table = pq.read_table(pa.BufferReader(folder.read(REJECTED_BEFORE)))
    except (pa.ArrowException, OSError) as error:
        raise DatasetError(f"{place} cannot be read: {first_line(error)}; delete it") from error
    rows = table.to_pylist()
    if table.schema.names != _COLUMNS or any(None in row.values() for row in rows):
        raise DatasetError(f"{place} was not written by posegen; delete it")
    return [Rejection(**{name: str(value) for name, value in row.items()}) for row in rows]
