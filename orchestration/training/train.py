"""Trains any stage on any number of workers, and goes on with a run that was stopped.

A run is a folder::

    RUNS/NAME/run.json                   stage, configuration, data, MLflow run
    RUNS/NAME/metrics.json               what every epoch gave
    RUNS/NAME/checkpoints/epoch-0003/    see `posegen.checkpoints.checkpoint`

The same name goes on with the same run, and ends as if nobody had stopped it: what a step learns from and draws is a
function of seed, epoch and step, and a checkpoint has all the rest. The worker function is the same with and without
Ray: with ``workers=0`` it runs in the calling process, under its debugger.
"""

from __future__ import annotations

import os
import threading
import time
import uuid
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
import torch

from orchestration.option_types import require_name
from orchestration.runtime.progress import Event, ProgressListener, RemoteProgress
from orchestration.runtime.watchdog import Watchdog
from orchestration.runtime.worker import (
    Worker,
    agree_on,
    local_device,
    mean_over_workers,
    seed_step,
    threads,
    to_device,
)
from orchestration.tracking import tracker as tracking
from orchestration.tracking.tracker import Tracker
from orchestration.training.checkpoint_writer import CheckpointWriter
from orchestration.training.preflight import check_disk, is_out_of_memory, less_memory
from orchestration.training.runs import RunRecord, add_to_history, find_record, history, is_finished, save_record
from orchestration.training.validation import Validation, describe_collapse
from posegen.checkpoints.checkpoint import (
    TrainingProgress,
    find_checkpoint,
    latest_checkpoint,
    load_progress,
    load_stage,
    load_training_state,
)
from posegen.datasets.dataset import Dataset
from posegen.errors import ConfigError, RunError
from posegen.inference.action_classifiers import open_recognizer
from posegen.io.storage import StorageFolder
from posegen.samples import Batch, EpochLoader, Samples
from posegen.stages import STAGES, Actor, Stage

_FILTERING = threading.Lock()
"""Runs may start side by side, and what `warnings.catch_warnings` sets holds for all threads."""
_CHECKPOINT_INTERVAL = 20  # steps; the losses are brought together as often, which must cost nothing
_CHECKPOINT_SHARE = 0.015  # from a checkpoint's beginning to its end: what it slows down may last a little longer


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """How a stage is trained, beside what its own configuration says."""

    name: str = ""
    """Name of the run. A run of this name that exists is continued; empty makes a new name."""
    runs: str = "runs"
    """Folder of all runs: local, a shared mount, or an address such as s3://bucket/runs."""
    workers: int = 1
    """Training processes, on as many CPUs or GPUs of the cluster; 0 trains in this process, without Ray."""
    cpus: int = 0
    """CPUs of each worker; 0 takes as many as all can have on the machines there are, or leaves this process those that
    it has."""
    gpus: float = 0.0
    """GPUs of each worker, also a part of one; 0 takes one each where the cluster has so many now. A cluster that
    starts machines for work that waits has none at first: say 1 there, and --cpus."""
    loader_processes: int = -1
    """Processes per worker that load data; -1 takes one per spare CPU, up to 4."""
    keep: int = 2
    """Checkpoints that are kept, the newest ones."""
    checkpoint_steps: int = -1
    """Steps between checkpoints within an epoch; 0 writes them at the ends of epochs alone, and -1 as often as they
    take no more than 2 % of the time."""
    max_failures: int = 3
    """How often a run starts again from its last checkpoint after a worker was lost."""
    patience: float = 600.0
    """Seconds without progress after which a worker of Ray is ended and started again; 0 waits for ever."""
    experiment: str = "posegen"
    """Experiment in MLflow."""
    track: bool = True
    """Record the run in MLflow: in mlflow.db here, or at MLFLOW_TRACKING_URI."""

    def __post_init__(self) -> None:
        if self.workers < 0:
            raise ConfigError(f"workers must be 0 or more, got {self.workers}")
        if self.checkpoint_steps < -1:
            raise ConfigError(f"checkpoint_steps must be -1 or more, got {self.checkpoint_steps}")
        if self.patience < 0:
            raise ConfigError(f"patience must be 0 or more seconds, got {self.patience}")
        require_name(self.name, "a run's")

    @property
    def checkpoint_interval(self) -> int:
        """Steps after which a checkpoint may be due; 0 if none is."""
        return _CHECKPOINT_INTERVAL if self.checkpoint_steps < 0 else self.checkpoint_steps

    @property
    def checkpoint_share(self) -> float:
        """Share of the time for checkpoints within an epoch, at most."""
        return _CHECKPOINT_SHARE if self.checkpoint_steps < 0 else 1.0


