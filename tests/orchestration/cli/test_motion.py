"""Motions by command: train, generate, measure, compare, search and report, on a few motions of the corpus."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from orchestration.cli import main as cli
from orchestration.evaluation.motion import MotionBasis
from orchestration.evaluation.records import read_evaluation
from posegen.datasets.motion_build import NamedMotion, write_motions
from posegen.io.storage import StorageFolder
from posegen.io.video_reader import read_video
from posegen.motion.motion import read_motion
from posegen.synthetic.motions import make_subject, perform
from tests.support.command_line import run

ACTIONS = ("jump", "walk", "wave")
NARROW = "--latent-dim 16 --num-layers 1 --feedforward-dim 32 --num-frames 24 --batch-size 6 --workers 0"


def write_corpus(folder: Path, subjects: range, actions=ACTIONS) -> None:
    motions = (
        NamedMotion(perform(action, make_subject(number)), f"s{number}", action, "corpus")
        for number in subjects
        for action in actions
    )
    write_motions(StorageFolder(folder), motions, settings={}, actions=actions)


@pytest.fixture(scope="module")
def place(new_store, tmp_path_factory) -> Path:
    """A working directory with motions, two action classifiers and a run of ACTOR."""
    place = tmp_path_factory.mktemp("motion")
    write_corpus(place / "data", range(8))
    write_corpus(place / "other", range(8, 16))
    write_corpus(place / "few", range(2), ("jump",))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setenv("MLFLOW_TRACKING_URI", new_store(place))
        for name, seed in (("judge", 0), ("another", 1)):
            cli.main(
                f"train recognition data --preset tiny --num-epochs 6 --batch-size 6 --num-frames 24 --seed {seed} "
                f"--name {name} --workers 0 --no-track".split()
            )
        cli.main(f"train actor data --preset tiny {NARROW} --name actor --recognizer runs/judge".split())
    return place


@pytest.fixture(autouse=True)
def inside(place, monkeypatch):
    monkeypatch.chdir(place)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{place}/mlflow.db")


def test_training_is_measured_by_the_action_classifier(place):
    last = json.loads((place / "runs/actor/metrics.json").read_text())["3"]["values"]
    assert {"val/joint_error", "val/amplitude", "val/generated_fid", "val/generated_accuracy"} <= last.keys()
    assert all(np.isfinite(value) for value in last.values())


def test_motions_are_generated(capsys):
    line = "motion generate runs/actor made --actions wave jump --samples 2 --frames 30"
    code, out, _ = run(line, capsys)
    assert code == 0 and "4 motions of 30 frames" in out
    first, second = (read_motion(StorageFolder("made"), f"wave-{n}.npz") for n in (1, 2))
    assert len(first) == 30 and first.fps == 25 and first.label_name == "wave"
    assert np.abs(first.joints - second.joints).max() > 0.01
    assert len(read_video(Path("made/motions.mp4")).images) == 30
    assert "plotly" in Path("made/motions.html").read_text()
    assert Path("made/strips.png").stat().st_size > 1000
    run(line.replace("made", "again"), capsys)
    assert Path("again/wave-2.npz").read_bytes() == Path("made/wave-2.npz").read_bytes()


def test_motions_of_files_are_shown(capsys):
    code, out, _ = run("motion show data shown --most 2", capsys)
    assert code == 0 and "2 motions" in out
    assert {path.name for path in Path("shown").iterdir()} == {"strips.png", "motions.mp4", "motions.html"}


def test_between_actions_and_between_codes(capsys):
    run("motion generate runs/actor way --actions walk --to-action wave --samples 3", capsys)
    assert sorted(path.name for path in Path("way").glob("*.npz")) == ["walk-1.npz", "wave-1.npz", "wave-2.npz"]
    run("motion generate runs/actor codes --actions walk --between-codes --samples 3", capsys)
    ends = [read_motion(StorageFolder("codes"), f"walk-{n}.npz").joints for n in (1, 2, 3)]
    near, far = (np.abs(ends[0] - other).mean() for other in ends[1:])
    assert near < far


def test_motions_are_measured_and_compared(capsys):
    code, out, _ = run(
        "motion evaluate runs/actor --recognizer runs/judge --seeds 2 --num-frames 24 --split all", capsys
    )
    assert code == 0 and "real" in out and "generated" in out and "sha256" in out
    found = read_evaluation("runs/actor", MotionBasis)
    assert found.basis.num_motions == 24 and found.basis.recognizer == "runs/judge"
    assert 0 <= found.scores["accuracy"].mean <= found.scores["real_accuracy"].mean <= 1
    assert found.scores["real_fid"].mean < found.scores["fid"].mean
    assert Path("runs/actor/motions/codes.png").exists()
    run("motion evaluate runs/actor --seeds 2 --num-frames 24 --no-pictures", capsys)
    own = read_evaluation("runs/actor", MotionBasis)
    assert "learned_fid" in own.scores and "learned_fid" not in found.scores
    assert own.basis.recognizer == str(Path("runs/judge").absolute())
    assert own.basis.recognizer_sha256 == found.basis.recognizer_sha256
    code, out, _ = run("motion compare runs/actor runs/actor", capsys)
    assert code == 0 and out.count("actor") >= 2


def test_scores_of_different_action_classifiers_are_refused(capsys):
    run(f"train actor data --preset tiny {NARROW} --seed 1 --name second --recognizer runs/judge", capsys)
    run("motion evaluate runs/actor --seeds 2 --num-frames 24 --no-pictures", capsys)
    run("motion evaluate runs/second --seeds 2 --num-frames 24 --recognizer runs/another --no-pictures", capsys)
    code, _, err = run("motion compare runs/actor runs/second", capsys)
    assert code == 2 and "different action classifiers" in err and len(err.strip().splitlines()) == 1
    code, _, err = run("compare actor second --metric motion/fid", capsys)
    assert code == 2 and "different action classifiers" in err
    run("motion evaluate runs/second --seeds 2 --num-frames 20 --no-pictures", capsys)
    code, _, err = run("motion compare runs/actor runs/second", capsys)
    assert code == 2 and "different lengths" in err


def test_estimators_are_compared_by_one_action_classifier(capsys, monkeypatch):
    from dataclasses import replace

    from posegen.stages import Actor, Recognition

    little = replace(Actor.presets["tiny"], num_epochs=1, latent_dim=16, num_layers=1, batch_size=6)
    monkeypatch.setitem(Actor.presets, "tiny", little)
    monkeypatch.setitem(Recognition.presets, "tiny", replace(Recognition.presets["tiny"], num_epochs=1, batch_size=6))
    line = "report estimators --tracks vibe data pare other --preset tiny --workers 0 --seeds 2 --runs compared"
    code, out, err = run(line, capsys)
    assert code == 0, err
    for row in ("GT, vibe", "Gen, vibe", "GT, pare", "Gen, pare"):
        assert row in out
    table = json.loads(Path("compared/report/estimators.json").read_text())
    assert len({one["basis"]["recognizer_sha256"] for one in table.values()}) == 1
    assert table["vibe"]["data_fingerprint"] != table["pare"]["data_fingerprint"]
    code, _, err = run(line.replace("pare other", "pare few"), capsys)
    assert code == 2 and "do not have the same actions: walk, wave" in err


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("train actor data --preset huge", "unknown preset 'huge', expected one of .*posegen"),
        ("train actor data --actions swim --workers 0", "has no action 'swim', expected some of jump, walk, wave"),
        ("train actor nowhere --workers 0", "no motions in .*nowhere"),
        ("train color_encoder data --region upper --workers 0", "holds motions, expected clips"),
        ("train actor data --latent-dim 30 --workers 0", "latent_dim"),
        ("train actor data --batch-size 6 --recognizer runs/nobody --workers 0", "no checkpoint in .*runs/nobody"),
        ("train actor few --batch-size 1 --recognizer runs/actor --workers 0", "expected 'recognition'"),
        ("motion generate runs/judge out", "expected 'actor'"),
        ("motion generate runs/actor out --actions swim", "unknown action 'swim', expected one of jump, walk, wave"),
        ("motion generate runs/actor out --frames 0", "frames must be at least 1"),
        ("motion generate runs/actor out --to-action swim", "unknown action 'swim'"),
        ("motion evaluate runs/nobody", "no checkpoint in .*runs/nobody"),
        ("motion evaluate runs/actor --recognizer gru-ntu13", "gru-ntu13"),
        ("motion evaluate runs/actor --seeds 1", "seeds must be at least 2"),
        ("motion compare runs/judge", "no scores of motion"),
        ("motion compare", "no runs given"),
        ("motion show data", "posegen motion show FILE"),
        ("motion show nothing.npz out", "nothing.npz"),
        ("tune motion_kl data --preset tiny --plan --set actor.batch_size=6", "--set actor.recognizer=RUN"),
        ("tune motion_kl data --preset tiny --plan --objectives psnr", "no objective of actor"),
        ("tune motion_kl data --preset huge --plan", "unknown preset 'huge'"),
    ],
)
def test_bad_input_is_a_line_and_writes_nothing(line, message, capsys):
    before = {path for path in Path().rglob("*") if "mlflow" not in path.name}
    code, _, err = run(line, capsys)
    assert code == 2
    lines = err.strip().splitlines()
    assert len(lines) == 1
    assert re.search(message, lines[0]), lines[0]
    assert {path for path in Path().rglob("*") if "mlflow" not in path.name} == before
