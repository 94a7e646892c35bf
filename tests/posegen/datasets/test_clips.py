"""The clip dataset: what is written comes back, whole or not at all."""

from __future__ import annotations

import pickle

import numpy as np
import pyarrow.parquet as pq
import pytest

from posegen.datasets.clip_files import Clip, ClipInfo, write_clip
from posegen.datasets.clips import ClipDataset, DatasetInfo, derive_clip_id, save_dataset_info
from posegen.datasets.dataset import assign_splits, find_labelled
from posegen.errors import DatasetError
from posegen.io.images import decode_png, encode_png
from posegen.io.storage import StorageFolder


def make_clip(person: str = "ann", action: str = "wave", num_frames: int = 20) -> Clip:
    rng = np.random.default_rng(0)
    return Clip(
        info=ClipInfo(
            clip_id=derive_clip_id(person, action, "ab" * 32, {"size": [32, 24]}),
            person=person,
            action=action,
            fps=25.0,
            source=f"/videos/{person}/{action}.mp4",
            source_sha256="ab" * 32,
            num_frames=num_frames,
            size=(32, 24),
        ),
        frames=np.arange(num_frames, dtype=np.int32),
        times=np.arange(num_frames) / 25.0,
        images=rng.integers(0, 256, (num_frames, 32, 24, 3), dtype=np.uint8),
        keypoints=rng.random((num_frames, 18, 3), dtype=np.float32),
        edges=rng.integers(0, 256, (num_frames, 32, 24), dtype=np.uint8),
        masks=rng.choice(np.array([0, 255], np.uint8), (num_frames, 32, 24)),
    )


@pytest.fixture
def dataset(tmp_path) -> ClipDataset:
    folder = StorageFolder(tmp_path / "data")
    for person, action in [("ann", "wave"), ("bob", "wave"), ("ann", "bow")]:
        write_clip(folder, make_clip(person, action))
    splits = {"train": ["wave"], "test": ["bow"]}
    save_dataset_info(folder, DatasetInfo((32, 24), {}, {}, split_by="action", splits=splits))
    return ClipDataset(folder)


def test_clip_comes_back_bit_by_bit(dataset):
    written, read = make_clip(), dataset.find("ann/wave").read()
    assert read.info == written.info
    for name in ("frames", "times", "images", "keypoints", "edges", "masks"):
        np.testing.assert_array_equal(getattr(read, name), getattr(written, name), err_msg=name)


def test_single_frames_equal_the_whole(dataset):
    clip, whole = dataset.find("ann/wave"), make_clip()
    for row in (0, 15, 16, 19, 3):  # across row groups and back
        np.testing.assert_array_equal(clip.image(row), whole.images[row])
        np.testing.assert_array_equal(clip.mask(row), whole.masks[row])


def test_file_is_plain_parquet_with_the_documented_columns(dataset):
    table = pq.read_table(
        next((dataset.folder / "clips").resolve()[1] + "/" + n for n in (dataset.folder / "clips").files())
    )
    assert table.column_names == ["frame", "time", "image", "keypoints", "edges", "mask"]
    assert table.schema.field("keypoints").type.list_size == 54


def test_clip_file_survives_pickling(dataset):
    clip = dataset.find("bob/wave")
    clip.image(0)
    again = pickle.loads(pickle.dumps(clip))
    np.testing.assert_array_equal(again.image(1), clip.image(1))


def test_splits_and_finding(dataset):
    assert {clip.info.action for clip in dataset.split("train")} == {"wave"}
    assert dataset.find("ann-bow").info.action == "bow"
    with pytest.raises(DatasetError, match="several clips 'ann'"):
        dataset.find("ann")
    with pytest.raises(DatasetError, match="no clip 'eve'"):
        dataset.find("eve")


def test_clips_of_one_action_are_numbered(tmp_path):
    labels = ["P07/jump", "P07/run", "P07/jump", "P07/jump"]
    folder = StorageFolder(tmp_path)
    assert [find_labelled(name, labels, folder) for name in ("P07/run", "P07/run/1", "P07/jump/3", "P08/run")] == [
        *([1], [1], [3], [])
    ]
    with pytest.raises(DatasetError, match=r"3 times 'P07/jump' in .*: choose one of P07/jump/1 to P07/jump/3$"):
        find_labelled("P07/jump", labels, folder)
    with pytest.raises(DatasetError, match=r"3 times 'P07/jump' in .*, got number 4$"):
        find_labelled("P07/jump/4", labels, folder)


def test_a_numbered_clip_is_found(dataset):
    assert dataset.find("bob/wave/1").clip_id == dataset.find("bob/wave").clip_id


def test_fingerprint_depends_on_clips_and_not_on_place(dataset, tmp_path):
    before, moved = dataset.fingerprint, tmp_path / "moved"
    (tmp_path / "data").rename(moved)
    assert ClipDataset(str(moved)).fingerprint == before
    (moved / "clips" / dataset.clips[0].clip_id).with_suffix(".parquet").unlink()
    assert ClipDataset(str(moved)).fingerprint != before


def test_failed_write_leaves_nothing(tmp_path):
    folder = StorageFolder(tmp_path)
    with pytest.raises(RuntimeError), folder.write("a.bin") as stream:
        stream.write(b"half")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_missing_dataset_says_what_to_do(tmp_path):
    with pytest.raises(DatasetError, match="posegen prepare"):
        ClipDataset(str(tmp_path))


def test_missing_variants_say_what_to_do(dataset):
    with pytest.raises(DatasetError, match=r"posegen colorize .* --scope clip --region both"):
        dataset.recolorings("clip", "both", dataset.clips[0])


def test_clip_id_changes_with_content_and_settings():
    one = derive_clip_id("ann", "wave", "00", {"size": [32, 24]})
    assert one != derive_clip_id("ann", "wave", "01", {"size": [32, 24]})
    assert one != derive_clip_id("ann", "wave", "00", {"size": [64, 48]})
    assert one == derive_clip_id("ann", "wave", "00", {"size": [32, 24]})
    assert derive_clip_id("Zoë", "a/b", "00", {}).startswith("Zoë-a-b-")


def test_splits_are_disjoint_stable_and_of_the_asked_size():
    actions = [f"action{i}" for i in range(16)]
    splits = assign_splits(actions, 10 / 16, seed=0)
    assert len(splits["train"]) == 10 and len(splits["test"]) == 6
    assert not set(splits["train"]) & set(splits["test"])
    assert assign_splits(reversed(actions), 10 / 16, seed=0) == splits
    assert assign_splits(actions, 10 / 16, seed=1) != splits
    assert assign_splits(["only"], 0.6, seed=0) == {"train": ["only"], "test": []}


def test_png_round_trip():
    image = np.random.default_rng(0).integers(0, 256, (7, 5, 3), dtype=np.uint8)
    np.testing.assert_array_equal(decode_png(encode_png(image)), image)
    np.testing.assert_array_equal(decode_png(encode_png(image[..., 0]), gray=True), image[..., 0])
