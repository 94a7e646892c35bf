"""How often checkpoints are written, and what becomes of what goes wrong with one."""

from __future__ import annotations

import time

import pytest

from orchestration.training.checkpoint_writer import CheckpointWriter
from posegen.checkpoints.checkpoint import TrainingProgress
from posegen.errors import CheckpointError
from posegen.io.storage import StorageFolder
from posegen.stages import ColorEncoder
from tests.support.narrow import CONFIG


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
