"""MLflow mirrors the folders of runs: it gets all of them, once, whenever it answers."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
from mlflow import MlflowClient

from orchestration.runtime.folder_lock import hold_folder
from orchestration.tracking import mirror
from orchestration.tracking.client import require_store
from orchestration.tracking.mirror import BackgroundMirror, recorded, settle, sync, sync_pending
from orchestration.tracking.queries import find_runs
from orchestration.tracking.run_log import RunLog
from orchestration.tracking.server import _answers
from posegen.errors import TrackingError
from posegen.io.storage import StorageFolder
from tests.support import processes
from tests.support.recorded_runs import begin_run, finish_epoch


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """A store and a cache of this test's own, and no memory of stores that were away."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setenv("POSEGEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(mirror, "_resting", {})
    return tmp_path


@pytest.fixture
def store(new_store, place):
    return MlflowClient(tracking_uri=new_store(place))


def run_of(client: MlflowClient, log: RunLog):
    experiments = [one.experiment_id for one in client.search_experiments()]
    (run,) = client.search_runs(experiments, f"tags.`posegen.key` = '{log.description.key}'")
    return run


def history(client: MlflowClient, log: RunLog, name: str = "train/l1") -> list[tuple[int, float]]:
    return [(one.step, one.value) for one in client.get_metric_history(run_of(client, log).info.run_id, name)]


def pictures(client: MlflowClient, log: RunLog) -> list[str]:
    files = client.list_artifacts(run_of(client, log).info.run_id, "images")
    return sorted(Path(file.path).name for file in files if file.path.endswith(".png"))


def test_everything_in_the_folder_is_mirrored(store, place):
    parent = begin_run(place / "search", experiment="colours", parameters={})
    log = begin_run(
        place / "trial", experiment="colours", parameters={"lr": 2e-4}, tags={"posegen.trial": "3"}, parent=parent
    )
    finish_epoch(log, 1, {"train/l1": 0.5})
    finish_epoch(log, 2, {"train/l1": 0.25})
    log.log_metrics({"test/ssim": 0.9}, step=0, group="test")
    (place / "report.txt").write_text("good")
    log.log_file(place / "report.txt", "evaluation")
    (place / "trial/own").mkdir()
    (place / "trial/own/clip.mp4").write_bytes(b"video")
    log.log_own_files("own")
    log.finish()
    assert sync(parent.folder) and sync(log.folder)

    run = run_of(store, log)
    assert run.data.params == {"lr": "0.0002"} and run.info.status == "FINISHED" and run.info.run_name == "trial"
    assert run.data.tags["posegen.trial"] == "3" and "torch" in run.data.tags["posegen.environment"]
    assert run.data.tags["mlflow.parentRunId"] == run_of(store, parent).info.run_id
    assert history(store, log) == [(1, 0.5), (2, 0.25)] and run.data.metrics["test/ssim"] == 0.9
    assert [file.path for file in store.list_artifacts(run.info.run_id, "evaluation")] == ["evaluation/report.txt"]
    assert [file.path for file in store.list_artifacts(run.info.run_id, "own")] == ["own/clip.mp4"]
    assert [mirror.PICTURE.match(name)["step"] for name in pictures(store, log)] == ["1", "2"]


def test_a_folder_that_is_not_to_be_mirrored_is_left_alone(place):
    RunLog(place / "run").log_metrics({"x": 1.0}, step=0, group="test")
    assert sync(place / "run") and not Path(place / "mlflow.db").exists()


def test_a_run_goes_on_in_the_same_mlflow_run(store, place):
    log = begin_run(place / "run")
    finish_epoch(log, 1, {"train/l1": 1.0})
    log.finish(RuntimeError("out of\npaper"))
    sync(log.folder)
    first = run_of(store, log).info
    assert first.status == "FAILED" and log.status.reason == "out of paper"
    begin_run(place / "run", parameters={"lr": 1, "num_epochs": 9})
    finish_epoch(log, 2, {"train/l1": 0.5})
    sync(log.folder)
    again = run_of(store, log)
    assert (again.info.run_id, again.info.status) == (first.run_id, "RUNNING")
    assert again.data.params == {"lr": "1", "num_epochs": "9"} and history(store, log) == [(1, 1.0), (2, 0.5)]


