"""A checkpoint brings a stage back bit by bit, and half a checkpoint is none."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from posegen.checkpoints.checkpoint import (
    TrainingProgress,
    find_checkpoint,
    latest_checkpoint,
    load_progress,
    load_stage,
    load_training_state,
    save_checkpoint,
)
from posegen.errors import CheckpointError
from posegen.io.storage import StorageFolder
from posegen.stages import ColorEncoder, VideoGenerator

CONFIG = replace(ColorEncoder.presets["tiny"], generator_width=4, encoder_width=4, discriminator_width=4, batch_size=2)
PROGRESS = TrainingProgress(epoch=3, step=12, data_fingerprint="abc", size=(64, 64))


def make_batch(seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shapes = {"features": (2, 4, 64, 64), "image": (2, 3, 64, 64), "noise": (2, 2, 4), "region": (2, 1, 64, 64)}
    return {name: torch.randn(shape, generator=generator).clamp(-1, 1) for name, shape in shapes.items()}


@pytest.fixture
def trained() -> ColorEncoder:
    torch.manual_seed(0)
    stage = ColorEncoder(CONFIG)
    for seed in range(3):
        stage.step(make_batch(seed))
    return stage


def test_training_goes_on_as_if_nothing_had_happened(trained, tmp_path):
    folder = StorageFolder(tmp_path / "checkpoint")
    save_checkpoint(folder, trained, PROGRESS)
    torch.manual_seed(1)
    resumed = ColorEncoder(CONFIG)
    load_training_state(folder, resumed)
    expected, got = trained.step(make_batch(9)), resumed.step(make_batch(9))
    assert {name: value.item() for name, value in got.items()} == {n: v.item() for n, v in expected.items()}
    for (name, left), right in zip(trained.state_dict().items(), resumed.state_dict().values(), strict=True):
        torch.testing.assert_close(right, left, rtol=0, atol=0, equal_nan=True, msg=name)


def test_stage_and_progress_come_back(trained, tmp_path):
    folder = StorageFolder(tmp_path / "checkpoint")
    save_checkpoint(folder, trained, PROGRESS)
    stage = load_stage(folder)
    assert isinstance(stage, ColorEncoder) and stage.config == CONFIG and not stage.training
    assert load_progress(folder) == PROGRESS


def test_newest_whole_checkpoint_is_found(trained, tmp_path):
    run = StorageFolder(tmp_path)
    assert latest_checkpoint(run) is None
    for epoch in (1, 2, 3):
        save_checkpoint(run / "checkpoints" / f"epoch-{epoch:04d}", trained, replace(PROGRESS, epoch=epoch))
    newest = tmp_path / "checkpoints" / "epoch-0003" / "tensors.safetensors"
    newest.write_bytes(newest.read_bytes()[:-1])  # killed while writing
    (tmp_path / "checkpoints" / "epoch-0004").mkdir()  # killed before
    assert find_checkpoint(run).name == "epoch-0002"


def test_wrong_places_and_stages_are_named(trained, tmp_path):
    with pytest.raises(CheckpointError, match=r"no checkpoint in .*posegen train"):
        find_checkpoint(str(tmp_path))
    save_checkpoint(StorageFolder(tmp_path / "c"), trained, PROGRESS)
    with pytest.raises(CheckpointError, match="is of the stage 'color_encoder', expected 'video_generator'"):
        load_stage(StorageFolder(tmp_path / "c"), VideoGenerator)
