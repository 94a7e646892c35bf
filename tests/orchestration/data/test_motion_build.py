"""Motion datasets are converted step by step: unchanged motions stay, stale ones go, inputs and foreign files never."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from orchestration.data import motion_conversion
from orchestration.data.motion_conversion import (
    ConversionSettings,
    Converted,
    EditSettings,
    SplitSettings,
    convert_motions,
)
from orchestration.data.motion_files import ReadSettings
from posegen.datasets.motion_build import UNFINISHED, MotionBuild, NamedMotion, write_motions
from posegen.datasets.motions import MotionDataset
from posegen.errors import DatasetError, MotionError
from posegen.io.storage import StorageFolder
from posegen.motion.motion import read_motion, write_motion
from posegen.synthetic.motions import make_subject, perform

SETTINGS = ConversionSettings(splits=SplitSettings(pattern="{person}_{action}"))
PLAIN = ConversionSettings()


@pytest.fixture
def sources(tmp_path) -> Path:
    """Motions of two people, a file each, and a file that is broken."""
    folder = tmp_path / "sources"
    for number, person in enumerate(("ann", "bob")):
        for action in ("walk", "jump"):
            put(folder, f"{person}_{action}", action, number)
    (folder / "eve_walk.npz").write_bytes(b"no motion at all")
    return folder


@pytest.fixture
def out(tmp_path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def loads(monkeypatch) -> list[str]:
    """The names of the motions that are converted, as they are."""
    names: list[str] = []
    convert = motion_conversion.load_edited

    def note(found, settings):
        names.append(found.motion.name)
        return convert(found, settings)

    monkeypatch.setattr(motion_conversion, "load_edited", note)
    return names


def put(folder: Path, name: str, action: str, subject: int) -> None:
    write_motion(StorageFolder(folder), f"{name}.npz", perform(action, make_subject(subject)))


def convert(paths: Path | list[Path], out: Path, settings: ConversionSettings = SETTINGS) -> Converted:
    return convert_motions(paths if isinstance(paths, list) else [paths], str(out), settings)


def files(out: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (out / "motions").iterdir()}


def manifest(out: Path) -> dict:
    return json.loads((out / "motions.json").read_text())


def test_what_is_unchanged_is_not_converted_again(sources, out, loads):
    first = convert(sources, out)
    assert (first.num_made, first.num_removed, len(first.rejections)) == (4, 0, 1)
    assert "4 new, " in str(first) and "1 rejected (see rejected.json)" in str(first)
    before, described, fingerprint = files(out), manifest(out), MotionDataset(str(out)).fingerprint
    loads.clear()
    again = convert(sources, out)
    assert loads == [] and files(out) == before
    assert (again.num_made, again.num_removed) == (0, 0) and "0 new, " in str(again) and again.edited is None
    assert manifest(out) == described and MotionDataset(str(out)).fingerprint == fingerprint
    assert [Path(one.source).name for one in again.rejections] == ["eve_walk.npz"]  # told each time
    assert "eve_walk.npz" in (out / "rejected.json").read_text()
    assert not (out / UNFINISHED).exists()


def test_a_changed_and_a_new_source_are_converted(sources, out, loads):
    convert(sources, out)
    before = files(out)
    loads.clear()
    put(sources, "ann_walk", "walk", 7)
    put(sources, "cat_walk", "walk", 8)
    again = convert(sources, out)
    assert sorted(loads) == ["ann_walk", "cat_walk"] and (again.num_made, again.num_removed) == (2, 1)
    assert "2 new, 1 removed" in str(again)
    assert len(files(out).keys() & before.keys()) == 3 and len(files(out)) == 5
    assert {name: before[name] for name in files(out) if name in before}.items() <= files(out).items()
    fresh = out.parent / "fresh"
    convert(sources, fresh)
    assert manifest(fresh) == manifest(out) and files(fresh).keys() == files(out).keys()


def test_other_settings_convert_all_again(sources, out, loads):
    convert(sources, out)
    before = files(out)
    slow = replace(SETTINGS, edits=EditSettings(rate=20))
    loads.clear()
    again = convert(sources, out, slow)
    assert len(loads) == 4 and (again.num_made, again.num_removed) == (4, 4)
    assert files(out).keys().isdisjoint(before) and MotionDataset(str(out)).info.fps == 20
    loads.clear()
    convert(sources, out, replace(SETTINGS, splits=replace(SETTINGS.splits, seed=3)))  # 25 again
    assert len(loads) == 4
    loads.clear()
    convert(sources, out, replace(SETTINGS, splits=replace(SETTINGS.splits, seed=4, split_by="action")))
    assert loads == []  # how motions are divided changes none of them
    assert {entry["action"]: entry["split"] for entry in manifest(out)["motions"]}.keys() == {"walk", "jump"}


def test_another_version_of_the_code_converts_all_again(sources, out, loads, monkeypatch):
    convert(sources, out)
    before = files(out)
    loads.clear()
    monkeypatch.setattr(motion_conversion, "CONVERSION_VERSION", 99)
    again = convert(sources, out)
    assert len(loads) == 4 and (again.num_made, again.num_removed) == (4, 0)
    assert files(out).keys() == before.keys()  # equal motions have equal names


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_bytes(b"half")])
def test_a_file_that_is_gone_or_cut_off_is_made_again(sources, out, loads, damage):
    convert(sources, out)
    (victim,) = (out / "motions").glob("bob-jump-*.npz")
    content = victim.read_bytes()
    damage(victim)
    loads.clear()
    assert convert(sources, out).num_made == 1
    assert loads == ["bob_jump"] and victim.read_bytes() == content


def test_stale_motions_go_and_what_others_put_there_stays(sources, out):
    convert(sources, out)
    foreign = [out / "motions" / "mine.npz", out / "motions" / "notes.txt", out / "review.csv"]
    for path in foreign:
        path.write_bytes(b"mine")
    (sources / "ann_walk.npz").unlink()
    again = convert(sources, out)
    assert (again.num_made, again.num_removed) == (0, 1)
    assert not list((out / "motions").glob("ann-walk-*")) and len(list((out / "motions").glob("*-*.npz"))) == 3
    assert all(path.read_bytes() == b"mine" for path in foreign)


def test_a_source_that_broke_takes_its_motion_along(sources, out):
    convert(sources, out)
    (sources / "ann_walk.npz").write_bytes(b"cut off")
    again = convert(sources, out)
    assert (again.num_removed, len(again.rejections)) == (1, 2)


def test_a_source_that_moved_is_the_same(sources, out, loads):
    convert(sources, out)
    before = files(out)
    loads.clear()
    moved = sources.rename(sources.parent / "elsewhere")
    assert convert(moved, out).num_made == 0
    assert loads == [] and files(out) == before
    assert all(entry["source"].startswith(str(moved)) for entry in manifest(out)["motions"])


def test_an_input_inside_the_dataset_is_never_deleted(sources, out, tmp_path):
    """Neither a file that is given, nor one that is broken, nor one that is reached by a link."""
    convert(sources, out)
    given, broken, linked, other = sorted((out / "motions").iterdir())
    broken.write_bytes(b"cut off")
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "link.npz").symlink_to(linked)
    (tmp_path / "more" / "broken.npz").symlink_to(broken)
    contents = [path.read_bytes() for path in (given, broken, linked)]
    again = convert([given, tmp_path / "more"], out, PLAIN)
    assert [path.read_bytes() for path in (given, broken, linked)] == contents
    assert not other.exists() and (again.num_removed, len(again.rejections)) == (1, 1)
    assert len(again.info.motions) == 2
    before = files(out)
    assert convert([given, tmp_path / "more"], out, PLAIN).num_made == 0 and files(out) == before


def test_an_input_inside_the_dataset_is_never_replaced(sources, out):
    convert(sources / "ann_walk.npz", out, PLAIN)
    (victim,) = (out / "motions").iterdir()
    write_motion(StorageFolder(victim.parent), victim.name, perform("walk", make_subject(9)))
    content = victim.read_bytes()
    with pytest.raises(DatasetError, match="is an input and would be replaced"):
        convert([sources / "ann_walk.npz", victim], out, PLAIN)
    assert victim.read_bytes() == content


def test_a_dataset_that_is_its_own_input_stays_as_it_is(sources, out, tmp_path):
    convert(sources, out)
    entries = MotionDataset(str(out)).info.motions
    put(tmp_path, "extra", "kick", 3)
    convert([out, tmp_path / "extra.npz"], out, PLAIN)
    ids = {entry.motion_id for entry in entries}
    assert ids < {entry.motion_id for entry in MotionDataset(str(out)).info.motions} and len(files(out)) == 5
    before = files(out)
    again = convert([out, tmp_path / "extra.npz"], out, PLAIN)
    assert again.num_removed == 0 and files(out).keys() == before.keys()


def test_a_dataset_inside_the_searched_folder_is_left_out_however_it_is_spelled(sources, loads):
    for spelling in (sources / "out", sources / ".." / "sources" / "out"):
        assert len(convert(sources, spelling).info.motions) == 4
    assert len(loads) == 4


def test_a_dataset_of_version_1_is_read_and_converted_afresh(sources, out, loads):
    convert(sources, out)
    new, before, fingerprint = manifest(out), files(out), MotionDataset(str(out)).fingerprint
    old = manifest(out) | {"schema_version": 1}
    for entry in old["motions"]:
        del entry["conversion"]
    (out / "motions.json").write_text(json.dumps(old))
    dataset = MotionDataset(str(out))
    assert dataset.fingerprint == fingerprint and len(dataset.read(dataset.info.motions[0])) > 1
    (sources / "ann_walk.npz").unlink()
    loads.clear()
    again = convert(sources, out)
    assert len(loads) == 3 and (again.num_made, again.num_removed) == (3, 1)
    kept = [entry for entry in new["motions"] if (entry["person"], entry["action"]) != ("ann", "walk")]
    assert [entry["motion_id"] for entry in manifest(out)["motions"]] == [entry["motion_id"] for entry in kept]
    assert files(out).keys() < before.keys()


def test_a_manifest_that_is_damaged_deletes_nothing(sources, out, loads):
    convert(sources, out)
    before = files(out)
    (out / "motions.json").write_text("{}")
    (sources / "ann_walk.npz").unlink()
    assert convert(sources, out).num_removed == 0
    assert files(out).keys() == before.keys() and len(MotionDataset(str(out)).info.motions) == 3


def test_copies_are_rejected_whether_or_not_they_were_converted(sources, out):
    convert(sources, out)
    (sources / "more").mkdir()
    for name in ("0", "sub"):  # one before and one after the first in order
        folder = sources / "more" / name
        folder.mkdir()
        (folder / "ann_walk.npz").write_bytes((sources / "ann_walk.npz").read_bytes())
    settings = replace(SETTINGS, splits=SplitSettings(pattern="ann_{action}"))
    again = convert([sources / "more" / "0", sources / "ann_walk.npz", sources / "more" / "sub"], out, settings)
    assert len(again.info.motions) == 1 and len(again.rejections) == 2
    assert all("is the same motion as" in one.reason for one in again.rejections)


def test_nothing_that_can_be_used_changes_nothing(sources, out, tmp_path):
    convert(sources, out)
    before = (out / "motions.json").read_bytes(), files(out)
    with pytest.raises(MotionError, match="no motions in"):
        convert(sources, out, replace(SETTINGS, reading=ReadSettings(format="humanact12")))
    with pytest.raises(FileNotFoundError):
        convert(tmp_path / "nowhere", out)
    assert before == ((out / "motions.json").read_bytes(), files(out))


KILLED = """
import os, signal, sys
from pathlib import Path
from orchestration.data.motion_conversion import ConversionSettings, SplitSettings, convert_motions
from posegen.datasets import motion_build

