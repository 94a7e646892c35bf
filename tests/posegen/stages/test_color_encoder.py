"""Stage I takes the published BicycleGAN's step to the last digits, and the paper's step by its own rules."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from posegen.stages import ColorEncoder
from tests.support.reference import bicyclegan_batch, fill_bicyclegan, load_json, parameter_sums

SMALL = ColorEncoder.Config(
    latent_dim=4, generator_width=8, encoder_width=8, discriminator_width=8, batch_size=4, num_downs=5
)


def make_stage(**changes) -> ColorEncoder:
    torch.manual_seed(0)
    return ColorEncoder(replace(SMALL, **changes))


def make_batch(size: int = 64) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    shapes = {"features": (4, 4, size, size), "image": (4, 3, size, size), "noise": (4, 2, 4)}
    return {name: torch.randn(shape, generator=generator).clamp(-1, 1) for name, shape in shapes.items()}


def test_step_is_the_published_one(fixtures):
    """`random` is BicycleGAN's own step: losses, and the weights after one step of all optimizers."""
    published = load_json(fixtures, "bicyclegan_step")["results"]["uncond"]
    stage = make_stage(latent_reg="random", num_downs=7)
    networks = {
        "G": stage.generator,
        "E": stage.encoder,
        "D": stage.discriminator,
        "D2": stage.prior_discriminator,
    }
    fill_bicyclegan(*networks.values())
    given = bicyclegan_batch()
    noise = torch.zeros(4, 2, 4, dtype=torch.float64)
    noise[:2, 0], noise[:2, 1] = given["noise"], given["z_random"]
    losses = stage.step({"features": given["features"], "image": given["image"], "noise": noise})

    expected = {name: published["losses_EG"][key] for name, key in LOSS_NAMES.items()}
    expected["latent"] = published["loss_z_L1"]
    expected["discriminator"] = sum(published["D_fake_real"])
    expected["discriminator_random"] = sum(published["D2_fake_real"])
    assert {name: loss.item() for name, loss in losses.items()} == pytest.approx(expected, rel=1e-9, abs=1e-9)
    for name, network in networks.items():
        sums = published["params_after_step_sum_and_sumsq"][name]
        assert parameter_sums(network) == pytest.approx(sums, rel=1e-9, abs=1e-9), name


LOSS_NAMES = {"gan": "G_GAN", "gan_random": "G_GAN2", "l1": "G_L1", "kl": "kl"}


def encoder_gradients(lambda_z: float, latent_reg: str) -> list[torch.Tensor]:
    stage = make_stage(lambda_z=lambda_z, latent_reg=latent_reg)
    stage.step(make_batch())
    return [parameter.grad for parameter in stage.encoder.parameters()]


@pytest.mark.parametrize("latent_reg", ["reconstruction", "random", "both"])
def test_latent_regression_moves_the_generator_alone(latent_reg):
    without, with_it = (encoder_gradients(weight, latent_reg) for weight in (0.0, 50.0))
    for left, right in zip(without, with_it, strict=True):
        torch.testing.assert_close(left, right, rtol=0, atol=0)


def generator_gradients(lambda_z: float) -> torch.Tensor:
    stage = make_stage(lambda_z=lambda_z)
    stage.step(make_batch())
    return torch.cat([parameter.grad.flatten() for parameter in stage.generator.parameters()])


def test_latent_regression_reaches_the_generator():
    assert (generator_gradients(50.0) - generator_gradients(0.0)).abs().max() > 1e-4


def test_generator_loss_leaves_no_gradient_in_the_discriminator():
    """One forward pass of the discriminator serves both updates; its gradient is that of its own loss."""
    stage = make_stage()
    stage.step(make_batch())
    got = [parameter.grad.clone() for parameter in stage.discriminator.parameters()]
    other = make_stage(lambda_gan=1000.0)
    other.step(make_batch())
    for left, right in zip(got, (p.grad for p in other.discriminator.parameters()), strict=True):
        torch.testing.assert_close(left, right, rtol=0, atol=0)


@pytest.mark.parametrize(("epoch", "factor"), [(0, 1.0), (99, 1.0), (100, 100 / 101), (199, 1 / 101)])
def test_learning_rate_falls_to_one_part_in_101(epoch, factor):
    stage = make_stage(num_epochs=200)
    stage.start_epoch(epoch)
    assert stage.optimizers["generator"].param_groups[0]["lr"] == pytest.approx(2e-4 * factor)


def test_code_sizes_are_the_papers():
    assert ColorEncoder.Config(region="upper").code_size == 16
    assert ColorEncoder.Config(region="lower").code_size == 8
    assert ColorEncoder.Config(region="lower", latent_dim=5).code_size == 5


def test_impossible_settings_are_refused():
    with pytest.raises(ValueError, match="halves the batch: got batch_size 3"):
        ColorEncoder.Config(latent_reg="random", batch_size=3)
    with pytest.raises(ValueError, match="multiples of 32"):
        make_stage().check_size((100, 64))
    with pytest.raises(ValueError, match="48 pixels or more on each side"):
        make_stage().check_size((32, 32))


class ColorReader(nn.Module):
    """An encoder whose code is the image's mean colour."""

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        mean = torch.cat([image.mean((2, 3)), torch.zeros(len(image), 1)], dim=1)
        return mean, torch.zeros_like(mean)


class PaintedFrames:
    """Samples of one colour each; every sixth keeps its own."""

    def plan(self, epoch):
        return range(48)

    def load(self, k):
        level = (k % 6) / 10
        ab = (np.nan, np.nan) if k % 6 == 5 else (100 * level, -100 * level)
        return {
            "image": np.full((3, 64, 64), level, np.float32),
            "ab": np.array(ab, np.float32),
            "lightness": np.float32(50),
        }


def test_codebook_learns_the_code_of_a_colour():
    stage = make_stage()
    stage.encoder = ColorReader()
    stage.finish_epoch(PaintedFrames())
    code = stage.codebook.predict(torch.tensor([50.0, 20, -20]))
    torch.testing.assert_close(code, torch.tensor([0.2, 0.2, 0.2, 0.0]), atol=2e-3, rtol=0)
    torch.testing.assert_close(stage.codebook.mean[:3], torch.full((3,), 0.25))
