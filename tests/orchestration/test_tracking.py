"""MLflow gets what is sent to it, and one that is not there costs a warning."""

from __future__ import annotations

import numpy as np
import pytest
from mlflow import MlflowClient

from orchestration import tracking


@pytest.fixture
def store(tmp_path, monkeypatch):
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    return MlflowClient(tracking_uri=uri)


def test_everything_is_recorded(store, tmp_path):
    parent = tracking.start_run("search", experiment="colours", parameters={})
    run = tracking.start_run(
        "trial", experiment="colours", parameters={"lr": 2e-4}, tags={"posegen.run": "r"}, parent=parent
    )
    run.log_metrics({"train/l1": 0.5}, step=1)
    run.log_metrics({"train/l1": 0.25}, step=2)
    run.log_picture("preview", np.zeros((8, 8, 3), np.uint8), step=1)
    (tmp_path / "report.txt").write_text("good")
    run.log_file(tmp_path / "report.txt", "evaluation")
    run.finish()

    found = store.get_run(run.run_id)
    assert found.data.params == {"lr": "0.0002"} and found.info.status == "FINISHED"
    assert found.data.tags["mlflow.parentRunId"] == parent.run_id
    assert [metric.value for metric in store.get_metric_history(run.run_id, "train/l1")] == [0.5, 0.25]
    assert [file.path for file in store.list_artifacts(run.run_id, "evaluation")] == ["evaluation/report.txt"]
    assert store.list_artifacts(run.run_id, "images")


def test_a_run_goes_on(store):
    first = tracking.start_run("run", experiment="e", parameters={"lr": 1})
    first.finish("FAILED")
    again = tracking.start_run("run", experiment="e", parameters={"lr": 1}, run_id=first.run_id)
    assert again == first and store.get_run(first.run_id).info.status == "RUNNING"


def test_a_server_that_is_away_costs_a_warning(monkeypatch, caplog):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    tracker = tracking.start_run("run", experiment="e", parameters={})
    assert not tracker.is_on and "127.0.0.1:9 is not available" in caplog.text
    tracker.log_metrics({"x": 1.0}, step=0)  # ignored
    away = tracking.Tracker("http://127.0.0.1:9", "abc")
    away.log_metrics({"x": 1.0}, step=0)
    assert "did not take metrics" in caplog.text
