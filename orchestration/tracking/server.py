"""MLflow's own page."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from http import HTTPStatus

from orchestration.tracking.client import shown_store, tracking_uri
from posegen.errors import TrackingError

_TRAINING_VIEW = "/#/experiments?workflowType=machine_learning"  # the page begins with language models otherwise


def serve_page(port: int, on_ready: Callable[[str], object]) -> None:
    """Serve MLflow's page on the store until it is interrupted, or say where its server is.

    Raises TrackingError if it does not start.
    """
    uri = tracking_uri()
    if uri.startswith("http"):
        on_ready(f"{shown_store().rstrip('/')}{_TRAINING_VIEW}")
        return
    address = f"http://127.0.0.1:{port}"
    if _answers(address):
        raise TrackingError(f"something answers on port {port} already: take another --port")
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"]
    # The page shows runs: MLflow's background jobs, each in a process of its own, are of no use to it.
    # The address may have a password, and command lines are everybody's to see.
    environment = {"MLFLOW_BACKEND_STORE_URI": uri, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", **os.environ}
    server = subprocess.Popen([*command, "--port", str(port), "--workers", "1"], env=environment)
    try:
        while server.poll() is None and not _answers(address):
            time.sleep(0.5)
        if server.poll() is not None:
            raise TrackingError(f"MLflow's page did not start on port {port}: take another --port")
        on_ready(f"{address}{_TRAINING_VIEW}")
        server.wait()
    finally:
        server.terminate()
        server.wait()


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/health", timeout=2) as answer:
            return bool(answer.status == HTTPStatus.OK)
    except OSError:
        return False
