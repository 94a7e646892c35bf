"""`posegen register`: what MLflow loads draws videos, in a process that imports nothing else."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest
from mlflow import MlflowClient

from orchestration.cli import main as cli
from posegen.errors import PosegenError
from tests.support.command_line import refuse
from tests.support.recorded_runs import begin_run

DRAW = """
import sys, mlflow, pandas
model = mlflow.pyfunc.load_model(sys.argv[1])
row = {"photo": "grace/bow", "action": "wave", "upper": "teal", "frames": 4}
video = model.predict(pandas.DataFrame([row]))["video"][0]
open(sys.argv[2], "wb").write(video)
print(model.metadata.signature.inputs.input_names())
"""


@pytest.fixture
def store(new_store, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", new_store(tmp_path))
    monkeypatch.chdir(tmp_path)
    return MlflowClient()


def test_a_registered_model_draws_what_the_library_draws(untrained_run, two_people, store, tmp_path, capsys):
    cli.main(["register", untrained_run, "dancer", "--dataset", two_people])
    assert "mlflow.pyfunc.load_model('models:/dancer/1')" in capsys.readouterr().out
    out = tmp_path / "loaded.mp4"
    subprocess.run([sys.executable, "-c", DRAW, "models:/dancer/1", str(out)], check=True)
    command = ["animate", untrained_run, "--content", "grace/bow", "--dataset", two_people, "--action", "wave"]
    cli.main([*command, "--upper", "teal", "--frames", "4", "--out", str(tmp_path / "own.mp4")])
    assert out.read_bytes() == (tmp_path / "own.mp4").read_bytes()
    cli.main(["register", untrained_run, "dancer", "--dataset", two_people])
    versions = [one.version for one in store.search_model_versions("name = 'dancer'")]
    assert sorted(map(int, versions)) == [1, 2]
    experiments = [one.experiment_id for one in store.search_experiments()]
    assert {model.status for model in store.search_logged_models(experiments)} == {"READY"}


def test_a_checkpoint_is_one_model_with_its_metrics_and_versions(untrained_run, two_people, store, tmp_path):
    shutil.copytree(untrained_run, tmp_path / "run")
    (tmp_path / "run" / "checkpoints" / "000001").rename(tmp_path / "run" / "checkpoints" / "epoch-0001")
    log = begin_run(tmp_path / "run")
    log.log_metrics({"train/l1": 0.5}, 1)
    log.finish()
    for _ in range(2):
        cli.main(["register", str(log.folder), "dancer", "--dataset", two_people])
    [model] = store.search_logged_models([one.experiment_id for one in store.search_experiments()])
    assert [metric.key for metric in model.metrics] == ["train/l1"]
    assert json.loads(model.tags["mlflow.modelVersions"]) == [{"name": "dancer", "version": one} for one in ("1", "2")]


def test_what_renders_no_videos_is_refused(recognizer_run, store, capsys):
    assert "recognition" in refuse(f"register {recognizer_run} x --dataset nowhere", capsys)
    assert store.search_registered_models() == []


def test_a_run_that_is_not_there_is_named(store, tmp_path):
    from orchestration.tracking.register import register

    with pytest.raises(PosegenError, match="nowhere"):
        register(str(tmp_path / "nowhere"), "x")
