"""Trains any stage on any number of workers, and continues a run that was stopped.

A run is a folder::

    RUNS/NAME/run.json                   stage, configuration, data
    RUNS/NAME/metrics.json               metrics of every epoch
    RUNS/NAME/checkpoints/epoch-0003/    see `posegen.checkpoints`
    RUNS/NAME/previews/epoch-0003/       see `orchestration.tracking.run_log`, also for the files of tracking

The same name continues the same run, and ends as if it had never been stopped: what a step learns from and samples is a
function of seed, epoch and step, and a checkpoint has all the rest. The worker function is the same with and without
Ray: with ``workers=0`` it runs in the calling process, under its debugger.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime

from orchestration.runtime.folder_lock import hold_folder
from orchestration.runtime.progress import ProgressListener
from orchestration.runtime.worker import Worker
from orchestration.tracking.client import require_access
from orchestration.tracking.mirror import MirroringListener, settle, sync_pending
from orchestration.tracking.run_log import RunLog
from orchestration.training.job import Job, TrainSettings
from orchestration.training.loop import TrainingLoop
from orchestration.training.preflight import check, check_disk, check_required_runs, naming_memory
from orchestration.training.runs import is_finished
from posegen.checkpoints.checkpoint import latest_checkpoint
from posegen.checkpoints.run_record import RunRecord, find_record, save_record
from posegen.io.storage import StorageFolder
from posegen.networks.device import default_device, require_precision
from posegen.parallel import threads
from posegen.stages import Stage

_DIGEST_LENGTH = 36  # letters of a dataset's fingerprint that MLflow has room for


@dataclass(frozen=True, kw_only=True)
class Recording:
    """Recording of a run in MLflow."""

    parent: RunLog | None = None
    """The run under which it is filed."""
    mirrored: bool = True
    """True if `train` keeps MLflow up to date; False if the caller does, see `orchestration.tracking.mirror`."""


def train(
    config: Stage.Config,
    dataset: str,
    settings: TrainSettings,
    *,
    listener: ProgressListener | None = None,
    recording: Recording = Recording(),
) -> StorageFolder:
    """Train a stage and return the folder of its run.

    Args:
        config: The configuration, which knows its stage.
        dataset: Folder of a dataset of the kind that the stage reads.
        settings: How to train it.
        listener: Called with the progress.
        recording: How the run is recorded.

    Raises:
        PosegenError: Before anything is written, if the data, the configuration and the workers do not fit.
        RunError: If the run of that name is another one, is being trained by another process, or failed.
    """
    settings = named(config.stage.name, settings)
    data = config.stage.reads(dataset)
    config = config.stage.adapt(config, data)
    job = Job(
        config=config,
        dataset=data.folder,
        run=StorageFolder(settings.runs) / settings.name,
        settings=settings,
    )
    built = check(config, data, workers=settings.workers, accumulate=settings.accumulate)
    if settings.workers == 0:  # others may have another processor: each looks at its own
        require_precision(settings.precision, default_device())
    if latest_checkpoint(job.run) is None:
        check_required_runs(config)
    check_disk(job.run, built, settings.keep)
    if settings.workers and not is_finished(job.run, config):
        from orchestration.training.ray_trainer import find_scaling

        find_scaling(settings)  # or they do not fit this machine
    if settings.track and recording.mirrored:
        require_access()
    with ExitStack() as stack:
        stack.enter_context(hold_folder(job.run, "take another --name"))
        open_run(job, data.fingerprint, recording.parent)
        listener = stack.enter_context(recorded_run(job, listener, mirrored=recording.mirrored))
        if is_finished(job.run, config):
            pass
        elif settings.workers == 0:
            with threads(settings.cpus), naming_memory(config):
                TrainingLoop(job, Worker(device=default_device(), listener=listener), data).run()
        else:
            from orchestration.training.ray_trainer import train_on_ray

            train_on_ray(job, listener)
    return job.run


def named(stage: str, settings: TrainSettings) -> TrainSettings:
    """Return the settings with a name for a run that has none."""
    return replace(settings, name=settings.name or f"{stage}-{datetime.now():%Y%m%d-%H%M%S}")


def open_run(job: Job, fingerprint: str, parent: RunLog | None = None) -> None:
    """Create the run's folder, or continue the run in it. Raises RunError where it is another run."""
    record, known = RunRecord.of(job.config, str(job.dataset), fingerprint, str(job.run)), find_record(job.run)
    record = replace(record, launch=job.settings.launch(job.config))
    if known:
        known.check_continued_by(record, job.run)
        record = replace(record, required={**known.required, **record.required})
    job.run.require_writable()
    save_record(job.run, record)
    log = RunLog(job.run)
    log.set_status("RUNNING")
    if job.settings.track:
        summary = (inspect.getdoc(job.config.stage) or "").partition("\n")[0]
        log.open(
            experiment=job.settings.experiment,
            parameters={
                "stage": job.config.stage.name,
                **asdict(job.config),
                **{f"launch.{name}": value for name, value in record.launch.items()},
            },
            tags={
                "mlflow.note.content": f"{summary}\n\nDataset: {job.dataset}",
                "posegen.dataset": str(job.dataset),
                "posegen.data_fingerprint": fingerprint,
            },
            parent=parent,
            dataset={
                "name": job.dataset.name,
                "digest": fingerprint[:_DIGEST_LENGTH],
                "source": str(job.dataset),
                "kind": "s3" if str(job.dataset).startswith("s3:") else "local",
            },
            mlflow_run_id=known.mlflow_run_id if known else "",
        )


@contextmanager
def recorded_run(
    job: Job, listener: ProgressListener | None = None, *, mirrored: bool = True
) -> Iterator[ProgressListener]:
    """Write how the run ends, and keep MLflow up to date meanwhile.

    Gives the listener to which the run's progress goes.
    """
    log = RunLog(job.run)
    listener = listener or ProgressListener()
    if mirrored and job.settings.track:
        sync_pending()
        listener = MirroringListener(listener, job.run)
    try:
        yield listener
    except BaseException as error:
        log.finish(error)
        raise
    else:
        log.finish()
    finally:
        if mirrored and job.settings.track:
            settle(job.run)
