"""BicycleGAN's networks against the numbers of the published code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Adam

from posegen.losses import kl_to_standard_normal, lsgan
from posegen.networks.bicyclegan import (
    MultiscalePatchDiscriminator,
    PatchDiscriminator,
    ResNetEncoder,
    UNet,
    UNetVariant,
)
from tests.support.reference import (
    assert_matches,
    bicyclegan_batch,
    closed_form,
    count_parameters,
    encoder_layers,
    fill,
    fill_bicyclegan,
    forward_parity,
    gradient_norm,
    load_json,
    parameter_sums,
)

TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4}


@pytest.mark.parametrize("where_add", ["all", "input"])
@pytest.mark.parametrize("num_downs", [7, 8])
@pytest.mark.parametrize("in_channels", [3, 4])
@pytest.mark.parametrize("latent_dim", [8, 16, 24])
def test_unet_has_the_published_number_of_parameters(where_add, num_downs, in_channels, latent_dim, fixtures):
    name = f"bicycle.G[unet_{2**num_downs},{where_add},in={in_channels},nz={latent_dim},up=basic,instance]"
    with torch.device("meta"):
        network = UNet(
            in_channels, latent_dim=latent_dim, num_downs=num_downs, variant=UNetVariant(where_add=where_add)
        )
    assert count_parameters(network) == load_json(fixtures, "param_counts")[name]


def test_bilinear_unet_has_the_published_number_of_parameters(fixtures):
    expected = load_json(fixtures, "param_counts")["bicycle.G[unet_128,all,in=4,nz=16,up=bilinear,instance]"]
    with torch.device("meta"):
        assert count_parameters(UNet(variant=UNetVariant(upsample="bilinear"))) == expected


@pytest.mark.parametrize(("size", "num_blocks"), [(128, 4), (256, 5)])
@pytest.mark.parametrize("latent_dim", [8, 16])
def test_encoder_has_the_published_number_of_parameters(size, num_blocks, latent_dim, fixtures):
    expected = load_json(fixtures, "param_counts")[f"bicycle.E[resnet_{size},nz={latent_dim},vae]"]
    assert count_parameters(ResNetEncoder(latent_dim=latent_dim, num_blocks=num_blocks)) == expected


@pytest.mark.parametrize(
    ("size", "num_layers", "in_channels", "num_scales"),
    [(128, 2, 3, 2), (128, 2, 7, 2), (256, 3, 3, 2), (256, 3, 3, 3), (256, 3, 7, 2), (256, 3, 7, 3)],
)
def test_discriminator_has_the_published_number_of_parameters(size, num_layers, in_channels, num_scales, fixtures):
    name = f"bicycle.D[basic_{size}_multi,in={in_channels},num={num_scales}]"
    network = MultiscalePatchDiscriminator(in_channels, num_scales=num_scales, num_layers=num_layers)
    assert count_parameters(network) == load_json(fixtures, "param_counts")[name]


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("variant", ["S", "N"])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("all", {}),
        ("input", {"where_add": "input"}),
        ("all_bilinear", {"upsample": "bilinear"}),
    ],
)
def test_unet_draws_what_the_published_code_draws(name, options, variant, dtype, fixtures):
    inputs, expected = forward_parity(fixtures, f"bicycle_G_unet128_{name}_small")
    network = UNet(4, 3, latent_dim=4, width=8, variant=UNetVariant(**options))
    fill([network], variant)
    output = network.to(dtype)(*(tensor.to(dtype) for tensor in inputs))
    assert_matches(output, expected[variant][0], TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("variant", ["S", "N"])
def test_encoder_gives_what_the_published_code_gives(variant, dtype, fixtures):
    (image,), expected = forward_parity(fixtures, "bicycle_E_resnet256_small_256")
    network = ResNetEncoder(3, latent_dim=4, width=8)
    fill(encoder_layers(network), variant)
    for output, wanted in zip(network.to(dtype)(image.to(dtype)), expected[variant], strict=True):
        assert_matches(output, wanted, TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("variant", ["S", "N"])
@pytest.mark.parametrize(("size", "num_layers"), [(128, 2), (256, 3)])
def test_discriminator_scores_as_the_published_code_does(size, num_layers, variant, dtype, fixtures):
    (image,), expected = forward_parity(fixtures, f"bicycle_D_basic{size}multi_small")
    network = MultiscalePatchDiscriminator(3, width=8, num_layers=num_layers)
    fill([network], variant)
    for output, wanted in zip(network.to(dtype)(image.to(dtype)), expected[variant], strict=True):
        assert_matches(output, wanted, TOLERANCE[dtype])


class Step:
    """The networks of the published one-step numbers, and its losses up to the first backward pass."""

    def __init__(self) -> None:
        self.generator = UNet(4, 3, latent_dim=4, width=8)
        self.encoder = ResNetEncoder(3, latent_dim=4, width=8)
        self.discriminator = MultiscalePatchDiscriminator(3, width=8)
        self.prior_discriminator = MultiscalePatchDiscriminator(3, width=8)
        fill_bicyclegan(*self.networks.values())
        batch = bicyclegan_batch()
        features, (self.real, self.other) = batch["features"][:2], batch["image"].split(2)
        self.mean, self.logvar = self.encoder(self.real)
        z = self.mean + self.logvar.mul(0.5).exp() * batch["noise"]
        self.z_random = batch["z_random"]
        self.reconstructed = self.generator(features, z)
        self.sampled = self.generator(features, self.z_random)
        self.losses = {
            "G_GAN": lsgan(self.discriminator(self.reconstructed), real=True),
            "G_GAN2": lsgan(self.prior_discriminator(self.sampled), real=True),
            "kl": 0.01 * kl_to_standard_normal(self.mean, self.logvar),
            "G_L1": 10 * F.l1_loss(self.reconstructed, self.real),
        }
        self.encoder.requires_grad_(False)
        self.mean_of_sampled = self.encoder(self.sampled)[0]
        self.latent = 0.5 * F.l1_loss(self.mean_of_sampled, self.z_random)
        self.encoder.requires_grad_(True)

    @property
    def networks(self) -> dict[str, nn.Module]:
        return {
            "G": self.generator,
            "E": self.encoder,
            "D": self.discriminator,
            "D2": self.prior_discriminator,
        }

    def generative_gradients(self) -> dict[str, float]:
        return {name: gradient_norm(self.networks[name]) for name in ("G", "E")}

    def discriminate(self, name: str, fake: Tensor, real: Tensor) -> tuple[float, float]:
        """One step of a discriminator's optimizer; losses of fake and real."""
        network = self.networks[name]
        network.zero_grad()
        losses = (lsgan(network(fake.detach()), real=False), lsgan(network(real), real=True))
        sum(losses).backward()
        return losses[0].item(), losses[1].item()


