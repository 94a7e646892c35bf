"""Log of a run, in the run's own folder.

A recorded folder holds::

    tracking.json           name, experiment, parent, parameters and tags; absent where MLflow is not wanted
    status.json             RUNNING, FINISHED, FAILED or KILLED, since when, and why
    metrics.json            metrics of training, by epoch
    metrics-GROUP.json      other metrics, such as those of an evaluation, by step
    previews/epoch-0003/    pictures of an epoch
    artifacts.json          which files of the folder are the run's artifacts
    artifacts/              those that were made elsewhere

The folder is the truth: MLflow is brought up to date from it by `orchestration.tracking.mirror`, at any time, from any
machine that reaches both. Nothing here needs MLflow.
"""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from getpass import getuser
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np
from pyarrow.fs import FileSelector

from posegen.checkpoints.checkpoint import latest_checkpoint, load_progress
from posegen.errors import TrackingError, in_one_line
from posegen.io.images import encode_png
from posegen.io.records import parse_json
from posegen.io.storage import StorageFolder

Status = Literal["RUNNING", "FINISHED", "FAILED", "KILLED"]
TRAINING = "training"
"""The group of metrics that training writes after every epoch."""
_RECORD, _STATUS, _ARTIFACTS = "tracking.json", "status.json", "artifacts.json"
_PREVIEWS, _COPIES, _CHECKPOINTS, _EPOCH = "previews", "artifacts", "checkpoints", "epoch-"


@dataclass(frozen=True, kw_only=True)
class RunDescription:
    """The content of ``tracking.json``."""

    key: str
    """Names the run in every MLflow store."""
    name: str
    experiment: str
    started_at: int
    """Milliseconds since 1970."""
    parent: str = ""
    """Key of the run under which it is filed."""
    parameters: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    dataset: dict[str, str] = field(default_factory=dict)
    """Dataset of the run: ``name``, ``digest``, ``source`` and ``kind``; empty for a search."""
    mlflow_run_id: str = ""
    """Of a run that version 0.1 began, which had no key."""


@dataclass(frozen=True, kw_only=True)
class RunStatus:
    """The content of ``status.json``."""

    status: Status
    at: int
    """Milliseconds since 1970."""
    reason: str = ""
    """Reason of a failure."""


@dataclass(frozen=True)
class Measured:
    """Metrics of one step."""

    at: int
    """Time of the measurement, in milliseconds since 1970."""
    values: dict[str, float]


