"""Brings MLflow up to date with the folders of runs.

`sync` may be called at any time, as often as one likes and from several processes: it sends what the store lacks and
nothing twice. A store that does not answer costs a warning; the next call sends what was missed. What a command could
not send, because the store was away or the command was killed, the next command on this machine sends.
"""

from __future__ import annotations

import json
import logging
import re
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from filelock import FileLock

from orchestration.runtime.folder_lock import is_abandoned
from orchestration.runtime.progress import ForwardingListener, ProgressListener
from orchestration.tracking.client import (
    AwayError,
    RefusedError,
    UnusableError,
    connect,
    find_experiment,
    naming_errors,
    shown_store,
    store_name,
    tracking_uri,
)
from orchestration.tracking.run_log import RunDescription, RunLog
from posegen.errors import PosegenError, TrackingError
from posegen.io.cache import cache_folder
from posegen.io.images import decode_png
from posegen.io.records import parse_json
from posegen.io.storage import StorageFolder

_log = logging.getLogger("posegen")

KEY = "posegen.key"
"""The tag by which a run is found in MLflow."""
MODEL_EPOCH = "posegen.epoch"
"""The tag of a logged model with the epoch of its checkpoint."""
PICTURE = re.compile(r"(?P<name>.+)[%~+]step[%~+](?P<step>\d+)[%~+]")
"""Names that MLflow gives to the pictures of a series."""
PARENT, NAME = "mlflow.parentRunId", "mlflow.runName"
_PARAMETER_LENGTH, _BATCH = 6000, 100  # MLflow's limits
_RETRY = 10.0  # seconds for which a store that was away is left alone
_PATIENCE = 60.0  # seconds for which the end of a command waits for one
_INTERVAL = 5.0  # seconds between two rounds in the background


@dataclass
class _Mirrored:
    """State of a run in a store, as far as this machine sent it: only a cache, see `_Mirror._recall`."""

    folder: str
    run_id: str = ""
    parent: str = ""
    """The parent's run."""
    described: dict[str, str] = field(default_factory=dict)
    """Parameters and tags."""
    metrics: dict[str, dict[int, int]] = field(default_factory=dict)
    """Time of each step, by group."""
    pictures: list[str] = field(default_factory=list)
    """Single pictures of steps that are not sent as a whole."""
    pictured: list[int] = field(default_factory=list)
    """Steps whose pictures are all sent."""
    files: dict[str, str] = field(default_factory=dict)
    """Size and date of sent files, by place among the artifacts."""
    has_inputs: bool = False
    """True if the dataset is sent."""
    models: dict[int, str] = field(default_factory=dict)
    """Logged model of a kept checkpoint, by epoch."""
    status_at: int = 0
    complete: bool = False
    """True if the run has ended, and nothing is left to send."""
    exact: bool = True
    """True if all that was sent is noted: False while it is sent, and after a process was killed meanwhile."""


def sync(folder: StorageFolder | str) -> bool:
    """Send MLflow what it lacks of a run, and return whether it lacks nothing now.

    A folder without ``tracking.json`` is not mirrored. Raises TrackingError where the folder's own files are damaged.
    """
    run = RunLog(folder)
    description = run.description
    if description is None:
        return True
    uri = tracking_uri()
    if uri in _unusable or time.monotonic() < _resting.get(uri, 0.0):
        _note_pending(uri, description.key, str(run.folder))
        return False
    try:
        with _state(uri, description.key, str(run.folder)) as state, naming_errors():
            _Mirror(connect(uri), uri, run, description, state).update()
    except AwayError as error:
        if uri not in _resting:
            _log.warning("MLflow at %s is away; what it lacks is sent later: %s", shown_store(), error)
        _resting[uri] = time.monotonic() + _RETRY
        return False
    except UnusableError as error:
        _unusable.add(uri)
        _log.warning("MLflow at %s: %s; nothing is sent there until then", shown_store(), error)
        return False
    except RefusedError as error:
        _log.warning("MLflow did not take run %s: %s", description.name, error)
        return False
    _resting.pop(uri, None)
    return True


