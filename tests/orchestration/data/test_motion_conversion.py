"""The commands on files of motions: what they write is whole, and what is broken is one line and code 2."""

from __future__ import annotations

import csv
import json
import pickle
from pathlib import Path

import joblib
import numpy as np
import pytest

from posegen.datasets.motion_formats import FORMATS
from posegen.datasets.motion_formats.bvh import read_bvh, write_bvh
from posegen.datasets.motions import MotionDataset
from posegen.io.storage import StorageFolder
from posegen.motion.motion import read_motion, write_motion
from posegen.synthetic.actions import ACTIONS
from tests.support import command_line
from tests.support.estimator_files import camera, vibe, walking


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(capsys):
    """Give ``posegen motion LINE`` and get its exit code, output and errors."""

    return lambda line: command_line.run(f"motion {line}", capsys)


def write_tracks(folder: str, **clips) -> None:
    """Files of tracks by name; a dict is one track, a list several."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    for name, tracks in clips.items():
        tracks = tracks if isinstance(tracks, list) else [tracks]
        joblib.dump(dict(enumerate(tracks, start=1)), f"{folder}/{name}.pkl")


def test_the_corpus_becomes_a_data_set(run):
    code, out, _ = run("synth syn --subjects 2 --seed 3")
    assert code == 0 and "60 motions of 2 people and 30 actions in syn" in out
    dataset = MotionDataset("syn")
    assert dataset.info.actions == list(ACTIONS)
    assert len(dataset.split("train")) == len(dataset.split("test")) == 30
    run("synth again --subjects 2 --seed 3")
    assert MotionDataset("again").fingerprint == dataset.fingerprint
    code, out, _ = run("inspect syn")
    assert code == 0 and "1 train, 1 test" in out and "limb drift" in out


def test_datasets_become_one_at_one_rate_and_what_each_held_out_stays_held_out(run):
    run("synth syn --subjects 2")
    for name in ("ann", "bob"):
        write_tracks(f"in/{name}", hop=vibe(walking()), walk=vibe(walking("run")))
    run("convert in tracks --fps 30 --pattern '{person}/{action}'")
    code, _, err = run("convert syn tracks mixed")
    assert code == 2 and "--rate" in err
    code, out, err = run("convert syn tracks mixed --rate 20")
    assert code == 0 and "64 motions" in out and "4 people and 31 actions" in out, err
    mixed = MotionDataset("mixed")
    assert mixed.info.fps == 20
    splits = {entry.person: entry.split for entry in mixed.info.motions}
    for name in ("syn", "tracks"):
        for entry in MotionDataset(name).info.motions:
            assert splits[entry.person] == entry.split
            assert mixed.read(next(x for x in mixed.info.motions if x.source == entry.source)).rot6d is not None


def test_tracks_become_a_data_set_and_the_rest_is_listed(run):
    write_tracks("in/walk", ann=vibe(walking()), bob=vibe(walking()), eve=vibe(walking(), pose=np.zeros((9, 69))))
    write_tracks("in/run", ann=vibe(walking("run")))
    Path("in/run/code.pkl").write_bytes(b"cposix\nsystem\n(S'touch marker'\ntR.")
    Path("in/run/notes.txt").write_text("passed over")
    code, out, _ = run("convert in out --fps 25 --rate 20 --filter savitzky-golay --pattern '{action}/{person}'")
    assert code == 0
    assert "3 motions" in out and "2 people and 2 actions" in out and "2 rejected (see rejected.json)" in out
    assert "all motions came with rotations" in out
    dataset = MotionDataset("out")
    assert {(entry.person, entry.action) for entry in dataset.info.motions} == {
        ("ann", "walk"), ("bob", "walk"), ("ann", "run"),
    }  # fmt: skip
    motion = dataset.read(dataset.info.motions[0])
    assert motion.fps == 20 and motion.label_name == dataset.info.motions[0].action
    reasons = {Path(one["source"]).name: one["reason"] for one in json.loads(Path("out/rejected.json").read_text())}
    assert "pose has shape (9, 69)" in reasons["eve.pkl"]
    assert "would run posix.system" in reasons["code.pkl"]
    assert not Path("marker").exists()


def test_joints_alone_get_rotations_and_their_error_is_told(run):
    motion = walking()
    lengths = [len(motion)] * 2
    np.savez(
        "joints.npz", joints=np.concatenate([motion.joints] * 2) * [1, -1, -1], lengths=lengths,
        names=["P01G01R01F0001T0064A0101", "P02G01R01F0001T0064A0201"], label=[1, 5],
    )  # fmt: skip
    code, out, _ = run("convert joints.npz out --fps 20")
    assert code == 0 and "found by inverse kinematics for 2 motions: joints moved by" in out
    dataset = MotionDataset("out")
    assert dataset.info.actions == list(FORMATS["humanact12"].actions)
    (entry,) = [entry for entry in dataset.info.motions if entry.person == "P01"]
    assert dataset.read(entry).rot6d is not None and dataset.read(entry).label == 1
    code, out, _ = run("convert joints.npz plain --fps 20 --no-rotations")
    assert "rotations" not in out
    assert all(MotionDataset("plain").read(entry).rot6d is None for entry in MotionDataset("plain").info.motions)
    code, out, _ = run("inspect joints.npz --fps 20")
    assert "(244, 24, 3)" in out and "in 0 of 2" in out and "walk" in out
    code, out, _ = run("inspect joints.npz")
    assert code == 0 and "not measured" in out and "--fps" in out


def test_one_motion_becomes_a_file(run):
    write_bvh(StorageFolder("."), "m.bvh", walking())
    code, out, _ = run("convert m.bvh m.npz")
    assert code == 0 and "122 frames, 25 a second, in m.npz" in out
    motion = read_motion(StorageFolder("."), "m.npz")
    np.testing.assert_allclose(motion.joints, walking().joints, atol=1e-5)
    code, _, _ = run("convert m.npz again.bvh --rate 50")
    assert code == 0
    assert read_bvh(Path("again.bvh")).fps == 50 and len(read_bvh(Path("again.bvh")).values) == 243
    code, out, _ = run("inspect again.bvh m.npz")
    assert code == 0 and "degrees" in out and "again.bvh: bvh" in out and "m.npz: motion" in out


def test_a_motion_becomes_a_gltf_file(run):
    write_bvh(StorageFolder("."), "m.bvh", walking())
    code, out, _ = run("convert m.bvh m.glb")
    assert code == 0 and "122 frames, 25 a second, in m.glb" in out
    assert Path("m.glb").read_bytes()[:4] == b"glTF"
    code, out, _ = run("convert m.bvh features.npy --no-rotations")
    assert code == 0 and np.load("features.npy").shape == (96, 263)
    code, out, _ = run("convert features.npy again.npz")
    assert code == 0 and "96 frames, 20 a second" in out
    code, _, err = run("convert m.bvh other.glb --no-rotations")
    assert code == 2 and "a .glb file has rotations: leave --no-rotations out" in err


def test_one_of_several_is_chosen_by_name(run):
    run("synth syn --subjects 1")
    code, _, err = run("convert syn one.npz")
    assert code == 2 and "one.npz takes one motion and there are 30 of 30: say --name" in err
    assert not Path("one.npz").exists()
    name = MotionDataset("syn").info.motions[3].motion_id
    assert run(f"convert syn one.npz --name {name}")[0] == 0
    assert len(read_motion(StorageFolder("."), "one.npz")) == MotionDataset("syn").info.motions[3].num_frames


@pytest.mark.parametrize(
    ("options", "ends"),
    [
        ("", ", 0 held out: there is one to divide by, say another --split-by"),
        ("--split-by motion --train-fraction 0.9", ", 1 held out"),
        ("--train-fraction 1", ", 0 held out"),
    ],
)
def test_what_is_held_out_is_told_and_why_nothing_is(run, options, ends):
    write_tracks("in/walk", ann=vibe(walking()))
    write_tracks("in/run", ann=vibe(walking("run")))
    code, out, _ = run(f"convert in out --fps 25 --pattern {{action}}/{{person}} {options}")
    assert code == 0 and f"{ends}\n" in " ".join(out.split(" ")), out


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ({1: vibe(walking())}, "", "fps is not in such files"),
        ({1: vibe(walking(), pose=None)}, "--fps 25", "track 1: pose is missing"),
        ({1: vibe(walking(), pose=walking().joints)}, "--fps 25", "track 1: pose holds places of joints"),
        ({1: vibe(walking(), pose=np.full((122, 72), np.nan))}, "--fps 25", "pose has numbers that are not finite"),
        ({1: vibe(walking(), pose=np.zeros((0, 72)))}, "--fps 25", r"pose has shape (0, 72)"),
        ({1: vibe(walking(), orig_cam=None)}, "--fps 25 --root weak-camera", "orig_cam is missing"),
        ({1: vibe(walking())}, "--fps 0", "fps is 0.0, expected a positive number"),
        ({1: vibe(walking())}, "--fps 25 --train-fraction 0", "train_fraction is 0.0"),
        ({1: vibe(walking())}, "--fps 25 --rate -3", "fps is -3.0, expected a positive number"),
        ({"a": 3}, "--fps 25", "clip.pkl is of no known format"),
        (b"cposix\nsystem\n(S'touch marker'\ntR.", "--fps 25", "would run posix.system and is not opened"),
        (pickle.dumps({1: vibe(walking())})[:5000], "--fps 25", "clip.pkl is damaged"),
        (b"HIERARCHY", "", "clip.pkl: MOTION is missing"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("out", ["out", "out.npz", "out.bvh"])
def test_what_cannot_be_converted_is_one_line_and_writes_nothing(run, here, content, options, message, out):
    joblib.dump(content, "clip.pkl") if isinstance(content, dict) else Path("clip.pkl").write_bytes(content)
    code, _, err = run(f"convert clip.pkl {out} {options}")
    assert (code, err.count("\n")) == (2, 1), err
    assert message in err
    assert [path.name for path in here.iterdir()] == ["clip.pkl"]


def test_nobody_says_what_is_done(run, here):
    joblib.dump({1: vibe(walking())}, "clip.pkl")
    code, _, err = run("convert clip.pkl out --fps 25")
    assert code == 2 and "no action is known for it: give --pattern" in err
    assert [path.name for path in here.iterdir()] == ["clip.pkl"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("convert nowhere out", "no motion at nowhere"),
        ("convert .", "expected files and an output"),
        ("convert . out", "no motions in ."),
        ("convert s3://bucket/a out", "expected a local file or folder"),
        ("convert a out --name b", "--name chooses one motion"),
        ("inspect", "no file given"),
        ("inspect nowhere", "no motion at nowhere"),
        ("convert a out --format fbx", "--format"),
        ("synth out --subjects 0", "subjects is 0"),
        ("synth out --seconds 4 3", "got takes of 4 to 3 seconds, expected the shortest first"),
        ("build-dataset out --tracks . --labels nowhere.csv", "nowhere.csv"),
    ],
)
def test_bad_lines_are_one_line_and_code_2(run, here, line, message):
    code, _, err = run(line)
    assert (code, err.count("\n")) == (2, 1), err
    assert message in err
    assert not list(here.iterdir())


def test_rates_that_differ_are_refused(run):
    for fps, action in ((25, "walk"), (30, "run")):
        write_motion(StorageFolder("in"), f"m{fps}.npz", cut(walking(action), 30, fps))
    code, _, err = run("convert in out")
    assert code == 2 and "say one --rate" in err and not Path("out/motions.json").exists()
    assert run("convert in out --rate 30")[0] == 0


def cut(motion, frames, fps=25.0):
    """The first frames of a motion."""
    from dataclasses import replace

    return replace(
        motion, joints=motion.joints[:frames], valid=motion.valid[:frames], rot6d=motion.rot6d[:frames], fps=fps
    )


def test_what_was_converted_earlier_is_not_converted_again(run):
    write_tracks("walk", ann=vibe(walking()), copy=vibe(walking()))
    line = "convert . out --fps 25 --pattern '{action}/*'"
    for _ in range(2):
        code, out, _ = run(line)
        assert code == 0 and "1 motion (" in out and "say another --split-by" in out
        (rejected,) = json.loads(Path("out/rejected.json").read_text())
        assert "copy.pkl is the same motion as" in rejected["reason"]


def test_names_of_files_that_are_given_tell_action_and_person(run):
    write_tracks("in", walk_ann=vibe(walking()), run_bob=vibe(walking("run")))
    code, out, _ = run("convert in/walk_ann.pkl in/run_bob.pkl out --fps 25 --pattern '{action}_{person}'")
    assert code == 0 and "2 people and 2 actions" in out
    code, _, err = run("convert in/walk_ann.pkl other --fps 25 --pattern '{action}-{person}'")
    assert code == 2 and "walk_ann.pkl: its name does not match the pattern" in err and not Path("other").exists()


def test_a_format_that_is_said_is_that_of_all_files(run):
    write_tracks("walk", ann=vibe(walking()), bob=vibe(walking("run")))
    for name in ("vibe", "pare"):
        code, out, _ = run(f"convert walk {name} --format {name} --fps 25 --pattern '{{action}}'")
        assert code == 0 and "2 motions" in out
    code, _, err = run("convert walk bvh --format bvh --pattern '{action}'")
    assert code == 2 and "MOTION is missing" in err and not Path("bvh").exists()


# ---- build-dataset


def write_labels(rows: str) -> None:
    Path("labels.csv").write_text("name,action,person\n" + rows)


def tracks_of_all_kinds() -> None:
    truth = walking()
    rows = np.r_[0:40, 60:122]
    gappy = {name: value if value is None else value[rows] for name, value in vibe(truth).items()}
    write_tracks(
        "tracks",
        good=vibe(truth),
        fine=vibe(truth),
        short=vibe(cut(truth, 30)),
        gappy=gappy,
        pair=[vibe(truth), vibe(truth)],
        panned=vibe(truth, orig_cam=camera(truth, 20.0, pan=2.0)),
        broken=vibe(truth, frame_ids=None),
        unlabelled=vibe(truth),
    )
    names = ["good", "fine", "short", "gappy", "pair", "panned", "broken", "lost"]
    write_labels("".join(f"{name},split jump,{name}\n" for name in names))


def review() -> dict[str, dict[str, str]]:
    with open("out/review.csv", newline="") as file:  # noqa: PTH123
        return {row["name"]: row for row in csv.DictReader(file)}


COMMAND = "build-dataset out --tracks tracks --labels labels.csv --fps 25"


def test_videos_are_checked_and_reviewed(run):
    tracks_of_all_kinds()
    code, out, err = run(COMMAND)
    assert code == 0, err
    assert "2 motions" in out and "6 rejected" in out
    assert "1 names in labels.csv have no tracks, such as lost" in out
    assert "look at 2 videos, write yes or no to whole_movement and resolution" in out
    reasons = {name: row["rejected_because"] for name, row in review().items()}
    assert reasons["good"] == reasons["fine"] == ""
    assert reasons["short"] == "30 frames, expected at least 55"
    assert reasons["gappy"] == "the person was seen in 84% of the frames"
    assert reasons["pair"] == "several people in 100% of the frames"
    assert reasons["panned"].startswith("the camera moves at ")
    assert "broken" not in reasons
    rejected = {Path(one["source"]).stem: one["reason"] for one in json.loads(Path("out/rejected.json").read_text())}
    assert "frame_ids is missing" in rejected["broken"]
    assert "labels.csv has no row with the name 'unlabelled'" in rejected["unlabelled"]
    answers = Path("out/review.csv").read_text()
    answers = answers.replace("good,split jump,,", "good,split jump,yes,yes")
    Path("out/review.csv").write_text(answers.replace("fine,split jump,,", "fine,split jump,yes,No"))
    code, out, _ = run(COMMAND)
    assert code == 0 and "1 motion (" in out and "look at" not in out
    (entry,) = MotionDataset("out").info.motions
    assert (entry.person, entry.action) == ("good", "split jump")
    assert review()["fine"]["resolution"] == "no"
    assert "resolution: no, by review.csv" in Path("out/rejected.json").read_text()


def test_checks_can_be_loosened(run):
    tracks_of_all_kinds()
    line = f"{COMMAND} --min-frames 20 --min-coverage 0.5 --no-single-person --static-camera-threshold 0"
    code, out, _ = run(line)
    assert code == 0 and "6 motions" in out


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ("name,label\na,b\n", "labels.csv has no column action, expected name, action"),
        ("name,action\n", "labels.csv has no rows"),
        ("name,action\ngood,\n", "labels.csv, line 2: action is empty"),
        ("name,action\ngood,a\ngood,b\n", "labels.csv, line 3: the name 'good' is there twice"),
        ('name,action\n"good,a\n', "labels.csv is no table"),
        ("name,action\nother,a\n", "has no row with the name 'good'"),
    ],
)
def test_labels_that_are_no_table_write_nothing(run, labels, message):
    write_tracks("tracks", good=vibe(walking()))
    Path("labels.csv").write_text(labels)
    code, _, err = run(COMMAND)
    assert (code, err.count("\n")) == (2, 1) and message in err
    assert not Path("out").exists()


def test_answers_that_are_neither_yes_nor_no_are_refused(run):
    write_tracks("tracks", good=vibe(walking()))
    write_labels("good,jump,ann\n")
    run(COMMAND)
    Path("out/review.csv").write_text("name,whole_movement,resolution\ngood,perhaps,yes\n")
    code, _, err = run(COMMAND)
    assert code == 2 and "review.csv, line 2: whole_movement is 'perhaps', expected yes, no or nothing" in err
    Path("out/review.csv").write_text("name,whole_movement,resolution\ngood,no,yes\n")
    code, _, err = run(COMMAND)
    assert code == 2 and "is left: whole movement: no, by review.csv" in err


def test_the_frame_rate_is_asked_for_first(run):
    write_tracks("tracks", good=vibe(walking()))
    write_labels("good,jump,ann\n")
    code, _, err = run("build-dataset out --tracks tracks --labels labels.csv")
    assert code == 2 and "--fps" in err and not Path("out").exists()
