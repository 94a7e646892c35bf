"""The stage motion_diffusion by command: trained, generated with and measured as ACTOR is."""

import json
from pathlib import Path

import numpy as np
import pytest

from orchestration.cli import main as cli
from orchestration.evaluation.motion import MotionBasis
from orchestration.evaluation.records import read_evaluation
from posegen.datasets.motion_build import NamedMotion, write_motions
from posegen.inference.requested_motions import SHIPPED_RUN, load_generator
from posegen.io.storage import StorageFolder
from posegen.motion.editing import resample
from posegen.motion.motion import read_motion
from posegen.synthetic.motions import make_subject, perform
from tests.support.command_line import run

ACTIONS = ("jump", "walk", "wave")
TINY = "--preset tiny --num-frames 24 --batch-size 6 --workers 0"


@pytest.fixture(scope="module")
def place(new_store, tmp_path_factory) -> Path:
    """A working directory with motions, an action classifier, and a run of motion_diffusion."""
    place = tmp_path_factory.mktemp("diffusion")
    motions = (
        NamedMotion(perform(action, make_subject(number)), f"s{number}", action, "corpus")
        for number in range(8)
        for action in ACTIONS
    )
    write_motions(StorageFolder(place / "data"), motions, settings={}, actions=ACTIONS)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setenv("MLFLOW_TRACKING_URI", new_store(place))
        judge = "train recognition data --preset tiny --num-epochs 3 --batch-size 6 --num-frames 24 --name judge"
        cli.main(f"{judge} --workers 0 --no-track".split())
        cli.main(f"train motion_diffusion data {TINY} --name made --recognizer runs/judge".split())
    return place


@pytest.fixture(autouse=True)
def inside(place, monkeypatch):
    monkeypatch.chdir(place)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{place}/mlflow.db")


def test_training_reports_what_searches_optimize():
    last = json.loads(Path("runs/made/metrics.json").read_text())["3"]["values"]
    assert {
        *("train/denoising", "val/denoising_error", "val/joint_error", "val/amplitude", "val/generated_fid"),
        *("val/generated_coverage", "val/generated_jerk_error", "val/generated_foot_skate_error"),
    } <= last.keys()
    assert all(np.isfinite(value) for value in last.values())
    assert json.loads(Path("runs/made/best.json").read_text())["metric"] == "val/generated_fid"


def test_motions_are_generated_longer_than_a_window_and_pushed_towards_their_action(capsys):
    code, _, err = run("motion generate runs/made a --actions wave --samples 2 --frames 50", capsys)
    assert code == 0, err
    assert len(read_motion(StorageFolder("a"), "wave-2.npz")) == 50
    run("motion generate runs/made b --actions wave --samples 2 --frames 50 --guidance 3", capsys)
    plain, pushed = (read_motion(StorageFolder(x), "wave-1.npz").joints for x in "ab")
    assert np.abs(plain - pushed).max() > 1e-3
    code, _, err = run("motion generate runs/made c --actions walk --to-action wave --samples 3 --frames 20", capsys)
    assert code == 0, err


def test_actions_follow_each_other_with_kept_frames_along_a_path(capsys):
    run("motion generate runs/made first --actions walk --samples 1 --frames 20", capsys)
    line = "motion generate runs/made row --actions walk --then wave --samples 1 --frames 20"
    code, _, err = run(f"{line} --keep first/walk-1.npz --keep-frames 0:8", capsys)
    assert code == 0, err
    kept, made = read_motion(StorageFolder("first"), "walk-1.npz"), read_motion(StorageFolder("row"), "walk-wave-1.npz")
    assert len(made) == 40 and made.label_name == "walk-wave"
    off = (made.joints - made.joints[:1, :1])[:8] - (kept.joints - kept.joints[:1, :1])[:8]
    assert np.linalg.norm(off, axis=-1).mean() < 0.05
    code, _, err = run(f"{line.replace(' row', ' way')} --path 0,0 0,1", capsys)
    assert code == 0, err
    way = read_motion(StorageFolder("way"), "walk-wave-1.npz").trans
    assert np.abs((way - way[0])[-1, [0, 2]] - (0, 1)).max() < 0.15


def test_runs_are_measured_beside_real_motions(capsys):
    line = "motion evaluate runs/made --seeds 2 --num-frames 24 --split all --no-pictures"
    code, out, err = run(line, capsys)
    assert code == 0 and "nearest" in out and "coverage" in out, err
    scores = read_evaluation("runs/made", MotionBasis).scores
    for name in ("nearest", "coverage", "jerk", "foot_skate", "limb_drift"):
        assert np.isfinite(scores[name].mean) and np.isfinite(scores[f"real_{name}"].mean)
    assert scores["limb_drift"].mean < 1e-5
    code, out, err = run(f"{line} --guidance 3", capsys)
    record = read_evaluation("runs/made", MotionBasis)
    assert code == 0 and "guidance 3" in out and record.basis.guidance == 3, err
    assert record.scores["jerk"].mean != scores["jerk"].mean
    code, _, err = run(f"{line} --guidance -1", capsys)
    assert code == 2 and "guidance must be 0 or more" in err
    code, out, _ = run("motion compare runs/made runs/made", capsys)
    assert code == 0 and out.count("made") >= 4


def test_the_shipped_model_is_measured_beside_motions_of_its_rate(capsys):
    actions = tuple(load_generator(SHIPPED_RUN).config.actions)
    motions = (
        NamedMotion(resample(perform(action, make_subject(number), frames=50), 12.5), f"s{number}", action, "corpus")
        for number in range(5)
        for action in actions
    )
    write_motions(StorageFolder("slow"), motions, settings={}, actions=actions)
    train = "train recognition slow --preset tiny --num-epochs 1 --num-frames 24 --name slow-judge"
    cli.main(f"{train} --workers 0 --no-track".split())
    line = "motion evaluate shipped --recognizer runs/slow-judge --seeds 2 --num-frames 24 --max-motions 30"
    code, out, err = run(f"{line} --dataset slow", capsys)
    assert code == 0 and "generated" in out and "strips" not in out, err
    assert not Path("shipped").exists()
    code, _, err = run(line, capsys)
    assert code == 2 and "--dataset FOLDER" in err
    code, _, err = run(f"{line} --dataset data", capsys)
    assert code == 2 and "25 frames per second, expected 12.5" in err


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("motion generate runs/judge out", "expected 'actor' or 'motion_diffusion'"),
        ("motion generate runs/made out --actions wav", "unknown action 'wav' (did you mean wave"),
        ("motion generate runs/made out --path 0,0 0,90", "faster than a person can move"),
        ("motion generate runs/made out --keep-frames 0:3", "--keep MOTION"),
        ("motion generate runs/made out --then walk --to-action wave", "--then, --keep and --path make one motion"),
        ("motion generate runs/made out --then fly", "unknown action 'fly'"),
    ],
)
def test_bad_input_is_a_line(line, message, capsys):
    code, _, err = run(line, capsys)
    assert code == 2 and len(err.strip().splitlines()) == 1 and message in err, err
    assert not Path("out").exists()