@dataclass(frozen=True, kw_only=True)
class Job:
    """All that a worker needs to know. Picklable."""

    stage: str
    config: Stage.Config
    dataset: str
    run: StorageFolder
    settings: TrainSettings
    tracker: Tracker = tracking.OFF


def train(
    stage: str,
    config: Stage.Config,
    dataset: str,
    settings: TrainSettings,
    *,
    listener: ProgressListener | None = None,
    parent: Tracker = tracking.OFF,
) -> StorageFolder:
    """Train a stage and return the folder of its run.

    Args:
        stage: Name in `posegen.stages.STAGES`.
        config: Its configuration.
        dataset: Folder of a dataset such as the stage reads.
        settings: How to train it.
        listener: Hears of the progress.
        parent: MLflow run under which this one is filed.

    Raises:
        PosegenError: Before anything is written, if the data, the configuration and the workers do not fit.
        RunError: If the run of that name is another one, or failed.
    """
    listener = listener or ProgressListener()
    settings = named(stage, settings)
    data = open_dataset(stage, dataset)
    config = STAGES[stage].adapt(config, data)
    run = StorageFolder(settings.runs) / settings.name
    job = Job(stage=stage, config=config, dataset=str(data.folder), run=run, settings=settings)
    built = check(stage, config, data, workers=settings.workers)
    if latest_checkpoint(job.run) is None:
        _check_needs(built)
    check_disk(job.run, built, settings.keep)
    job = replace(job, tracker=open_run(job, data.fingerprint, parent))
    try:
        if is_finished(job.run, config):
            _record_again(job)
        elif settings.workers == 0:
            with threads(settings.cpus):
                train_worker(job, Worker(device=local_device(), listener=listener))
        else:
            _train_on_ray(job, listener)
    except BaseException as error:
        job.tracker.finish("KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")
        raise
    job.tracker.finish()
    return job.run


def named(stage: str, settings: TrainSettings) -> TrainSettings:
    """The settings with a name for a run that has none."""
    return replace(settings, name=settings.name or f"{stage}-{datetime.now():%Y%m%d-%H%M%S}")


@contextmanager
def _naming_memory(config: Stage.Config) -> Iterator[None]:
    """Turn an error that says that memory ran out into one that says what to do."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if is_out_of_memory(error):
            raise RunError(f"out of memory: {less_memory(config)}") from error
        raise


def open_dataset(stage: str, folder: str) -> Dataset:
    """Open what a stage learns from. Raises DatasetError where it is something else."""
    return STAGES[stage].reads(folder)


def check(stage: str, config: Stage.Config, data: Dataset, *, workers: int) -> Stage:
    """Raise PosegenError if a stage cannot be trained on this data, whatever other runs it needs.

    Returns the stage, built of shapes alone: the paper's generator fills 0.7 GB.
    """
    config = STAGES[stage].adapt(config, data)
    with torch.device("meta"):
        built = STAGES[stage](config)
    if data.frame_size is not None:
        built.check_size(data.frame_size)
    EpochLoader(built.open_samples(config, data, "train"), config.batch_size, world_size=max(workers, 1))
    return built


def _check_needs(stage: Stage) -> None:
    """Raise PosegenError if the runs that a stage of shapes needs are not there, or do not fit it."""
    if isinstance(stage, Actor) and stage.config.recognizer:
        open_recognizer(stage.config.recognizer, torch.device("cpu")).labels(stage.config.actions, stage.config.fps)
    with _FILTERING, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*meta parameter")  # shapes are compared, nothing is copied
        stage.initialize(_load_run)


def train_worker(job: Job, worker: Worker) -> None:
    """Train until the last epoch, on this worker's share of every batch."""
    with _naming_memory(job.config):
        _train_worker(job, worker)


