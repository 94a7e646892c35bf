"""Sets of labelled photos become datasets: found poses, held-out photos, and what is left out."""

from __future__ import annotations

import json

import numpy as np
import pytest

from orchestration.cli import main as cli
from orchestration.data.parsing import ParsingSettings, convert_photos
from posegen.datasets.parsing import ParsingDataset
from posegen.errors import ArchiveError, ConfigError, DatasetError
from posegen.person_classes import PersonClass
from tests.support.labelled_photos import studio_photos, write_photo_set

SETTINGS = ParsingSettings(height=96, held_out=0.5, workers=0)


@pytest.fixture(scope="module")
def photo_set(tmp_path_factory):
    """Four photos, of which one has labels of another size."""
    folder = tmp_path_factory.mktemp("set")
    write_photo_set(folder, studio_photos(size=(192, 128)))
    (folder / "labels" / "0003.png").write_bytes((folder / "labels" / "0000.png").read_bytes()[:-40])
    return folder


@pytest.fixture
def weights(networks, monkeypatch):
    monkeypatch.setenv("POSEGEN_CACHE", str(networks))


@pytest.mark.parametrize(
    "changes", [{"height": 20}, {"held_out": 1.0}, {"classes": ("kimono",)}, {"shift": (99.0, 0.0)}]
)
def test_impossible_settings_are_refused(changes):
    with pytest.raises(ConfigError):
        ParsingSettings(**changes)


def test_photos_are_converted_once(photo_set, tmp_path, weights, capsys):
    made = convert_photos(photo_set, tmp_path / "data", SETTINGS)
    assert made.num_new == 3 and [one.source for one in made.rejections] == ["0003"]
    assert "3 labelled photos" in str(made) and "1 left out" in str(made)
    data = ParsingDataset(tmp_path / "data")
    entries = data.info.photos
    assert data.info.backends and data.info.settings["table"] == [0, 2, 3, 4]
    for entry in entries:
        photo = data.read(entry)
        assert entry.size == photo.labels.shape == (96, 64)
        assert set(np.unique(photo.labels)) <= {0, PersonClass.SKIN, PersonClass.UPPER, PersonClass.LOWER}
        assert (photo.keypoints[:, 2] > 0).sum() > 8
        person = photo.labels > 0
        assert ((photo.pose_mask > 127) & person).sum() > 0.6 * person.sum()
        assert (photo.garments == 1).any() and (photo.pose_garments == 2).any()

    again = convert_photos(photo_set, tmp_path / "data", SETTINGS)
    assert again.num_new == 0 and ParsingDataset(tmp_path / "data").fingerprint == data.fingerprint
    everything = convert_photos(photo_set, tmp_path / "data", ParsingSettings(height=96, held_out=0.0, workers=0))
    assert everything.num_new == 0 and {entry.split for entry in everything.info.photos} == {"train"}


def test_labels_are_moved(photo_set, tmp_path, weights):
    moved = convert_photos(photo_set, tmp_path / "moved", ParsingSettings(height=96, workers=0, shift=(-4.0, 2.0)))
    plain = convert_photos(photo_set, tmp_path / "plain", ParsingSettings(height=96, workers=0))
    after, before = (
        ParsingDataset(made.folder).read(min(made.info.photos, key=lambda entry: entry.source)).labels
        for made in (moved, plain)
    )
    assert (after[1:, :-2] == before[:-1, 2:]).mean() > 0.99  # half of it: the photos are made half as large


def test_a_set_is_converted_by_command(photo_set, tmp_path, weights, capsys):
    (tmp_path / "set").mkdir()
    for name in ("photos", "labels"):
        (tmp_path / "set" / name).symlink_to(photo_set / name)
    (tmp_path / "set" / "classes.txt").write_text("null\nskin\nkimono\njeans\n")
    line = f"data parsing {tmp_path}/set {tmp_path}/data --height 96 --workers 0"
    with pytest.raises(SystemExit) as ended:
        cli.main(line.split())
    assert ended.value.code == 2
    assert "unknown class 'kimono': map it with --classes kimono=CLASS" in capsys.readouterr().err
    assert not (tmp_path / "data").exists()
    cli.main(f"{line} --classes kimono=one_piece".split())
    assert "posegen train person_parser" in " ".join(capsys.readouterr().out.split())
    assert json.loads((tmp_path / "data" / "parsing.json").read_text())["settings"]["table"] == [0, 2, 5, 4]


def test_what_cannot_be_converted_is_named(photo_set, tmp_path):
    with pytest.raises(ArchiveError, match="has no labelled photos"):
        convert_photos(tmp_path / "nowhere", tmp_path / "data", SETTINGS)
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "dataset.json").write_text("{}")
    with pytest.raises(DatasetError, match="is a dataset of another kind"):
        convert_photos(photo_set, tmp_path / "clips", SETTINGS)
