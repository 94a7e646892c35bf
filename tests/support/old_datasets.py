"""Datasets of clips as version 0.1 wrote them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from posegen.datasets.clip_files import METADATA_KEY
from posegen.io.storage import StorageFolder


def make_old(folder: StorageFolder, sides: Mapping[str, str], schema_version: int = 1) -> None:
    """Turn a dataset into an old one: no index, no page, and each clip's split, by its action, in its file."""
    for name in ("index.parquet", "preview.html", "videos.parquet"):
        if folder.exists(name):
            folder.delete(name)
    shutil.rmtree(Path(folder.uri) / "preview", ignore_errors=True)
    for name in (folder / "clips").files():
        path = Path(folder.uri) / "clips" / name
        table = pq.read_table(path)
        facts = json.loads(table.schema.metadata[METADATA_KEY])
        old = {**facts, "split": sides[facts["action"]]}
        table = table.replace_schema_metadata({METADATA_KEY: json.dumps(old).encode()})
        pq.write_table(table, path, compression="none", row_group_size=16, use_dictionary=False)
    folder.write_json("dataset.json", {**folder.read_json("dataset.json"), "schema_version": schema_version})
    if folder.exists("rejected.json"):
        rows = [{"key": "", **row} for row in folder.read_json("rejected.json")]
        schema = pa.schema([("source", pa.string()), ("reason", pa.string()), ("key", pa.string())])
        pq.write_table(pa.Table.from_pylist(rows, schema), Path(folder.uri) / "rejected.parquet")
        folder.delete("rejected.json")