@pytest.fixture(scope="module")
def published(fixtures: Path) -> dict[str, Any]:
    return load_json(fixtures, "bicyclegan_step")["results"]["uncond"]


def test_a_whole_step_is_the_published_one(published):
    step = Step()
    optimizers = {
        name: Adam(network.parameters(), lr=2e-4, betas=(0.5, 0.999)) for name, network in step.networks.items()
    }
    close = {"rel": 1e-9, "abs": 1e-9}
    for tensor, key in ((step.mean, "mu"), (step.logvar, "logvar"), (step.mean_of_sampled, "mu2")):
        assert tensor.flatten().tolist() == pytest.approx(published[key], **close)
    assert_matches(step.reconstructed, published["fake_encoded"])
    assert_matches(step.sampled, published["fake_random"])

    total = sum(step.losses.values())
    total.backward(retain_graph=True)
    losses = {name: loss.item() for name, loss in step.losses.items()} | {"G": total.item()}
    assert losses == pytest.approx(published["losses_EG"], **close)
    assert step.generative_gradients() == pytest.approx(published["gradnorm_after_EG"], **close)

    step.latent.backward()
    assert step.latent.item() == pytest.approx(published["loss_z_L1"], **close)
    assert step.generative_gradients() == pytest.approx(published["gradnorm_after_G_alone"], **close)
    for name in ("E", "G"):
        optimizers[name].step()

    scores = step.discriminate("D", step.reconstructed, step.real)
    prior_scores = step.discriminate("D2", step.sampled, step.other)
    assert scores == pytest.approx(published["D_fake_real"], **close)
    assert prior_scores == pytest.approx(published["D2_fake_real"], **close)
    for name in ("D", "D2"):
        assert gradient_norm(step.networks[name]) == pytest.approx(published["gradnorm_D"][name], **close)
        optimizers[name].step()
    for name, network in step.networks.items():
        assert parameter_sums(network) == pytest.approx(published["params_after_step_sum_and_sumsq"][name], **close)