def die(done, total):
    if done == 2:
        os.kill(os.getpid(), signal.SIGKILL)

motion_build._NOTE_AFTER = 0.0
settings = ConversionSettings(splits=SplitSettings(pattern="{person}_{action}"))
convert_motions([Path(sys.argv[1])], sys.argv[2], settings, on_progress=die)
"""


def test_a_killed_conversion_continues(sources, out, tmp_path, loads):
    calm = tmp_path / "calm"
    convert(sources, calm)
    killed = subprocess.run([sys.executable, "-c", KILLED, str(sources), str(out)], check=False)
    assert killed.returncode == -signal.SIGKILL and not (out / "motions.json").exists()
    left = files(out)
    assert len(left) == 2
    (out / "motions" / ".99999999@elsewhere.0123456789abcdef0123456789abcdef.x.npz").touch()
    (sources / "ann_jump.npz").unlink()  # one that is written already
    loads.clear()
    again = convert(sources, out)
    assert len(loads) == 2 and (again.num_made, again.num_removed) == (2, 1)
    assert len(left.items() & files(out).items()) == 1 and len(files(out)) == 4  # a fresh scratch file of others stays
    assert not (out / UNFINISHED).exists()
    assert files(out).keys() - files(calm).keys() == {".99999999@elsewhere.0123456789abcdef0123456789abcdef.x.npz"}


def test_stale_motions_of_a_build_that_was_killed_before_it_deleted_them_go(sources, out, monkeypatch):
    convert(sources, out)
    (sources / "ann_walk.npz").unlink()

    def die(build, ids):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(MotionBuild, "delete", die)
        with pytest.raises(KeyboardInterrupt):
            convert(sources, out)
    assert len(manifest(out)["motions"]) == 3 and len(files(out)) == 4
    assert convert(sources, out).num_removed == 1
    assert len(files(out)) == 3


@pytest.mark.parametrize("content", ["", "[1]", '[{"motion_id": "../../x"}]'])
def test_a_damaged_record_of_an_unfinished_build_counts_as_none(sources, out, content):
    convert(sources, out)
    (out / UNFINISHED).write_text(content)
    assert convert(sources, out).num_made == 0 and not (out / UNFINISHED).exists()


def test_every_writer_of_motions_deletes_what_is_stale(tmp_path):
    folder = StorageFolder(tmp_path)
    motions = [NamedMotion(perform("walk", make_subject(n)), f"s{n}", "walk", "here") for n in range(3)]
    write_motions(folder, motions, settings={})
    write_motions(folder, motions[:2], settings={})
    assert len(files(tmp_path)) == 2
    entry = MotionDataset(str(tmp_path)).info.motions[0]
    assert entry.conversion is None and len(read_motion(folder / "motions", entry.file_name)) == entry.num_frames
