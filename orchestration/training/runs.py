"""Runs on disk: what one is of, what its epochs gave, and whether it may go on as asked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch

from posegen.checkpoints.checkpoint import find_checkpoint, latest_checkpoint, load_progress, load_stage
from posegen.errors import RunError
from posegen.io.records import parse_record
from posegen.io.storage import StorageFolder
from posegen.stages import STAGES, Stage
from posegen.stages.behavior_stage import BehaviorStage

_RECORD, _HISTORY = "run.json", "metrics.json"


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """The content of ``run.json``."""

    stage: str
    config: dict[str, Any]
    dataset: str
    data_fingerprint: str
    mlflow_run_id: str = ""

    @classmethod
    def of(cls, stage: str, config: Stage.Config, dataset: str, data_fingerprint: str) -> RunRecord:
        """The record of a run that begins, as it will be read."""
        values = json.loads(json.dumps(asdict(config)))
        return cls(stage=stage, config=values, dataset=dataset, data_fingerprint=data_fingerprint)

    def check_continued_by(self, asked: RunRecord, run: StorageFolder) -> None:
        """Raise RunError where another run is asked for: a run goes on as it began, only its length may change."""
        elsewhere = "take another --name or --runs"
        for name in ("stage", "data_fingerprint"):
            if getattr(self, name) != getattr(asked, name):
                kind, change = name.replace("_", " "), f"{getattr(self, name)} → {getattr(asked, name)}"
                raise RunError(f"run {run.name} has another {kind} ({change}): {elsewhere}")
        # A setting that is younger than the run had its default when the run began.
        defaults = json.loads(json.dumps(asdict(STAGES[self.stage].Config())))
        before = {**defaults, **self.config}
        changed = [name for name, value in asked.config.items() if name != "num_epochs" and before.get(name) != value]
        if changed:
            changes = ", ".join(f"{name} {before.get(name)!r} → {asked.config[name]!r}" for name in changed)
            raise RunError(f"run {run.name} was started with other settings ({changes}): {elsewhere}")


def find_record(run: StorageFolder) -> RunRecord | None:
    """What a run is of; None where there is none yet. Raises RunError where what is there is not a run's."""
    if not run.exists(_RECORD):
        return None
    record = parse_record(RunRecord, run.read(_RECORD), f"{run}/{_RECORD}", RunError)
    if record.stage not in STAGES:
        raise RunError(f"{run} is of the stage {record.stage!r}, expected one of {sorted(STAGES)}")
    return record


def save_record(run: StorageFolder, record: RunRecord) -> None:
    """Write ``run.json``."""
    run.write_json(_RECORD, asdict(record))


def dataset_of(run: str) -> str:
    """The dataset that a run was trained on. Raises RunError where there is no run."""
    record = find_record(StorageFolder(run))
    if record is None:
        raise RunError(f"no run in {run}; train one with `posegen train`")
    return record.dataset


def load_behavior(run: str) -> BehaviorStage:
    """The newest checkpoint of a run of the stage behavior or behavior_flow, on a GPU if there is one."""
    stage = load_stage(find_checkpoint(run), BehaviorStage)
    assert isinstance(stage, BehaviorStage)
    return stage.to(torch.device("cuda" if torch.cuda.is_available() else "cpu"))


def is_finished(run: StorageFolder, config: Stage.Config) -> bool:
    """Whether nothing is left to train of a run."""
    checkpoint = latest_checkpoint(run)
    return checkpoint is not None and load_progress(checkpoint).epoch >= config.num_epochs


def history(run: StorageFolder) -> dict[int, dict[str, float]]:
    """What every epoch gave that the last checkpoint of a run holds, by epoch; nothing before the first."""
    checkpoint = latest_checkpoint(run)
    if checkpoint is None or not run.exists(_HISTORY):
        return {}
    done = load_progress(checkpoint).epoch
    epochs = parse_record(dict[int, dict[str, float]], run.read(_HISTORY), f"{run}/{_HISTORY}", RunError)
    return {epoch: metrics for epoch, metrics in epochs.items() if epoch <= done}


def add_to_history(run: StorageFolder, epoch: int, metrics: Mapping[str, float]) -> None:
    """Note what an epoch gave, before its checkpoint is written."""
    run.write_json(_HISTORY, {**history(run), epoch: dict(metrics)})
