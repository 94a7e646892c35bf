"""Sets of labelled photos: both layouts, and the table of classes."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.io import savemat

from posegen.datasets.published.labelled_photos import CLASS_TABLE, class_table, open_photo_set, read_label_map
from posegen.errors import ArchiveError, DatasetError
from posegen.person_classes import PersonClass
from tests.support.labelled_photos import studio_photos, write_photo_set


@pytest.fixture
def folder(tmp_path):
    write_photo_set(tmp_path / "set", studio_photos(people=("ada",)))
    return tmp_path / "set"


def test_pictures_with_a_list_of_classes(folder):
    found = open_photo_set(folder, {})
    assert [file.name for file in found.files] == ["0000", "0001"]
    assert found.table.tolist() == [0, PersonClass.SKIN, PersonClass.UPPER, PersonClass.LOWER]
    np.testing.assert_array_equal(
        read_label_map(found.files[0].labels, found.table), studio_photos(people=("ada",))[0].labels
    )


def test_clothing_co_parsing_as_published(tmp_path):
    write_photo_set(tmp_path, studio_photos(people=("ada",)))
    (tmp_path / "labels").rename(tmp_path / "png")
    (tmp_path / "classes.txt").unlink()
    maps = tmp_path / "annotations" / "pixel-level"
    maps.mkdir(parents=True)
    savemat(maps / "0001.mat", {"groundtruth": np.array([[0, 1], [2, 1]], np.uint8)})
    savemat(tmp_path / "label_list.mat", {"label_list": np.array([["null", "hair", "dress"]], object)})
    found = open_photo_set(tmp_path, {})
    assert [file.name for file in found.files] == ["0001"]
    assert read_label_map(found.files[0].labels, found.table).tolist() == [[0, 1], [5, 1]]


def test_every_class_is_in_the_table_once():
    assert set(CLASS_TABLE.values()) == set(PersonClass)
    assert class_table([" Jeans", "T-shirt"], {}).tolist() == [PersonClass.LOWER, PersonClass.UPPER]


def test_an_unknown_class_is_refused_with_what_to_say():
    with pytest.raises(DatasetError, match=r"unknown class 'kimono': map it with --classes kimono=CLASS, where"):
        class_table(["kimono"], {})
    assert class_table(["kimono"], {"kimono": "one_piece"}).tolist() == [PersonClass.ONE_PIECE]
    with pytest.raises(DatasetError, match="no class 'robe', expected one of background, hair"):
        class_table(["kimono"], {"kimono": "robe"})


def test_what_is_missing_is_named(folder, tmp_path):
    with pytest.raises(ArchiveError, match=r"has no labelled photos, expected photos/ID\.jpg with labels/ID\.png"):
        open_photo_set(tmp_path / "nowhere", {})
    (folder / "classes.txt").unlink()
    with pytest.raises(ArchiveError, match=r"has no table of classes, expected classes\.txt or label_list\.mat"):
        open_photo_set(folder, {})


@pytest.mark.parametrize(("name", "content"), [("a.mat", b"no"), ("a.png", b"no"), ("a.png", b"")])
def test_a_broken_label_map_is_named(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ArchiveError, match=name):
        read_label_map(tmp_path / name, np.zeros(4, np.uint8))


def test_labels_beyond_the_table_are_named(folder):
    found = open_photo_set(folder, {})
    with pytest.raises(ArchiveError, match="has the label 3, expected less than 2, the number of classes"):
        read_label_map(found.files[0].labels, found.table[:2])
