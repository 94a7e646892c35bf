"""The indexes of a dataset's recoloured frames, ``colors/SCOPE-REGION.parquet``: a row a clip, as for the clips.

As in `posegen.datasets.clip_index`, a row counts only for a file of the size that it says, and the others are opened.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyarrow as pa

from posegen.datasets.clip_files import RecoloringEntry, RecoloringFile
from posegen.datasets.clip_index import read_index_table, write_index_table
from posegen.io.storage import StorageFolder

RECOLORING_INDEX_SCHEMA = pa.schema(
    [("clip_id", pa.string()), ("num_recolorings", pa.int32()), ("record", pa.binary()), ("num_bytes", pa.int64())]
)
_LEAST_ROW = 20  # bytes: the lengths of two texts, a number of eight bytes, one of four


def load_recolorings(
    dataset: StorageFolder, kind: str, size: tuple[int, int] | None = None
) -> dict[str, RecoloringFile]:
    """Return the files of recoloured frames of one kind by their clips' ids, in order. None is opened.

    Args:
        dataset: Folder of the dataset.
        kind: Name of the folder inside ``colors/``.
        size: Height and width of the frames, where pictures are looked at.
    """
    known = load_recoloring_entries(dataset, kind)
    files = {}
    for name, num_bytes in (dataset / "colors" / kind).sizes(".parquet").items():
        clip_id = name.removesuffix(".parquet")
        entry = known.get(clip_id)
        holds = entry is not None and entry.num_bytes == num_bytes
        files[clip_id] = RecoloringFile(dataset, kind, clip_id, size, entry if holds else None)
    return files


def load_recoloring_entries(dataset: StorageFolder, kind: str) -> dict[str, RecoloringEntry]:
    """Read the rows of an index by clip id, whether they hold or not; none without an index that can be read."""
    table = read_index_table(dataset / "colors", f"{kind}.parquet", RECOLORING_INDEX_SCHEMA, _LEAST_ROW)
    if table is None or not (np.array(table["num_recolorings"]) > 0).all():
        return {}
    return {row["clip_id"]: RecoloringEntry(**row) for row in table.to_pylist()}


def save_recoloring_entries(dataset: StorageFolder, kind: str, entries: Iterable[RecoloringEntry]) -> None:
    """Write an index, atomically: equal for equal files."""
    rows = [vars(entry) for entry in sorted(entries, key=lambda entry: entry.clip_id)]
    table = pa.Table.from_pylist(rows, RECOLORING_INDEX_SCHEMA)
    write_index_table(dataset / "colors", f"{kind}.parquet", table)
