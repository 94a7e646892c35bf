"""Record of a run: its stage, configuration and dataset, and the check before it is continued."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from posegen.checkpoints.checkpoint import find_checkpoint
from posegen.errors import CheckpointError, RunError
from posegen.io.records import parse_json
from posegen.io.storage import StorageFolder, without_user
from posegen.stages import STAGES, Stage

_RECORD = "run.json"
_SHOWN = 6  # settings that a message names


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """The content of ``run.json``."""

    stage: str
    config: dict[str, Any]
    dataset: str
    data_fingerprint: str
    mlflow_run_id: str = ""
    """MLflow run id as version 0.1 wrote it; ``tracking.json`` replaces it."""
    place: str = ""
    """Folder of the run when it was last trained; neighbours of a moved run are found from it."""
    required: dict[str, str] = field(default_factory=dict)
    """Fingerprints of the runs that it began with, by the settings that name them."""
    launch: dict[str, Any] = field(default_factory=dict)
    """Last launch: workers, the resources of each, and the samples of a step in all and of each worker."""

    @classmethod
    def of(cls, config: Stage.Config, dataset: str, data_fingerprint: str, place: str = "") -> RunRecord:
        """Return the record of a run that begins, as it will be read."""
        runs = {name: getattr(config, name) for name in config.stage.requires}
        required = {name: fingerprint_run(run) for name, run in runs.items() if run}
        return cls(
            stage=config.stage.name,
            config=_plain(config),
            dataset=dataset,
            data_fingerprint=data_fingerprint,
            place=place,
            required={name: known for name, known in required.items() if known},
        )

    @property
    def fingerprint(self) -> str:
        """Names what was trained of what: equal wherever run and data lie, and however long the training is."""
        settings = {name: x for name, x in self.config.items() if name != "num_epochs" and not _is_path(x)}
        content = json.dumps([self.stage, settings, self.data_fingerprint, self.required], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    def check_continued_by(self, asked: RunRecord, run: StorageFolder) -> None:
        """Raise RunError where another run is asked for: a run goes on as it began, only its length may change."""
        elsewhere = "take another --name or --runs"
        for name in ("stage", "data_fingerprint"):
            if getattr(self, name) != getattr(asked, name):
                kind, change = name.replace("_", " "), f"{getattr(self, name)} → {getattr(asked, name)}"
                raise RunError(f"run {run.name} has another {kind} ({change}): {elsewhere}")
        # A setting that is younger than the run had its default when the run began.
        config = STAGES[self.stage].Config
        before = {**_plain(config()), **config.upgrade(self.config)}
        changed = [
            name
            for name, value in asked.config.items()
            if name != "num_epochs" and before.get(name) != value and not self._is_moved(name, before.get(name), asked)
        ]
        if changed:
            some = ", ".join(f"{name} {before.get(name)!r} → {asked.config[name]!r}" for name in changed[:_SHOWN])
            some += f", and {len(changed) - _SHOWN} more" if len(changed) > _SHOWN else ""
            preset = STAGES[self.stage].nearest_preset(before)
            goes_on = f"it is of --preset {preset}: say so to continue it, or "
            hint = goes_on if STAGES[self.stage].nearest_preset(asked.config) != preset else ""
            raise RunError(f"run {run.name} was started with other settings ({some}): {hint}{elsewhere}")

    def _is_moved(self, name: str, before: Any, asked: RunRecord) -> bool:
        """Return True if a setting names the same run or file as before, in another place."""
        value = asked.config[name]
        if not (_is_path(before) and _is_path(value)):
            return False
        known, other = self.required.get(name), asked.required.get(name)
        if known and other:
            return known == other
        return StorageFolder(before).name == StorageFolder(value).name


def _is_path(value: Any) -> bool:
    return isinstance(value, str) and "/" in value


def fingerprint_run(run: str) -> str:
    """Return the fingerprint of a run's record; empty where it has none."""
    record = find_record(StorageFolder(run))
    return record.fingerprint if record else ""


def find_moved(path: str, record: RunRecord, run: StorageFolder) -> str:
    """Find a file or run that a run's record names: at its old place, or beside the run if both were moved."""
    if not record.place or not run.is_local or "://" in record.place + path or StorageFolder(path).exists():
        return path
    beside = os.path.normpath(Path(run.uri) / os.path.relpath(path, record.place))
    return beside if Path(beside).exists() else path


def _plain(config: Stage.Config) -> dict[str, Any]:
    """The settings as they are written: without key and secret of the addresses in them."""
    values = {name: without_user(x) if isinstance(x, str) else x for name, x in asdict(config).items()}
    return json.loads(json.dumps(values))


def find_record(run: StorageFolder) -> RunRecord | None:
    """Return the record of a run; None where there is none yet. Raises RunError where the file is not a run's."""
    if not run.exists(_RECORD):
        return None
    record = parse_json(RunRecord, run.read(_RECORD), f"{run}/{_RECORD}", RunError)
    if record.stage not in STAGES:
        raise RunError(f"{run} is of the stage {record.stage!r}, expected one of {sorted(STAGES)}")
    return record


def is_run_folder(folder: StorageFolder) -> bool:
    """Return True if a folder is a run, or has a checkpoint; a copied checkpoint has no record."""
    if folder.exists(_RECORD):
        return True
    try:
        find_checkpoint(folder)
    except CheckpointError:
        return False
    return True


def save_record(run: StorageFolder, record: RunRecord) -> None:
    """Write ``run.json``."""
    run.write_json(_RECORD, asdict(record))


def dataset_of(run: str) -> str:
    """Return the dataset that a run was trained on. Raises RunError where there is no run."""
    record = find_record(StorageFolder(run))
    if record is None:
        raise RunError(f"no run in {run}; train one with `posegen train`")
    return find_moved(record.dataset, record, StorageFolder(run))
