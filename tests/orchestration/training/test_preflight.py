"""Memory and disk that run out are named before they are needed, or with what to do."""

from __future__ import annotations

import shutil
import subprocess
from collections import namedtuple
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

from orchestration.data.colorize import ColorizeSettings, recolor_dataset
from orchestration.data.prepare import PrepareSettings, prepare_videos
from orchestration.training.preflight import check_disk, is_out_of_memory, suggest_less_memory
from orchestration.training.train import train
from posegen.checkpoints.checkpoint import TrainingProgress, checkpoint_bytes, save_checkpoint
from posegen.errors import RunError
from posegen.io.storage import StorageFolder
from posegen.stages import ColorEncoder, ShapePosture, VideoGenerator
from tests.support.narrow import CONFIG, QUIET

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 4 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", place], capture_output=True).returncode:
        pytest.skip("mounting a disk needs more rights")
    yield place
    subprocess.run(["umount", place], check=True)


def test_a_checkpoint_is_as_large_as_was_said(tmp_path):
    stage = ColorEncoder(CONFIG)
    for optimizer in stage.optimizers.values():  # Adam's moments are there after a step
        for parameter in optimizer.param_groups[0]["params"]:
            parameter.grad = torch.zeros_like(parameter)
        optimizer.step()
    save_checkpoint(
        StorageFolder(tmp_path), stage, TrainingProgress(epoch=1, step=1, data_fingerprint="", size=(64, 64))
    )
    written = (tmp_path / "tensors.safetensors").stat().st_size
    assert checkpoint_bytes(stage) == pytest.approx(written, rel=0.05)


def test_checkpoints_that_do_not_fit_are_refused_before_training(noise_clips, tmp_path, monkeypatch):
    with torch.device("meta"):
        size = checkpoint_bytes(ColorEncoder(CONFIG))
    monkeypatch.setattr(shutil, "disk_usage", lambda place: Usage(0, 0, 3 * size - 1))
    with pytest.raises(ValueError, match=r"free, but 3 checkpoints of \d+\.\d MB must fit: .* smaller --keep"):
        train(CONFIG, noise_clips, replace(QUIET, runs=str(tmp_path / "runs")))
    assert not (tmp_path / "runs").exists()
    train(CONFIG, noise_clips, replace(QUIET, runs=str(tmp_path / "runs"), keep=1))


def test_what_a_run_has_already_is_not_asked_for_again(tmp_path, monkeypatch):
    stage = ColorEncoder(CONFIG)
    old = tmp_path / "checkpoints" / "epoch-0001"
    old.mkdir(parents=True)
    (old / "tensors.safetensors").write_bytes(bytes(2 * checkpoint_bytes(stage)))
    monkeypatch.setattr(shutil, "disk_usage", lambda place: Usage(0, 0, checkpoint_bytes(stage)))
    check_disk(StorageFolder(tmp_path), stage, keep=2)
    with pytest.raises(ValueError, match="4 checkpoints"):
        check_disk(StorageFolder(tmp_path), stage, keep=3)


def test_a_disk_that_is_full_is_one_line_and_costs_no_checkpoint(noise_clips, small_disk):
    settings = replace(QUIET, runs=str(small_disk), keep=1)
    small = replace(CONFIG, num_epochs=1)
    run = train(small, noise_clips, settings)
    (small_disk / "else").write_bytes(bytes(shutil.disk_usage(small_disk).free - 8192))
    with pytest.raises(ValueError, match=r"MB free|kB free|bytes free|cannot be written: .*No space left"):
        train(replace(CONFIG, num_epochs=2), noise_clips, settings)
    assert (run / "checkpoints").folders() == ["epoch-0001"]
    (small_disk / "else").unlink()
    train(replace(CONFIG, num_epochs=2), noise_clips, settings)


def test_a_full_disk_stops_preparation_and_costs_no_clip(studio_videos, small_disk, tmp_path):
    settings = PrepareSettings(size=(96, 64), pose="truth", edges="truth", mask="truth", crop="none", workers=0)
    colors = ColorizeSettings(recolorings=2, workers=0)
    calm, tight = tmp_path / "calm", small_disk / "data"
    prepare_videos(studio_videos, calm, settings)
    recolor_dataset(calm, colors)
    works = {
        "clips": partial(prepare_videos, studio_videos, tight, settings),
        "colors": partial(recolor_dataset, tight, colors),
    }
    for kind, work in works.items():
        fill = small_disk / "else"
        size = max(path.stat().st_size for path in (calm / kind).rglob("*.parquet"))
        if kind == "clips":  # each has a sheet
            size += max(path.stat().st_size for path in calm.rglob("*.jpg"))
        fill.write_bytes(bytes(shutil.disk_usage(small_disk).free - int(3.5 * size)))
        with pytest.raises(ValueError, match="data: the disk is full; what is finished stays"):
            work()
        fill.unlink()
        finished = {path: path.stat().st_mtime_ns for path in (tight / kind).rglob("*.parquet")}
        assert len(finished) >= 2
        work()
        assert finished == {path: path.stat().st_mtime_ns for path in finished}
    assert contents(tight) == contents(calm)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


ERRORS = [
    torch.OutOfMemoryError("CUDA out of memory"),
    RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to"),
]


@pytest.mark.parametrize("error", ERRORS)
def test_memory_that_runs_out_gives_the_settings_to_change(error, noise_clips, tmp_path, monkeypatch):
    def step(self, batch):
        raise error

    assert is_out_of_memory(error) and not is_out_of_memory(RuntimeError("shapes differ"))
    monkeypatch.setattr(ColorEncoder, "step", step)
    with pytest.raises(RunError, match=r"^out of memory: lower batch_size \(it is 2\), or take each step in"):
        train(CONFIG, noise_clips, replace(QUIET, runs=str(tmp_path)))


def test_a_batch_of_several_can_be_taken_in_parts():
    remedies = suggest_less_memory(ColorEncoder.presets["paper"]).split(", or ")
    assert remedies[:2] == ["lower batch_size (it is 4)", "take each step in parts (accumulate)"]
    assert "parts" not in suggest_less_memory(ShapePosture.Config())


def test_each_stage_has_settings_that_take_less():
    remedies = suggest_less_memory(VideoGenerator.presets["paper"]).split(", or ")
    assert remedies[:2] == ["set checkpoint_activations", "choose the generator 'global'"]
    assert remedies[2:] == ["lower generator_width", "prepare smaller frames"]
