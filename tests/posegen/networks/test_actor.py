"""ACTOR's networks against the numbers of the published code."""

from __future__ import annotations

from collections import Counter
from contextlib import nullcontext

import pytest
import torch
from torch import Tensor, nn

from posegen.networks.actor import ActorDecoder, ActorEncoder, ActorSize, frame_mask, sinusoidal_positions
from tests.support.reference import assert_statistics, count_parameters, fill_sines, load_json, sine

SMALL = ActorSize(latent_dim=32, feedforward_dim=64, num_layers=2)
TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-4}
WITH_AND_WITHOUT_GRADIENTS = [nullcontext, torch.no_grad]
"""Without them PyTorch's attention takes other paths, with its own kernels."""


@pytest.fixture
def published(fixtures) -> dict:
    """What the published code gave for a small network."""
    return load_json(fixtures / "motion", "actor_networks")["actor_small_latent32_ff64_2layers_4heads_3classes"]


@pytest.fixture
def encoder() -> ActorEncoder:
    """A small encoder with the weights of the parity numbers."""
    return fill_sines(ActorEncoder(3, SMALL)).eval()


@pytest.fixture
def decoder() -> ActorDecoder:
    """A small decoder with the weights of the parity numbers."""
    return fill_sines(ActorDecoder(3, SMALL)).eval()


@pytest.fixture
def mask() -> Tensor:
    """Eight frames and five."""
    return frame_mask(torch.tensor([8, 5]), 8)


@pytest.fixture
def motion(mask) -> Tensor:
    """Two motions with zeros behind the mask; the closed form counts frames fastest."""
    return sine((2, 25, 6, 8), 0.011, 0.2, scale=0.5).permute(0, 3, 1, 2) * mask[..., None, None]


ACTION = torch.tensor([0, 2])


@pytest.mark.parametrize(("name", "num_actions"), [("humanact12", 12), ("ntu13", 13), ("uestc", 40), ("finegym2", 2)])
def test_networks_have_the_published_number_of_parameters(name, num_actions, fixtures):
    expected = load_json(fixtures / "motion", "actor_networks")["param_counts"][f"actor_{name}"]
    with torch.device("meta"):
        encoder, decoder = (count_parameters(network(num_actions)) for network in (ActorEncoder, ActorDecoder))
    assert {"encoder": encoder, "decoder": decoder, "total": encoder + decoder} == expected


def test_four_layers_have_the_published_number_of_parameters(fixtures):
    expected = load_json(fixtures / "motion", "actor_networks")["param_counts"]["actor_humanact12_4layers_total"]
    with torch.device("meta"):
        networks = [network(12, ActorSize(num_layers=4)) for network in (ActorEncoder, ActorDecoder)]
    assert sum(map(count_parameters, networks)) == expected


@pytest.mark.parametrize("gradients", WITH_AND_WITHOUT_GRADIENTS)
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_networks_give_what_the_published_code_gives(dtype, gradients, encoder, decoder, motion, mask, published):
    with gradients():
        mean, logvar = encoder.to(dtype)(motion.to(dtype), ACTION, mask)
        drawn = decoder.to(dtype)(mean, ACTION, mask)
    assert [count_parameters(encoder), count_parameters(decoder)] == published["params"]
    expected = torch.tensor(published["mu"], dtype=dtype)
    torch.testing.assert_close(mean, expected, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])
    assert_statistics(logvar, published["logvar"], TOLERANCE[dtype])
    assert_statistics(drawn.permute(0, 2, 3, 1), published["decoder_output_z=mu"], TOLERANCE[dtype])


def test_positions_are_the_published_ones(fixtures):
    rows = load_json(fixtures / "motion", "actor_networks")["positional_encoding_rows"]
    positions = sinusoidal_positions(torch.zeros(1, 60, 256))
    for row in (0, 1, 59):
        torch.testing.assert_close(positions[row, :4], torch.tensor(rows[f"pe[{row},:4]"]), rtol=0, atol=1e-6)
    torch.testing.assert_close(positions[59, -2:], torch.tensor(rows["pe[59,-2:]"]), rtol=0, atol=1e-6)


@pytest.mark.parametrize("gradients", WITH_AND_WITHOUT_GRADIENTS)
def test_code_does_not_depend_on_what_is_behind_the_mask(gradients, encoder, motion, mask):
    with gradients():
        codes = encoder(motion, ACTION, mask)
        changed = encoder(motion + 100.0 * ~mask[..., None, None], ACTION, mask)
        cut = encoder(motion[1:, :5], ACTION[1:], mask[1:, :5])
    assert torch.equal(torch.stack(changed), torch.stack(codes))
    torch.testing.assert_close(torch.stack(cut)[:, 0], torch.stack(codes)[:, 1])


@pytest.mark.parametrize("gradients", WITH_AND_WITHOUT_GRADIENTS)
def test_frames_behind_the_mask_are_zero_and_change_no_other(gradients, decoder, mask):
    z = sine((2, 32), 0.3, 0.1)
    with gradients():
        drawn = decoder(z, ACTION, mask)
        cut = decoder(z[1:], ACTION[1:], mask[1:, :5])
    assert not drawn[1, 5:].any()
    assert drawn[1, :5].all() and drawn[0].all()
    torch.testing.assert_close(drawn[1:, :5], cut)


@pytest.mark.parametrize("num_frames", [1, 7, 60, 200])
def test_any_length_is_drawn_in_one_pass(num_frames, decoder):
    drawn = decoder(torch.zeros(2, 32).double(), ACTION, torch.ones(2, num_frames, dtype=torch.bool))
    assert drawn.shape == (2, num_frames, 25, 6)
    assert drawn.isfinite().all()


def test_weights_of_actions_lie_between_them(decoder, mask):
    z = sine((2, 32), 0.3, 0.1)
    certain = nn.functional.one_hot(ACTION, 3).double()
    torch.testing.assert_close(decoder(z, certain, mask), decoder(z, ACTION, mask))
    # The bias is added to the code, so half of either action is the code moved by half of their difference.
    other = torch.tensor([1, 1])
    halves = (certain + nn.functional.one_hot(other, 3)) / 2
    moved = z + (decoder.action_biases[other] - decoder.action_biases[ACTION]) / 2
    torch.testing.assert_close(decoder(z, halves, mask), decoder(moved, ACTION, mask))


def test_encoder_measures_with_the_activation_that_it_trained_with(encoder, motion, mask, monkeypatch):
    """PyTorch's kernel for whole layers, which has another on CUDA, is not taken."""
    monkeypatch.delattr(torch, "_transformer_encoder_layer_fwd")
    with torch.no_grad():
        encoder(motion, ACTION, mask)


def test_every_layer_starts_with_its_own_weights():
    torch.manual_seed(0)
    for network in (ActorEncoder(3, SMALL), ActorDecoder(3, SMALL)):
        first, second = (layer.linear1.weight for layer in network.layers)
        assert not torch.equal(first, second)


def test_training_drops_activations_and_teaches_all_that_the_paper_uses(encoder, decoder, motion, mask):
    torch.manual_seed(0)
    mean, logvar = encoder.train()(motion, ACTION, mask)
    assert not torch.equal(mean, encoder(motion, ACTION, mask)[0])
    (decoder.train()(mean, ACTION, mask).square().sum() + logvar.sum()).backward()
    idle = [name for name, weight in encoder.named_parameters() if not weight.grad.any()]
    assert not idle
    used = Counter(name.rpartition(".")[2] for name, weight in decoder.named_parameters() if weight.grad.any())
    assert used["action_biases"] == 1
