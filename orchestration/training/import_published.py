"""Makes runs of checkpoints that the published code of behaviour-driven synthesis wrote."""

from __future__ import annotations

import hashlib
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import torch
from tyro.conf import arg

from orchestration.option_types import require_name
from orchestration.runtime.folder_lock import hold_folder
from orchestration.training.checkpoint_writer import CheckpointWriter
from orchestration.training.job import Job, TrainSettings
from orchestration.training.preflight import check_disk
from orchestration.training.train import open_run, recorded_run
from posegen.checkpoints.checkpoint import TrainingProgress, find_checkpoint, latest_checkpoint, load_config, load_stage
from posegen.checkpoints.published import PublishedStageName, open_published, published_config, published_stage
from posegen.errors import ConfigError, RunError
from posegen.io.storage import StorageFolder
from posegen.stages import Behavior, BehaviorFlow, Stage

_NOTE = "imported.json"
_OLDER_NOTE = "adopted.json"  # as version 0.1 called it


@dataclass(frozen=True, kw_only=True)
class ImportSettings:
    """Name and folder of the run."""

    name: str
    """Name of the run, which must be new."""
    behavior: Annotated[str, arg(name="from")] = ""
    """Run that `posegen import-checkpoint behavior` made: the behaviour net whose codes a flow learned."""
    runs: str = "runs"
    """Folder of all runs: local, a shared mount, or an address such as s3://bucket/runs."""
    experiment: str = "posegen"
    """Experiment in MLflow."""
    track: bool = True
    """Record the run in MLflow: in mlflow.db here, or at MLFLOW_TRACKING_URI."""

    def __post_init__(self) -> None:
        require_name(self.name, "a run's")
        if not self.name:
            raise ConfigError("--name is empty, expected a name for the run")


@dataclass(frozen=True)
class ImportedRun:
    """Imported run and its source."""

    run: StorageFolder
    config: Stage.Config
    checkpoint: Path


def import_checkpoint(
    stage: PublishedStageName, checkpoint: Path, dataset: str, settings: ImportSettings
) -> ImportedRun:
    """Write a run that is as if it had been trained to its end, and ``imported.json`` beside it, which says of what.

    Args:
        stage: Which network the checkpoint has.
        checkpoint: See `posegen.checkpoints.published.open_published`.
        dataset: What the run is of. A behaviour net takes the scale of postures from its training split, because the
            checkpoint does not have it, and a flow nothing.
        settings: Where it goes.

    Raises:
        RunError: Before anything is written, if the checkpoint or the data are something else, or do not fit.
        RunError: If there is such a run already.
    """
    behavior = _find_behavior(stage, settings.behavior)  # before gigabytes of a flow are read
    published = open_published(stage, checkpoint)
    config = published_config(stage, published)
    if behavior is not None:
        shared = {name: behavior.value_of(name) for name in ("num_frames", "canonical", "fps")}
        config = replace(config, **{"behavior": settings.behavior, **shared})
    data = config.stage.reads(dataset)
    config = config.stage.adapt(config, data)
    run = StorageFolder(settings.runs) / settings.name
    if latest_checkpoint(run) is not None:
        raise RunError(f"there is a run {run} already: take another --name or --runs")
    torch.manual_seed(config.seed)  # for networks that the checkpoint does not have
    built = published_stage(stage, config, published)
    if data.frame_size is not None:
        built.check_size(data.frame_size)
    built.initialize(lambda required: load_stage(find_checkpoint(required)))
    if behavior is None:  # the norms of a flow are the checkpoint's
        built.begin(built.open_samples(config, data, "train"))
    check_disk(run, built, keep=1)
    how = TrainSettings(name=settings.name, runs=settings.runs, experiment=settings.experiment, track=settings.track)
    job = Job(config=config, dataset=data.folder, run=run, settings=how)
    with ExitStack() as stack:
        stack.enter_context(hold_folder(run, "take another --name"))
        open_run(job, data.fingerprint)
        stack.enter_context(recorded_run(job))
        run.write_json(_NOTE, {"checkpoint": str(published.file), "sha256": _sha256(published.file)})
        with CheckpointWriter(run, keep=1) as writer:
            writer.save(
                built,
                TrainingProgress(
                    epoch=config.num_epochs, step=0, data_fingerprint=data.fingerprint, size=data.frame_size
                ),
            )
    return ImportedRun(run, config, published.file)


def _find_behavior(stage: PublishedStageName, run: str) -> Stage.Config | None:
    """The configuration of the behaviour net that a flow is of; None for other stages.

    Raises RunError where the run is missing, is not imported, or is named for another stage.
    """
    if stage != BehaviorFlow.name:
        if run:
            raise RunError(f"--from names the behaviour net of a flow, and this is a checkpoint of {stage}")
        return None
    if not run:
        raise RunError("--from is missing: name the run that `posegen import-checkpoint behavior` wrote")
    found, config = load_config(find_checkpoint(run))
    if found.name != Behavior.name:
        raise RunError(f"{run} is of the stage {found.name!r}, expected {Behavior.name!r}")
    if not any(StorageFolder(run).exists(note) for note in (_NOTE, _OLDER_NOTE)):
        raise RunError(
            f"{run} is not a run of `posegen import-checkpoint behavior`: a published flow needs published codes"
        )
    return config


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
