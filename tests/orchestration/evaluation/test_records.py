"""One record for all protocols: written, read back, logged, compared, and read where an older version wrote it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow import MlflowClient

from orchestration.evaluation.batches import BatchesBasis
from orchestration.evaluation.behavior import BehaviorBasis
from orchestration.evaluation.motion import MotionBasis
from orchestration.evaluation.records import (
    EvaluationRecord,
    Score,
    check_comparable,
    read_evaluation,
    save_evaluation,
    scores_of_seeds,
)
from orchestration.evaluation.video import VideoBasis
from orchestration.tracking.queries import find_runs
from posegen.errors import EvaluationError
from posegen.evaluation.behavior import BehaviorProtocol
from tests.support.recorded_runs import begin_run

MOTION = MotionBasis(
    split="test",
    num_motions=24,
    num_frames=60,
    seeds=2,
    random_state=False,
    recognizer="runs/judge",
    recognizer_sha256="ab" * 32,
)
BEHAVIOR = BehaviorBasis(
    actions=("sit", "wave"),
    num_frames=12,
    canonical=True,
    num_held_out=2,
    futures_from="last frame",
    protocol=BehaviorProtocol(),
)
VIDEO = VideoBasis(
    split="test", size=(96, 64), num_clips=2, num_frames=18, swaps=3, asked=0, weights={"st_lpips": "cd" * 32}
)
BATCHES = BatchesBasis(split="test", num_samples=40, max_batch=16)
BASES = {"motion": MOTION, "behavior": BEHAVIOR, "video": VIDEO, "batches": BATCHES}


def make_record(run: Path | str, basis, **changes) -> EvaluationRecord:
    facts = {
        "run": str(run),
        "stage": "a_stage",
        "dataset": "data",
        "data_fingerprint": "f" * 16,
        "basis": basis,
        "scores": {"accuracy": Score(0.5, (0.4, 0.6), 0.01), "chance_accuracy": Score(0.25)},
        "left_out": {"lpips": "no weights"},
        "details": {"clips": [{"clip_id": "a", "num_frames": 9}]},
    }
    return EvaluationRecord(**facts | changes)


@pytest.fixture(autouse=True)
def store(new_store, tmp_path, monkeypatch) -> MlflowClient:
    uri = new_store(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("POSEGEN_CACHE", str(tmp_path / "cache"))
    return MlflowClient(tracking_uri=uri)


@pytest.mark.parametrize("kind", BASES)
def test_a_record_is_read_back_as_it_was_saved(kind, tmp_path):
    record = make_record(tmp_path / "run", BASES[kind])
    save_evaluation(record)
    assert read_evaluation(record.run, type(BASES[kind])) == record
    content = json.loads((tmp_path / "run/evaluation/evaluation.json").read_text())
    assert content["protocol"] == kind and content["scores"]["accuracy"]["mean"] == 0.5
    assert record.notes[-1] == "lpips was not measured: no weights" and "f" * 16 in record.notes[0]


@pytest.mark.parametrize(
    ("kind", "phase"), [("motion", "motion"), ("behavior", "behavior"), ("video", "test"), ("batches", "test")]
)
def test_scores_and_intervals_go_to_mlflow(kind, phase, tmp_path):
    log = begin_run(tmp_path / "run")
    (tmp_path / "run/evaluation").mkdir()
    (tmp_path / "run/evaluation/clip.png").write_bytes(b"picture")
    save_evaluation(make_record(log.folder, BASES[kind]))
    run = find_runs(str(tmp_path / "run"))[0]
    assert run.metrics == {
        f"{phase}/accuracy": 0.5,
        f"{phase}/accuracy.low": 0.4,
        f"{phase}/accuracy.high": 0.6,
        f"{phase}/chance_accuracy": 0.25,
    }
    assert run.tags.get("posegen.recognizer") == ("ab" * 32 if kind == "motion" else None)
    assert {"evaluation/evaluation.json", "evaluation/clip.png"} <= set(log.artifacts())


def test_a_record_of_another_protocol_is_none(tmp_path):
    save_evaluation(make_record(tmp_path / "run", BATCHES))
    for basis, message in (
        (MotionBasis, "no scores of motion: measure it with `posegen motion evaluate"),
        (BehaviorBasis, "no scores of behaviour: measure it with `posegen behavior evaluate"),
        (VideoBasis, "no scores of videos: measure it with `posegen evaluate"),
    ):
        with pytest.raises(EvaluationError, match=message):
            read_evaluation(str(tmp_path / "run"), basis)


def test_a_damaged_record_is_refused_in_a_line(tmp_path):
    save_evaluation(make_record(tmp_path / "run", MOTION))
    path = tmp_path / "run/evaluation/evaluation.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"scores": {"fid": {"mean": "low"}}}))
    with pytest.raises(EvaluationError, match=r"evaluation\.json is damaged or was not written by posegen: scores"):
        read_evaluation(str(tmp_path / "run"), MotionBasis)


OLD_SCORE = {"mean": 0.5, "std": 0.2, "confidence": 0.1, "published_interval": 0.04}
OLD_MOTION = {
    "run": "runs/actor",
    "dataset": "motions",
    "data_fingerprint": "f" * 16,
    "split": "all",
    "num_motions": 24,
    "num_frames": 60,
    "seeds": 20,
    "random_state": True,
    "recognizer": "gru-humanact12",
    "recognizer_sha256": "ab" * 32,
    "scores": {"real": {"fid": OLD_SCORE}, "generated": {"fid": OLD_SCORE}},
}
OLD_BEHAVIOR = {
    "run": "runs/net",
    "stage": "behavior_flow",
    "dataset": "motions",
    "data_fingerprint": "f" * 16,
    "actions": ["sit", "wave"],
    "num_frames": 12,
    "canonical": True,
    "num_held_out": 2,
    "futures_from": "first frame",
    "protocol": {
        "seeds": 3,
        "windows": 480,
        "training_windows": 1920,
        "sequences": 48,
        "futures": 50,
        "action_dim": 128,
        "action_steps": 300,
        "realism_dim": 128,
        "realism_steps": 300,
        "posture_steps": 300,
    },
    "scores": {"transfer": {"accuracy": OLD_SCORE}, "chance": {"accuracy": OLD_SCORE}},
}


def test_records_of_older_versions_are_read(tmp_path):
    folder = tmp_path / "run/evaluation"
    folder.mkdir(parents=True)
    (folder / "motion.json").write_text(json.dumps(OLD_MOTION))
    (folder / "behavior.json").write_text(json.dumps(OLD_BEHAVIOR))
    motion = read_evaluation(str(tmp_path / "run"), MotionBasis)
    assert (motion.stage, motion.basis.recognizer, motion.basis.seeds) == ("actor", "gru-humanact12", 20)
    assert motion.scores.keys() == {"fid", "real_fid"}
    assert motion.scores["fid"] == Score(0.5, (0.4, 0.6), 0.04)
    behavior = read_evaluation(str(tmp_path / "run"), BehaviorBasis)
    assert behavior.stage == "behavior_flow"
    assert behavior.basis.protocol == BehaviorProtocol(training_windows=1920, action_dim=128, action_steps=300)
    assert behavior.scores.keys() == {"transfer_accuracy", "chance_accuracy"}


def test_a_new_record_goes_before_one_of_an_older_version(tmp_path):
    folder = tmp_path / "run/evaluation"
    folder.mkdir(parents=True)
    (folder / "motion.json").write_text(json.dumps(OLD_MOTION))
    record = make_record(tmp_path / "run", MOTION)
    save_evaluation(record)
    assert read_evaluation(record.run, MotionBasis) == record


@pytest.mark.parametrize("content", [[], {}, {**OLD_MOTION, "scores": {"real": 3}}, {**OLD_MOTION, "split": 7}])
def test_a_damaged_record_of_an_older_version_is_refused(content, tmp_path):
    folder = tmp_path / "run/evaluation"
    folder.mkdir(parents=True)
    (folder / "motion.json").write_text(json.dumps(content))
    with pytest.raises(EvaluationError, match=r"motion\.json is damaged or was not written by posegen"):
        read_evaluation(str(tmp_path / "run"), MotionBasis)


@pytest.mark.parametrize(
    ("kind", "changes", "what"),
    [
        ("motion", {"recognizer_sha256": "0" * 64}, "different action classifiers"),
        ("motion", {"num_frames": 20}, r"motions of different lengths \(60, 20\)"),
        ("behavior", {"protocol": BehaviorProtocol(realism_steps=3)}, r"different protocols \(realism_steps 300, 3\)"),
        ("video", {"weights": {}}, "different weights of perceptual distances"),
        ("video", {"size": (64, 64)}, "frames of different sizes"),
        ("batches", {"split": "train"}, r"different splits \(test, train\)"),
    ],
)
def test_scores_of_other_protocols_and_classifiers_do_not_compare(kind, changes, what):
    ours = make_record("a", BASES[kind])
    check_comparable([ours, make_record("b", BASES[kind]), ours])
    with pytest.raises(EvaluationError, match=f"scores of a and b do not compare: they rest on {what}"):
        check_comparable([ours, make_record("b", replace(BASES[kind], **changes))])


def test_scores_of_other_data_do_not_compare():
    ours, theirs = make_record("a", MOTION), make_record("b", MOTION, data_fingerprint="0" * 16)
    with pytest.raises(EvaluationError, match="different data"):
        check_comparable([ours, theirs])
    check_comparable([ours, theirs], only=("recognizer_sha256",))
    # How often, and under what name the classifier was found, does not matter.
    check_comparable([ours, make_record("b", replace(MOTION, seeds=5, recognizer="/elsewhere/judge"))])


def test_scores_of_seeds_have_an_interval_and_what_actor_prints():
    scores = scores_of_seeds({"generated": {"fid": [1.0, 3.0]}, "real": {"fid": [2.0, 2.0]}})
    assert scores.keys() == {"fid", "real_fid"}
    low, high = scores["fid"].interval
    assert (low + high) / 2 == scores["fid"].mean == 2 and high - low == pytest.approx(2 * 1.96)
    assert scores["fid"].published_interval == pytest.approx(1.96)
    assert scores["real_fid"] == Score(2.0, (2.0, 2.0), 0.0)


def test_scores_of_clips_have_a_bootstrap_interval_where_there_are_several():
    score = Score.of_clips([0.1, 0.2, 0.3, 0.4])
    assert score.mean == pytest.approx(0.25) and score.interval[0] < 0.25 < score.interval[1]
    assert Score.of_clips([0.1]) == Score(0.1)