def settle(*folders: StorageFolder) -> None:
    """Sync runs that have ended; a store that is away is waited for, for a while."""
    begin = time.monotonic()
    left = [folder for folder in folders if not sync(folder)]
    while left and tracking_uri() in _resting and time.monotonic() - begin < _PATIENCE:
        time.sleep(1.0)
        left = [folder for folder in left if not sync(folder)]
    if left:
        _log.warning("MLflow lacks a part of %s: the next command sends it", ", ".join(one.name for one in left))


def sync_pending() -> None:
    """Sync the runs that earlier commands on this machine left incomplete in the present store.

    A run whose process was killed by SIGKILL, or with its machine, could not write how it ended: it is KILLED.
    """
    for file in sorted(_states(tracking_uri()).glob("*.json")):
        state = _read_state(file)
        if state is None or not state.complete:
            with suppress(PosegenError, OSError):
                if state is not None and (folder := StorageFolder(state.folder)).exists():
                    log = RunLog(folder)
                    if log.status is not None and log.status.status == "RUNNING" and is_abandoned(folder):
                        log.set_status("KILLED")
                    sync(folder)
                else:
                    file.unlink(missing_ok=True)


@contextmanager
def recorded(run: StorageFolder | str) -> Iterator[RunLog]:
    """Return the log of a run, to which something is added; MLflow is brought up to date at the end."""
    log = RunLog(run)
    yield log
    sync(log.folder)


class MirroringListener(ForwardingListener):
    """Syncs a run after every epoch, and passes its progress on.

    Args:
        listener: Gets the progress.
        run: The run's folder.
    """

    def __init__(self, listener: ProgressListener, run: StorageFolder):
        super().__init__(listener)
        self._run = run

    def on_epoch(self, run: str, epoch: int, num_epochs: int, metrics: Mapping[str, float]) -> None:
        super().on_epoch(run, epoch, num_epochs, metrics)
        sync(self._run)


class BackgroundMirror:
    """Syncs run folders from a thread, every few seconds. Use it as a context, whose end syncs all of them once more.

    Args:
        folders: Of runs.
        watched: Folders whose folders are runs, also those that come later.
    """

    def __init__(self, folders: Sequence[StorageFolder], watched: Sequence[StorageFolder] = ()):
        self._own, self._watched = list(folders), list(watched)
        self._settled: set[StorageFolder] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._repeat, daemon=True, name="mlflow-mirror")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()
        settle(*self._folders())

    def _folders(self) -> list[StorageFolder]:
        """The runs that are not known to have ended and to be complete."""
        found = [place / name for place in self._watched for name in place.folders()]
        return [folder for folder in (*self._own, *found) if folder not in self._settled]

    def _repeat(self) -> None:
        while not self._stop.wait(_INTERVAL):
            for folder in self._folders():
                if self._stop.is_set():
                    return
                try:
                    status = RunLog(folder).status
                    if sync(folder) and (status is None or status.status != "RUNNING"):
                        self._settled.add(folder)
                except (PosegenError, OSError) as error:  # the folder's own files; the run itself goes on
                    _log.warning("run %s cannot be sent to MLflow: %s", folder, error)


