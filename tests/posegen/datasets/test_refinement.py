"""The dataset of pairs: what is written is read, and what is broken is named."""

from __future__ import annotations

import json

import numpy as np
import pytest

from posegen.datasets.refinement import RefinementDataset, RefinementPair, write_pair
from posegen.errors import DatasetError
from posegen.features.body_pose import BodyPoses
from posegen.io.storage import StorageFolder
from tests.support.refinement import write_pairs


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> RefinementDataset:
    return write_pairs(tmp_path_factory.mktemp("pairs"))


def random_pair(size: tuple[int, int] = (8, 6)) -> RefinementPair:
    rng = np.random.default_rng(0)
    images = {name: rng.integers(0, 256, (*size, 3), np.uint8) for name in ("source", "target", "background")}
    maps = {name: rng.integers(0, 2, size).astype(np.uint8) for name in ("classes", "layers", "sure", "visible")}
    truth = rng.uniform(-20, 300, (*size, 2)).astype(np.float32)
    truth[0] = np.nan
    poses = BodyPoses.from_keypoints(rng.uniform(0, 9, (2, 18, 3)).astype(np.float32))
    return RefinementPair(
        **images, composed=images["target"], **maps, opacity=maps["sure"] * 255, mask=maps["sure"] * 255,
        positions=rng.uniform(0, 900, (*size, 2)).astype(np.float32), truth=truth, poses=poses, scale=1.5,
    )  # fmt: skip


def test_a_pair_comes_back(tmp_path, dataset):
    pair = random_pair()
    folder = StorageFolder(str(tmp_path))
    write_pair(folder, "one", pair)
    info = {"settings": {}, "pairs": [{"pair_id": "one", "subject": "a", "split": "train", "size": [8, 6]}]}
    folder.write_json("refinement.json", {**info, "schema_version": 1})
    found = RefinementDataset(folder)
    read = found.read(found.split("train")[0])
    for name in ("source", "target", "background", "composed", "classes", "layers", "sure", "opacity", "mask"):
        np.testing.assert_array_equal(getattr(read, name), getattr(pair, name))
    for name in ("positions", "truth"):
        np.testing.assert_allclose(getattr(read, name), getattr(pair, name), atol=1 / 64)
    np.testing.assert_array_equal(read.poses.keypoints, pair.poses.keypoints)
    assert read.scale == 1.5 and np.isnan(read.poses.depths).all()


def test_a_crop_moves_the_pose_of_the_target():
    pair = random_pair()
    part = pair.cropped((slice(2, 6), slice(1, 5)))
    assert part.target.shape == (4, 4, 3) and part.source.shape == (8, 6, 3) and part.classes.shape == (8, 6)
    np.testing.assert_allclose(part.poses.keypoints[1, :, :2], pair.poses.keypoints[1, :, :2] - (1, 2))
    np.testing.assert_array_equal(part.poses.keypoints[0], pair.poses.keypoints[0])
    np.testing.assert_array_equal(part.positions, pair.positions[2:6, 1:5])


def test_people_are_in_one_split(dataset):
    subjects = {split: {entry.subject for entry in dataset.split(split)} for split in ("train", "test")}
    assert subjects["train"] and subjects["test"] and not subjects["train"] & subjects["test"]
    assert dataset.has("train") and dataset.frame_size is None and len(dataset.fingerprint) == 16


def test_no_dataset_is_named(tmp_path):
    with pytest.raises(DatasetError, match="posegen data pairs"):
        RefinementDataset(str(tmp_path))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": 9}, "schema version 9"),
        ({"pairs": [{"pair_id": "../x", "subject": "a", "split": "train", "size": [8, 6]}]}, "no name of a file"),
        ({"pairs": [{"pair_id": "x", "subject": "a", "split": "train", "size": [8, 6]}]}, "cannot be read"),
    ],
)
def test_broken_datasets_are_named(tmp_path, change, message):
    content = {"settings": {}, "pairs": [], "schema_version": 1, **change}
    (tmp_path / "refinement.json").write_text(json.dumps(content))
    with pytest.raises(DatasetError, match=message):
        found = RefinementDataset(str(tmp_path))
        found.read(found.split("train")[0])


def test_other_sizes_are_named(tmp_path):
    folder = StorageFolder(str(tmp_path))
    write_pair(folder, "one", random_pair())
    entry = {"pair_id": "one", "subject": "a", "split": "train", "size": [8, 8]}
    folder.write_json("refinement.json", {"settings": {}, "pairs": [entry], "schema_version": 1})
    found = RefinementDataset(folder)
    with pytest.raises(DatasetError, match="other sizes"):
        found.read(found.info.pairs[0])
