"""The training loop: epochs, checkpoints, validation and records. No loss is named here."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import numpy as np
import torch

from orchestration.runtime.progress import TrainingStep
from orchestration.runtime.pulse import pulse
from orchestration.runtime.system_monitor import SystemMonitor
from orchestration.runtime.worker import Worker, agree_on, average_metrics, prefetch, seed_step
from orchestration.tracking.run_log import RunLog
from orchestration.training.checkpoint_writer import CheckpointWriter
from orchestration.training.job import Job
from orchestration.training.validation import Validation, describe_collapse
from posegen.checkpoints.checkpoint import (
    BestEpoch,
    TrainingProgress,
    find_best,
    find_checkpoint,
    latest_checkpoint,
    load_progress,
    load_stage,
    load_training_state,
    save_best,
)
from posegen.datasets.dataset import Dataset
from posegen.errors import DivergenceError
from posegen.evaluation.metric_registry import metric_info
from posegen.networks.device import autocast, fit_to_device, require_precision
from posegen.samples import Batch, EpochLoader
from posegen.stages import Stage
from posegen.stages.optimization import Losses

_LEAST_PATIENCE, _PATIENCE = 5, 0.2  # epochs, and their share, without a better one until that is told


class TrainingLoop:
    """Trains a stage on one worker's share of every batch, from the last checkpoint to the last epoch.

    Args:
        job: What is trained, and where.
        worker: Where this loop runs; the leading worker writes what is written once.
        data: The opened dataset, where the caller has it.
    """

    def __init__(self, job: Job, worker: Worker, data: Dataset | None = None):
        self.job, self.worker, self.config = job, worker, job.config
        require_precision(job.settings.precision, worker.device)
        with self._phase("opening the data"):
            data = data or self.config.stage.reads(str(job.dataset))
            self.samples = self.config.stage.open_samples(self.config, data, "train")
            self.loader = EpochLoader(
                self.samples,
                self.config.batch_size,
                rank=worker.rank,
                world_size=worker.world_size,
                num_processes=_loader_processes(job.settings.loader_processes),
            )
        with self._phase("building the stage"):
            self.stage, self.progress = self._begin(data)
            self.validation = Validation(self.stage, data, worker)
        self.log = RunLog(job.run)
        self.writer = CheckpointWriter(job.run, job.settings.keep, job.settings.checkpoint_share)
        self.monitor = SystemMonitor()
        self.best = find_best(job.run)
        self.writer.best = self.best.epoch if self.best else 0

    def run(self) -> None:
        """Train until the last epoch."""
        with self.writer, self.monitor:
            while self.progress.epoch < self.config.num_epochs:
                metrics = self._train_epoch()
                epoch = self.progress.epoch + 1
                self.stage.eval()
                with self._phase(f"finishing epoch {epoch}"):
                    self.stage.finish_epoch(self.samples)
                with self._phase(f"validating epoch {epoch}"):
                    metrics |= self.validation.measure()
                self.stage.after_validation(metrics)
                with self._phase(f"saving epoch {epoch}"):
                    self._finish_epoch(metrics | self.monitor.take())

    def _begin(self, data: Dataset) -> tuple[Stage, TrainingProgress]:
        """Build the stage as it was in the last checkpoint, or as it begins."""
        torch.manual_seed(self.config.seed)  # the same initial weights on every worker
        stage = self.config.stage(self.config)
        checkpoint = agree_on(latest_checkpoint(self.job.run), self.worker)
        if checkpoint is not None:
            self._fit(stage)
            load_training_state(checkpoint, stage)
            return stage, load_progress(checkpoint)
        stage.initialize(lambda run: load_stage(find_checkpoint(run)))
        self._fit(stage)
        stage.begin(self.samples)
        return stage, TrainingProgress(epoch=0, step=0, data_fingerprint=data.fingerprint, size=data.frame_size)

    def _fit(self, stage: Stage) -> None:
        """Move the stage to the device, and let it run there as it was asked for."""
        fit_to_device(stage, self.worker.device)
        if self.job.settings.compile and self.worker.device.type == "cuda":
            stage.compile_networks()

    def _train_epoch(self) -> dict[str, float]:
        """Take the steps of an epoch that are left, and return the mean of every loss, and where the time went."""
        epoch, num_steps = self.progress.epoch, self.loader.num_steps
        self.stage.train()
        self.stage.start_epoch(epoch)
        sums = self._on_device(self.progress.losses)
        start, waited = time.perf_counter(), 0.0
        batches = _timed(prefetch(self.loader.epoch(epoch, self.progress.epoch_step), self.worker.device))
        for step, (batch, seconds) in enumerate(batches, start=self.progress.epoch_step + 1):
            waited += seconds
            seed_step(self.config.seed, epoch, step - 1, self.worker.rank)
            for name, loss in self._step(batch).items():
                sums[name] = sums.get(name, 0.0) + loss.double()
            self.worker.listener.on_step(
                TrainingStep(self.job.run.name, epoch, self.config.num_epochs, step, num_steps)
            )
            self._report_activity(f"step {step} of epoch {epoch + 1}")
            if self._is_checkpoint_due(step):
                sums = self._checkpoint(step, sums)
        means = average_metrics({name: total / num_steps for name, total in sums.items()}, self.worker)
        metrics = {f"train/{name}": value for name, value in means.items()}
        _require_finite(metrics, epoch)
        elapsed = time.perf_counter() - start
        return metrics | {"time/epoch_seconds": elapsed, "time/data_share": waited / elapsed}

    def _step(self, batch: Batch) -> Losses:
        parts = self.job.settings.accumulate
        with autocast(self.job.settings.precision, self.worker.device):
            return self.stage.step(batch) if parts == 1 else self.stage.step_in_parts(batch, parts)

    def _is_checkpoint_due(self, step: int) -> bool:
        interval = self.job.settings.checkpoint_interval
        # An epoch is saved before it is validated: what a validation dies of costs the validation alone.
        return step == self.loader.num_steps or (bool(interval) and step % interval == 0)

    def _checkpoint(self, step: int, sums: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Begin to write a checkpoint, and return the losses with which all workers go on."""
        losses = average_metrics(sums, self.worker)
        _require_finite(losses, self.progress.epoch)
        if self.worker.leads:
            ends = step == self.loader.num_steps
            self.writer.begin(self.stage, replace(self._progress_after(step), losses=losses), always=ends)
        # All go on from the mean, as those will who go on from the checkpoint.
        return self._on_device(losses)

    def _finish_epoch(self, metrics: dict[str, float]) -> None:
        """Save an epoch and record its metrics and pictures."""
        ended = self._progress_after(self.loader.num_steps)
        self.progress = replace(ended, epoch=ended.epoch + 1, epoch_step=0, losses={})
        epoch, listener, name = self.progress.epoch, self.worker.listener, self.job.run.name
        if self.worker.leads:
            for title, picture in self.validation.preview().items():
                self.log.log_picture(title, picture, epoch)
            self.log.log_metrics(metrics, epoch)
            is_best = self._note_best(metrics)
            self.writer.save(self.stage, self.progress, instead_of=ended)  # from now on the epoch counts
            if is_best and self.best:
                save_best(self.job.run, self.best)
            listener.on_epoch(name, epoch, self.config.num_epochs, metrics)
            if metrics.get("val/collapsed") and epoch > 1:  # the first codes of some settings are nearly equal
                listener.on_warning(name, epoch, describe_collapse(metrics["val/sensitivity"], self.config))
            self._warn_of_overfitting(metrics)
        self.worker.report(metrics)

    def _note_best(self, metrics: Mapping[str, float]) -> bool:
        """Note an epoch that is better than all before by the stage's own metric; return whether it is."""
        metric = self.stage.best_metric
        value = metrics.get(metric, math.nan)
        known = self.best
        if known and (known.metric != metric or known.epoch >= self.progress.epoch):  # of an epoch that was lost
            known = None
        if not math.isfinite(value):
            return False
        if known and not known.is_beaten_by(value, is_raised=metric_info(metric).direction == "up"):
            return False
        self.best = BestEpoch(epoch=self.progress.epoch, metric=metric, value=value)
        self.writer.best = self.best.epoch
        return True

    def _warn_of_overfitting(self, metrics: Mapping[str, float]) -> None:
        """Warn, once, when no epoch was better than the best for long."""
        if not self.best:
            return
        patience = max(_LEAST_PATIENCE, round(_PATIENCE * self.config.num_epochs))
        if self.progress.epoch - self.best.epoch == patience:
            self.worker.listener.on_warning(
                self.job.run.name,
                self.progress.epoch,
                f"{self.best.metric} was best in epoch {self.best.epoch} ({self.best.value:.4g}, now "
                f"{metrics.get(self.best.metric, math.nan):.4g}): what is learned since may hold for the training data "
                "alone; Ctrl-C stops here, and --checkpoint best takes that epoch",
            )

    def _progress_after(self, epoch_step: int) -> TrainingProgress:
        step = self.progress.step + epoch_step - self.progress.epoch_step
        return replace(self.progress, step=step, epoch_step=epoch_step)

    def _on_device(self, losses: Mapping[str, float]) -> dict[str, torch.Tensor]:
        return {
            name: torch.tensor(value, dtype=torch.float64, device=self.worker.device) for name, value in losses.items()
        }

    @contextmanager
    def _phase(self, activity: str) -> Iterator[None]:
        """Report a phase without steps to the watchdog: a working process is a sign of life."""
        self._report_activity(activity)
        with pulse(partial(self._report_activity, activity)):
            yield

    def _report_activity(self, activity: str) -> None:
        self.worker.listener.on_heartbeat(self.worker.rank, activity)


def _require_finite(losses: Mapping[str, float], epoch: int) -> None:
    broken = [name for name, value in losses.items() if not np.isfinite(value)]
    if broken:
        raise DivergenceError(f"{', '.join(broken)} is not finite in epoch {epoch}: lower lr or the weight of the term")


def _timed(batches: Iterator[Batch]) -> Iterator[tuple[Batch, float]]:
    """Batches with the seconds that each was waited for."""
    while True:
        start = time.perf_counter()
        batch = next(batches, None)
        if batch is None:
            return
        yield batch, time.perf_counter() - start


def _loader_processes(asked: int) -> int:
    """Loading processes: as many as asked for, or one per spare CPU, up to 4."""
    return asked if asked >= 0 else min(4, max(torch.get_num_threads() - 1, 0))
