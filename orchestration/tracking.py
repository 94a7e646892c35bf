"""MLflow: the only file that imports it.

Runs are addressed by their id with an explicit client, so any process may log to any run. A tracking server that
does not answer costs a warning and what it would have recorded, never the training.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from posegen.storage import Folder

log = logging.getLogger("posegen")

Status = Literal["FINISHED", "FAILED", "KILLED"]
DEFAULT_STORE = "mlflow.db"
_PARAMETER_LENGTH = 6000  # MLflow's limit
_TAG_PARENT = "mlflow.parentRunId"
_TAG_NAME = "mlflow.runName"


def tracking_uri() -> str:
    """The server of ``MLFLOW_TRACKING_URI``, or an sqlite file in the working directory."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{Path(DEFAULT_STORE).absolute()}"


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
