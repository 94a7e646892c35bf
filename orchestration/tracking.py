"""MLflow: the only file that imports it.

Runs are addressed by their id with an explicit client, so any process may log to any run. A tracking server that
does not answer costs a warning and what it would have recorded, never the training.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Literal

import numpy as np

from posegen.storage import Folder

log = logging.getLogger("posegen")

Status = Literal["FINISHED", "FAILED", "KILLED"]
DEFAULT_STORE = "mlflow.db"
_PARAMETER_LENGTH = 6000  # MLflow's limit
_PAGE = 1000  # runs in one answer
_TAG_PARENT = "mlflow.parentRunId"
_TAG_NAME = "mlflow.runName"


def tracking_uri() -> str:
    """The server of ``MLFLOW_TRACKING_URI``, or an sqlite file in the working directory."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{Path(DEFAULT_STORE).absolute()}"


def require() -> None:
    """Raise ValueError where MLflow does not answer."""
    from mlflow.exceptions import MlflowException

    try:
        _client(tracking_uri()).search_experiments(max_results=1)
    except (MlflowException, OSError) as error:
        raise ValueError(f"MLflow at {tracking_uri()} does not answer: {str(error).splitlines()[0]}") from None


@dataclass(frozen=True)
class Tracker:
    """One MLflow run, or none at all. Small and picklable: workers get a copy."""

    uri: str
    run_id: str

    @property
    def is_on(self) -> bool:
        """Whether anything is recorded."""
        return bool(self.run_id)

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Record numbers, named ``phase/name``."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        entities = [Metric(name, float(value), now, step) for name, value in metrics.items()]
        self._send("metrics", lambda client: client.log_batch(self.run_id, metrics=entities))

    def log_picture(self, name: str, picture: np.ndarray, step: int | None = None) -> None:
        """Record a picture (H, W, 3): with a step as one of a series, without as the file `name`.png."""
        if step is None:
            self._send(name, lambda client: client.log_image(self.run_id, picture, f"{name}.png"))
        else:
            self._send(name, lambda client: client.log_image(self.run_id, picture, key=name, step=step))

    def log_file(self, path: Path, folder: str | None = None) -> None:
        """Record a file, or a folder with all that is in it."""
        if path.is_dir():
            self._send(path.name, lambda client: client.log_artifacts(self.run_id, str(path), folder))
        else:
            self._send(path.name, lambda client: client.log_artifact(self.run_id, str(path), folder))

    def log_parameters(self, parameters: Mapping[str, Any]) -> None:
        """Record settings."""
        from mlflow.entities import Param

        entities = [Param(name, str(value)[:_PARAMETER_LENGTH]) for name, value in parameters.items()]
        self._send("parameters", lambda client: client.log_batch(self.run_id, params=entities))

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Record facts that are no settings."""
        from mlflow.entities import RunTag

        entities = [RunTag(name, value) for name, value in tags.items()]
        self._send("tags", lambda client: client.log_batch(self.run_id, tags=entities))

    def finish(self, status: Status = "FINISHED") -> None:
        """Close the run."""
        self._send("the end of the run", lambda client: client.set_terminated(self.run_id, status))

    def _send(self, what: str, call: Callable[[Any], object]) -> None:
        if not self.is_on:
            return
        from mlflow.exceptions import MlflowException

        try:
            call(_client(self.uri))
        except (MlflowException, OSError) as error:
            log.warning("MLflow did not take %s: %s", what, str(error).splitlines()[0])


OFF = Tracker("", "")
"""Records nothing."""


def start_run(
    name: str,
    *,
    experiment: str,
    parameters: Mapping[str, Any],
    tags: Mapping[str, str] | None = None,
    parent: Tracker = OFF,
    run_id: str = "",
) -> Tracker:
    """Begin an MLflow run, or go on with `run_id`. Returns `OFF`, with a warning, if MLflow cannot be reached.

    Call it once, before workers start: an sqlite store that many processes create at once breaks.
    """
    from mlflow.exceptions import MlflowException

    uri = parent.uri or tracking_uri()
    try:
        client = _client(uri)
        if run_id:
            client.update_run(run_id, status="RUNNING")
            return Tracker(uri, run_id)
        nesting = {_TAG_PARENT: parent.run_id} if parent.is_on else {}
        run = client.create_run(
            _experiment_id(client, uri, experiment), tags={_TAG_NAME: name, **nesting, **(tags or {})}
        )
    except (MlflowException, OSError) as error:
        log.warning("MLflow at %s is not available, nothing is recorded there: %s", uri, str(error).splitlines()[0])
        return OFF
    tracker = Tracker(uri, run.info.run_id)
    tracker.log_parameters(parameters)
    return tracker


def of_run(run: Folder) -> Tracker:
    """The MLflow run of a run folder; `OFF` where it was not recorded."""
    run_id = run.read_json("run.json").get("mlflow_run_id", "") if run.exists("run.json") else ""
    return Tracker(tracking_uri(), run_id) if run_id else OFF


def serve_page(port: int, on_ready: Callable[[str], object]) -> None:
    """Serve MLflow's page on the store until it is interrupted, or say where its server is.

    Raises ValueError if it does not start.
    """
    uri = tracking_uri()
    if uri.startswith("http"):
        on_ready(uri)
        return
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", uri, "--host", "127.0.0.1"]
    server = subprocess.Popen([*command, "--port", str(port), "--workers", "1"])
    address = f"http://127.0.0.1:{port}"
    try:
        while server.poll() is None and not _answers(address):
            time.sleep(0.5)
        if server.poll() is not None:
            raise ValueError(f"MLflow's page did not start on port {port}: take another --port")
        on_ready(address)
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


# ---- Reading


@dataclass(frozen=True)
class Recorded:
    """A run as MLflow has it."""

    run_id: str
    name: str
    status: str
    parameters: Mapping[str, str]
    metrics: Mapping[str, float]
    """The last value of each."""
    tags: Mapping[str, str]

    @property
    def parent(self) -> str:
        """Run under which it is filed; empty for none."""
        return self.tags.get(_TAG_PARENT, "")


def find_runs(target: str) -> list[Recorded]:
    """The runs that a name stands for, newest first.

    Args:
        target: An experiment: all its runs. A run, by its folder, id or name: those filed under it, such as a
            search's trials, or else the run itself.

    Raises:
        ValueError: MLflow has nothing of that name.
    """
    client = _client(tracking_uri())
    experiment = client.get_experiment_by_name(target)
    if experiment is not None:
        return _search_runs(client, [experiment.experiment_id], "")
    everywhere = [one.experiment_id for one in client.search_experiments()]
    folder = Folder(target)
    run_id = of_run(folder).run_id if folder.exists("run.json") else target
    quoted = run_id.replace("'", "")
    runs = _search_runs(client, everywhere, f"attributes.run_id = '{quoted}'") or _search_runs(
        client, everywhere, f"attributes.run_name = '{quoted}'"
    )
    if not runs:
        raise ValueError(f"MLflow at {tracking_uri()} has no experiment and no run {target!r}")
    children = _search_runs(client, everywhere, f"tags.`{_TAG_PARENT}` = '{runs[0].run_id}'")
    return children or runs[:1]


def children_of(run_id: str) -> list[Recorded]:
    """The runs that are filed under one."""
    client = _client(tracking_uri())
    experiment = client.get_run(run_id).info.experiment_id
    return _search_runs(client, [experiment], f"tags.`{_TAG_PARENT}` = '{run_id}'")


def metric_history(run_id: str, name: str) -> dict[int, float]:
    """All values of a metric by step."""
    return {metric.step: metric.value for metric in _client(tracking_uri()).get_metric_history(run_id, name)}


def list_files(run_id: str, folder: str = "") -> list[str]:
    """Paths of the files in a folder of a run's artifacts, not of those in its folders."""
    found = _client(tracking_uri()).list_artifacts(run_id, folder or None)
    return [one.path for one in found if not one.is_dir]


