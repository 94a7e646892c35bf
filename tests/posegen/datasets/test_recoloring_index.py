"""The index of recoloured frames: it says what the files say, and where it does not, it is passed over."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from posegen.datasets.clip_files import METADATA_KEY, RECOLORING_SCHEMA, RecoloringEntry, RecoloringFile, RecoloringRows
from posegen.datasets.clips import ClipDataset, DatasetInfo, save_dataset_info
from posegen.datasets.frame_table import write_table
from posegen.datasets.recoloring_index import (
    RECOLORING_INDEX_SCHEMA,
    load_recoloring_entries,
    load_recolorings,
    save_recoloring_entries,
)
from posegen.errors import DatasetError
from posegen.io.images import encode_png
from posegen.io.storage import StorageFolder

KIND = "frame-both"


def write_recolorings(folder: StorageFolder, clip_id: str, num_recolorings: int, num_frames: int = 2) -> int:
    picture = encode_png(np.zeros((8, 8, 3), np.uint8))
    rows = [
        {"frame": frame, "variant": k, "image": picture, "upper_ab": None, "lower_ab": [1.0, 2.0], "seed": 0}
        for k in range(num_recolorings)
        for frame in range(num_frames)
    ]
    table = pa.Table.from_pylist(rows, RECOLORING_SCHEMA).replace_schema_metadata({METADATA_KEY: b"how"})
    return write_table(folder / "colors" / KIND, f"{clip_id}.parquet", table)


@pytest.fixture
def folder(tmp_path: Path) -> StorageFolder:
    """Recolorings of two clips, with an index."""
    folder = StorageFolder(tmp_path / "data")
    sizes = {clip_id: write_recolorings(folder, clip_id, count) for clip_id, count in (("a", 3), ("b", 4))}
    entries = [
        RecoloringEntry(clip_id=clip_id, num_recolorings=count, record=b"how", num_bytes=sizes[clip_id])
        for clip_id, count in (("b", 4), ("a", 3))
    ]
    save_recoloring_entries(folder, KIND, entries)
    save_dataset_info(folder, DatasetInfo((8, 8), {}, {}, split_by="action", splits={"train": [], "test": []}))
    return folder


@pytest.fixture
def unopened(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail when a file is opened."""

    def refuse(file: RecoloringFile) -> None:
        raise AssertionError(f"{file.clip_id} was opened")

    monkeypatch.setattr(RecoloringFile, "_table", property(refuse))


def path_of(folder: StorageFolder) -> Path:
    return Path(folder.uri) / "colors" / f"{KIND}.parquet"


def test_files_that_are_in_the_index_are_not_opened(folder, unopened):
    files = load_recolorings(folder, KIND)
    assert {clip_id: (file.num_recolorings, file.record) for clip_id, file in files.items()} == {
        "a": (3, b"how"),
        "b": (4, b"how"),
    }
    assert len(ClipDataset(folder).colors_fingerprint) == 16


def test_the_index_changes_no_fingerprint(folder):
    before = ClipDataset(folder).colors_fingerprint
    path_of(folder).unlink()
    assert ClipDataset(folder).colors_fingerprint == before
    assert {clip_id: file.num_recolorings for clip_id, file in load_recolorings(folder, KIND).items()} == {
        "a": 3,
        "b": 4,
    }


def test_files_that_changed_since_are_opened(folder):
    write_recolorings(folder, "a", 5)
    write_recolorings(folder, "c", 2)
    (folder / "colors" / KIND).delete("b.parquet")
    files = load_recolorings(folder, KIND)
    assert {clip_id: file.num_recolorings for clip_id, file in files.items()} == {"a": 5, "c": 2}


def test_an_index_that_lies_is_found_out_when_frames_are_read(folder):
    lies = [replace(entry, num_recolorings=2) for entry in load_recoloring_entries(folder, KIND).values()]
    save_recoloring_entries(folder, KIND, lies)
    with pytest.raises(DatasetError, match=r"3 recolorings of each frame, but 2 in the index; delete .*both.parquet"):
        load_recolorings(folder, KIND)["a"].image(0, 0)


@pytest.mark.parametrize(
    "change",
    [
        lambda table: table.drop_columns(["record"]),
        lambda table: table.set_column(1, "num_recolorings", pa.array([0] * len(table), pa.int32())),
        lambda table: table.set_column(0, "clip_id", pa.array([None] * len(table), pa.string())),
    ],
)
def test_an_index_of_something_else_is_passed_over(folder, change):
    pq.write_table(change(pq.read_table(path_of(folder))), path_of(folder))
    assert load_recoloring_entries(folder, KIND) == {} and len(load_recolorings(folder, KIND)) == 2


def test_an_index_has_the_documented_columns(folder):
    assert pq.read_schema(path_of(folder)) == RECOLORING_INDEX_SCHEMA
    assert pq.read_table(path_of(folder))["clip_id"].to_pylist() == ["a", "b"]


def test_rows_are_found_by_frame_and_recoloring():
    frames, recolorings = np.array([5, 5, 2, 2]), np.array([1, 0, 0, 1])
    rows = RecoloringRows("file", frames, recolorings)
    assert dict(rows) == {(2, 0): 2, (2, 1): 3, (5, 0): 1, (5, 1): 0} and rows.num_recolorings == 2
    for key in ((3, 0), (6, 0), (2, 2), (2, -1)):
        with pytest.raises(DatasetError, match=rf"file has no recoloring {key[1]} of frame {key[0]}"):
            rows[key]


@pytest.mark.parametrize(
    ("frames", "recolorings"),
    [([], []), ([0, 0, 1], [0, 1, 0]), ([0, 0], [0, 0]), ([0, 1], [0, 1]), ([0, 0], [0, 2]), ([0, 0], [0, -1])],
)
def test_recolorings_that_lack_something_are_refused(frames, recolorings):
    with pytest.raises(DatasetError, match="file lacks recolorings of its frames, or has some twice"):
        RecoloringRows("file", np.array(frames, int), np.array(recolorings, int))
