"""The generator in another runtime renders the same."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from orchestration.cli import main as cli
from orchestration.generation import export_onnx as command
from orchestration.generation.export_onnx import export
from posegen.checkpoints.checkpoint import TrainingProgress, save_checkpoint
from posegen.io.storage import StorageFolder
from posegen.stages import ColorEncoder, VideoGenerator

SIZE = (96, 64)


def save_run(path, stage) -> StorageFolder:
    progress = TrainingProgress(epoch=1, step=1, data_fingerprint="", size=SIZE)
    save_checkpoint(StorageFolder(path) / "checkpoints" / "000001", stage, progress)
    return StorageFolder(path)


def tiny_stage(**changes) -> VideoGenerator:
    torch.manual_seed(0)
    shallow = {"encoder_width": 4, "num_downs": 2, "num_blocks": 1, "num_local_blocks": 1, "z_inject": "tile_masked"}
    config = replace(VideoGenerator.presets["tiny"], **shallow | changes)
    return VideoGenerator(config).eval()


def inputs(count: int, condition_channels: int) -> dict[str, torch.Tensor]:
    rng = torch.Generator().manual_seed(count)
    return {
        "features": torch.rand(count, condition_channels, *SIZE, generator=rng) * 2 - 1,
        "previous": torch.rand(count, 3, *SIZE, generator=rng) * 2 - 1,
        "code": torch.randn(count, 8, generator=rng),
        "regions": torch.rand(count, 2, *SIZE, generator=rng).round(),
    }


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"z_inject": "tile_nonorm_stem"},
        {"z_inject": "adain", "generator": "global"},
        {"z_inject": "spade", "appearance": "parts"},
        {"z_inject": "spade", "appearance": "layered"},
    ],
)
def test_frames_are_those_of_pytorch(tmp_path, changes):
    """For batches of one and of three, and for a video's second frame, which is rendered from the first."""
    stage = tiny_stage(**changes)
    made = export(save_run(tmp_path / "run", stage), tmp_path / "sub" / "g.onnx")
    assert made.path.stat().st_size == made.num_bytes
    session = onnxruntime.InferenceSession(made.path)
    assert tuple(item.name for item in session.get_inputs()) == command.INPUTS
    for count in (1, 3):
        batch = inputs(count, stage.config.condition_channels)
        for _ in range(2):
            with torch.no_grad():
                expected = stage.generator(*batch.values())
            [frame] = session.run([command.OUTPUT], {name: tensor.numpy() for name, tensor in batch.items()})
            np.testing.assert_allclose(frame, expected, atol=1e-4)
            batch["previous"] = expected


def test_the_command_says_what_it_wrote_and_the_file_what_it_is(tmp_path, capsys):
    stage = tiny_stage()
    cli.main(["export", str(save_run(tmp_path / "run", stage)), str(tmp_path / "g.onnx")])
    assert f"MB in {tmp_path / 'g.onnx'}" in " ".join(capsys.readouterr().out.split())
    facts = {item.key: json.loads(item.value) for item in onnx.load(tmp_path / "g.onnx").metadata_props}
    assert facts == {
        "size": list(SIZE),
        "latent_dims": [4, 4],
        "stage": "video_generator",
        "config": asdict(stage.config),
    }


def fail(capsys, *arguments) -> str:
    with pytest.raises(SystemExit) as stop:
        cli.main(["export", *map(str, arguments)])
    assert stop.value.code == 2
    return " ".join(capsys.readouterr().err.split())


def test_missing_packages_are_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(command, "find_spec", lambda name: None)
    message = fail(capsys, tmp_path, tmp_path / "g.onnx")
    assert message == "posegen: export needs onnx and onnxscript: install with `pip install 'posegen[export]'`"


def test_mistakes_end_with_one_line(tmp_path, capsys):
    assert "no checkpoint in" in fail(capsys, tmp_path, tmp_path / "g.onnx")
    assert "written as .onnx, got 'g.pt'" in fail(capsys, tmp_path, tmp_path / "g.pt")
    encoder = save_run(tmp_path / "run", ColorEncoder(ColorEncoder.presets["tiny"]))
    assert "is of the stage 'color_encoder'" in fail(capsys, encoder, tmp_path / "g.onnx")
    assert not (tmp_path / "g.onnx").exists()
