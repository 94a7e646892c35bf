"""MLflow: the only file that imports it.

Runs are addressed by their id with an explicit client, so any process may log to any run. A tracking server that
does not answer costs a warning, never the training: what it has to take waits on disk and is delivered later, once.
"""

from __future__ import annotations

import hashlib
import logging
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from http import HTTPStatus
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
from filelock import FileLock

from orchestration.tracking.outbox import Outbox, Record
from posegen.errors import ConfigError, TrackingError, first_line
from posegen.io.images import decode_png, encode_png
from posegen.io.storage import StorageFolder
from posegen.weights.registry import cache_folder

log = logging.getLogger("posegen")

Status = Literal["FINISHED", "FAILED", "KILLED"]
DEFAULT_STORE = "mlflow.db"
_PARAMETER_LENGTH = 6000  # MLflow's limit
_PASSING = ("INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED")
"""Errors of a server that is away, or will soon be better."""
_RETRY = 10.0  # seconds for which a store that was away is left alone
_PATIENCE = 60.0  # seconds for which a run that ends waits for one
_PAGE = 1000  # runs in one answer
_TAG_PARENT = "mlflow.parentRunId"
_TAG_NAME = "mlflow.runName"


def tracking_uri() -> str:
    """The server of ``MLFLOW_TRACKING_URI``, or an sqlite file in the working directory."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{Path(DEFAULT_STORE).absolute()}"


def require() -> None:
    """Raise TrackingError where MLflow does not answer."""
    from mlflow.exceptions import MlflowException

    deliver_all()
    try:
        _client(tracking_uri()).search_experiments(max_results=1)
    except (MlflowException, OSError) as error:
        raise TrackingError(f"MLflow at {tracking_uri()} does not answer: {first_line(error)}") from None


@dataclass(frozen=True)
class Tracker:
    """One MLflow run, or none at all. Small and picklable: workers get a copy."""

    uri: str
    run_id: str

    def __post_init__(self) -> None:
        if not re.fullmatch(r"\w*", self.run_id):  # it becomes the name of a folder, in the outbox
            raise ConfigError(f"{self.run_id!r} is not the id of an MLflow run")

    @property
    def is_on(self) -> bool:
        """Whether anything is recorded."""
        return bool(self.run_id)

    def log_metrics(self, metrics: Mapping[str, float], step: int, at: int | None = None) -> None:
        """Record numbers, named ``phase/name``, as of `at` (milliseconds since 1970), or now.

        Numbers that are recorded again as of the same time are there once.
        """
        time_ = now() if at is None else at
        self._send({"kind": "metrics", "values": [[name, float(x), time_, step] for name, x in metrics.items()]})

    def log_picture(self, name: str, picture: np.ndarray, step: int | None = None) -> None:
        """Record a picture (H, W, 3): with a step as one of a series, without as the file `name`.png."""
        if self.is_on:
            self._send({"kind": "picture", "name": name, "step": step}, encode_png(picture))

    def log_file(self, path: Path, folder: str | None = None) -> None:
        """Record a file, or a folder with all that is in it."""
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file() and self.is_on:
                inside = file.relative_to(path).parent if path.is_dir() else Path()
                place = "" if folder is None and inside == Path() else (Path(folder or "") / inside).as_posix()
                self._send({"kind": "file", "name": file.name, "folder": place}, file.read_bytes())

    def log_parameters(self, parameters: Mapping[str, Any]) -> None:
        """Record settings."""
        values = {name: str(value)[:_PARAMETER_LENGTH] for name, value in parameters.items()}
        self._send({"kind": "parameters", "values": values})

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Record facts that are no settings."""
        self._send({"kind": "tags", "values": dict(tags)})

    def finish(self, status: Status = "FINISHED") -> None:
        """Close the run. What a server that was away did not take is offered to it for a while."""
        self._send({"kind": "end", "status": status, "time": now()})
        begin = time.monotonic()
        while self.is_on and self._outbox and time.monotonic() - begin < _PATIENCE:
            time.sleep(_RETRY)
            self._deliver()
        if self.is_on and self._outbox:
            log.warning(
                "MLflow is still away: what it has to take waits in %s for the next command", self._outbox.folder
            )

    @contextmanager
    def watching_system(self) -> Iterator[None]:
        """Record how busy this machine is meanwhile, as ``system/…``."""
        if not self.is_on:
            yield
            return
        from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

        logging.getLogger("mlflow.system_metrics").setLevel(logging.CRITICAL)  # a server that is away is no news
        try:
            monitor = SystemMetricsMonitor(self.run_id, resume_logging=True, tracking_uri=self.uri)
        except Exception as error:
            log.warning("this machine's load is not recorded: %s", first_line(error))
            yield
            return
        monitor.start()
        try:
            yield
        finally:
            monitor.finish()

    @property
    def _outbox(self) -> Outbox:
        return Outbox(_outboxes(self.uri) / self.run_id)

    def _send(self, record: Record, attachment: bytes | None = None) -> None:
        """Have a record taken, now or, where MLflow is away, later."""
        if not self.is_on:
            return
        self._outbox.put(record, attachment)
        self._deliver()

    def _deliver(self) -> None:
        if time.monotonic() < _resting.get(self.uri, 0.0):
            return
        try:
            self._outbox.deliver(partial(_take, self))
        except _AwayError as error:
            if self.uri not in _resting:
                log.warning("MLflow at %s is away, what it has to take is kept: %s", self.uri, error)
            _resting[self.uri] = time.monotonic() + _RETRY
        else:
            _resting.pop(self.uri, None)


