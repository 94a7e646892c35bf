"""Behaviour by command: runs are measured, compared and told from others."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from orchestration.cli import main as cli
from orchestration.evaluation.behavior import BehaviorBasis
from orchestration.evaluation.records import read_evaluation
from orchestration.tracking.queries import find_runs, list_files
from posegen.datasets.motions import MotionDataset
from posegen.io.storage import StorageFolder
from posegen.io.video_reader import read_video
from tests.support.command_line import run

NARROW = "--preset tiny --actions sit wave --epoch-size 32 --latent-dim 16 --num-frames 12 --workers 0"
QUICK = (
    "--windows 12 --training-windows 16 --sequences 2 --futures 3 --seeds 2 --action-dim 8 --action-steps 2 "
    "--realism-dim 8 --realism-steps 2 --posture-steps 2"
)


@pytest.fixture(scope="module")
def place(new_store: Callable[[Path], str], corpus: MotionDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory with a run of the stage behavior, one of its flow and one of another stage."""
    place = tmp_path_factory.mktemp("behavior")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setenv("MLFLOW_TRACKING_URI", new_store(place))
        cli.main(f"train behavior {corpus.folder} {NARROW} --num-epochs 1 --decay-at --name net".split())
        cli.main(
            f"train behavior_flow {corpus.folder} {NARROW} --num-epochs 1 --hidden-dim 8 --num-blocks 2 "
            "--behavior runs/net --name flow --no-track".split()
        )
        cli.main(
            f"train recognition {corpus.folder} --preset tiny --num-epochs 1 --epoch-size 16 --batch-size 8 "
            "--num-frames 12 --name judge --workers 0 --no-track".split()
        )
    return place


@pytest.fixture(autouse=True)
def inside(place, monkeypatch):
    monkeypatch.chdir(place)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{place}/mlflow.db")


def test_a_run_is_measured_and_shown(corpus, capsys):
    code, out, _ = run(f"behavior evaluate runs/net {QUICK}", capsys)
    assert code == 0 and "measuring 16/16" in out
    assert "action of the code" in out and "ADE" in out and "frame 11" in out and "12 windows of 12 frames" in out
    found = read_evaluation("runs/net", BehaviorBasis)
    assert found.stage == "behavior" and found.basis.actions == ("sit", "wave") and found.basis.num_held_out == 2
    assert found.data_fingerprint == corpus.fingerprint and found.basis.futures_from == "last frame"
    assert found.basis.protocol.realism_steps == 2 and found.scores["chance_accuracy"].mean == 0.5
    assert not any(name.startswith("flow_") for name in found.scores)
    assert all(np.isfinite(score.mean) for score in found.scores.values())
    shown = Path("runs/net/behavior")
    pictures = {f"{kind}/{name}" for kind in ("transfers", "futures") for name in ("strips.png", "motions.html")}
    assert all((shown / name).stat().st_size > 1000 for name in (*pictures, "codes.png"))
    assert len(read_video(shown / "transfers/motions.mp4").images) == 13
    recorded = find_runs("runs/net")[0]
    assert recorded.metrics["behavior/transfer_accuracy"] == found.scores["transfer_accuracy"].mean
    assert "behavior/codes.png" in list_files(recorded.run_id, "behavior")


def test_a_flow_is_measured_beside_the_prior_and_compared_with_its_net(capsys):
    for name in ("net", "flow"):
        run(f"behavior evaluate runs/{name} {QUICK} --no-pictures", capsys)
    assert not Path("runs/flow/behavior").exists()
    scores = read_evaluation("runs/flow", BehaviorBasis).scores
    of_flow, of_prior = ({name.partition("_")[2] for name in scores if name.startswith(x)} for x in ("flow_", "prior_"))
    assert of_flow == of_prior and scores["flow_ade"] != scores["prior_ade"]
    assert scores["transfer_first_step"] == read_evaluation("runs/net", BehaviorBasis).scores["transfer_first_step"]
    code, out, _ = run("behavior compare runs/net runs/flow", capsys)
    assert code == 0 and "flow: P(real)" in out and "transfer: action of the code" in out


def test_measuring_again_gives_the_same(capsys):
    files = []
    for _ in range(2):
        run(f"behavior evaluate runs/net {QUICK} --no-pictures", capsys)
        files.append(Path("runs/net/evaluation/evaluation.json").read_text())
    assert files[0] == files[1]


def test_judges_come_first_and_what_is_left_out_is_told(capsys):
    _, out, _ = run(f"behavior evaluate runs/net {QUICK} --no-pictures", capsys)
    assert out.index("chance") < out.index("transfer") and "evenly over 2 actions (sit, wave)" in out
    assert "left out" not in out and "8 frames" not in out


def test_scores_of_other_protocols_are_refused(capsys):
    run(f"behavior evaluate runs/net {QUICK} --no-pictures", capsys)
    run(f"behavior evaluate runs/flow {QUICK} --no-pictures --realism-steps 3", capsys)
    code, _, error = run("behavior compare runs/net runs/flow", capsys)
    assert code == 2 and "do not compare: they rest on different protocols (realism_steps 2, 3)" in error
    path = Path("runs/flow/evaluation/evaluation.json")
    StorageFolder(path.parent).write_json(path.name, json.loads(path.read_text()) | {"data_fingerprint": "other"})
    code, _, error = run("behavior compare runs/net runs/flow", capsys)
    assert code == 2 and "different data" in error


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("behavior compare", "no runs given"),
        ("behavior compare runs/judge", "no scores of behaviour: measure it with `posegen behavior evaluate"),
        ("behavior evaluate runs/judge", "of the stage 'recognition': measure it with `posegen evaluate runs/judge`"),
        ("behavior evaluate runs/nobody", "no checkpoint in"),
        ("behavior evaluate runs/net --seeds 1", "seeds must be at least 2, got 1"),
        ("evaluate runs/net --swaps 1", "--swaps is an option of runs that render videos, which runs/net does not"),
        ("motion evaluate runs/flow", "of the stage 'behavior_flow': measure it with `posegen evaluate runs/flow`"),
    ],
)
def test_what_does_not_fit_is_told_in_a_line(line, message, capsys):
    code, _, error = run(line, capsys)
    assert code == 2 and message in error and len(error.strip().splitlines()) == 1
    assert not Path("runs/judge/evaluation").exists()
