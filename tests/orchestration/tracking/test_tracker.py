"""MLflow gets what is sent to it, and one that is not there costs a warning."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
from mlflow import MlflowClient

from orchestration.tracking import tracker as tracking


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
    with pytest.raises(ValueError, match=r"MLflow at http://127\.0\.0\.1:9 does not answer: "):
        tracking.require()


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A real server on this machine, to be started and stopped at will."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    store = f"sqlite:///{tmp_path}/server.db"
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", store, "--workers", "1"]
    command += ["--artifacts-destination", str(tmp_path / "artifacts"), "--host", "127.0.0.1", "--port", str(port)]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("POSEGEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(tracking, "_RETRY", 0.5)
    running: list[subprocess.Popen] = []

    def start() -> None:
        running.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        while not tracking._answers(f"http://127.0.0.1:{port}"):
            assert running[-1].poll() is None
            time.sleep(0.2)

    def stop() -> None:
        process = psutil.Process(running.pop().pid)
        family = [process, *process.children(recursive=True)]
        for one in family:
            one.kill()
        psutil.wait_procs(family)

    yield SimpleNamespace(start=start, stop=stop)
    if running:
        stop()


def test_what_a_server_missed_arrives_once(server, tmp_path, caplog):
    server.start()
    run = tracking.start_run("run", experiment="e", parameters={"lr": 1})
    run.log_metrics({"train/l1": 1.0}, step=1)
    server.stop()
    run.log_metrics({"train/l1": 0.5}, step=2)
    run.log_picture("preview", np.full((8, 8, 3), 9, np.uint8), step=2)
    run.set_tags({"seen": "while away"})
    assert "is away, what it has to take is kept" in caplog.text and caplog.text.count("is away") == 1
    server.start()
    run.log_metrics({"train/l1": 0.25}, step=3)
    run.finish()

    client = MlflowClient()
    assert [(m.step, m.value) for m in client.get_metric_history(run.run_id, "train/l1")] == [
        (1, 1),
        (2, 0.5),
        (3, 0.25),
    ]
    pictures = [file.path for file in client.list_artifacts(run.run_id, "images") if file.path.endswith(".png")]
    assert len(pictures) == 1
    found = client.get_run(run.run_id)
    assert found.data.tags["seen"] == "while away" and found.info.status == "FINISHED"
    assert not list((tmp_path / "cache" / "outbox").rglob("*.json"))


def test_the_next_command_delivers_what_the_last_could_not(store, tmp_path, monkeypatch):
    monkeypatch.setenv("POSEGEN_CACHE", str(tmp_path / "cache"))
    run = tracking.start_run("run", experiment="e", parameters={})
    with monkeypatch.context() as away:
        away.setattr(tracking, "_hand_over", lambda *_: (_ for _ in ()).throw(ConnectionError("refused")))
        away.setattr(tracking, "_PATIENCE", 0.0)
        run.log_metrics({"val/psnr": 30.0}, step=1)
        run.finish()
    assert "val/psnr" not in store.get_run(run.run_id).data.metrics
    tracking._resting.clear()
    tracking.require()
    found = store.get_run(run.run_id)
    assert found.data.metrics == {"val/psnr": 30.0} and found.info.status == "FINISHED"


def test_what_mlflow_never_takes_is_not_kept(store, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("POSEGEN_CACHE", str(tmp_path / "cache"))
    run = tracking.start_run("run", experiment="e", parameters={"lr": 1})
    run.log_parameters({"lr": 2})  # MLflow's parameters do not change
    run.log_metrics({"x": 1.0}, step=0)
    assert "did not take parameters" in caplog.text
    assert store.get_run(run.run_id).data.metrics == {"x": 1.0}


def test_a_run_knows_what_made_it(store):
    run = tracking.start_run("run", experiment="e", parameters={})
    with run.watching_system():
        pass
    tags = store.get_run(run.run_id).data.tags
    assert "torch" in tags["posegen.environment"]


def test_commands_that_begin_at_once_share_a_new_store(tmp_path):
    code = (
        "from orchestration.tracking.tracker import start_run;"
        "print(start_run('r', experiment='e', parameters={}).run_id)"
    )
    environment = {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db"}
    commands = [
        subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    ids = {command.communicate()[0].strip() for command in commands}
    assert len(ids) == 2 and all(len(run_id) == 32 for run_id in ids)