class _Mirror:
    """One update of a run in a store."""

    def __init__(self, client: Any, uri: str, run: RunLog, description: RunDescription, state: _Mirrored):
        self.client, self.uri, self.run, self.description, self.state = client, uri, run, description, state

    def update(self) -> None:
        if not self.state.run_id:
            self._find()
        self._describe()
        self._send_dataset()
        self._send_metrics()
        self._send_pictures()
        self._send_files()
        self._send_models()
        self._send_status()

    def _find(self) -> None:
        """Find the run by its key, or create it: its creator may have been killed before the id was noted."""
        known = self.description.mlflow_run_id or self._run_of(self.description.key)
        if known:
            self._recall(known)
        else:
            tags = {KEY: self.description.key, NAME: self.description.name}
            experiment = find_experiment(self.client, self.uri, self.description.experiment)
            run = self.client.create_run(experiment, start_time=self.description.started_at, tags=tags)
            known = run.info.run_id
        self.state.run_id = known

    def _run_of(self, key: str) -> str:
        experiments = [one.experiment_id for one in self.client.search_experiments()]
        found = self.client.search_runs(experiments, f"tags.`{KEY}` = '{key}'", max_results=1)
        return found[0].info.run_id if found else ""

    def _recall(self, run_id: str) -> None:
        """Ask the store for what is not known here: what it has of the run."""
        data = self.client.get_run(run_id).data
        self.state.described = {
            **{f"p/{name}": value for name, value in data.params.items()},
            **{f"t/{name}": value for name, value in data.tags.items()},
        }
        for group in self.run.groups():
            for step, measured in self.run.metrics(group).items():
                history = self.client.get_metric_history(run_id, next(iter(measured.values))) if measured.values else []
                if any((one.step, one.timestamp) == (step, self._time(measured.at)) for one in history):
                    self.state.metrics.setdefault(group, {})[step] = measured.at
        found = (PICTURE.match(Path(one.path).name) for one in self.client.list_artifacts(run_id, "images"))
        self.state.pictures = sorted({_mark(one["name"], int(one["step"])) for one in found if one})

    def _describe(self) -> None:
        from mlflow.entities import Param, RunTag

        wanted = {
            **{f"p/{name}": value[:_PARAMETER_LENGTH] for name, value in self.description.parameters.items()},
            **{f"t/{name}": value for name, value in self.description.tags.items()},
        }
        known = self.state.described
        # MLflow keeps the first value of a parameter: num_epochs is one that may change.
        params = [Param(name[2:], x) for name, x in wanted.items() if name.startswith("p/") and name not in known]
        tags = [RunTag(name[2:], x) for name, x in wanted.items() if name.startswith("t/") and known.get(name) != x]
        for start in range(0, len(params), _BATCH):
            self.client.log_batch(self.state.run_id, params=params[start : start + _BATCH])
        if tags:
            self.client.log_batch(self.state.run_id, tags=tags)
        self.state.described = {**wanted, **{name: x for name, x in known.items() if name.startswith("p/")}}
        if self.description.parent and not self.state.parent:
            self.state.parent = self._run_of(self.description.parent)
            if self.state.parent:
                self.client.set_tag(self.state.run_id, PARENT, self.state.parent)

    def _send_dataset(self) -> None:
        """Send what the run reads as its input, by which MLflow finds all runs of a dataset."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        facts = self.description.dataset
        if self.state.has_inputs or not facts:
            return
        source = json.dumps({"uri": facts["source"]})
        dataset = Dataset(facts["name"], facts["digest"], facts["kind"], source)
        context = [InputTag("mlflow.data.context", "training")]
        self.client.log_inputs(self.state.run_id, datasets=[DatasetInput(dataset, tags=context)])
        self.state.has_inputs = True

    def _send_models(self) -> None:
        """Send the checkpoints that a run has kept in the end as logged models, with the metrics of their epochs."""
        from mlflow.entities import LoggedModelOutput, Metric

        status = self.run.status
        if status is None or status.status == "RUNNING":
            return
        measured = self.run.metrics()
        missing = [epoch for epoch in self.run.kept_epochs() if epoch in measured and epoch not in self.state.models]
        if not missing:
            return
        experiment = find_experiment(self.client, self.uri, self.description.experiment)
        found = self.client.search_logged_models([experiment], f"source_run_id = '{self.state.run_id}'")
        known = {model.name: model for model in found}
        kind = self.description.parameters.get("stage")
        for epoch in missing:
            name = re.sub(r"[/:.%\"'\s]+", "-", f"{self.description.name}-epoch-{epoch}")
            model = known.get(name)
            if model is None:
                tags = {KEY: self.description.key, MODEL_EPOCH: str(epoch)}
                model = self.client.create_logged_model(
                    experiment, name, source_run_id=self.state.run_id, tags=tags, model_type=kind
                )
            at = self._time(measured[epoch].at)
            facts = self.description.dataset
            linked = {"dataset_name": facts["name"], "dataset_digest": facts["digest"]} if facts else {}
            linked["model_id"] = model.model_id
            rows = [Metric(name, x, at, epoch, **linked) for name, x in measured[epoch].values.items()]
            self.client.log_batch(self.state.run_id, metrics=rows)
            self.client.log_outputs(self.state.run_id, [LoggedModelOutput(model.model_id, epoch)])
            self.client.finalize_logged_model(model.model_id, "READY")
            self.state.models[epoch] = model.model_id

    def _send_metrics(self) -> None:
        from mlflow.entities import Metric

        for group in self.run.groups():
            sent = self.state.metrics.setdefault(group, {})
            for step, measured in self.run.metrics(group).items():
                if sent.get(step) != measured.at:
                    at = self._time(measured.at)
                    rows = [Metric(name, value, at, step) for name, value in measured.values.items()]
                    self.client.log_batch(self.state.run_id, metrics=rows)
                    sent[step] = measured.at

    def _time(self, at: int) -> int:
        """Return the time of a measurement; version 0.1 did not write it."""
        return at or self.description.started_at

    def _send_pictures(self) -> None:
        finished = self.run.metrics()
        for step, folder in self.run.pictures().items():
            if step in self.state.pictured or step not in finished:
                continue
            for file in folder.files(".png"):
                name = file.removesuffix(".png")
                mark = _mark(name, step)
                if mark not in self.state.pictures:
                    self.client.log_image(self.state.run_id, decode_png(folder.read(file)), key=name, step=step)
                    self.state.pictures.append(mark)
            self.state.pictured.append(step)
            self.state.pictures = [mark for mark in self.state.pictures if not mark.endswith(_mark("", step))]

    def _send_files(self) -> None:
        for place, own in self.run.artifacts().items():
            filesystem, path = self.run.folder.resolve(own)
            info = filesystem.get_file_info(path)
            stamp = f"{info.size} {info.mtime_ns}"
            if not info.is_file or self.state.files.get(place) == stamp:
                continue
            with tempfile.TemporaryDirectory() as name:
                local = Path(name) / Path(place).name
                local.write_bytes(self.run.folder.read(own))
                parent = Path(place).parent.as_posix()
                self.client.log_artifact(self.state.run_id, str(local), None if parent == "." else parent)
            self.state.files[place] = stamp

    def _send_status(self) -> None:
        status = self.run.status
        if status is None:
            return
        if status.at != self.state.status_at:
            if status.status == "RUNNING":
                self.client.update_run(self.state.run_id, status="RUNNING")
            else:
                self.client.set_terminated(self.state.run_id, status.status, status.at)
            self.state.status_at = status.at
        self.state.complete = status.status != "RUNNING" and bool(self.state.parent or not self.description.parent)


def _mark(name: str, step: int) -> str:
    return f"{name} at step {step}"


_unusable: set[str] = set()
"""Stores that this command has given up."""
_resting: dict[str, float] = {}
"""Until when each store that was away is left alone: every try costs its time."""


def _states(uri: str) -> Path:
    return cache_folder() / "mlflow" / store_name(uri)


@contextmanager
def _state(uri: str, key: str, folder: str) -> Iterator[_Mirrored]:
    """Open the state of a run in a store for one update; no other process updates it meanwhile.

    What an update that is interrupted has sent is noted, too.
    """
    file = _states(uri) / f"{key}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(file.with_suffix(".lock")):
        state = _read_state(file)
        if state is None or not state.exact:
            state = _Mirrored(folder)  # and the store is asked
        state.folder, state.complete, state.exact = folder, False, False
        _write_state(file, state)
        try:
            yield state
        finally:
            state.exact = True
            _write_state(file, state)


def _note_pending(uri: str, key: str, folder: str) -> None:
    with _state(uri, key, folder):
        pass


def _read_state(file: Path) -> _Mirrored | None:
    """The state in a file; None where it is not one, which costs another question to the store."""
    try:
        return parse_json(_Mirrored, file.read_bytes(), str(file), TrackingError)
    except (PosegenError, OSError):
        return None


def _write_state(file: Path, state: _Mirrored) -> None:
    temporary = file.with_suffix(".new")
    temporary.write_text(json.dumps(asdict(state)))
    temporary.replace(file)