def test_a_parameter_that_changed_keeps_its_first_value_and_stops_nothing(store, place):
    log = begin_run(place / "run", parameters={"num_epochs": 2})
    sync(log.folder)
    begin_run(place / "run", parameters={"num_epochs": 4})
    finish_epoch(log, 1, {"train/l1": 1.0})
    assert sync(log.folder)
    assert run_of(store, log).data.params == {"num_epochs": "2"} and history(store, log) == [(1, 1.0)]


@pytest.mark.parametrize("lose_cache", [False, True])
def test_syncing_again_adds_nothing(store, place, lose_cache):
    log = begin_run(place / "run")
    finish_epoch(log, 1, {"train/l1": 1.0})
    for _ in range(3):
        sync(log.folder)
        if lose_cache:
            for file in (place / "cache").rglob("*.json"):
                file.unlink()
    assert history(store, log) == [(1, 1.0)] and len(pictures(store, log)) == 1


def test_an_epoch_counts_when_its_checkpoint_is_written(store, place):
    """One that was measured and not saved is trained, and measured, again."""
    log = begin_run(place / "run")
    finish_epoch(log, 1, {"train/l1": 1.0})
    log.log_picture("preview", np.zeros((8, 8, 3), np.uint8), 2)
    log.log_metrics({"train/l1": 0.7}, 2)
    sync(log.folder)
    assert history(store, log) == [(1, 1.0)] and len(pictures(store, log)) == 1 and list(log.metrics()) == [1]
    finish_epoch(log, 2, {"train/l1": 0.6})
    sync(log.folder)
    assert history(store, log) == [(1, 1.0), (2, 0.6)] and len(pictures(store, log)) == 2


def sync_and_die(folder: StorageFolder, count: int) -> None:
    """Sync a folder, and be killed after so many calls to MLflow."""
    left = [count]

    def stopping(call):
        def wrapped(*args, **kwargs):
            result = call(*args, **kwargs)
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return wrapped

    for name in ("create_run", "log_batch", "log_image", "set_terminated"):
        setattr(MlflowClient, name, stopping(getattr(MlflowClient, name)))
    sync(folder)


def test_a_process_that_is_killed_while_it_syncs_doubles_nothing(store, place):
    """Killed at every call to MLflow in turn, and then left alone."""
    log = begin_run(place / "run")
    finish_epoch(log, 1, {"train/l1": 1.0})
    finish_epoch(log, 2, {"train/l1": 0.5})
    log.finish()
    codes = []
    for count in range(1, 10):
        process = processes.start(sync_and_die, log.folder, count)
        process.join()
        codes.append(process.exitcode)
        if process.exitcode == 0:
            break
    assert codes[-1] == 0 and codes.count(-signal.SIGKILL) >= 2
    assert history(store, log) == [(1, 1.0), (2, 0.5)] and len(pictures(store, log)) == 2
    assert run_of(store, log).info.status == "FINISHED"


def test_runs_that_version_0_1_recorded_go_on(store, place):
    experiment = store.create_experiment("e")
    before = store.create_run(experiment).info.run_id
    log = RunLog(place / "run")
    log.open(experiment="e", parameters={}, mlflow_run_id=before)
    log.folder.write_json("metrics.json", {"1": {"train/l1": 0.5}})
    finish_epoch(log, 2, {"train/l1": 0.25})
    assert {step: measured.values for step, measured in log.metrics().items()} == {
        1: {"train/l1": 0.5},
        2: {"train/l1": 0.25},
    }
    sync(log.folder)
    assert [(one.step, one.value) for one in store.get_metric_history(before, "train/l1")] == [(1, 0.5), (2, 0.25)]


def test_a_run_is_found_by_its_folder(store, place):
    log = begin_run(place / "run")
    with recorded(log.folder) as same:
        same.log_metrics({"test/x": 1.0}, step=0, group="test")
    (found,) = find_runs(str(log.folder))
    assert found.name == "run" and found.metrics == {"test/x": 1.0}


