"""``posegen studio``: people of the studio do actions, or motions of files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from posegen.datasets.motion_formats.bvh import write_bvh
from posegen.io.storage import StorageFolder
from posegen.io.video_reader import read_video
from posegen.motion.motion import write_motion
from posegen.synthetic.motions import make_subject, perform
from posegen.synthetic.studio import read_truth, truth_path
from tests.support import command_line


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Give ``posegen studio LINE`` in an empty folder and get its exit code, output and errors."""
    monkeypatch.chdir(tmp_path)
    return lambda line: command_line.run(f"studio {line} --size 96x64", capsys)


def files(folder: str) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in Path(folder).rglob("*.mp4"))


def test_the_first_people_do_the_first_actions(run):
    code, out, _ = run("out --people 2 --actions 2 --frames 3")
    assert code == 0 and "4 videos in out" in out
    assert files("out") == [f"{p}/{a}.mp4" for p in ("ada", "bruno") for a in ("wave_both_hands", "wave_one_hand")]
    assert len(read_truth(truth_path(Path("out/ada/wave_one_hand.mp4"))).keypoints) == 3


def test_people_do_motions_of_files(run):
    folder = StorageFolder(".")
    write_motion(folder, "kicking.npz", perform("kick", make_subject(3), frames=6))
    write_bvh(folder, "sitting.bvh", perform("sit", make_subject(1), frames=5))
    code, out, _ = run("out --people 1 --motion kicking.npz sitting.bvh")
    assert code == 0 and "2 videos in out" in out
    assert files("out") == ["ada/kicking.mp4", "ada/sitting.mp4"]
    for name, frames in (("kicking", 6), ("sitting", 5)):
        video = Path(f"out/ada/{name}.mp4")
        truth = read_truth(truth_path(video))
        assert len(read_video(video, size=None, crop="none").images) == len(truth.keypoints) == frames
        assert np.isfinite(truth.keypoints).all() and (truth.masks > 0).any(axis=(1, 2)).all()


def test_motions_and_actions_go_together(run):
    write_motion(StorageFolder("."), "own.npz", perform("wave", make_subject(3), frames=2))
    run("out --people 1 --motion own.npz --actions 1 --frames 2 --yaw 30")
    assert files("out") == ["ada/own.mp4", "ada/wave_one_hand.mp4"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--people 0", "people is 0, expected 1 to 13"),
        ("--actions 99", "actions is 99, expected 0 to 30"),
        ("--actions 0", "there is nothing to render"),
        ("--frames 0", "frames is 0, expected at least 1"),
        ("--motion no.npz", "no.npz"),
        ("--motion text.npz", "text.npz"),
        ("--motion a/own.npz b/own.npz", "two motions are called own"),
        ("--motion bow.npz --actions 16", "two motions are called bow"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(run, line, message):
    for name in ("a/own.npz", "b/own.npz", "bow.npz"):
        write_motion(StorageFolder(Path(name).parent), Path(name).name, perform("bow", make_subject(0), frames=2))
    Path("text.npz").write_text("not a motion")
    code, _, err = run(f"out {line}")
    assert code == 2 and message in err and len(err.strip().splitlines()) == 1
    assert not Path("out").exists()
