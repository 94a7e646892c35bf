"""The index of a clip dataset: one small file that says what all clips are, so that opening it opens no clip.

``index.parquet`` has a row a clip. It is written when a dataset is built, and is no more than a copy of what the clips
say: a row counts only for a clip whose file has the size that the row says, and clips without such a row are opened.
So an index that is missing, damaged or older than the clips costs time and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from posegen.datasets.clip_files import INDEX_FILE, ClipEntry, ClipFile, ClipInfo, encode_usable
from posegen.io.records import MAX_PIXELS, parse_json
from posegen.io.storage import StorageFolder

INDEX_SCHEMA = pa.schema(
    [
        ("clip_id", pa.string()),
        ("person", pa.string()),
        ("action", pa.string()),
        ("fps", pa.float64()),
        ("source", pa.string()),
        ("source_sha256", pa.string()),
        ("num_frames", pa.int32()),
        ("num_usable", pa.int32()),
        ("usable", pa.binary()),
        ("height", pa.int32()),
        ("width", pa.int32()),
        ("num_bytes", pa.int64()),
    ]
)
_LEAST_ROW = 56  # bytes: the lengths of six texts, two numbers of eight bytes, four of four


def load_index(folder: StorageFolder) -> dict[str, ClipEntry]:
    """Read the rows of the index by clip id, whether they hold or not; none without an index that can be read."""
    table = read_index_table(folder, INDEX_FILE, INDEX_SCHEMA, _LEAST_ROW)
    if table is None or not _is_plausible(table):
        return {}
    return {entry.info.clip_id: entry for entry in map(_entry_of_row, table.to_pylist())}


def match_entries(folder: StorageFolder, known: Mapping[str, ClipEntry]) -> dict[str, ClipEntry | int]:
    """Pair every clip that is there, by id in order, with its entry.

    Args:
        folder: The dataset.
        known: Entries by id, of the index or from elsewhere.

    Returns:
        The entry of a clip by its id; where none has the size of the clip's file, that size in bytes.
    """
    clips: dict[str, ClipEntry | int] = {}
    for name, num_bytes in (folder / "clips").sizes(".parquet").items():
        clip_id = name.removesuffix(".parquet")
        entry = known.get(clip_id)
        clips[clip_id] = entry if entry and entry.num_bytes == num_bytes else num_bytes
    return clips


def complete_entries(folder: StorageFolder, known: Mapping[str, ClipEntry]) -> dict[str, ClipEntry]:
    """Return the entries of all clips that are there, by id in order; clips without one that holds are opened.

    Raises DatasetError where one of those is damaged.
    """
    return {
        clip_id: _entry_of_file(ClipFile(folder, clip_id), entry) if isinstance(entry, int) else entry
        for clip_id, entry in match_entries(folder, known).items()
    }


def save_index(folder: StorageFolder, entries: Iterable[ClipEntry]) -> None:
    """Write the index, atomically: equal for equal clips."""
    rows = []
    for entry in sorted(entries, key=lambda entry: entry.info.clip_id):
        height, width = entry.info.size
        usable = {"num_usable": entry.num_usable, "usable": bytes.fromhex(entry.usable)}
        rows.append({**vars(entry.info), **usable, "height": height, "width": width, "num_bytes": entry.num_bytes})
    write_index_table(folder, INDEX_FILE, pa.Table.from_pylist(rows, INDEX_SCHEMA))


def write_index_table(folder: StorageFolder, name: str, table: pa.Table) -> None:
    """Write a table for `read_index_table`, atomically."""
    with folder.write(name) as stream:
        # Neither compressed nor in dictionaries, so that the size of the file limits what it can claim to hold.
        pq.write_table(table, stream, compression="none", use_dictionary=False)


def read_index_table(folder: StorageFolder, name: str, schema: pa.Schema, least_row: int) -> pa.Table | None:
    """Read a table of which nothing is missing; None where it is not there, damaged or of something else.

    Args:
        folder: Where it lies.
        name: The file.
        schema: Its columns.
        least_row: Bytes that a row takes at least.
    """
    if not folder.exists(name):
        return None
    try:
        content = folder.read(name)
        file = pq.ParquetFile(pa.BufferReader(content))
        if file.metadata.num_rows * least_row > len(content) or file.schema_arrow.remove_metadata() != schema:
            return None
        table = file.read()
        table.validate(full=True)
    except (pa.ArrowException, OSError, MemoryError):
        return None
    return None if any(column.null_count for column in table.columns) else table


def encode_entries(entries: Iterable[ClipEntry]) -> str:
    """Put entries into one text, as a worker hands them over."""
    return json.dumps([asdict(entry) for entry in entries])


def decode_entries(text: str) -> list[ClipEntry]:
    """Return the inverse of `encode_entries`."""
    return parse_json(list[ClipEntry], text, "a worker's result")


def _is_plausible(table: pa.Table) -> bool:
    fps, frames, usable, height, width = (
        table[name].to_numpy().astype(np.float64) for name in ("fps", "num_frames", "num_usable", "height", "width")
    )
    positive = all((numbers > 0).all() for numbers in (fps, frames, height, width))
    bits = np.array(pc.binary_length(table["usable"]))
    return positive and bool(
        np.isfinite(fps).all()
        and ((usable >= 0) & (usable <= frames) & (bits == np.ceil(frames / 8))).all()
        and (height * width <= MAX_PIXELS).all()
    )


def _entry_of_row(row: dict[str, Any]) -> ClipEntry:
    size = row.pop("height"), row.pop("width")
    usable, num_bytes = row.pop("usable").hex(), row.pop("num_bytes")
    del row["num_usable"]  # for people, and programs that count
    return ClipEntry(info=ClipInfo(**row, size=size), usable=usable, num_bytes=num_bytes)


def _entry_of_file(clip: ClipFile, num_bytes: int) -> ClipEntry:
    return ClipEntry(info=clip.info, usable=encode_usable(clip.keypoints), num_bytes=num_bytes)