def _train_worker(job: Job, worker: Worker) -> None:
    worker.listener.on_heartbeat(worker.rank, "its start")
    data = open_dataset(job.stage, job.dataset)
    samples = STAGES[job.stage].open_samples(job.config, data, "train")
    stage, progress = _begin(job, worker, data, samples)
    loader = EpochLoader(
        samples,
        job.config.batch_size,
        rank=worker.rank,
        world_size=worker.world_size,
        num_processes=_loader_processes(job.settings),
    )
    validation = Validation(stage, job.config, data, worker)
    if worker.leads:
        _record_again(job)
    with (
        (job.tracker if worker.leads else tracking.OFF).watching_system(),
        CheckpointWriter(job.run, job.settings.keep, job.settings.checkpoint_share) as writer,
    ):
        while progress.epoch < job.config.num_epochs:
            metrics = _train_epoch(stage, loader, progress, writer, job, worker)
            worker.listener.on_heartbeat(worker.rank, f"the end of epoch {progress.epoch + 1}")
            metrics |= validation.measure(stage)
            stage.after_validation(metrics)
            progress = _after_epoch(progress, loader.num_steps)
            _finish_epoch(stage, samples, metrics, validation, progress, writer, job, worker)


def _begin(job: Job, worker: Worker, data: Dataset, samples: Samples) -> tuple[Stage, TrainingProgress]:
    """Build the stage as it was in the last checkpoint, or as it begins."""
    torch.manual_seed(job.config.seed)  # the same initial weights on every worker
    stage = STAGES[job.stage](job.config)
    checkpoint = agree_on(latest_checkpoint(job.run), worker)
    if checkpoint is None:
        stage.initialize(_load_run)
        stage.to(worker.device)
        stage.begin(samples)
        return stage, TrainingProgress(epoch=0, step=0, data_fingerprint=data.fingerprint, size=data.frame_size)
    stage.to(worker.device)
    load_training_state(checkpoint, stage)
    return stage, load_progress(checkpoint)


def _train_epoch(
    stage: Stage, loader: EpochLoader, progress: TrainingProgress, writer: CheckpointWriter, job: Job, worker: Worker
) -> dict[str, float]:
    """Take the steps of an epoch that are left, and return the mean of every loss, and where the time went."""
    stage.train()
    stage.start_epoch(progress.epoch)
    epoch, interval = progress.epoch, job.settings.checkpoint_interval
    sums = _on_device(progress.losses, worker)
    start, waited = time.perf_counter(), 0.0
    batches = _timed(loader.epoch(epoch, progress.epoch_step))
    for step, (batch, seconds) in enumerate(batches, start=progress.epoch_step + 1):
        waited += seconds
        seed_step(job.config.seed, epoch, step - 1, worker.rank)
        for name, loss in stage.step(to_device(batch, worker.device)).items():
            sums[name] = sums.get(name, 0.0) + loss.double()
        worker.listener.on_step(Event(job.run.name, epoch, job.config.num_epochs, step, loader.num_steps))
        worker.listener.on_heartbeat(worker.rank, f"step {step} of epoch {epoch + 1}")
        if interval and step % interval == 0 and step < loader.num_steps:
            # All go on from the mean, as those will who go on from the checkpoint.
            losses = mean_over_workers(sums, worker)
            _require_finite(losses, epoch)
            sums = _on_device(losses, worker)
            if worker.leads:
                writer.begin(stage, replace(_after_steps(progress, step), losses=losses))
    means = {name: total / loader.num_steps for name, total in sums.items()}
    metrics = {f"train/{name}": value for name, value in mean_over_workers(means, worker).items()}
    _require_finite(metrics, epoch)
    elapsed = time.perf_counter() - start
    return metrics | {"time/epoch_seconds": elapsed, "time/data_share": waited / elapsed}


