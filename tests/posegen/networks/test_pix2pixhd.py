"""pix2pixHD's networks against the numbers of the published code, and how the code z enters them."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import Tensor

from posegen.losses import feature_matching, lsgan
from posegen.networks.pix2pixhd import GeneratorSize, GlobalGenerator, LocalEnhancer, MultiscaleDiscriminator
from tests.support.reference import (
    assert_matches,
    closed_form,
    count_parameters,
    fill,
    forward_parity,
    gradient_norm,
    load_json,
)

TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4}
GENERATORS = {
    "global": lambda **options: GlobalGenerator(size=GeneratorSize(width=4, num_downs=3, num_blocks=3), **options),
    "local": lambda **options: LocalEnhancer(
        size=GeneratorSize(width=4, num_downs=2, num_blocks=3, num_local_blocks=2), **options
    ),
}


@pytest.mark.parametrize(
    ("name", "network", "options"),
    [
        *[
            (f"G[global,in={n},ngf=64,down=4,blocks=9]", GlobalGenerator, {"in_channels": n, "latent_dims": ()})
            for n in (3, 4, 6, 7, 28, 31, 36)
        ],
        *[
            (
                f"G[local,in={n},ngf=32,down=4,blocks=9,enh=1,bl=3]",
                LocalEnhancer,
                {"in_channels": n, "latent_dims": ()},
            )
            for n in (3, 6, 7, 28, 31)
        ],
        ("G[global,in=31,ngf=64,down=4,blocks=9]", GlobalGenerator, {}),
        ("G[local,in=31,ngf=32,down=4,blocks=9,enh=1,bl=3]", LocalEnhancer, {}),
        ("G[local,in=31,ngf=64(!),down=4]", LocalEnhancer, {"size": GeneratorSize(width=64)}),
        ("G[local,in=31,ngf=32,down=3]", LocalEnhancer, {"size": GeneratorSize(width=32, num_downs=3)}),
        *[
            (
                f"D[in={n},num_D={scales},n_layers=3,ndf=64]",
                MultiscaleDiscriminator,
                {"in_channels": n, "num_scales": scales},
            )
            for n in (6, 7, 12, 14)
            for scales in (2, 3)
        ],
    ],
)
def test_network_has_the_published_number_of_parameters(name, network, options, fixtures):
    with torch.device("meta"):
        assert count_parameters(network(**options)) == load_json(fixtures, "param_counts")[f"pix2pixHD.{name}"]


@pytest.mark.parametrize(
    ("name", "network", "width", "variant"),
    [
        ("global_small", GlobalGenerator, 4, "S"),
        ("global_small", GlobalGenerator, 4, "N"),
        ("local_small", LocalEnhancer, 4, "S"),
        ("local_small", LocalEnhancer, 4, "N"),
        ("global_full", GlobalGenerator, 64, "N"),
        pytest.param("global_full", GlobalGenerator, 64, "S", marks=pytest.mark.slow),
    ],
)
def test_generator_draws_what_the_published_code_draws(name, network, width, variant, fixtures):
    (image,), expected = forward_parity(fixtures, f"p2phd_G_{name}")
    with torch.device("meta"):  # initial weights would take longer than all the rest
        generator = network(in_channels=31, latent_dims=(), size=GeneratorSize(width=width))
    fill([generator.to_empty(device="cpu")], variant)
    for dtype, tolerance in TOLERANCE.items():
        features, previous = image.to(dtype).split((28, 3), dim=1)
        with torch.no_grad():
            output = generator.to(dtype)(features, previous)
        assert_matches(output, expected[variant][0], tolerance)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("variant", ["S", "N"])
def test_discriminator_activates_as_the_published_code_does(variant, dtype, fixtures):
    (image,), expected = forward_parity(fixtures, "p2phd_D_small")
    network = MultiscaleDiscriminator(14, width=8)
    fill(reversed(network.scales), variant)  # the published code stores the smallest scale first
    outputs = [activation for scale in network.to(dtype)(image.to(dtype)) for activation in scale]
    for output, wanted in zip(outputs, expected[variant], strict=True):
        assert_matches(output, wanted, TOLERANCE[dtype])


class TwoFrames:
    """The networks and inputs of the published numbers of a step on two frames."""

    def __init__(self, v0: float) -> None:
        size = GeneratorSize(width=4, num_downs=3, num_blocks=2, num_local_blocks=1)
        self.generator = LocalEnhancer(latent_dims=(), size=size)
        self.discriminator = MultiscaleDiscriminator(14, width=8)
        fill([self.generator])
        fill(reversed(self.discriminator.scales))
        self.features = [closed_form((1, 4, 64, 96), t) for t in (31, 32)]
        self.real = [closed_form((1, 3, 64, 96), t) for t in (33, 34)]
        black = torch.full_like(self.real[0], v0)
        self.first = self.generator(self.features[0], black)
        self.second = self.generator(self.features[1], self.first)

    def discriminate(self, first: Tensor, second: Tensor) -> list[list[Tensor]]:
        return self.discriminator(torch.cat([*self.features, first, second], dim=1))


@pytest.mark.parametrize(("name", "v0"), [("v0_zero_tensor", 0.0), ("v0_minus_one", -1.0)])
def test_a_step_on_two_frames_is_the_published_one(name, v0, fixtures):
    published = load_json(fixtures, "losses_metrics_geometry")["temporal_step"][name]
    step = TwoFrames(v0)
    assert_matches(step.first, published["y1"])
    assert_matches(step.second, published["y2"])
    fake, real = step.discriminate(step.first, step.second), step.discriminate(*step.real)
    scores = {"fake": [scale[-1] for scale in fake], "real": [scale[-1] for scale in real]}
    losses = {
        "D_fake": lsgan(scores["fake"], real=False),
        "D_real": lsgan(scores["real"], real=True),
        "G_GAN": lsgan(scores["fake"], real=True),
        "G_FM": 10 * feature_matching(fake, real),
    }
    losses["loss_D_half_sum"] = 0.5 * (losses["D_fake"] + losses["D_real"])
    assert {name: loss.item() for name, loss in losses.items()} == pytest.approx(
        {name: published[name] for name in losses}, rel=1e-9
    )
    (losses["G_GAN"] + losses["G_FM"]).backward()
    assert gradient_norm(step.generator) == pytest.approx(published["gradnorm_G_of_GAN_plus_FM"], rel=1e-9)


def test_the_second_frame_teaches_the_first_call():
    step = TwoFrames(v0=-1.0)
    (gradient,) = torch.autograd.grad(step.second.square().mean(), step.first)
    assert gradient.abs().max() > 1e-6


def sensitivity(z_inject: str, generator: str) -> float:
    """Mean change of a picture between two codes, with initial weights, in float64."""
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = GENERATORS[generator](z_inject=z_inject).double()
    features, previous = closed_form((1, 4, 64, 48), t=1), closed_form((1, 3, 64, 48), t=2)
    regions = torch.zeros(1, 2, 64, 48, dtype=torch.float64)
    regions[:, 0, 8:32, 12:36] = 1.0
    regions[:, 1, 32:60, 12:36] = 1.0
    with torch.no_grad():
        images = [network(features, previous, closed_form((1, 24), t, scale=2.0), regions) for t in (3, 4)]
    return float((images[0] - images[1]).abs().mean())


@pytest.mark.parametrize("generator", GENERATORS)
@pytest.mark.parametrize("z_inject", ["tile_nonorm_stem", "tile_masked", "adain", "spade"])
def test_generator_sees_its_code(z_inject, generator):
    assert sensitivity(z_inject, generator) > 1e-3


@pytest.mark.parametrize("generator", GENERATORS)
def test_a_plainly_tiled_code_is_erased(generator):
    assert sensitivity("tile", generator) < 1e-6


def test_a_plainly_tiled_code_is_warned_of():
    with pytest.warns(UserWarning, match="erases a code"):
        GENERATORS["global"](z_inject="tile")


def test_unknown_injection_is_named():
    with pytest.raises(ValueError, match=r"unknown z_inject 'film', expected one of .*'adain'"):
        GENERATORS["global"](z_inject="film")


def test_each_part_of_a_masked_code_enters_in_its_region():
    generator = GENERATORS["global"](z_inject="tile_masked", latent_dims=(2, 1))
    features, previous = torch.rand(1, 4, 16, 16), torch.rand(1, 3, 16, 16)
    regions = torch.zeros(1, 2, 16, 16)
    regions[:, 0, :8] = 1.0
    regions[:, 1, 8:] = 0.5
    z = torch.tensor([[2.0, 3.0, 4.0]])
    x, *_ = generator.conditioning(torch.cat([features, previous], dim=1), z, regions)
    torch.testing.assert_close(x[0, :7], torch.cat([features, previous], dim=1)[0])
    assert x[0, 7:, 0, 0].tolist() == [2.0, 3.0, 0.0]
    assert x[0, 7:, 15, 15].tolist() == [0.0, 0.0, 2.0]


@pytest.mark.parametrize("generator", GENERATORS)
def test_a_code_behind_the_last_norm_reaches_no_farther_than_its_region(generator):
    network = GENERATORS[generator](z_inject="spade", latent_dims=(2, 1))
    features, previous = torch.rand(1, 4, 32, 32), torch.rand(1, 3, 32, 32)
    regions = torch.zeros(1, 2, 32, 32)
    regions[:, 0, :8] = 1.0
    regions[:, 1, 20:] = 1.0
    z = torch.tensor([[2.0, 3.0, 4.0]])
    with torch.no_grad():
        upper, lower = (
            (network(features, previous, z + change, regions) - network(features, previous, z, regions)).abs()
            for change in (torch.tensor([[1.0, 0.0, 0.0]]), torch.tensor([[0.0, 0.0, 1.0]]))
        )
    changed = [part.amax(dim=(0, 1, 3)) > 0 for part in (upper, lower)]  # rows; the last convolution is 7 pixels wide
    assert changed[0].tolist() == [row < 8 + 3 for row in range(32)]
    assert changed[1].tolist() == [row >= 20 - 3 for row in range(32)]


@pytest.mark.parametrize("z_inject", ["tile_nonorm_stem", "tile_masked", "adain", "spade"])
@pytest.mark.parametrize("generator", GENERATORS)
def test_checkpointed_activations_give_the_same_gradients(generator, z_inject):
    features, previous = torch.rand(1, 4, 32, 48), torch.rand(1, 3, 32, 48)
    z, regions = torch.rand(1, 24), torch.rand(1, 2, 32, 48)
    gradients = []
    for checkpoint_activations in (False, True):
        torch.manual_seed(0)
        network = GENERATORS[generator](z_inject=z_inject, checkpoint_activations=checkpoint_activations)
        loss = network(features, previous, z, regions).square().mean()
        parameters = list(network.parameters())
        loss.backward(inputs=parameters, retain_graph=True)
        gradients.append(torch.cat([parameter.grad.flatten() for parameter in parameters]))
    torch.testing.assert_close(gradients[0], gradients[1])


@pytest.mark.parametrize(
    ("generator", "multiple", "size"),
    [("global", 8, (380, 256)), ("global", 8, (64, 60)), ("global", 8, (8, 64)), ("local", 8, (64, 44))],
)
def test_generator_refuses_sizes_that_it_cannot_halve(generator, multiple, size):
    network = GENERATORS[generator]()
    assert network.stride_multiple == multiple
    with pytest.raises(ValueError, match=f"multiples of {multiple} and at least 16, got {size[0]}×{size[1]}"):
        network(torch.rand(1, 4, *size), torch.rand(1, 3, *size), torch.rand(1, 24))


def test_smallest_legal_size_works():
    for network in (generator() for generator in GENERATORS.values()):
        assert network(torch.rand(1, 4, 16, 16), torch.rand(1, 3, 16, 16), torch.rand(1, 24)).shape[-2:] == (16, 16)


def test_missing_code_or_regions_are_named():
    features, previous = torch.rand(1, 4, 16, 16), torch.rand(1, 3, 16, 16)
    network = GENERATORS["global"](z_inject="tile_masked")
    with pytest.raises(ValueError, match=r"needs a code \(N, 24\), got None"):
        network(features, previous)
    with pytest.raises(ValueError, match=r"needs a code \(N, 24\), got \(1, 8\)"):
        network(features, previous, torch.rand(1, 8))
    with pytest.raises(ValueError, match=r"needs regions \(N, 2, H, W\), got None"):
        network(features, previous, torch.rand(1, 24))


def test_initial_weights_are_normal_with_deviation_002():
    torch.manual_seed(0)
    convolution = MultiscaleDiscriminator(width=64).scales[0][1][0]
    assert convolution.weight.std().item() == pytest.approx(0.02, rel=0.02)
    assert convolution.bias.any()
