"""How often checkpoints are written, and what becomes of what goes wrong with one."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from orchestration.runtime.progress import ProgressListener
from orchestration.training import loop
from orchestration.training.checkpoint_writer import CheckpointWriter
from orchestration.training.train import train
from orchestration.training.validation import Validation
from posegen.checkpoints.checkpoint import (
    BestEpoch,
    TrainingProgress,
    choosing_checkpoint,
    find_best,
    find_checkpoint,
    save_best,
)
from posegen.errors import CheckpointError
from posegen.io.storage import StorageFolder
from posegen.stages import ColorEncoder
from tests.support.narrow import CONFIG, QUIET


@pytest.fixture
def stage():
    return ColorEncoder(CONFIG)


def progress(epoch_step: int, epoch: int = 0) -> TrainingProgress:
    return TrainingProgress(epoch=epoch, step=epoch_step, data_fingerprint="", size=(64, 64), epoch_step=epoch_step)


def test_every_checkpoint_that_is_asked_for_is_written(stage, tmp_path):
    with CheckpointWriter(StorageFolder(tmp_path), keep=3) as writer:
        for step in (1, 2, 3):
            writer.begin(stage, progress(step))
    names = ["epoch-0000-step-000001", "epoch-0000-step-000002", "epoch-0000-step-000003"]
    assert StorageFolder(tmp_path / "checkpoints").folders() == names


def test_those_that_cost_too_much_are_left_out(stage, tmp_path):
    with CheckpointWriter(StorageFolder(tmp_path), keep=9, share=1e-6) as writer:
        for step in (1, 2, 3):
            writer.begin(stage, progress(step))
        writer.save(stage, progress(0, epoch=1))
    assert StorageFolder(tmp_path / "checkpoints").folders() == ["epoch-0000-step-000001", "epoch-0001"]


def test_they_are_written_again_after_a_while(stage, tmp_path):
    with CheckpointWriter(StorageFolder(tmp_path), keep=9, share=0.5) as writer:
        start = time.monotonic()
        writer.begin(stage, progress(1))
        writer.wait()
        time.sleep(2 * (time.monotonic() - start))
        writer.begin(stage, progress(2))
    assert StorageFolder(tmp_path / "checkpoints").folders() == ["epoch-0000-step-000001", "epoch-0000-step-000002"]


def test_what_cannot_be_written_is_told(stage, tmp_path):
    (tmp_path / "checkpoints").touch()
    with CheckpointWriter(StorageFolder(tmp_path), keep=1, share=0.5) as writer:
        writer.begin(stage, progress(1))
        with pytest.raises(CheckpointError, match="cannot be written"):
            writer.save(stage, progress(0, epoch=1))


def test_the_best_epoch_stays_beside_the_newest(stage, tmp_path):
    run = StorageFolder(tmp_path)
    with CheckpointWriter(run, keep=2) as writer:
        for epoch in (1, 2, 3, 4):
            writer.best = min(epoch, 2)
            writer.save(stage, progress(0, epoch=epoch))
    save_best(run, BestEpoch(epoch=2, metric="val/l1", value=0.1))
    assert (run / "checkpoints").folders() == ["epoch-0002", "epoch-0004"]
    assert find_checkpoint(run).name == "epoch-0004"  # with which training goes on
    for choice, name in (("best", "epoch-0002"), ("last", "epoch-0004"), ("4", "epoch-0004")):
        with choosing_checkpoint(choice):
            assert find_checkpoint(run).name == name
    with choosing_checkpoint("3"), pytest.raises(CheckpointError, match="no epoch-0003, but epoch-0002, epoch-0004"):
        find_checkpoint(run)
    with pytest.raises(CheckpointError, match="got the checkpoint 'newest', expected best, last or the number"):
        choosing_checkpoint("newest").__enter__()


class Warned(ProgressListener):
    def __init__(self) -> None:
        self.messages: list[str] = []

    def on_warning(self, run, epoch, message):
        self.messages.append(message)


def test_the_best_epoch_is_found_and_a_long_rise_is_told_once(noise_clips, tmp_path, monkeypatch):
    values = iter([0.3, 0.1, 0.2, 0.3, 0.4, 0.5])
    monkeypatch.setattr(ColorEncoder, "evaluate", lambda stage, batch: {"l1": value_now[0]})
    monkeypatch.setattr(loop, "_LEAST_PATIENCE", 3)
    value_now = [0.0]
    measure = Validation.measure
    monkeypatch.setattr(Validation, "measure", lambda one: value_now.__setitem__(0, next(values)) or measure(one))
    listener = Warned()
    config = replace(CONFIG, num_epochs=6, epoch_size=4)
    run = train(config, noise_clips, replace(QUIET, runs=str(tmp_path)), listener=listener)
    assert find_best(run).epoch == 2 and find_best(run).metric == "val/l1"
    assert (run / "checkpoints").folders() == ["epoch-0002", "epoch-0006"]
    [told] = [message for message in listener.messages if "best" in message]
    assert told.startswith("val/l1 was best in epoch 2 (0.1, now 0.4)") and "--checkpoint best" in told
