import json
from dataclasses import replace

import numpy as np
import pytest

from posegen.datasets.motion_build import NamedMotion, write_motions
from posegen.datasets.motions import MotionDataset
from posegen.errors import DatasetError
from posegen.io.storage import StorageFolder
from posegen.motion.editing import resample
from posegen.synthetic.motions import make_subject, perform


def named(action: str, subject: int) -> NamedMotion:
    return NamedMotion(perform(action, make_subject(subject)), f"s{subject}", action, f"take {subject}")


@pytest.fixture
def dataset(tmp_path) -> StorageFolder:
    folder = StorageFolder(tmp_path / "data")
    write_motions(folder, [named(action, n) for action in ("walk", "jump") for n in range(5)], settings={"why": "test"})
    return folder


def test_what_is_written_is_read(dataset):
    data = MotionDataset(dataset)
    assert data.info.actions == ["jump", "walk"]
    assert data.info.fps == 25
    assert {entry.person for entry in data.split("train")}.isdisjoint(entry.person for entry in data.split("test"))
    assert len(data.split("train")) == 8 and len(data.split("test")) == 2
    entry = data.split("test")[0]
    expected = perform(entry.action, make_subject(int(entry.person[1:])))
    np.testing.assert_array_equal(data.read(entry).joints, expected.joints)
    assert data.frame_size is None


def test_equal_motions_give_equal_datasets(dataset, tmp_path):
    again = StorageFolder(tmp_path / "again")
    write_motions(again, [named(a, n) for n in range(5) for a in ("jump", "walk")], settings={"why": "another"})
    assert MotionDataset(again).fingerprint == MotionDataset(dataset).fingerprint
    write_motions(again, [named("jump", n) for n in range(5)], settings={})
    assert MotionDataset(again).fingerprint != MotionDataset(dataset).fingerprint


def test_motions_keep_the_split_that_they_come_with(tmp_path):
    motions = [named("walk", n)._replace(split="test" if n < 3 else "train") for n in range(5)]
    write_motions(StorageFolder(tmp_path), motions, settings={})
    assert [entry.person for entry in MotionDataset(str(tmp_path)).split("test")] == ["s0", "s1", "s2"]


@pytest.mark.parametrize(
    ("motions", "message"),
    [
        ([], "no motion was found"),
        ([named("walk", 0), named("walk", 1)._replace(motion=resample(named("walk", 1).motion, 20))], "--rate"),
        ([named("idle", 0)], "take 0 shows 'idle', expected one of walk, jump"),
    ],
)
def test_what_does_not_fit_writes_no_manifest(motions, message, tmp_path):
    with pytest.raises(DatasetError, match=message):
        write_motions(StorageFolder(tmp_path), motions, settings={}, actions=("walk", "jump"))
    assert not (tmp_path / "motions.json").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda info: info.update(fps=-1.0), "frames per second"),
        (lambda info: info.update(schema_version=7), "schema version 7"),
        (lambda info: info.update(actions=["walk"]), "none of its actions"),
        (lambda info: info["motions"][0].update(motion_id="../../etc"), "no name of a file"),
        (lambda info: info.update(more=1), "motions.json is damaged"),
    ],
)
def test_a_manifest_that_lies_is_refused(change, message, dataset):
    info = json.loads(dataset.read("motions.json"))
    change(info)
    dataset.write_json("motions.json", info)
    with pytest.raises(DatasetError, match=message):
        MotionDataset(dataset)


def test_files_that_changed_are_refused(dataset):
    data = MotionDataset(dataset)
    first, second = data.info.motions[:2]
    (dataset / "motions").write_bytes(f"{first.motion_id}.npz", b"nothing")
    (dataset / "motions").delete(f"{second.motion_id}.npz")
    for entry in (first, second):
        with pytest.raises(DatasetError, match=entry.motion_id):
            data.read(entry)
    with pytest.raises(DatasetError, match="the manifest has"):
        data.read(replace(data.info.motions[2], num_frames=3))


def test_other_folders_are_no_motions(tmp_path):
    with pytest.raises(DatasetError, match="no motions in"):
        MotionDataset(str(tmp_path))
    (tmp_path / "dataset.json").write_text("{}")
    with pytest.raises(DatasetError, match="holds clips"):
        MotionDataset(str(tmp_path))


def test_motions_are_found_by_name(dataset):
    data = MotionDataset(dataset)
    walk = data.find("s1/walk")
    assert (walk.person, walk.action) == ("s1", "walk")
    assert data.find(walk.motion_id) == walk == data.find("s1-walk-")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("s9/walk", r"no motion 's9/walk' in .*data; it has s0/jump, s0/walk, s1/jump, s1/walk, s2/jump, s2/walk, …$"),
        ("s1", r"several motions 's1' in .*data; it has s1-jump-\w+, s1-walk-\w+$"),
    ],
)
def test_names_that_are_not_one_motions_are_told(dataset, name, message):
    with pytest.raises(DatasetError, match=message):
        MotionDataset(dataset).find(name)