def read_file(run_id: str, path: str) -> bytes:
    """The content of an artifact."""
    with tempfile.TemporaryDirectory() as name:
        return Path(_client(tracking_uri()).download_artifacts(run_id, path, name)).read_bytes()


def _search_runs(client: Any, experiments: list[str], query: str) -> list[Recorded]:
    runs: list[Recorded] = []
    token = None
    while True:
        page = client.search_runs(experiments, query, max_results=_PAGE, page_token=token)
        runs += [
            Recorded(
                run.info.run_id,
                run.info.run_name,
                run.info.status,
                run.data.params,
                run.data.metrics,
                run.data.tags,
            )
            for run in page
        ]
        token = page.token
        if not token:
            return runs


def _experiment_id(client: Any, uri: str, name: str) -> str:
    found = client.get_experiment_by_name(name)
    if found is not None:
        return found.experiment_id
    # Without a server, artifacts lie beside the store, wherever the process that logs them runs.
    local = uri.startswith("sqlite:///")
    location = (Path(uri.removeprefix("sqlite:///")).parent / "mlartifacts" / name).as_uri() if local else None
    return client.create_experiment(name, artifact_location=location)


def _client(uri: str) -> Any:
    # A training step waits for no server: two short tries instead of MLflow's minutes.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "15")
    from mlflow import MlflowClient

    logging.getLogger("mlflow").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    return MlflowClient(tracking_uri=uri)
