"""Stores of MLflow that are made where there is none."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from orchestration.cli import main as cli
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


class Locked(BaseHTTPRequestHandler):
    """Refuses credentials in the words of MLflow's own server with ``--app-name basic-auth``."""

    status = 401

    def do_GET(self) -> None:
        body = b"You are not authenticated. Please see https://www.mlflow.org/docs/latest/auth/index.html"
        self.send_response(self.status)
        self.send_header("WWW-Authenticate", 'Basic realm="mlflow"')
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815, which is what the library calls

    def log_message(self, *arguments: object) -> None:
        """Stay silent."""


@pytest.mark.parametrize("status", [401, 403])
def test_refused_credentials_are_said_before_training(status, tmp_path, noise_clips, monkeypatch, capsys):
    monkeypatch.setattr(Locked, "status", status)
    monkeypatch.chdir(tmp_path)
    with ThreadingHTTPServer(("127.0.0.1", 0), Locked) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://ann:secret@127.0.0.1:{server.server_port}")
        begin = time.process_time()  # however many other processes want the CPU
        with pytest.raises(SystemExit) as stop:
            cli.main(f"train color_encoder {noise_clips} --preset tiny --region upper --workers 0".split())
        seconds = time.process_time() - begin
        server.shutdown()
    said = capsys.readouterr().err
    assert stop.value.code == 2 and said.count("\n") == 1 and "secret" not in said and seconds < 10
    assert "it refuses the credentials: set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD" in said
    assert not (tmp_path / "runs").exists()


def test_a_server_that_is_away_stops_no_training(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    client.require_access()
    with pytest.raises(TrackingError, match="does not answer"):
        client.require_store()
