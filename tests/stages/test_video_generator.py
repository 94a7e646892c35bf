"""Stage II: the two-frame step, and what its encoders are taken from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from posegen.losses import feature_matching, last, lsgan
from posegen.stages import ColorEncoder, VideoGenerator

SMALL = replace(
    VideoGenerator.presets["tiny"],
    encoder_width=4,
    generator_width=4,
    num_blocks=1,
    num_local_blocks=1,
    discriminator_width=4,
    batch_size=2,
    colorings=1,
    lambda_contrast=0.0,
)


def make_stage(**changes) -> VideoGenerator:
    torch.manual_seed(0)
    return VideoGenerator(replace(SMALL, **changes))


def make_batch() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    shapes = {
        "content": (2, 3, 64, 64),
        "images": (2, 2, 3, 64, 64),
        "features": (2, 2, 4, 64, 64),
        "regions": (2, 2, 2, 64, 64),
        "noise": (2, 8),
    }
    batch = {name: torch.randn(shape, generator=generator).clamp(-1, 1) for name, shape in shapes.items()}
    return batch | {"regions": (batch["regions"] > 0).float()}


def test_losses_are_those_of_the_objective():
    """Equation 2, recomputed from the parts with the weights of before the step."""
    stage, batch = make_stage(lambda_l1=0.0, lambda_gan=1.0, lambda_fm=10.0), make_batch()
    with torch.no_grad():
        z = stage.encode(batch["content"], batch["noise"])
        fake = stage.roll_out(batch["features"], z, batch["regions"])
        fake_scores = stage.judge(batch["features"], fake)
        real_scores = stage.judge(batch["features"], batch["images"])
    losses = stage.step(batch)
    torch.testing.assert_close(losses["gan"], lsgan(last(fake_scores), real=True))
    torch.testing.assert_close(losses["fm"], 10 * feature_matching(fake_scores, real_scores))
    expected = (lsgan(last(fake_scores), real=False) + lsgan(last(real_scores), real=True)) / 2
    torch.testing.assert_close(losses["discriminator"], expected)
    assert losses.keys() == {"gan", "fm", "discriminator"}


def test_second_frame_depends_on_the_first():
    stage, batch = make_stage(), make_batch()
    z = stage.encode(batch["content"])
    frames = stage.roll_out(batch["features"], z, batch["regions"])
    other = batch["features"].clone()
    other[:, 0] = -other[:, 0]
    changed = stage.roll_out(other, z, batch["regions"])
    assert (changed[:, 1] - frames[:, 1]).abs().mean() > 1e-5


def test_step_trains_generator_and_discriminator_and_nothing_else():
    stage = make_stage()
    before = {name: tensor.clone() for name, tensor in stage.state_dict().items()}
    stage.step(make_batch())
    moved = {name.split(".")[0] for name, tensor in stage.state_dict().items() if not equal(tensor, before[name])}
    assert moved == {"generator", "discriminator"}


def equal(left: torch.Tensor, right: torch.Tensor) -> bool:
    return torch.allclose(left, right, rtol=0, atol=0, equal_nan=True)


def trained_encoder(region: str, **changes) -> ColorEncoder:
    torch.manual_seed({"upper": 1, "lower": 2}[region])
    config = replace(ColorEncoder.presets["tiny"], region=region, encoder_width=4, **changes)
    return ColorEncoder(config)


def test_encoders_are_taken_over():
    runs = {region: trained_encoder(region) for region in ("upper", "lower")}
    stage = make_stage(upper_encoder="upper", lower_encoder="lower")
    stage.initialize(lambda run: runs[Path(run).name])
    image = torch.rand(1, 3, 64, 64)
    expected = torch.cat([runs[region].encoder(image)[0] for region in ("upper", "lower")], dim=1)
    torch.testing.assert_close(stage.encode(image), expected)


def test_encoders_that_do_not_fit_are_refused():
    runs = {"upper": trained_encoder("upper"), "small": trained_encoder("lower", latent_dim=3)}
    with pytest.raises(ValueError, match=r"upper_encoder is missing: name a run of .*--region upper"):
        make_stage().initialize(lambda run: runs[Path(run).name])
    with pytest.raises(ValueError, match=r"/upper is not a color_encoder of the region 'lower'"):
        make_stage(upper_encoder="upper", lower_encoder="upper").initialize(lambda run: runs[Path(run).name])
    with pytest.raises(ValueError, match=r"encoder of .*/small has .* \(3, 4\), but the configuration says \(4, 4\)"):
        make_stage(upper_encoder="upper", lower_encoder="small").initialize(lambda run: runs[Path(run).name])


@pytest.mark.parametrize(("epoch", "factor"), [(99, 1.0), (100, 1.0), (101, 0.99), (199, 0.01)])
def test_learning_rate_falls_as_in_pix2pixhd(epoch, factor):
    stage = make_stage(num_epochs=200, decay_epochs=100, lr=2e-4)
    stage.start_epoch(epoch)
    assert stage.optimizers["generator"].param_groups[0]["lr"] == pytest.approx(2e-4 * factor)


@pytest.mark.parametrize("z_inject", ["tile_nonorm_stem", "tile_masked", "adain"])
def test_code_changes_the_picture(z_inject):
    stage, batch = make_stage(z_inject=z_inject), make_batch()
    z = torch.randn(2, 2, 8, generator=torch.Generator().manual_seed(3))
    one, two = (stage.roll_out(batch["features"], codes, batch["regions"]) for codes in z)
    assert (one - two).abs().mean() > 1e-3


def test_paper_preset_has_the_papers_networks():
    with torch.device("meta"):
        stage = VideoGenerator(VideoGenerator.presets["paper"])
    assert sum(parameter.numel() for parameter in stage.generator.parameters()) == 182_833_539
    assert sum(parameter.numel() for parameter in stage.discriminator.parameters()) == 8_328_003
