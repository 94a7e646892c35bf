"""The index of a clip dataset: it says what the clips say, and where it does not, it is passed over."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from posegen.datasets.clip_files import ClipFile, write_clip
from posegen.datasets.clip_index import (
    INDEX_SCHEMA,
    complete_entries,
    decode_entries,
    encode_entries,
    load_index,
    save_index,
)
from posegen.datasets.clips import ClipDataset, DatasetInfo, save_dataset_info
from posegen.errors import DatasetError
from posegen.features.parts import TORSO_JOINTS, is_usable
from posegen.io.storage import StorageFolder
from tests.posegen.datasets.test_clips import make_clip
from tests.support.old_datasets import make_old


@pytest.fixture
def folder(tmp_path: Path) -> StorageFolder:
    """A dataset of three clips, of which two show a torso in some frames alone, with an index."""
    folder = StorageFolder(tmp_path / "data")
    entries = []
    for person, action, hidden in (("ann", "wave", 0), ("bob", "wave", 7), ("ann", "bow", 20)):
        clip = make_clip(person, action)
        clip.keypoints[:hidden, TORSO_JOINTS[0]] = 0
        entries.append(write_clip(folder, clip))
    save_index(folder, entries)
    splits = {"train": ["wave"], "test": ["bow"]}
    save_dataset_info(folder, DatasetInfo((32, 24), {}, {}, split_by="action", splits=splits))
    return folder


@pytest.fixture
def unopened(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail when a clip is opened."""

    def refuse(clip: ClipFile) -> None:
        raise AssertionError(f"{clip.clip_id} was opened")

    monkeypatch.setattr(ClipFile, "_table", property(refuse))


def path_of(folder: StorageFolder) -> Path:
    return Path(folder.uri) / "index.parquet"


def test_entries_are_what_the_clips_say(folder):
    entries = load_index(folder)
    assert sorted(entry.num_usable for entry in entries.values()) == [0, 13, 20]
    (folder / "clips").sizes()
    for clip_id, entry in entries.items():
        clip = ClipFile(folder, clip_id)
        assert entry.info == clip.info and entry.num_usable == is_usable(clip.keypoints).sum()
        assert entry.num_bytes == (folder / "clips").sizes()[f"{clip_id}.parquet"]
        np.testing.assert_array_equal(entry.usable_frames(), is_usable(clip.keypoints))
    assert decode_entries(encode_entries(entries.values())) == list(entries.values())


def test_a_dataset_with_an_index_opens_no_clip(folder, unopened):
    dataset = ClipDataset(folder)
    assert {clip.info.action for clip in dataset.split("train")} == {"wave"} and dataset.has("test")
    assert dataset.find("ann/bow").info.num_frames == 20
    assert sorted(len(clip.usable_rows) for clip in dataset.clips) == [0, 13, 20]
    assert len(dataset.fingerprint) == 16
    with pytest.raises(AssertionError, match="was opened"):
        dataset.clips[0].image(0)


def test_the_same_index_from_the_clips_alone(folder):
    before = path_of(folder).read_bytes()
    folder.delete("index.parquet")
    assert load_index(folder) == {}
    dataset = ClipDataset(folder)
    assert len(dataset.clips) == 3 and len(dataset.split("train")) == 2
    save_index(folder, complete_entries(folder, {}).values())
    assert path_of(folder).read_bytes() == before


def test_clips_that_changed_since_are_opened(folder):
    clip = ClipDataset(folder).find("bob/wave")
    write_clip(folder, make_clip("bob", "wave", num_frames=9))
    added = write_clip(folder, make_clip("eve", "wave", num_frames=5))
    folder.delete(f"clips/{ClipDataset(folder).find('ann/bow').clip_id}.parquet")
    dataset = ClipDataset(folder)
    assert dataset.find(clip.clip_id).info.num_frames == 9 == len(dataset.find(clip.clip_id).read())
    assert {found.info.person for found in dataset.clips} == {"ann", "bob", "eve"}
    entries = complete_entries(folder, load_index(folder))
    assert entries[added.info.clip_id] == added and len(entries) == 3


def test_where_the_video_is_now_is_in_the_index_alone(folder):
    entries = load_index(folder)
    moved = {i: replace(entry, info=replace(entry.info, source="/elsewhere.mp4")) for i, entry in entries.items()}
    before = (folder / "clips").sizes()
    save_index(folder, moved.values())
    assert {clip.info.source for clip in ClipDataset(folder).clips} == {"/elsewhere.mp4"}
    assert (folder / "clips").sizes() == before