class _AwayError(Exception):
    """MLflow does not answer."""


_resting: dict[str, float] = {}
"""Until when each store that was away is left alone: every try costs a step its time."""


def _take(tracker: Tracker, record: Record, attachment: Path | None) -> None:
    """Hand a record to MLflow. Raises _AwayError; what MLflow will never take costs a warning and is gone."""
    from mlflow.exceptions import MlflowException

    try:
        _hand_over(_client(tracker.uri), tracker.run_id, record, attachment)
    except OSError as error:
        raise _AwayError(first_line(error)) from error
    except MlflowException as error:
        if error.error_code in _PASSING:
            raise _AwayError(first_line(error)) from error
        log.warning("MLflow did not take %s: %s", record["kind"], first_line(error))


def _hand_over(client: Any, run_id: str, record: Record, attachment: Path | None) -> None:
    from mlflow.entities import Metric, Param, RunTag

    match record:
        case {"kind": "metrics", "values": values}:
            client.log_batch(run_id, metrics=[Metric(*value) for value in values])
        case {"kind": "parameters", "values": values}:
            client.log_batch(run_id, params=[Param(*item) for item in values.items()])
        case {"kind": "tags", "values": values}:
            client.log_batch(run_id, tags=[RunTag(*item) for item in values.items()])
        case {"kind": "end", "status": status, "time": milliseconds}:
            client.set_terminated(run_id, status, milliseconds)
        case {"kind": "picture", "name": name, "step": None} if attachment:
            client.log_image(run_id, decode_png(attachment.read_bytes()), f"{name}.png")
        case {"kind": "picture", "name": name, "step": step} if attachment:
            client.log_image(run_id, decode_png(attachment.read_bytes()), key=name, step=step)
        case {"kind": "file", "name": name, "folder": folder} if attachment:
            with tempfile.TemporaryDirectory() as place:
                path = Path(place) / name
                path.write_bytes(attachment.read_bytes())
                client.log_artifact(run_id, str(path), folder or None)


def deliver_all() -> None:
    """Hand over what earlier commands on this machine could not."""
    uri = tracking_uri()
    for folder in sorted(path for path in _outboxes(uri).glob("*") if path.is_dir()):
        Tracker(uri, folder.name)._deliver()


def _outboxes(uri: str) -> Path:
    """Where the outboxes of a store's runs are."""
    return cache_folder() / "outbox" / _short_name(uri)


def _short_name(uri: str) -> str:
    """A name for a store that fits into a path."""
    return hashlib.sha256(uri.encode()).hexdigest()[:12]


def now() -> int:
    """Milliseconds since 1970, as MLflow counts."""
    return int(time.time() * 1000)


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
    """Begin an MLflow run, or go on with `run_id`. Returns `OFF`, with a warning, if MLflow cannot be reached."""
    from mlflow.exceptions import MlflowException

    uri = parent.uri or tracking_uri()
    deliver_all()
    try:
        client = _client(uri)
        if run_id:
            client.update_run(run_id, status="RUNNING")
            return Tracker(uri, run_id)
        nesting = {_TAG_PARENT: parent.run_id} if parent.is_on else {}
        run = client.create_run(
            _experiment_id(client, uri, experiment), tags={_TAG_NAME: name, **nesting, **_origin(), **(tags or {})}
        )
    except (MlflowException, OSError) as error:
        log.warning("MLflow at %s is not available, nothing is recorded there: %s", uri, first_line(error))
        return OFF
    tracker = Tracker(uri, run.info.run_id)
    tracker.log_parameters(parameters)
    return tracker


