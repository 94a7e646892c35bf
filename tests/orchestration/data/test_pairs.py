"""``posegen data pairs``: what is there stays, and equal settings give equal pairs."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from orchestration.data import pairs
from orchestration.data.pairs import PairSettings, make_pairs
from posegen.datasets.refinement import RefinementDataset
from posegen.errors import ConfigError, DatasetError, PerceptionError
from posegen.inference.photo import Photo
from tests.support.drawn_person import draw_person
from tests.support.refinement import SMALL

FEW = replace(SMALL, pairs=2)


def test_pairs_show_one_person_twice(tmp_path):
    made = make_pairs(str(tmp_path), FEW)
    assert "2 pairs" in str(made) and made.num_new == 2 and not made.rejections
    dataset = RefinementDataset(str(tmp_path))
    pair = dataset.read(dataset.info.pairs[0])
    assert pair.target.shape == (128, 96, 3) and (pair.mask > 127).mean() > 0.05
    known = (pair.visible > 0) & np.isfinite(pair.truth[..., 0])
    assert known.sum() > 0.3 * (pair.mask > 127).sum()


def test_what_is_there_stays(tmp_path):
    make_pairs(str(tmp_path), FEW)
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "pairs").iterdir()}
    (tmp_path / "refinement.json").unlink()  # as after a stop
    made = make_pairs(str(tmp_path), replace(FEW, pairs=3))
    assert made.num_new == 1 and len(made.info.pairs) == 3
    assert all(file.stat().st_mtime_ns == time for file, time in before.items())


def test_layers_can_be_moved_by_the_poses_that_are_found(tmp_path, monkeypatch):
    studio, cut_out = [], pairs._cut_out

    def cut(pair, size):
        studio.append(cut_out(pair, size))
        return studio[-1]

    def find(image):
        index = next(k for k in range(2) if np.array_equal(studio[-1].images[k], image))
        pose = studio[-1].poses[index]
        keypoints = pose.keypoints + np.array([off, 0, 0], np.float32) * (pose.keypoints[:, 2:] > 0)
        return SimpleNamespace(pose=replace(pose, keypoints=keypoints))

    monkeypatch.setattr(pairs, "_cut_out", cut)
    monkeypatch.setattr(pairs, "find_body", find)
    off, found = 1.0, replace(FEW, pairs=1, poses="blazepose")
    make_pairs(str(tmp_path / "near"), found)
    dataset = RefinementDataset(str(tmp_path / "near"))
    [entry] = dataset.info.pairs
    pair = dataset.read(entry)
    seen = studio[0].poses.keypoints[..., 2] > 0
    assert np.allclose((pair.poses.keypoints - studio[0].poses.keypoints)[seen], [off, 0, 0], atol=1e-4)
    assert np.array_equal(pair.target, studio[0].images[1])
    truth, true = pair.truth, studio[0].source
    assert np.nanmax(np.abs(truth - true)) < 0.05
    off = 40.0
    with pytest.raises(DatasetError, match="sees another pose"):
        make_pairs(str(tmp_path / "far"), found)


def test_equal_settings_give_equal_pairs(tmp_path):
    one, other = (make_pairs(str(tmp_path / name), replace(FEW, pairs=1)) for name in ("a", "b"))
    files = [next((tmp_path / name / "pairs").iterdir()) for name in ("a", "b")]
    assert one.info == other.info and files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.parametrize("change", [{"pairs": 0}, {"held_out": 1.0}, {"size": (64, 64)}, {"poses_of_photo": 0}])
def test_impossible_settings_are_refused(change):
    with pytest.raises(ConfigError):
        replace(PairSettings(), **change)


def test_datasets_of_another_kind_stay(tmp_path):
    (tmp_path / "dataset.json").write_text("{}")
    with pytest.raises(DatasetError, match="another kind"):
        make_pairs(str(tmp_path), FEW)


def _photos(folder, names, monkeypatch):
    """A folder of photos, as which a drawn person is seen; broken.jpg is not readable. Returns what was opened."""
    folder.mkdir()
    for name in names:
        (folder / name).write_bytes(name.encode())
    opened = []

    def open_person(path, view):
        opened.append((path.name, view.size))
        if path.name == "broken.jpg":
            raise PerceptionError("nobody is seen")
        return SimpleNamespace(photo=Photo(*draw_person()))

    monkeypatch.setattr(pairs, "open_person", open_person)
    return opened


def test_photos_are_moved_there_and_back(tmp_path, monkeypatch):
    opened = _photos(tmp_path / "people", ["ann.jpg", "bob.png", "broken.jpg", "notes.txt"], monkeypatch)
    settings = replace(FEW, pairs=1, size=(192, 128), photos=tmp_path / "people", poses_of_photo=2)
    made = make_pairs(str(tmp_path / "out"), settings)
    assert {name for name, _ in opened} == {"ann.jpg", "bob.png", "broken.jpg"} and opened[0][1] == "192x128"
    assert made.num_new == 5 and len(made.rejections) == 2 and "broken.jpg: nobody is seen" in made.rejections[0]
    dataset = RefinementDataset(str(tmp_path / "out"))
    of_photos = [entry for entry in dataset.info.pairs if entry.subject.startswith("photo")]
    assert len(of_photos) == 4 and len({entry.subject for entry in of_photos}) == 2
    for subject in {entry.subject for entry in of_photos}:
        assert len({entry.split for entry in of_photos if entry.subject == subject}) == 1
    one, other = (dataset.read(entry) for entry in of_photos[:2])
    np.testing.assert_array_equal(one.target, draw_person().image)
    assert (one.poses.keypoints[0] != other.poses.keypoints[0]).any()  # they were moved elsewhere
    again = make_pairs(str(tmp_path / "out"), replace(settings, pairs=2))
    assert again.num_new == 1 and len(again.info.pairs) == 6


def test_photos_do_without_the_studio(tmp_path, monkeypatch):
    _photos(tmp_path / "people", ["ann.jpg"], monkeypatch)
    made = make_pairs(
        str(tmp_path / "out"), replace(FEW, pairs=0, size=(192, 128), photos=tmp_path / "people", poses_of_photo=1)
    )
    assert [entry.subject[:5] for entry in made.info.pairs] == ["photo"]


def test_a_folder_without_photos_is_named(tmp_path):
    (tmp_path / "notes.txt").write_text("none")
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(DatasetError, match="no photos in"):
            make_pairs(str(tmp_path / "out"), replace(FEW, photos=folder))
    assert not (tmp_path / "out").exists()
