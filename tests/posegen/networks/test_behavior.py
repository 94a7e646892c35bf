"""The behaviour net against the numbers of the published code."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from posegen.losses import mean_kl_to_standard_normal
from posegen.networks.behavior import BehaviorDecoder, BehaviorEncoder, BehaviorNet, PostureDecoder
from tests.support.reference import assert_statistics, count_parameters, fill_listed, load_json, sine

TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-4}


@pytest.fixture(scope="module")
def published(fixtures) -> dict:
    """What the published code gave."""
    return load_json(fixtures / "motion", "behavior_networks")


def filled(network: nn.Module, order: list) -> nn.Module:
    """A network in float64 with the weights of the parity numbers; it holds them in the published order."""
    fill_listed((own, name, shape) for own, (name, shape) in zip(network.parameters(), order, strict=True))
    return network.double()


@pytest.fixture(scope="module")
def network(published) -> BehaviorNet:
    """The network of the parity numbers."""
    return filled(BehaviorNet(), published["behavior_net"]["parameter_order"])


@pytest.fixture(scope="module")
def postures() -> Tensor:
    """Three sequences of fifty postures."""
    return sine((3, 50, 51), 0.013, 0.2)


@pytest.fixture
def little() -> BehaviorNet:
    """A network of 17 joints with a code of eight numbers."""
    torch.manual_seed(0)
    return BehaviorNet(latent_dim=8).double()


def test_networks_have_the_published_number_of_parameters(published):
    expected = published["param_counts"]
    with torch.device("meta"):
        net, auxiliary = BehaviorNet(), PostureDecoder()
    assert count_parameters(net) == expected["behavior_net_total"] == 10_980_403
    assert count_parameters(net.encoder) == expected["behavior_net.b_enc"]
    assert count_parameters(net.encoder.rnn) == expected["behavior_net.b_enc.rnn"]
    assert count_parameters(net.encoder.mean) == expected["behavior_net.b_enc.mu_fn"]
    assert count_parameters(net.encoder.logstd) == expected["behavior_net.b_enc.mu_fn"]
    assert count_parameters(net.decoder) == expected["behavior_net.decoder"]
    assert count_parameters(auxiliary) == expected["regressor_fly_1024_51"] == 1_731_891


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_networks_give_what_the_published_code_gives(dtype, network, postures, published):
    expected, tolerance = published["behavior_net"], TOLERANCE[dtype]
    network, x = network.to(dtype), postures.to(dtype)
    with torch.no_grad():
        _, (last, _) = network.encoder.rnn(x)
        mean, logstd = network.encoder(x)
        drawn = network.decoder(mean, x[:, 0], 50)
        future = network.decoder(mean, x[:, -1], 50)
    assert_statistics(last[0], expected["pre"], tolerance)
    assert_statistics(mean, expected["mu"], tolerance)
    assert_statistics(logstd, expected["logstd"], tolerance)
    assert_statistics(drawn, expected["generate_mu_from_x_start0_len50"], tolerance)
    assert_statistics(future, expected["generate_mu_from_last_frame_of_x"], tolerance)
    assert mean_kl_to_standard_normal(mean, 2 * logstd).item() == pytest.approx(expected["kl_value"], rel=tolerance)
    error = (drawn[:, :-1] - x[:, 1:]).square().mean().item()
    assert error == pytest.approx(expected["mse_self_vs_shifted_target(first49 frames vs x[:,1:])"], rel=tolerance)


def test_posture_decoder_gives_what_the_published_code_gives(network, postures, published):
    expected = published["aux_decoder(regressor_fly)"]
    decoder = filled(PostureDecoder(), expected["parameter_order"])
    with torch.no_grad():
        mean, _ = network.double().encoder(postures)
        seen = decoder(mean, torch.tensor([7]))[:, 0]
    assert_statistics(seen, expected["out"], 1e-6)
    assert (seen - postures[:, 7]).square().mean().item() == pytest.approx(expected["mse_to_x[:,7]"], rel=1e-6)


def test_first_frame_leaves_the_start_by_what_the_head_says(little):
    code, start = torch.randn(3, 8).double(), torch.randn(3, 51).double()
    hidden, _ = little.decoder.rnn(start, (code, code))
    expected = start + hidden @ little.decoder.head.weight.T + little.decoder.head.bias
    torch.testing.assert_close(little.decoder(code, start, 1)[:, 0], expected)


@pytest.mark.parametrize("num_frames", [1, 7, 60, 200])
def test_any_length_is_read_and_drawn(num_frames, little):
    x = sine((2, num_frames, 51), 0.013, 0.2)
    drawn = little.decoder(little.encoder(x)[0], x[:, 0], num_frames)
    assert drawn.shape == x.shape and drawn.isfinite().all()
    if num_frames > 7:  # what comes later changes nothing before
        torch.testing.assert_close(little.decoder(little.encoder(x)[0], x[:, 0], 7), drawn[:, :7])


def test_metres_are_scaled_before_the_networks_and_back_after_them(little):
    joints = torch.randn(2, 5, 17, 3).double()
    plain = little.decode(little.encode(joints)[0], joints[:, 0], 4)
    mean, std = torch.randn(17, 3).double(), torch.rand(17, 3).double() + 0.5
    little.mean.copy_(mean)
    little.std.copy_(std)
    moved = joints * std + mean
    torch.testing.assert_close(little.denormalize(little.normalize(moved)), moved)
    torch.testing.assert_close(little.normalize(moved), joints.flatten(-2))
    torch.testing.assert_close(little.decode(little.encode(moved)[0], moved[:, 0], 4), plain * std + mean)


@pytest.mark.parametrize("num_frames", [1, 49, 50, 200])
def test_posture_decoder_tells_times_apart_in_sequences_of_any_length(num_frames):
    torch.manual_seed(0)
    decoder = PostureDecoder(51, 16, num_frames)
    seen = decoder(torch.randn(3, 16), torch.arange(num_frames))
    assert seen.shape == (3, num_frames, 51)
    assert len(torch.unique(seen[0], dim=0)) == num_frames


def test_all_weights_learn(little):
    x = torch.randn(3, 6, 51).double()
    mean, logstd = little.encoder(x)
    (little.decoder(mean + logstd.exp(), x[:, 0], 6).square().sum()).backward()
    assert all(weight.grad.any() for weight in little.parameters())


def test_encoder_and_decoder_stand_alone():
    encoder, decoder = BehaviorEncoder(6, 8), BehaviorDecoder(6, 8)
    assert decoder(encoder(torch.randn(2, 4, 6))[0], torch.randn(2, 6), 3).shape == (2, 3, 6)