def changed(name: str, value: object):
    def change(table: pa.Table) -> pa.Table:
        index = table.schema.get_field_index(name)
        return table.set_column(index, name, pa.array([value] * len(table), table.schema.field(name).type))

    return change


@pytest.mark.parametrize(
    "change",
    [
        lambda table: table.drop_columns(["fps"]),
        lambda table: table.rename_columns(["id", *table.column_names[1:]]),
        changed("fps", 0.0),
        changed("fps", float("nan")),
        changed("num_frames", -1),
        changed("num_usable", 21),
        changed("usable", b"\xff"),
        changed("height", 2**30),
        changed("source", None),
        lambda table: table.take([0] * 100_000),
    ],
)
def test_an_index_of_something_else_is_passed_over(folder, change):
    """Were it used, something would be wrong with the clips; the last one would fill the memory, were it larger."""
    table = change(pq.read_table(path_of(folder)))
    pq.write_table(table, path_of(folder), compression="zstd")
    assert load_index(folder) == {}
    assert [clip.info.num_frames for clip in ClipDataset(folder).clips] == [20, 20, 20]


@pytest.mark.parametrize("content", [b"", b"PAR1", b"no table at all"])
def test_a_damaged_index_is_passed_over(folder, content):
    path_of(folder).write_bytes(content)
    assert load_index(folder) == {} and len(ClipDataset(folder).split("train")) == 2


def test_an_index_that_lies_is_found_out_when_frames_are_read(folder):
    entries = load_index(folder)
    lies = [replace(entry, info=replace(entry.info, num_frames=19), usable="000000") for entry in entries.values()]
    save_index(folder, lies)
    with pytest.raises(DatasetError, match=r"has 20 frames, but 19 in .*index.parquet; delete the index"):
        ClipDataset(folder).clips[0].read()


def test_an_index_has_the_documented_columns(folder):
    assert pq.read_schema(path_of(folder)) == INDEX_SCHEMA
    assert pq.read_table(path_of(folder))["clip_id"].to_pylist() == sorted(load_index(folder))


# ---- Datasets that version 0.1 made


def test_an_old_dataset_has_the_same_splits(folder):
    before = ClipDataset(folder)
    ids = {split: [clip.clip_id for clip in before.split(split)] for split in ("train", "test")}
    fingerprint, info = before.fingerprint, before.clips[0].info
    make_old(folder, {"wave": "train", "bow": "test"})
    old = ClipDataset(folder)
    assert {split: [clip.clip_id for clip in old.split(split)] for split in ("train", "test")} == ids
    assert old.fingerprint == fingerprint and old.clips[0].info == info  # so that runs go on with it
    np.testing.assert_array_equal(old.find("ann/wave").read().images, make_clip().images)


def test_what_dataset_json_says_of_a_split_counts(folder):
    make_old(folder, {"wave": "test", "bow": "train"})
    dataset = ClipDataset(folder)
    assert {clip.info.action for clip in dataset.split("train")} == {"wave"}


def test_old_clips_that_dataset_json_does_not_name_are_where_their_files_say(folder):
    """The preparation that made them was stopped before it wrote dataset.json again."""
    make_old(folder, {"wave": "train", "bow": "test"})
    folder.write_json("dataset.json", {**folder.read_json("dataset.json"), "splits": {"train": ["wave"], "test": []}})
    dataset = ClipDataset(folder)
    assert [clip.info.action for clip in dataset.split("test")] == ["bow"]


def test_new_clips_that_dataset_json_does_not_name_are_in_no_split(folder):
    write_clip(folder, make_clip("eve", "jump"))
    dataset = ClipDataset(folder)
    assert len(dataset.clips) == 4 and dataset.split_of(dataset.find("eve/jump")) is None
    assert len(dataset.split("train")) + len(dataset.split("test")) == 3


def test_a_dataset_of_a_later_version_is_refused_in_a_line(folder):
    make_old(folder, {"wave": "train", "bow": "test"}, schema_version=3)
    with pytest.raises(DatasetError, match="has schema version 3, expected at most 2: prepare it again"):
        ClipDataset(folder)