def test_one_backward_pass_gives_the_gradients_of_two(published):
    step = Step()
    (sum(step.losses.values()) + step.latent).backward()
    assert step.generative_gradients() == pytest.approx(published["gradnorm_after_G_alone"], rel=1e-9)


@pytest.mark.parametrize("size", [(384, 256), (256, 384), (512, 256)])
def test_encoder_reads_images_of_any_shape(size):
    mean, logvar = ResNetEncoder(latent_dim=5, width=4)(torch.rand(2, 3, *size))
    assert mean.shape == logvar.shape == (2, 5)


def test_encoder_sees_the_bottom_of_an_upright_frame_as_well_as_its_top():
    torch.manual_seed(0)
    network = ResNetEncoder(latent_dim=16, width=8)
    fill([network])
    image = torch.rand(4, 3, 384, 256, dtype=torch.float64) * 2 - 1

    def change(rows: slice) -> float:
        painted = image.clone()
        painted[:, 0, rows, 64:192] += 1.0
        return (network(painted)[0] - network(image)[0]).abs().mean().item()

    assert change(slice(320, 368)) >= 0.95 * change(slice(16, 64))


def test_unet_halves_to_its_bottleneck_and_back():
    image = UNet(4, 3, latent_dim=2, width=4, num_downs=5)(torch.rand(2, 4, 64, 32), torch.rand(2, 2))
    assert image.shape == (2, 3, 64, 32)
    assert image.abs().max() <= 1


@pytest.mark.parametrize("where_add", ["all", "input"])
def test_unet_sees_its_code(where_add):
    torch.manual_seed(0)
    network = UNet(4, 3, latent_dim=4, width=8, variant=UNetVariant(where_add=where_add)).double()
    condition = closed_form((1, 4, 128, 128), t=1)
    images = [network(condition, closed_form((1, 4), t=t, scale=2.0)) for t in (2, 3)]
    assert (images[0] - images[1]).abs().mean() > 1e-3


def test_dropout_is_in_the_inner_levels_alone():
    network = UNet(width=4, num_downs=7, variant=UNetVariant(dropout=True))
    assert [any(isinstance(layer, nn.Dropout) for layer in up) for up in network.ups] == [
        *(False, True, True),
        *[False] * 4,
    ]


@pytest.mark.parametrize("size", [(96, 128), (128, 200), (64, 128)])
def test_unet_refuses_sizes_that_it_cannot_halve(size):
    network = UNet(width=4)
    assert network.stride_multiple == 128
    with pytest.raises(ValueError, match=f"multiples of 128 .* got {size[0]}×{size[1]}"):
        network(torch.rand(1, 4, *size), torch.rand(1, 16))


def test_unet_refuses_fewer_than_five_halvings():
    with pytest.raises(ValueError, match="num_downs must be at least 5, got 4"):
        UNet(num_downs=4)


def test_second_scale_of_the_discriminator_has_half_the_width():
    network = MultiscalePatchDiscriminator(3, width=8)
    assert [scale.layers[0].out_channels for scale in network.scales] == [8, 4]
    assert [tuple(scores.shape) for scores in network(torch.rand(2, 3, 96, 64))] == [(2, 1, 10, 6), (2, 1, 4, 2)]


def test_initial_weights_are_xavier_with_gain_002_and_no_bias():
    torch.manual_seed(0)
    convolution = PatchDiscriminator(width=64).layers[2]
    fans = (64 + 128) * 16
    assert convolution.weight.std().item() == pytest.approx(0.02 * (2 / fans) ** 0.5, rel=0.02)
    assert not convolution.bias.any()
