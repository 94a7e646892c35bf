"""Makes runs of checkpoints that the published code of behaviour-driven synthesis wrote."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from orchestration import tracking
from orchestration.checkpoints import CheckpointWriter
from orchestration.limits import check_disk
from orchestration.options import require_name
from orchestration.runs import RunError
from orchestration.train import Job, TrainSettings, open_dataset, open_run
from posegen.adoption import Adoptable, adopted_config, adopted_stage, flows_beside, open_published
from posegen.checkpoint import Progress, latest_checkpoint
from posegen.stages import STAGES, Stage
from posegen.storage import Folder


@dataclass(frozen=True, kw_only=True)
class AdoptSettings:
    """What the run is called, and where it lies."""

    name: str
    """Name of the run, which must be new."""
    runs: str = "runs"
    """Folder of all runs: local, a shared mount, or an address such as s3://bucket/runs."""
    experiment: str = "posegen"
    """Experiment in MLflow."""
    track: bool = True
    """Record the run in MLflow: in mlflow.db here, or at MLFLOW_TRACKING_URI."""

    def __post_init__(self) -> None:
        require_name(self.name, "a run's")
        if not self.name:
            raise ValueError("--name is empty: say what the run is called")


@dataclass(frozen=True)
class Adopted:
    """What was made of what."""

    run: Folder
    config: Stage.Config
    checkpoint: Path
    left: list[str]
    """Files beside the checkpoint that hold flows, which are not adopted."""


def adopt(stage: Adoptable, checkpoint: Path, dataset: str, settings: AdoptSettings) -> Adopted:
    """Write a run that is as if it had been trained to its end, and ``adopted.json`` beside it, which says of what.

    Args:
        stage: Which network the checkpoint has.
        checkpoint: See `posegen.adoption.open_published`.
        dataset: What the run is of. A behaviour net takes the scale of postures from its training split, because the
            checkpoint does not have it.
        settings: Where it goes.

    Raises:
        ValueError: Before anything is written, if the checkpoint or the data are something else, or do not fit.
        RunError: If there is such a run already.
    """
    published = open_published(checkpoint)
    config = adopted_config(stage, published)
    data = open_dataset(stage, dataset)
    config = STAGES[stage].adapt(config, data)
    run = Folder(settings.runs) / settings.name
    if latest_checkpoint(run) is not None:
        raise RunError(f"there is a run {run} already: take another --name or --runs")
    torch.manual_seed(config.seed)  # for networks that the checkpoint does not have
    built = adopted_stage(stage, config, published)
    if data.frame_size is not None:
        built.check_size(data.frame_size)
    built.begin(built.open_samples(config, data, "train"))
    check_disk(run, built, keep=1)
    job = Job(
        stage=stage,
        config=config,
        dataset=str(data.folder),
        run=run,
        settings=TrainSettings(
            name=settings.name, runs=settings.runs, experiment=settings.experiment, track=settings.track
        ),
    )
    job = replace(job, tracker=open_run(job, data.fingerprint, tracking.OFF))
    try:
        run.write_json("adopted.json", {"checkpoint": str(published.file), "sha256": _sha256(published.file)})
        with CheckpointWriter(run, keep=1) as writer:
            writer.save(
                built,
                Progress(epoch=config.num_epochs, step=0, data_fingerprint=data.fingerprint, size=data.frame_size),
            )
    except BaseException as error:
        job.tracker.finish("KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")
        raise
    job.tracker.finish()
    return Adopted(run, config, published.file, flows_beside(published))


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
