"""Recognisers against the numbers of the published code, and on real motions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from posegen.errors import WeightsError
from posegen.networks.recognition import STGCN, GRURecognizer, spatial_partition
from posegen.weights import download as weights
from posegen.weights.registry import is_cached
from tests.support.reference import assert_statistics, count_parameters, fill_sines, load_json, sine

NUM_FRAMES = 60


@pytest.fixture
def published(fixtures) -> dict:
    """What the published code gave, and facts about its networks."""
    return load_json(fixtures / "motion", "actor_networks")


@pytest.fixture
def recognizer() -> GRURecognizer:
    """A recogniser with the weights of the parity numbers."""
    return fill_sines(GRURecognizer(12)).eval()


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """An empty cache of weights."""
    monkeypatch.setenv("POSEGEN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.parametrize(("name", "num_actions", "num_joints"), [("humanact12", 12, 24), ("ntu13", 13, 18)])
def test_gru_has_the_published_number_of_parameters(name, num_actions, num_joints, published):
    expected = published["param_counts"][f"gru_classifier_{name}"]
    assert count_parameters(GRURecognizer(num_actions, num_joints)) == expected


def test_gru_has_the_published_layers(recognizer, published):
    layers = [[name, list(tensor.shape)] for name, tensor in recognizer.state_dict().items()]
    assert layers == published["gru_classifier"]["parameter_order"]


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-6), (torch.float32, 1e-4)])
def test_gru_gives_what_the_published_code_gives(dtype, tolerance, recognizer, published):
    joints = sine((3, 24, 3, NUM_FRAMES), 0.009, 0.7, scale=0.8).permute(0, 3, 1, 2)
    logits, features = recognizer.to(dtype)(joints.to(dtype), torch.full((3,), NUM_FRAMES))
    assert_statistics(features, published["gru_classifier"]["features30"], tolerance)
    assert_statistics(logits, published["gru_classifier"]["logits12"], tolerance)


def test_frames_after_the_last_one_count_nothing(recognizer):
    joints = sine((2, 9, 24, 3), 0.009, 0.7)
    lengths = torch.tensor([9, 4])
    given = recognizer(joints, lengths)
    joints[1, 4:] = 100.0
    torch.testing.assert_close(recognizer(joints, lengths), given)
    torch.testing.assert_close(recognizer(joints[1:, :4], lengths[1:]).features, given.features[1:])


def test_random_states_are_a_function_of_their_generator_and_change_the_features(recognizer):
    first, again, other = (recognizer.random_state(2, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1))
    assert first.shape == (2, 2, 128)
    assert torch.equal(first, again) and not torch.equal(first, other)
    joints, lengths = sine((2, 9, 24, 3), 0.009, 0.7), torch.tensor([9, 9])
    features = [recognizer(joints, lengths, state).features for state in (None, torch.zeros_like(first), first)]
    torch.testing.assert_close(features[0], features[1])
    assert not torch.allclose(features[0], features[2], atol=0.01)


@pytest.mark.parametrize("packed", [True, False])
def test_recognizer_comes_from_a_file_of_the_users(packed, recognizer, cache, tmp_path):
    state = recognizer.float().state_dict()
    torch.save({"model": state, "opt": {}, "iterations": 3} if packed else state, tmp_path / "humanact12_gru.tar")
    weights.provide("gru-humanact12", tmp_path / "humanact12_gru.tar")
    loaded = GRURecognizer.pretrained()
    assert not loaded.training
    joints, lengths = sine((2, 9, 24, 3), 0.009, 0.7).float(), torch.tensor([9, 4])
    assert torch.equal(loaded(joints, lengths).logits, recognizer(joints, lengths).logits)


def test_number_of_joints_is_that_of_the_weights():
    network = GRURecognizer.from_state_dict(GRURecognizer(13, 18).state_dict())
    assert network(torch.rand(1, 5, 18, 3), torch.tensor([5])).logits.shape == (1, 13)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (GRURecognizer(34).state_dict(), "it distinguishes 34 actions, expected 12"),
        ({"conv.weight": torch.zeros(1)}, "it lacks linear2.bias"),
    ],
)
def test_files_of_other_networks_are_refused_in_one_line(state, message, cache, tmp_path):
    torch.save(state, tmp_path / "other.tar")
    with pytest.raises(WeightsError, match=f"^cannot read .*other.tar as weights 'gru-humanact12': {message}"):
        weights.provide("gru-humanact12", tmp_path / "other.tar")
    assert not is_cached("gru-humanact12")


def test_weights_that_do_not_fit_name_their_file(cache, tmp_path):
    torch.save({"linear2.bias": torch.zeros(12)}, tmp_path / "half.tar")
    weights.provide("gru-humanact12", tmp_path / "half.tar")
    with pytest.raises(WeightsError, match=r"gru-humanact12.safetensors is damaged or not of this network"):
        GRURecognizer.pretrained()


def beginnings(joints: np.ndarray, lengths: np.ndarray) -> Tensor:
    """The first frames of each clip minus its first root, (N, 60, 24, 3); the last frame stands where it ended."""
    frames = np.minimum(np.arange(NUM_FRAMES), lengths[:, None] - 1)  # (N, T)
    first = np.cumsum(lengths) - lengths
    clips = joints[first[:, None] + frames]
    return torch.from_numpy(clips - clips[:, :1, :1])


def test_published_weights_recognize_real_motions(shared, cache, capsys):
    weights.provide("gru-humanact12", shared / "data" / "motion" / "a2m_gru_classifier_humanact12.pth")
    recognizer = GRURecognizer.pretrained()
    motions = np.load(shared / "data" / "motion" / "humanact12_joints24.npz")
    clips = beginnings(motions["joints"], motions["lengths"])
    lengths, labels = torch.full((len(clips),), NUM_FRAMES), torch.from_numpy(motions["label"])
    noise = recognizer.random_state(len(clips), torch.Generator().manual_seed(0))
    accuracies = {}
    with torch.no_grad():
        for name, state in (("zeros", None), ("random", noise)):
            accuracies[name] = (recognizer(clips, lengths, state).logits.argmax(dim=1) == labels).double().mean().item()
    with capsys.disabled():
        print(f"\naccuracy on {len(clips)} real motions by first state: {accuracies}")
    assert accuracies["zeros"] == pytest.approx(0.9975, abs=1e-3)
    assert accuracies["random"] == pytest.approx(0.9975, abs=3e-3)


def test_stgcn_has_the_published_number_of_parameters(published):
    assert count_parameters(STGCN(40, published["parents"])) == published["param_counts"]["stgcn_uestc_rot6d_glob"]


def test_edges_of_the_smpl_skeleton_are_in_the_published_sets(published):
    sets = spatial_partition(published["parents"])
    assert [int((edges > 0).sum()) for edges in sets] == [24, 40, 6]
    torch.testing.assert_close(sets.sum(dim=(0, 1)), torch.ones(24))  # what arrives at a joint


def test_edges_of_a_chain_are_in_their_sets():
    # 0 – 1 – 2 – 3: the middle joints have three edges, the ends two.
    third, half = 1 / 3, 1 / 2
    itself = torch.tensor([half, third, third, half]).diag()
    level_or_farther = torch.zeros(4, 4)
    level_or_farther[1, 0] = half  # to the root, from a joint that is farther
    level_or_farther[2, 1] = third
    level_or_farther[3, 2], level_or_farther[2, 3] = third, half  # beyond the root's neighbours all are level
    nearer = torch.zeros(4, 4)
    nearer[0, 1], nearer[1, 2] = third, third
    torch.testing.assert_close(spatial_partition([-1, 0, 1, 2]), torch.stack([itself, level_or_farther, nearer]))


@pytest.mark.parametrize("parents", [[], [0, 0], [-1, -1], [-1, 2]])
def test_skeletons_that_are_no_tree_from_the_first_joint_are_refused(parents):
    with pytest.raises(ValueError, match=r"expected -1 and then numbers of joints"):
        spatial_partition(parents)


def test_block_of_stgcn_sums_over_edges_as_written_out(published):
    torch.manual_seed(0)
    network = STGCN(5, published["parents"]).double().eval()
    block = network.blocks[0]
    block.importance.data.uniform_(0.5, 1.5)
    block.temporal = torch.nn.Identity()
    x, adjacency = sine((2, 6, 3, 24), 0.7, 0.1), network.get_buffer("adjacency")
    sent = block.spatial(x)  # (N, 3 D, T, J)
    arrived = torch.zeros(2, 64, 3, 24, dtype=torch.float64)
    for k, v, w in (adjacency > 0).nonzero().tolist():
        arrived[..., w] += adjacency[k, v, w] * block.importance[k, v, w] * sent[:, 64 * k : 64 * (k + 1), :, v]
    torch.testing.assert_close(block(x, adjacency), arrived.relu())


def test_stgcn_halves_time_twice_and_sees_time_and_joints(published):
    torch.manual_seed(0)
    network = STGCN(5, published["parents"]).eval()
    times = []
    for block in network.blocks:
        block.register_forward_hook(lambda _, __, y: times.append(y.shape[1:3]))
    rotations = sine((2, 16, 24, 6), 0.7, 0.1).float()
    logits, features = network(rotations)
    assert logits.shape == (2, 5) and features.shape == (2, 256)
    assert [tuple(shape) for shape in times] == [(64, 16)] * 4 + [(128, 8)] * 3 + [(256, 4)] * 3
    for changed in (rotations.roll(1, dims=2), rotations[:, ::2]):
        assert not torch.allclose(network(changed).features, features)


def test_stgcn_learns_in_all_of_its_weights(published):
    torch.manual_seed(0)
    network = STGCN(5, published["parents"])
    logits, _ = network(torch.randn(4, 8, 24, 6))
    torch.nn.functional.cross_entropy(logits, torch.arange(4)).backward()
    assert all(parameter.grad.any() for parameter in network.parameters())
