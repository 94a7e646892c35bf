"""The end-to-end baseline: its encoders learn with the generator, and its codes can be asked for by colour."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from posegen.checkpoints.checkpoint import TrainingProgress, load_stage, save_checkpoint
from posegen.errors import CheckpointError
from posegen.inference.renderers import load_renderer
from posegen.inference.video_synthesizer import VideoSynthesizer
from posegen.io.storage import StorageFolder
from posegen.stages import STAGES, ColorEncoder, EndToEnd, VideoGenerator
from posegen.stages.video_stage import VideoStage

NARROW = {
    "encoder_width": 4,
    "generator_width": 4,
    "num_blocks": 1,
    "num_local_blocks": 1,
    "discriminator_width": 4,
    "batch_size": 2,
}
SIZE = (64, 64)


def make_stage(stage: type[VideoStage], **changes) -> VideoStage:
    torch.manual_seed(0)
    return stage(replace(stage.presets["tiny"], **NARROW | changes))


def make_batch() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    shapes = {"content": (2, 3, *SIZE), "images": (2, 2, 3, *SIZE), "features": (2, 2, 4, *SIZE), "noise": (2, 8)}
    shapes["appearance"] = (2, 2, 3, *SIZE)
    shapes["start"] = shapes["content"]
    batch = {name: torch.randn(shape, generator=generator).clamp(-1, 1) for name, shape in shapes.items()}
    return batch | {"regions": torch.ones(2, 2, 2, *SIZE)}


def moved_by_a_step(stage: VideoStage) -> set[str]:
    before = {name: parameter.detach().clone() for name, parameter in stage.named_parameters()}
    stage.step(make_batch())
    return {name.split(".")[0] for name, parameter in stage.named_parameters() if not parameter.equal(before[name])}


def test_encoders_learn_here_and_nowhere_else():
    assert moved_by_a_step(make_stage(EndToEnd)) == {"generator", "discriminator", "encoders"}
    assert moved_by_a_step(make_stage(VideoGenerator)) == {"generator", "discriminator"}


def test_both_encoders_have_gradients():
    end_to_end, decoupled = make_stage(EndToEnd), make_stage(VideoGenerator)
    for stage in (end_to_end, decoupled):
        stage.step(make_batch())
    for encoder in end_to_end.encoders.values():
        assert gradient(encoder) > 0
    assert all(parameter.grad is None for parameter in decoupled.encoders.parameters())


def gradient(network: torch.nn.Module) -> float:
    """The largest entry of all gradients that reached a network."""
    return max(p.grad.abs().max().item() for p in network.parameters() if p.grad is not None)


def test_code_is_the_mean_and_takes_no_noise():
    stage, batch = make_stage(EndToEnd), make_batch()
    torch.testing.assert_close(stage.codes(batch), stage.codes(batch | {"noise": batch["noise"] + 1}))
    torch.testing.assert_close(stage.codes(batch), stage.encode(batch["content"]))


def test_presets_differ_from_the_methods_in_the_encoders_alone():
    assert EndToEnd.presets.keys() == VideoGenerator.presets.keys()
    for name, preset in EndToEnd.presets.items():
        for field in fields(preset):
            assert getattr(preset, field.name) == getattr(VideoGenerator.presets[name], field.name), field.name
    own = {field.name for field in fields(VideoGenerator.Config)} - {field.name for field in fields(EndToEnd.Config)}
    assert own == {"upper_encoder", "lower_encoder", "z_noise"}


class ColorReader(torch.nn.Module):
    """An encoder whose code is the image's mean colour: an untrained one can hardly tell colours apart."""

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        mean = torch.cat([image.mean((2, 3)), torch.zeros(len(image), 1)], dim=1)
        return mean, torch.zeros_like(mean)


class PaintedClips:
    """Content frames of one colour each; every sixth kept its lower garment."""

    def plan(self, epoch):
        return range(36)

    def load(self, k):
        level = (k % 6) / 10
        lab = np.array([[50, 100 * level, -100 * level], [40, -50 * level, 50 * level]], np.float32)
        lab[1] = np.nan if k % 6 == 5 else lab[1]
        return {"content": np.full((3, *SIZE), level, np.float32), "lab": lab}


def test_codebooks_are_fitted_when_an_epoch_ends():
    stage = make_stage(EndToEnd)
    stage.encoders = torch.nn.ModuleDict({region: ColorReader() for region in ("upper", "lower")})
    colors = {"upper": torch.tensor([50.0, 20, -20]), "lower": torch.tensor([40.0, -10, 10])}
    with pytest.raises(ValueError, match="no recoloured frames"):
        stage.codebooks["upper"].predict(colors["upper"])
    stage.finish_epoch(PaintedClips())
    for region, lab in colors.items():
        expected = torch.tensor([0.2, 0.2, 0.2, 0.0])
        torch.testing.assert_close(stage.codebooks[region].predict(lab), expected, atol=2e-3, rtol=0)
    assert stage.codebooks["lower"].highest[2] == 20  # what kept its colour says nothing of others


def save_run(path, stage) -> StorageFolder:
    progress = TrainingProgress(epoch=1, step=1, data_fingerprint="", size=SIZE)
    checkpoint = StorageFolder(path / "checkpoints" / "epoch-0001")
    save_checkpoint(checkpoint, stage, progress)
    return checkpoint


@pytest.mark.parametrize("kind", [VideoGenerator, EndToEnd])
def test_both_methods_load_alike(kind, tmp_path):
    checkpoint = save_run(tmp_path, make_stage(kind))
    loaded = load_stage(checkpoint, VideoStage)
    assert type(loaded) is kind is STAGES[kind.name]
    assert isinstance(load_renderer(tmp_path, device=torch.device("cpu")), VideoSynthesizer)


@pytest.mark.parametrize(
    ("load", "expected"),
    [
        (lambda folder, run: load_stage(folder, VideoStage), {"video_generator", "end_to_end"}),
        (lambda _, run: load_renderer(run), {"video_generator", "end_to_end", "deformable_gan", "shape_posture"}),
    ],
)
def test_encoders_alone_draw_no_video(load, expected, tmp_path):
    config = replace(ColorEncoder.presets["tiny"], generator_width=4, encoder_width=4, discriminator_width=4)
    checkpoint = save_run(tmp_path, ColorEncoder(config))
    with pytest.raises(CheckpointError) as error:
        load(checkpoint, tmp_path)
    _, names = str(error.value).split("is of the stage 'color_encoder', expected ")
    assert {name.strip("'") for name in names.split(" or ")} == expected
    assert "\n" not in str(error.value)
