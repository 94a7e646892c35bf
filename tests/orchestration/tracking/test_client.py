"""Stores of MLflow that are made where there is none."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from orchestration.tracking import client
from orchestration.tracking.client import connect
from posegen.errors import TrackingError


def test_a_process_that_is_killed_while_it_makes_a_store_leaves_none(tmp_path):
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    code = f"from orchestration.tracking.client import connect; connect({uri!r})"
    with subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parents[3]) as process:
        begin = time.monotonic()
        unfinished = tmp_path / ".mlflow.db.new"
        while not (unfinished.exists() and unfinished.stat().st_size > 0):
            assert process.poll() is None and time.monotonic() - begin < 120
            time.sleep(0.01)
        process.kill()
    assert not (tmp_path / "mlflow.db").exists()
    client = connect(uri)
    assert [one.name for one in client.search_experiments()] == ["Default"]
    assert client.create_experiment("mine", artifact_location=(tmp_path / "artifacts").as_uri())
    assert (tmp_path / "mlflow.db").exists() and not unfinished.exists()
    assert {one.name for one in connect(uri).search_experiments()} == {"Default", "mine"}


def test_whether_a_store_can_be_used_is_told_without_making_it(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    client.require_store()
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").touch()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/file/mlflow.db")
    with pytest.raises(TrackingError, match=r"mlflow.db cannot be made in .*/file: change MLFLOW_TRACKING_URI$"):
        client.require_store()


def test_a_store_that_is_made_is_announced_once(tmp_path, monkeypatch, caplog):
    with caplog.at_level("INFO", logger="posegen.tracking"):
        for _ in range(2):
            client.connect(f"sqlite:///{tmp_path}/mlflow.db")
            client._made.clear()
    assert (
        caplog.text.count(f"runs are recorded in {tmp_path}/mlflow.db, which is new, and pictures in mlartifacts") == 1
    )