@cache
def _origin() -> dict[str, str]:
    """What made a run: the commit that the working directory is at, and the versions that matter.

    A job's working directory has no history; ``POSEGEN_COMMIT`` says what was sent.
    """
    commit = os.environ.get("POSEGEN_COMMIT", "")
    if not commit:
        told = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
        commit = told.stdout.strip() if told.returncode == 0 else ""
    known = {"mlflow.source.git.commit": commit} if commit else {}
    versions = ", ".join(f"{name} {version(name)}" for name in ("posegen", "torch", "ray", "numpy", "optuna"))
    return {**known, "posegen.environment": f"python {platform.python_version()}, {versions}, {platform.platform()}"}


def of_run(run: StorageFolder) -> Tracker:
    """The MLflow run of a run folder; `OFF` where it was not recorded."""
    record = run.read_json("run.json") if run.exists("run.json") else {}
    run_id = record.get("mlflow_run_id", "") if isinstance(record, dict) else ""
    return Tracker(tracking_uri(), str(run_id)) if run_id else OFF


def serve_page(port: int, on_ready: Callable[[str], object]) -> None:
    """Serve MLflow's page on the store until it is interrupted, or say where its server is.

    Raises TrackingError if it does not start.
    """
    uri = tracking_uri()
    if uri.startswith("http"):
        on_ready(uri)
        return
    address = f"http://127.0.0.1:{port}"
    if _answers(address):
        raise TrackingError(f"something answers on port {port} already: take another --port")
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", uri, "--host", "127.0.0.1"]
    server = subprocess.Popen([*command, "--port", str(port), "--workers", "1"])
    try:
        while server.poll() is None and not _answers(address):
            time.sleep(0.5)
        if server.poll() is not None:
            raise TrackingError(f"MLflow's page did not start on port {port}: take another --port")
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
        TrackingError: MLflow has nothing of that name.
    """
    client = _client(tracking_uri())
    experiment = client.get_experiment_by_name(target)
    if experiment is not None:
        return _search_runs(client, [experiment.experiment_id], "")
    folder = StorageFolder(target)
    run_id = of_run(folder).run_id if folder.exists("run.json") else target
    quoted = run_id.replace("'", "")
    runs = _search_everywhere(f"attributes.run_id = '{quoted}'") or _search_everywhere(
        f"attributes.run_name = '{quoted}'"
    )
    if not runs:
        raise TrackingError(f"MLflow at {tracking_uri()} has no experiment and no run {target!r}")
    return children_of(runs[0].run_id) or runs[:1]


def children_of(run_id: str) -> list[Recorded]:
    """The runs that are filed under one."""
    return _search_everywhere(f"tags.`{_TAG_PARENT}` = '{run_id}'")


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


def _search_everywhere(query: str) -> list[Recorded]:
    client = _client(tracking_uri())
    return _search_runs(client, [one.experiment_id for one in client.search_experiments()], query)


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
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is not None:
        return found.experiment_id
    # Without a server, artifacts lie beside the store, wherever the process that logs them runs.
    local = uri.startswith("sqlite:///")
    location = (Path(uri.removeprefix("sqlite:///")).parent / "mlartifacts" / name).as_uri() if local else None
    try:
        return client.create_experiment(name, artifact_location=location)
    except MlflowException:
        found = client.get_experiment_by_name(name)
        if found is None:
            raise
        return found.experiment_id  # another command made it meanwhile


def _client(uri: str) -> Any:
    # A training step waits for no server: two short tries instead of MLflow's minutes.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "15")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # between our own lines
    from mlflow import MlflowClient
    from sqlalchemy.exc import SQLAlchemyError

    logging.getLogger("mlflow").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    if uri.startswith("sqlite:") and uri not in _made:
        # Two commands that begin in an empty folder would make the same tables at once, which fails.
        with FileLock(Path(tempfile.gettempdir()) / f"posegen-{_short_name(uri)}.lock"):
            try:
                MlflowClient(tracking_uri=uri)
            except SQLAlchemyError as error:
                raise OSError(f"it is no store of MLflow: {first_line(error)}") from error
        _made.add(uri)
    return MlflowClient(tracking_uri=uri)


_made: set[str] = set()
"""Stores whose tables are there."""
