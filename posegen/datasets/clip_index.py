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
import pyarrow.parquet as pq

from posegen.datasets.clip_files import INDEX_FILE, ClipEntry, ClipFile, ClipInfo
from posegen.features.parts import is_usable
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
        ("height", pa.int32()),
        ("width", pa.int32()),
        ("num_bytes", pa.int64()),
    ]
)
_LEAST_ROW = 52  # bytes: the lengths of five texts, two numbers of eight bytes, four of four


def load_index(folder: StorageFolder) -> dict[str, ClipEntry]:
    """Read the rows of the index by clip id, whether they hold or not; none without an index that can be read."""
    if not folder.exists(INDEX_FILE):
        return {}
    table = _read_table(folder)
    entries = [] if table is None else map(_entry_of_row, table.to_pylist())
    return {entry.info.clip_id: entry for entry in entries}


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
        facts = {"height": height, "width": width, "num_usable": entry.num_usable, "num_bytes": entry.num_bytes}
        rows.append({**vars(entry.info), **facts})
    table = pa.Table.from_pylist(rows, INDEX_SCHEMA)
    with folder.write(INDEX_FILE) as stream:
        # Neither compressed nor in dictionaries, so that the size of the file limits what it can claim to hold.
        pq.write_table(table, stream, compression="none", use_dictionary=False)


def encode_entries(entries: Iterable[ClipEntry]) -> str:
    """Put entries into one text, as a worker hands them over."""
    return json.dumps([asdict(entry) for entry in entries])


def decode_entries(text: str) -> list[ClipEntry]:
    """The inverse of `encode_entries`."""
    return parse_json(list[ClipEntry], text, "a worker's result")


def _read_table(folder: StorageFolder) -> pa.Table | None:
    """The rows of the index, None where it is damaged or of something else."""
    try:
        content = folder.read(INDEX_FILE)
        file = pq.ParquetFile(pa.BufferReader(content))
        if file.metadata.num_rows * _LEAST_ROW > len(content) or file.schema_arrow.remove_metadata() != INDEX_SCHEMA:
            return None
        table = file.read()
        table.validate(full=True)
    except (pa.ArrowException, OSError, MemoryError):
        return None
    return table if _is_plausible(table) else None


def _is_plausible(table: pa.Table) -> bool:
    if any(column.null_count for column in table.columns):
        return False
    fps, frames, usable, height, width = (
        table[name].to_numpy().astype(np.float64) for name in ("fps", "num_frames", "num_usable", "height", "width")
    )
    positive = all((numbers > 0).all() for numbers in (fps, frames, height, width))
    return positive and bool(
        np.isfinite(fps).all() and ((usable >= 0) & (usable <= frames)).all() and (height * width <= MAX_PIXELS).all()
    )


def _entry_of_row(row: dict[str, Any]) -> ClipEntry:
    size = row.pop("height"), row.pop("width")
    num_usable, num_bytes = row.pop("num_usable"), row.pop("num_bytes")
    return ClipEntry(info=ClipInfo(**row, size=size), num_usable=num_usable, num_bytes=num_bytes)


def _entry_of_file(clip: ClipFile, num_bytes: int) -> ClipEntry:
    return ClipEntry(info=clip.info, num_usable=int(is_usable(clip.keypoints).sum()), num_bytes=num_bytes)