class RunLog:
    """Reads and writes what is recorded of a run.

    Args:
        folder: The run's folder.
    """

    def __init__(self, folder: StorageFolder | str):
        self.folder = StorageFolder(folder)

    def open(
        self,
        *,
        experiment: str,
        parameters: Mapping[str, Any],
        tags: Mapping[str, str] | None = None,
        parent: RunLog | None = None,
        dataset: Mapping[str, str] | None = None,
        mlflow_run_id: str = "",
    ) -> None:
        """Describe the run, which begins or goes on: parameters and tags are added to those of before.

        Args:
            experiment: In MLflow.
            parameters: Settings.
            tags: Facts that are no settings.
            parent: The run under which it is filed.
            dataset: What the run reads, see `RunDescription`.
            mlflow_run_id: Run of MLflow that it goes on with, where version 0.1 began it.
        """
        known = self.description
        if known is None:
            above = parent.description if parent else None
            known = RunDescription(
                key=uuid.uuid4().hex,
                name=self.folder.name,
                experiment=experiment,
                started_at=now(),
                parent=above.key if above else "",
                mlflow_run_id=mlflow_run_id,
                tags=_origin(),
            )
        parameters = {name: str(value) for name, value in parameters.items()}
        description = replace(
            known,
            parameters={**known.parameters, **parameters},
            tags={**known.tags, "posegen.run": str(self.folder), **(tags or {})},
            dataset=dict(dataset or known.dataset),
        )
        self.folder.write_json(_RECORD, asdict(description))
        self.set_status("RUNNING")

    @property
    def description(self) -> RunDescription | None:
        """Content of ``tracking.json``; None if the run is not to be mirrored. Raises TrackingError."""
        description = self._read(RunDescription, _RECORD)
        # It becomes the name of a file, and a part of a query.
        if description is not None and not re.fullmatch("[0-9a-f]{32}", description.key):
            raise TrackingError(f"{self.folder}/{_RECORD}: {description.key!r} is not the key of a run")
        return description

    @property
    def status(self) -> RunStatus | None:
        """The run's status; None where none was written. Raises TrackingError."""
        return self._read(RunStatus, _STATUS)

    def set_status(self, status: Status, reason: str = "") -> None:
        """Write how the run stands from now on."""
        self.folder.write_json(_STATUS, asdict(RunStatus(status=status, at=now(), reason=reason)))

    def finish(self, error: BaseException | None = None) -> None:
        """Write how the run ended: killed by the user, failed by any other error, or finished."""
        status = self.status
        if error is None:
            self.set_status("FINISHED")
        elif status is not None and status.status == "FINISHED":
            return  # a search ended its trial, whose process was stopped in the middle of something
        elif isinstance(error, KeyboardInterrupt | SystemExit):
            self.set_status("KILLED")
        else:
            self.set_status("FAILED", in_one_line(error))

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Add facts that are no parameters."""
        known = self.description
        if known is not None:
            self.folder.write_json(_RECORD, asdict(replace(known, tags={**known.tags, **tags})))

    def log_metrics(self, metrics: Mapping[str, float], step: int, group: str = TRAINING) -> None:
        """Write the metrics, named ``phase/name``, of a step, in place of those that the step had in this group."""
        known = self._all_metrics(group)
        if group == TRAINING:
            known = {number: measured for number, measured in known.items() if number < step}
        steps = {**known, step: Measured(now(), {name: float(x) for name, x in metrics.items()})}
        self.folder.write_json(_metrics_file(group), {number: asdict(steps[number]) for number in sorted(steps)})

    def metrics(self, group: str = TRAINING) -> dict[int, Measured]:
        """Return the metrics of a group by step. Raises TrackingError where the file is damaged.

        Of training those epochs that the last checkpoint holds: a later one is trained again.
        """
        steps = self._all_metrics(group)
        if not steps or group != TRAINING:
            return steps
        checkpoint = latest_checkpoint(self.folder)
        done = load_progress(checkpoint).epoch if checkpoint is not None else 0
        return {step: measured for step, measured in steps.items() if step <= done}

    def _all_metrics(self, group: str) -> dict[int, Measured]:
        name = _metrics_file(group)
        if not self.folder.exists(name):
            return {}
        content = self._read(dict[str, Any], name)
        rows = {step: _with_time(row) for step, row in content.items()}
        return parse_json(dict[int, Measured], json.dumps(rows), f"{self.folder}/{name}", TrackingError)

    def groups(self) -> list[str]:
        """Return the groups that have metrics."""
        files = [name.removesuffix(".json") for name in self.folder.files(".json") if name.startswith("metrics")]
        return [name.removeprefix("metrics").removeprefix("-") or TRAINING for name in files]

    def kept_epochs(self) -> list[int]:
        """Return the epochs of which a checkpoint is kept."""
        names = (self.folder / _CHECKPOINTS).folders()
        return sorted(int(name.removeprefix(_EPOCH)) for name in names if name.removeprefix(_EPOCH).isdecimal())

    def log_picture(self, name: str, picture: np.ndarray, step: int) -> None:
        """Write a picture (H, W, 3) uint8 as one of a series, a picture each epoch."""
        (self.folder / _PREVIEWS / f"epoch-{step:04d}").write_bytes(f"{name}.png", encode_png(picture))

    def pictures(self) -> dict[int, StorageFolder]:
        """Return the folders of pictures by step; a file in them is called NAME.png."""
        previews = self.folder / _PREVIEWS
        return {int(name.removeprefix("epoch-")): previews / name for name in previews.folders()}

    def log_file(self, path: Path, folder: str = "") -> None:
        """Add a file, or a folder with all that is in it, to the run's artifacts; what lies elsewhere is copied.

        Args:
            path: Where it lies, on this machine.
            folder: Where it is filed among the artifacts.
        """
        path = path.absolute()
        files = [file for file in sorted(path.rglob("*")) if file.is_file()] if path.is_dir() else [path]
        base = path if path.is_dir() else path.parent
        own = Path(str(self.folder))
        noted = {}
        for file in files:
            name = (PurePosixPath(folder) / file.relative_to(base).as_posix()).as_posix()
            if self.folder.is_local and file.is_relative_to(own):
                noted[name] = file.relative_to(own).as_posix()
            else:
                noted[name] = f"{_COPIES}/{name}"
                self.folder.write_bytes(noted[name], file.read_bytes())
        self.folder.write_json(_ARTIFACTS, {**self.artifacts(), **noted})

    def log_own_files(self, folder: str) -> None:
        """Add all files in a folder of the run's own to its artifacts, under the same name."""
        filesystem, path = (self.folder / folder).resolve()
        found = filesystem.get_file_info(FileSelector(path, allow_not_found=True, recursive=True))
        names = [f"{folder}/{one.path.removeprefix(path).lstrip('/')}" for one in found if one.is_file]
        self.folder.write_json(_ARTIFACTS, {**self.artifacts(), **{name: name for name in names}})

    def artifacts(self) -> dict[str, str]:
        """Return the run's files: by their places among the artifacts, their places in the run's folder."""
        files = self._read(dict[str, str], _ARTIFACTS) or {}
        for file in (*files, *files.values()):
            if PurePosixPath(file).is_absolute() or ".." in PurePosixPath(file).parts:
                raise TrackingError(f"{self.folder}/{_ARTIFACTS}: {file!r} is not a file of the run")
        return files

    def _read(self, kind: Any, name: str) -> Any:
        if not self.folder.exists(name):
            return None
        return parse_json(kind, self.folder.read(name), f"{self.folder}/{name}", TrackingError)


def now() -> int:
    """Milliseconds since 1970."""
    return int(time.time() * 1000)


def _metrics_file(group: str) -> str:
    return "metrics.json" if group == TRAINING else f"metrics-{group}.json"


def _with_time(row: Any) -> Any:
    """A row as it is written today: version 0.1 wrote the values of an epoch without their time."""
    is_row = isinstance(row, dict) and row.keys() == {"at", "values"}
    return row if is_row else {"at": 0, "values": row}


@cache
def _origin() -> dict[str, str]:
    """Return the origin of a run: the commit of the working directory, and the versions that matter.

    A job's working directory has no history; ``POSEGEN_COMMIT`` says what was sent.
    """
    commit = os.environ.get("POSEGEN_COMMIT", "")
    if not commit:
        asked = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
        commit = asked.stdout.strip() if asked.returncode == 0 else ""
    known = {"mlflow.source.name": Path(sys.argv[0]).name, "mlflow.user": getuser()}
    if commit:
        known["mlflow.source.git.commit"] = commit
    versions = ", ".join(f"{name} {version(name)}" for name in ("posegen", "torch", "ray", "numpy", "optuna"))
    return {**known, "posegen.environment": f"python {platform.python_version()}, {versions}, {platform.platform()}"}
