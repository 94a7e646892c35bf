"""A run goes on with another number of workers, and takes every sample once."""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import replace
from pathlib import Path
from unittest import mock

import pytest
import torch
import torch.distributed as dist

from orchestration.runtime.progress import ProgressListener, TrainingStep
from orchestration.runtime.worker import Worker
from orchestration.training.job import Job, TrainSettings
from orchestration.training.loop import TrainingLoop
from posegen.checkpoints.checkpoint import find_checkpoint, load_progress
from posegen.io.storage import StorageFolder
from posegen.samples import epoch_plan as plan
from tests.support import narrow, processes

STEPS = 6  # of an epoch
CONFIG = replace(
    narrow.CONFIG,
    batch_size=4,
    epoch_size=4 * STEPS,
    num_epochs=3,
    lr=1e-4,  # rounding that differs between sums of one and of two workers grows with every step of Adam
)


class Watcher(ProgressListener):
    """Writes down what epochs gave, and kills the process after so many steps of the run."""

    def __init__(self, file: Path, last_step: int):
        self.file, self.last_step = file, last_step

    def on_step(self, event: TrainingStep) -> None:
        if event.epoch * event.num_steps + event.step == self.last_step:
            os._exit(9)

    def on_epoch(self, run, epoch, num_epochs, metrics):
        losses = {name: value for name, value in metrics.items() if name.startswith("train/")}
        with self.file.open("a") as file:
            file.write(json.dumps([epoch, losses]) + "\n")


def work(rank: int, world_size: int, job: Job, folder: Path, last_step: int) -> None:
    """What one process does. The ledger gets a line for every sample that is taken: its epoch and its place there."""
    torch.set_num_threads(1)
    load = plan._LoadedSamples.__getitem__
    with (folder / "ledger").open("a", buffering=1) as ledger:

        def note(self, sample):
            ledger.write(json.dumps(sample.seed[1:]) + "\n")
            return load(self, sample)

        if world_size > 1:
            dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=world_size)
        with mock.patch.object(plan._LoadedSamples, "__getitem__", note):
            listener = Watcher(folder / "epochs", last_step)
            TrainingLoop(job, Worker(rank=rank, world_size=world_size, listener=listener)).run()
        if world_size > 1:
            dist.destroy_process_group()


def run_until(last_step: int, world_size: int, job: Job, folder: Path) -> list[tuple[int, int]]:
    """Train until all processes die after a step of the run, or until its end: the samples that were taken."""
    folder.mkdir(parents=True)
    workers = [processes.start(work, rank, world_size, job, folder, last_step) for rank in range(world_size)]
    for worker in workers:
        worker.join()
    assert {worker.exitcode for worker in workers} <= ({9} if last_step else {0})
    return [tuple(json.loads(line)) for line in (folder / "ledger").read_text().splitlines()]


def epochs_of(*folders: Path) -> dict[int, dict[str, float]]:
    files = [folder / "epochs" for folder in folders]
    lines = [line for file in files if file.exists() for line in file.read_text().splitlines()]
    return dict(json.loads(line) for line in lines)


def test_two_workers_then_one_then_two(noise_clips, tmp_path):
    """Killed after steps 4 and 11 of 18, with a checkpoint every second step."""
    settings = TrainSettings(track=False, loader_processes=0, checkpoint_steps=2)
    job = Job(
        config=CONFIG,
        dataset=StorageFolder(noise_clips),
        run=StorageFolder(tmp_path / "run"),
        settings=settings,
    )
    calm = replace(job, run=StorageFolder(tmp_path / "calm"))
    run_until(0, 1, calm, tmp_path / "alone")

    counted: Counter[tuple[int, int]] = Counter()
    phases = [tmp_path / f"phase-{number}" for number in range(3)]
    for folder, world_size, last_step in zip(phases, (2, 1, 2), (4, 11, 0), strict=True):
        taken = run_until(last_step, world_size, job, folder)
        progress = load_progress(find_checkpoint(job.run))
        saved = (progress.epoch, progress.epoch_step * CONFIG.batch_size)
        counted.update(sample for sample in taken if sample < saved)
        assert progress.epoch == CONFIG.num_epochs or progress.step < last_step  # so the run goes on within an epoch

    everything = {(epoch, place) for epoch in range(CONFIG.num_epochs) for place in range(CONFIG.epoch_size)}
    assert set(counted) == everything and set(counted.values()) == {1}
    expected, got = epochs_of(tmp_path / "alone"), epochs_of(*phases)
    assert got.keys() == expected.keys() == {1, 2, 3}
    for epoch, losses in expected.items():
        # Relative to what is minimized: the KL term is a thousandth of it.
        assert got[epoch] == pytest.approx(losses, rel=1e-5, abs=1e-5 * sum(losses.values())), epoch
