"""The shape-and-posture network against the numbers of the published code."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from posegen.losses import mean_kl_to_standard_normal
from posegen.networks.shape_posture import PostureRegressor, ShapeCode, ShapePostureNetwork, _NormConv, _Up
from tests.support.reference import assert_statistics, count_parameters, fill_sines, load_json, sine

H36M: dict[str, Any] = {}
DEEPFASHION = {"appearance_channels": 30, "appearance_scales": 5}
MARKET = {"appearance_channels": 30, "appearance_scales": 6}
SMALL = {"num_scales": 4, "appearance_scales": 4, "width": 4, "max_width": 8}


@pytest.fixture(scope="module")
def published(fixtures) -> dict[str, Any]:
    """What the published code gave."""
    return load_json(fixtures / "motion", "shape_posture")


@pytest.fixture
def network() -> ShapePostureNetwork:
    torch.manual_seed(0)
    return ShapePostureNetwork(**SMALL)


def images(count: int = 2, size: tuple[int, int] = (24, 16)) -> Tensor:
    return torch.rand(count, 3, *size, generator=torch.Generator().manual_seed(1)) * 2 - 1


@pytest.mark.parametrize(("name", "settings"), [("h36m", H36M), ("deepfashion", DEEPFASHION), ("market", MARKET)])
def test_network_has_the_published_number_of_parameters(name, settings, published):
    with torch.device("meta"):
        network = ShapePostureNetwork(**settings)
    expected = published["param_counts"][f"vunet_alter_{name}"]
    parts = {"eu": network.appearance, "ed": network.shape, "du": network.posture, "dd": network.decoder}
    assert {part: count_parameters(module) for part, module in parts.items()} == {p: expected[p] for p in parts}
    assert count_parameters(network) == expected["total"]


@pytest.mark.parametrize(("name", "size", "joints"), [("h36m", 256, 17), ("deepfashion", 256, 18), ("market", 128, 18)])
def test_regressor_has_the_published_number_of_parameters(name, size, joints, published):
    expected = published["param_counts"][f"vunet_regressor_{name}"]
    with torch.device("meta"):
        sizes = ShapePostureNetwork().latent_sizes((size, size))
        regressor = PostureRegressor(sizes, num_joints=joints)
    assert sorted(height for height, _ in sizes) == sorted(expected["latent_widths"])
    assert count_parameters(regressor) == expected["total"]


@pytest.mark.parametrize(
    ("name", "settings", "appearance", "posture", "dtype", "tolerance"),
    [
        ("market", MARKET, (1, 30, 64, 64), (1, 3, 128, 128), torch.float64, 1e-6),
        ("market", MARKET, (1, 30, 64, 64), (1, 3, 128, 128), torch.float32, 1e-4),
        ("h36m", H36M, (1, 3, 256, 256), (1, 3, 256, 256), torch.float32, 1e-4),
    ],
)
@torch.no_grad()
def test_network_gives_what_the_published_code_gives(name, settings, appearance, posture, dtype, tolerance, published):
    network, expected = fill_sines(ShapePostureNetwork(**settings)).to(dtype), published[f"vunet_alter_{name}"]
    appearance, posture = sine(appearance, 0.003, 0.1).to(dtype), sine(posture, 0.007, 0.5).to(dtype)
    assert [list(x.shape) for x in network.appearance(appearance)] == expected["eu_activation_shapes"]
    assert [list(x.shape) for x in network.posture(posture)] == expected["du_shapes"]
    code = network.encode(appearance)
    for got, wanted in zip([*code.mean, *code.logstd], [*expected["means"], *expected["logstds"]], strict=True):
        assert_statistics(got, wanted, tolerance)
    assert_statistics(network.decode(code.z, posture), expected["image"], tolerance)
    divergences = [mean_kl_to_standard_normal(m, 2 * s) for m, s in zip(code.mean, code.logstd, strict=True)]
    wanted = expected["kl_with_prior_mean_over_scales"]
    assert sum(divergences).item() / 2 == pytest.approx(wanted, rel=tolerance)


def test_convolution_is_weight_normalized_with_a_gain_and_a_shift():
    torch.manual_seed(0)
    conv = fill_sines(_NormConv(3, 5, stride=2))
    x = sine((2, 3, 8, 6), 0.1, 0.2)
    weight = torch._weight_norm(conv.direction, conv.length)
    expected = conv.gamma * F.conv2d(x, weight, conv.bias, stride=2, padding=1) + conv.beta
    torch.testing.assert_close(conv(x), expected)


def test_convolution_starts_as_pytorchs():
    torch.manual_seed(3)
    conv = _NormConv(3, 5)
    torch.manual_seed(3)
    torch.testing.assert_close(conv(images()), nn.Conv2d(3, 5, 3, padding=1)(images()))


def test_channels_become_pixels_block_by_block():
    """The first D channels are the upper left pixels, the next the upper right ones, then the lower ones."""
    up = _Up(8, 2)
    up.conv = nn.Identity()
    drawn = up(torch.arange(8.0).view(1, 8, 1, 1))
    assert drawn.tolist() == [[[[0, 2], [4, 6]], [[1, 3], [5, 7]]]]


def test_codes_are_drawn_from_the_posterior(network):
    torch.manual_seed(0)
    many = images(1).expand(500, -1, -1, -1)
    means, samples = network.encode(many[:1]), network.encode(many, noise=1.0)
    assert all(torch.equal(*pair) for pair in zip(means.z, means.mean, strict=True))
    half = network.encode(many, noise=0.5)
    for code, noise in ((samples, 1.0), (half, 0.5)):
        spread = code.z[0].std(dim=0) / code.logstd[0][0].exp()
        assert spread.mean().item() == pytest.approx(noise, abs=0.02)
    # The finer code depends on what the coarser one came out as.
    assert not samples.mean[1][0].equal(samples.mean[1][1])
    for logstd in means.logstd:
        assert logstd.min() > 0 and logstd.max() < 1


def test_transfer_draws_the_means(network):
    appearance, posture = images(4).chunk(2)
    assert network(appearance, posture).equal(network.decode(network.encode(appearance).mean, posture))


def test_every_input_decides_the_image(network):
    appearance, posture, other = images(6).chunk(3)
    code = network.encode(appearance)
    image = network.decode(code.z, posture)
    assert image.shape == (2, 3, 24, 16)
    changed = [network.decode(code.z, other)]
    changed += [
        network.decode((code.z[0] + 1, code.z[1]), posture),
        network.decode((code.z[0], code.z[1] + 1), posture),
    ]
    changed += [network(other, posture)]
    assert min((x - image).abs().mean().item() for x in changed) > 1e-4


def test_training_reaches_all_that_is_not_idle(network):
    code = network.encode(images(), noise=1.0)
    (network.decode(code.z, images()).square().sum() + sum(x.sum() for x in code.logstd)).backward()
    after_the_last_code = ("blocks.3.", "ups.1.", "last_block.")
    assert all((x.grad is None) == name.startswith(after_the_last_code) for name, x in network.shape.named_parameters())
    rest = [network.appearance, network.posture, network.decoder]
    assert all(x.grad is not None and x.grad.any() for module in rest for x in module.parameters())


def test_frames_need_not_be_square(network):
    assert network.latent_sizes((96, 64)) == ((12, 8), (24, 16))
    code: ShapeCode = network.encode(images(1, (96, 64)))
    assert [tuple(z.shape) for z in code.z] == [(1, 8, 12, 8), (1, 8, 24, 16)]


def test_regressor_gives_a_place_of_each_joint():
    regressor = PostureRegressor(((3, 2), (6, 4)), channels=8)
    z = [torch.randn(5, 8, 3, 2), torch.randn(5, 8, 6, 4)]
    places = regressor(z)
    assert places.shape == (5, 18, 2)
    assert all(not places.equal(regressor([z[0] + one, z[1] + other])) for one, other in ((1, 0), (0, 1)))


@pytest.mark.parametrize(("size", "message"), [((100, 64), "multiples of 8 and at least 8, got 100×64")])
def test_sizes_are_checked(size, message, network):
    for call in (network.check_size, lambda size: network.encode(images(1, size))):
        with pytest.raises(ValueError, match=message):
            call(size)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"appearance_scales": 2}, "expected from 3 scales to the 4 of the posture, got 2 of the appearance"),
        ({"appearance_scales": 5}, "expected from 3 scales to the 4 of the posture, got 5"),
        ({"appearance_scales": 3}, r"\[8, 8, 8\] and \[4, 8, 8\] channels, which must be equal"),
    ],
)
def test_paths_must_fit_together(changes, message):
    with pytest.raises(ValueError, match=message):
        ShapePostureNetwork(**SMALL | changes)
