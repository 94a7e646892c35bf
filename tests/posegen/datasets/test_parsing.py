"""Datasets of labelled photos: what is written is read again, and what is damaged is named."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from posegen.datasets.parsing import PARSING_MANIFEST, ParsingDataset, split_of_photo
from posegen.errors import DatasetError
from tests.support.labelled_photos import studio_photos, write_photos


@pytest.fixture
def dataset(tmp_path) -> ParsingDataset:
    return write_photos(tmp_path / "photos", studio_photos(people=("ada",)))


def test_a_photo_comes_back_as_it_was(dataset):
    photo, (entry,) = studio_photos(people=("ada",))[0], dataset.split("train")
    read = dataset.read(entry)
    for name, value in vars(photo).items():
        np.testing.assert_array_equal(getattr(read, name), value)
    assert entry.pixels == np.bincount(photo.labels.ravel(), minlength=8).tolist()
    assert dataset.has("test") and dataset.frame_size is None


def test_fingerprint_names_the_content(dataset, tmp_path):
    assert write_photos(tmp_path / "again", studio_photos(people=("ada",))).fingerprint == dataset.fingerprint
    assert write_photos(tmp_path / "other", studio_photos(people=("bruno",))).fingerprint != dataset.fingerprint


def test_a_fifth_is_held_out_whatever_else_is_there():
    splits = [split_of_photo(f"{number:04}", 0.2) for number in range(1000)]
    assert splits == [split_of_photo(f"{number:04}", 0.2) for number in range(1000)]
    assert 160 < splits.count("test") < 240
    assert {split_of_photo("a", 0.0), split_of_photo("b", 0.0)} == {"train"}


def test_no_dataset(tmp_path):
    with pytest.raises(DatasetError, match=r"parsing.json is missing; make them with `posegen data parsing`$"):
        ParsingDataset(tmp_path)


@pytest.mark.parametrize("content", [b"", b"PAR1"])
def test_a_damaged_photo_is_named(dataset, content):
    (entry,) = dataset.split("test")
    Path(str(dataset.folder), "photos", f"{entry.photo_id}.parquet").write_bytes(content)
    with pytest.raises(DatasetError, match=rf"{entry.photo_id}.parquet cannot be read: .*convert the photos again"):
        dataset.read(entry)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"photo_id": "../x"}, "is no name of a file"),
        ({"pixels": [1]}, "counts pixels of 1 classes, expected 8"),
        ({"size": [0, 5]}, "frames of 5×0 pixels"),
        ({"split": "both"}, "is damaged"),
    ],
)
def test_a_wrong_manifest_is_named(dataset, changes, reason):
    file = Path(str(dataset.folder), PARSING_MANIFEST)
    content = json.loads(file.read_text())
    content["photos"][0] |= changes
    file.write_text(json.dumps(content))
    with pytest.raises(DatasetError, match=reason):
        ParsingDataset(dataset.folder)