def test_damaged_files_are_named(place):
    log = begin_run(place / "run")
    (place / "run/tracking.json").write_text('{"key": 3}')
    with pytest.raises(TrackingError, match=r"run/tracking.json is damaged or was not written by posegen"):
        sync(log.folder)


@pytest.mark.parametrize("key", ["../../../escaped", "/etc", "a b", "a' or 'b' = 'b", "..", ""])
def test_a_key_that_is_no_key_is_refused(place, key):
    log = begin_run(place / "run")
    log.folder.write_json("tracking.json", {**log.folder.read_json("tracking.json"), "key": key})
    with pytest.raises(TrackingError, match=r"tracking.json: .* is not the key of a run"):
        sync(log.folder)
    assert not (place / "cache").exists()


@pytest.mark.parametrize("own", ["../secret", "/etc/passwd", "a/../../secret"])
def test_artifacts_outside_the_folder_are_not_sent(store, place, own):
    (place / "secret").write_text("x")
    log = begin_run(place / "run")
    log.folder.write_json("artifacts.json", {"a.txt": own})
    with pytest.raises(TrackingError, match=r"artifacts.json: .* is not a file of the run"):
        sync(log.folder)


@pytest.fixture
def server(place, monkeypatch):
    """A real server on this machine, to be started and stopped at will."""
    monkeypatch.setenv("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    store = f"sqlite:///{place}/server.db"
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", store, "--workers", "1"]
    command += ["--artifacts-destination", str(place / "artifacts"), "--host", "127.0.0.1", "--port", str(port)]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    monkeypatch.setattr(mirror, "_RETRY", 0.5)
    running: list[subprocess.Popen] = []

    def start() -> None:
        running.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        while not _answers(f"http://127.0.0.1:{port}"):
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


def test_what_a_server_missed_arrives_once(server, place, caplog):
    server.start()
    log = begin_run(place / "run")
    finish_epoch(log, 1, {"train/l1": 1.0})
    assert sync(log.folder)
    server.stop()
    finish_epoch(log, 2, {"train/l1": 0.5})
    log.set_tags({"while": "away"})
    assert not sync(log.folder) and not sync(log.folder)
    assert caplog.text.count("is away") == 1
    server.start()
    finish_epoch(log, 3, {"train/l1": 0.25})
    log.finish()
    settle(log.folder)

    client = MlflowClient()
    assert history(client, log) == [(1, 1.0), (2, 0.5), (3, 0.25)] and len(pictures(client, log)) == 3
    run = run_of(client, log)
    assert run.data.tags["while"] == "away" and run.info.status == "FINISHED"


def test_a_store_that_does_not_answer_costs_a_warning(place, monkeypatch, caplog):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    log = begin_run(place / "run")
    assert not sync(log.folder) and "127.0.0.1:9 is away" in caplog.text
    said = r"does not answer: Connection refused: see to the server, or change MLFLOW_TRACKING_URI$"
    with pytest.raises(TrackingError, match=rf"^MLflow at http://127\.0\.0\.1:9 {said}"):
        require_store()
    assert "Retrying" not in caplog.text


def test_the_next_command_sends_what_the_last_could_not(store, place, monkeypatch):
    log = begin_run(place / "run")
    with monkeypatch.context() as away:
        away.setattr(mirror, "connect", lambda uri: (_ for _ in ()).throw(ConnectionError("refused")))
        away.setattr(mirror, "_PATIENCE", 0.0)
        finish_epoch(log, 1, {"train/l1": 30.0})
        log.finish()
        settle(log.folder)
    mirror._resting.clear()
    sync_pending()
    assert history(store, log) == [(1, 30.0)] and run_of(store, log).info.status == "FINISHED"


def test_pending_runs_whose_folder_is_gone_are_forgotten(store, place):
    import shutil

    log = begin_run(place / "run")
    sync(log.folder)
    shutil.rmtree(place / "run")
    sync_pending()
    assert not list((place / "cache/mlflow").rglob("*.json"))


def leave_without_a_word(folder: Path) -> None:
    """Begin a run, and end as SIGKILL ends a process."""
    with hold_folder(StorageFolder(folder), "take another"):
        sync(begin_run(folder).folder)
        os._exit(1)


def test_a_run_whose_process_is_gone_is_killed(store, place):
    """Of two runs that are not finished one has a process: this one."""
    processes.start(leave_without_a_word, place / "left").join()
    with hold_folder(StorageFolder(place / "own"), "take another"):
        own = begin_run(place / "own")
        sync(own.folder)
        assert run_of(store, RunLog(place / "left")).info.status == "RUNNING"
        sync_pending()
        assert run_of(store, own).info.status == "RUNNING"
    assert run_of(store, RunLog(place / "left")).info.status == "KILLED"


def test_the_background_mirrors_runs_that_come_later(store, place, monkeypatch):
    monkeypatch.setattr(mirror, "_INTERVAL", 0.1)
    search = begin_run(place / "search")
    with BackgroundMirror([search.folder], watched=[StorageFolder(place / "trials")]):
        trial = begin_run(place / "trials/trial-0000", parent=search)
        finish_epoch(trial, 1, {"train/l1": 1.0})
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            time.sleep(0.2)
            if "1" in str([name for name in (place / "cache/mlflow").rglob("*.json")]) and find_runs("e")[0].metrics:
                break
        assert history(store, trial) == [(1, 1.0)]
        finish_epoch(trial, 2, {"train/l1": 0.5})
        trial.finish()
    assert history(store, trial) == [(1, 1.0), (2, 0.5)] and run_of(store, trial).info.status == "FINISHED"
    assert run_of(store, trial).data.tags["mlflow.parentRunId"] == run_of(store, search).info.run_id


def begin_and_sync(folder: Path) -> None:
    """What a command does as it begins."""
    log = RunLog(folder)
    log.open(experiment="e", parameters={})
    assert sync(log.folder)


def test_commands_that_begin_at_once_share_a_new_store(place):
    commands = [processes.start(begin_and_sync, place / name) for name in ("a", "b")]
    for command in commands:
        command.join()
    assert [command.exitcode for command in commands] == [0, 0]
    assert {run.name for run in find_runs("e")} == {"a", "b"}


def test_the_dataset_is_an_input_and_kept_checkpoints_are_models(store, place):
    log = begin_run(place, dataset={"name": "data", "digest": "abc", "source": "/data", "kind": "local"})
    for epoch in (1, 2):
        finish_epoch(log, epoch, {"train/l1": 1 / epoch})
    sync(log.folder)
    run = run_of(store, log)
    assert [(one.dataset.name, one.dataset.digest) for one in run.inputs.dataset_inputs] == [("data", "abc")]
    assert not store.search_logged_models([run.info.experiment_id])  # which of them stay is not known yet
    log.finish()
    sync(log.folder)
    sync(log.folder)
    models = store.search_logged_models([run.info.experiment_id])
    assert sorted(model.tags["posegen.epoch"] for model in models) == [str(epoch) for epoch in log.kept_epochs()]
    measured = {
        (metric.key, metric.dataset_name, metric.dataset_digest) for model in models for metric in model.metrics
    }
    assert ("train/l1", "data", "abc") in measured and {(name, digest) for _, name, digest in measured} == {
        ("data", "abc")
    }
    assert run.data.tags["mlflow.source.name"] and run.data.tags["mlflow.user"]
    experiment = store.get_experiment(run.info.experiment_id)
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"
    assert history(store, log) == sorted(set(history(store, log)))  # nothing twice


def test_models_are_not_sent_twice_by_another_machine(store, place, monkeypatch):
    log = begin_run(place)
    finish_epoch(log, 1, {"train/l1": 1})
    log.finish()
    sync(log.folder)
    monkeypatch.setenv("POSEGEN_CACHE", str(place / "other"))
    sync(log.folder)
    assert len(store.search_logged_models([run_of(store, log).info.experiment_id])) == len(log.kept_epochs()) == 1