def _require_finite(losses: Mapping[str, float], epoch: int) -> None:
    broken = [name for name, value in losses.items() if not np.isfinite(value)]
    if broken:
        raise RunError(f"{', '.join(broken)} is not finite in epoch {epoch}: lower lr or the weight of the term")


def _on_device(losses: Mapping[str, float], worker: Worker) -> dict[str, torch.Tensor]:
    return {name: torch.tensor(value, dtype=torch.float64, device=worker.device) for name, value in losses.items()}


def _after_steps(progress: TrainingProgress, count: int) -> TrainingProgress:
    """When `count` steps of the epoch are taken."""
    return replace(progress, step=progress.step + count - progress.epoch_step, epoch_step=count)


def _after_epoch(progress: TrainingProgress, num_steps: int) -> TrainingProgress:
    ended = _after_steps(progress, num_steps)
    return replace(ended, epoch=progress.epoch + 1, epoch_step=0, losses={}, finished_at=tracking.now())


def _record_again(job: Job) -> None:
    """Record the last epoch once more: who wrote its checkpoint may have been killed before it was recorded."""
    checkpoint = latest_checkpoint(job.run)
    if checkpoint is not None:
        progress = load_progress(checkpoint)
        if progress.epoch_step == 0:
            job.tracker.log_metrics(history(job.run).get(progress.epoch, {}), progress.epoch, at=progress.finished_at)


def _finish_epoch(
    stage: Stage,
    samples: Samples,
    metrics: dict[str, float],
    validation: Validation,
    progress: TrainingProgress,
    writer: CheckpointWriter,
    job: Job,
    worker: Worker,
) -> None:
    """Save and record what an epoch gave."""
    stage.eval()
    stage.finish_epoch(samples)
    if worker.leads:
        add_to_history(job.run, progress.epoch, metrics)
        writer.save(stage, progress)
        job.tracker.log_metrics(metrics, progress.epoch, at=progress.finished_at)
        for name, picture in validation.preview(stage).items():
            job.tracker.log_picture(name, picture, progress.epoch)
        worker.listener.on_epoch(job.run.name, progress.epoch, job.config.num_epochs, metrics)
        if metrics.get("val/collapsed") and progress.epoch > 1:  # the first codes of some settings are nearly equal
            worker.listener.on_warning(
                job.run.name, progress.epoch, describe_collapse(metrics["val/sensitivity"], job.config)
            )
    worker.report(metrics)


def open_run(job: Job, fingerprint: str, parent: Tracker) -> Tracker:
    """Create the run's folder and its MLflow run, or go on with them. Raises RunError where it is another run."""
    record, known = RunRecord.of(job.stage, job.config, job.dataset, fingerprint), find_record(job.run)
    if known:
        known.check_continued_by(record, job.run)
    job.run.require_writable()
    tracker = tracking.OFF
    if job.settings.track:
        tracker = tracking.start_run(
            job.run.name,
            experiment=job.settings.experiment,
            parameters={"stage": job.stage, **asdict(job.config)},
            tags={
                "posegen.run": str(job.run),
                "posegen.dataset": job.dataset,
                "posegen.data_fingerprint": fingerprint,
            },
            parent=parent,
            run_id=known.mlflow_run_id if known else "",
        )
    save_record(job.run, replace(record, mlflow_run_id=tracker.run_id))
    return tracker


