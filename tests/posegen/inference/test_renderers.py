"""Runs opened as renderers: which kind they are of, what is read of them, and which are refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from posegen.checkpoints.checkpoint import TrainingProgress, save_checkpoint
from posegen.errors import CheckpointError
from posegen.inference.pose_transfer import PoseTransfer
from posegen.inference.renderers import load_renderer
from posegen.inference.video_synthesizer import VideoSynthesizer
from posegen.io.storage import StorageFolder
from posegen.stages import Behavior, DeformableGAN, EndToEnd, ShapePosture, VideoGenerator

SIZE = (96, 64)
CPU = torch.device("cpu")
STAGES = {
    VideoGenerator: {"generator_width": 4, "num_blocks": 1, "encoder_width": 4},
    EndToEnd: {"generator_width": 4, "num_blocks": 1, "encoder_width": 4},
    DeformableGAN: {"width": 4, "discriminator_width": 4},
    ShapePosture: {"width": 4, "max_width": 4, "spatial_size": SIZE},
}


def save_run(folder, kind, size=SIZE) -> StorageFolder:
    """Save an untrained stage as a run, and return its checkpoint."""
    config = replace(kind.presets["tiny"], **STAGES.get(kind, {}))
    checkpoint = StorageFolder(folder) / "checkpoints" / "000001"
    save_checkpoint(checkpoint, kind(config), TrainingProgress(epoch=1, step=1, data_fingerprint="", size=size))
    return checkpoint


@pytest.mark.parametrize(
    ("stage", "kind", "other"),
    [
        (VideoGenerator, VideoSynthesizer, PoseTransfer),
        (EndToEnd, VideoSynthesizer, PoseTransfer),
        (DeformableGAN, PoseTransfer, VideoSynthesizer),
        (ShapePosture, PoseTransfer, VideoSynthesizer),
    ],
)
def test_a_run_is_opened_as_the_renderer_of_its_stage(stage, kind, other, tmp_path):
    save_run(tmp_path, stage)
    for renderer in (load_renderer(tmp_path, device=CPU), load_renderer(tmp_path, kind, device=CPU)):
        assert type(renderer) is kind and type(renderer.stage) is stage and renderer.size == SIZE
        assert renderer.device == CPU and not renderer.stage.training
    with pytest.raises(CheckpointError, match=f"is of the stage '{stage.name}', expected '"):
        load_renderer(tmp_path, other)


def test_the_facts_of_a_checkpoint_are_read_once(tmp_path, monkeypatch):
    checkpoint = save_run(tmp_path, DeformableGAN)
    reads, original = [], StorageFolder.read

    def counted(folder, name):
        reads.append(name)
        return original(folder, name)

    monkeypatch.setattr(StorageFolder, "read", counted)
    load_renderer(checkpoint, device=CPU)
    assert sorted(reads) == ["checkpoint.json", "tensors.safetensors"]


def test_runs_without_frames_are_refused(tmp_path):
    save_run(tmp_path / "behavior", Behavior)
    with pytest.raises(CheckpointError, match="is of the stage 'behavior', expected ") as error:
        load_renderer(tmp_path / "behavior")
    assert all(f"'{kind.name}'" in str(error.value) for kind in STAGES)
    save_run(tmp_path / "sizeless", DeformableGAN, size=None)
    with pytest.raises(CheckpointError, match="was trained on data without frames"):
        load_renderer(tmp_path / "sizeless")
    with pytest.raises(CheckpointError, match="no checkpoint in"):
        load_renderer(tmp_path / "nowhere")