def _train_on_ray(job: Job, listener: ProgressListener) -> None:
    """Run `train_worker` on the cluster's workers, again from the last checkpoint if one is lost."""
    from orchestration.runtime.ray_session import start_ray

    start_ray()
    import ray.train
    from ray.train.torch import TorchTrainer

    from orchestration.runtime.process_group import NodeNetwork

    cluster = ray.cluster_resources()
    use_gpu = takes_gpus(job.settings, cluster.get("GPU", 0))
    gpus = (job.settings.gpus or 1) if use_gpu else 0
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    cpus = job.settings.cpus or cpus_each(machines, job.settings.workers, gpus)
    watchdog = Watchdog(job.settings.patience, lambda message: listener.on_warning(job.run.name, None, message))
    filesystem, path = (job.run / "ray").resolve()
    with RemoteProgress(listener, watchdog) as remote:
        trainer = TorchTrainer(
            _ray_worker,
            train_loop_config={"job": job, "listener": remote},
            torch_config=NodeNetwork(),
            scaling_config=ray.train.ScalingConfig(
                num_workers=job.settings.workers,
                use_gpu=use_gpu,
                resources_per_worker={"CPU": cpus, **({"GPU": gpus} if use_gpu else {})},
            ),
            # The run's own folder holds the checkpoints; Ray's book-keeping of each start is of no later use.
            run_config=ray.train.RunConfig(
                name=f"start-{uuid.uuid4().hex[:8]}",
                storage_path=path,
                storage_filesystem=filesystem,
                failure_config=ray.train.FailureConfig(max_failures=job.settings.max_failures),
            ),
        )
        try:
            trainer.fit()
        except ray.train.TrainingFailedError as error:
            raise RunError(f"run {job.run.name} failed: {_reason(error, job.config)}") from error


def cpus_each(machines: Sequence[Mapping[str, float]], workers: int, gpus: float = 0) -> int:
    """The most CPUs that all workers can have on some machines, given by their resources; 1 where they are too few.

    A worker is on one machine: it would wait for ever for a share of all CPUs that none of them has.
    """

    def places(cpus: int) -> float:
        rooms = ((one.get("CPU", 0) // cpus, one.get("GPU", 0) // gpus if gpus else workers) for one in machines)
        return sum(map(min, rooms))

    most = int(max((machine.get("CPU", 0) for machine in machines), default=1))
    return next((cpus for cpus in range(most, 1, -1) if places(cpus) >= workers), 1)


def takes_gpus(settings: TrainSettings, gpus_now: float) -> bool:
    """Whether workers get GPUs: those that are there, or on a cluster those that are asked for and may yet start."""
    asked = settings.gpus > 0 and bool(os.environ.get("RAY_ADDRESS"))
    return asked or gpus_now >= settings.workers * (settings.gpus or 1)


def _ray_worker(config: dict[str, Any]) -> None:
    """The function that Ray Train runs in each worker process."""
    import ray.train
    import ray.train.torch

    context = ray.train.get_context()
    cpus = int(ray.get_runtime_context().get_assigned_resources().get("CPU", 1))
    torch.set_num_threads(max(cpus, 1))  # Ray sets OMP_NUM_THREADS too late for a torch that is imported already
    worker = Worker(
        rank=context.get_world_rank(),
        world_size=context.get_world_size(),
        device=ray.train.torch.get_device(),
        listener=config["listener"],
        report=ray.train.report,
    )
    try:
        train_worker(config["job"], worker)
    finally:
        worker.listener.on_heartbeat(worker.rank, "")


def _reason(error: BaseException, config: Stage.Config) -> str:
    """The last line of the first worker's failure."""
    failures = getattr(error, "worker_failures", None) or {}
    cause = next(iter(failures.values()), error)
    cause = getattr(cause, "cause", None) or cause
    if is_out_of_memory(cause):  # as Ray says of a worker that it ended before the machine's memory was full
        return f"out of memory: {less_memory(config)}"
    return str(cause).strip().splitlines()[-1] if str(cause).strip() else type(cause).__name__


def _load_run(place: str) -> Stage:
    return load_stage(find_checkpoint(place))


def _loader_processes(settings: TrainSettings) -> int:
    if settings.loader_processes >= 0:
        return settings.loader_processes
    return min(4, max(torch.get_num_threads() - 1, 0))


def _timed(batches: Iterator[Batch]) -> Iterator[tuple[Batch, float]]:
    """Each batch with the seconds for which it was waited."""
    while True:
        start = time.perf_counter()
        batch = next(batches, None)
        if batch is None:
            return
        yield batch, time.perf_counter() - start
