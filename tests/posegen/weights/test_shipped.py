"""Weights that come with the package: whole, of the network that takes them, and small."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from posegen.errors import WeightsError
from posegen.inference.requested_motions import SHIPPED_RUN, load_generator
from posegen.metrics.motion import amplitude
from posegen.networks.person_parser import PersonParserNetwork
from posegen.skeletons import SMPL_24
from posegen.weights import shipped
from posegen.weights.shipped import SHIPPED, load_shipped, pack_shipped, shipped_file, shipped_sha256

MOST_BYTES = 4_000_000


def test_the_person_parser_is_shipped():
    PersonParserNetwork().load_state_dict(load_shipped("person_parser"))
    assert shipped_file("person_parser").stat().st_size <= MOST_BYTES
    assert shipped_sha256("person_parser") == SHIPPED["person_parser"]


def test_the_motion_model_is_shipped():
    """It generates what its actions are called, others with each seed: the weights are those of the code's names."""
    assert shipped_file("motion").stat().st_size <= 10_000_000
    stage = load_generator(SHIPPED_RUN)
    names = ["walk", "wave_both_hands", "sit", "idle"]
    walk, wave, sit, idle = stage.generate(names, [50] * 4, seed=1)
    head, wrists = SMPL_24.index("head"), [SMPL_24.index(f"{side}_wrist") for side in ("left", "right")]
    assert walk.trans[-1, 2] > 1.5 > abs(idle.trans[-1, 2])
    assert (wave.joints[:, wrists, 1].max(axis=0) > wave.joints[:, head, 1].mean()).all()
    assert np.ptp(sit.trans[:, 1]) > 0.2 > np.ptp(idle.trans[:, 1])
    [other] = stage.generate(["walk"], [50], seed=2)
    assert np.abs(other.joints - walk.joints).max() > 0.05


def test_longer_motions_of_the_motion_model_go_on_as_they_began():
    """Windows that had to repeat frames exactly leaped metres away from them."""
    stage = load_generator(SHIPPED_RUN)
    for motion in stage.generate(["walk", "wave", "sit", "kick"], [110] * 4, seed=0):
        steps = np.linalg.norm(np.diff(motion.joints, axis=0), axis=-1).max(axis=1)
        assert steps[50:].max() < 0.7  # metres a frame, of hands and feet in a kick
        assert np.ptp(motion.joints[50:, SMPL_24.index("head"), 1]) < 0.5


def test_an_action_that_comes_again_is_as_large_as_before():
    """Codes that were moved as far as if nothing were known of them threw half as far the second time."""
    stage = load_generator(SHIPPED_RUN)
    names = ["throw", "bow"]
    first, again = [], []
    for motion in stage.generate(names * 8, [100] * 16, seed=0):
        first.append(amplitude(motion.joints[:45]))
        again.append(amplitude(motion.joints[50:95]))
    for row in range(2):
        assert 0.85 < np.mean(again[row::2]) / np.mean(first[row::2]) < 1.15


def test_unknown_weights_are_named():
    with pytest.raises(WeightsError, match="no weights of 'nothing' come with posegen, expected one of motion, "):
        load_shipped("nothing")


def test_half_precision_is_read_as_single(tmp_path, monkeypatch):
    tensors = {"weight": torch.rand(3, 3), "count": torch.tensor(3)}
    monkeypatch.setattr(shipped, "PRETRAINED", tmp_path)
    monkeypatch.setitem(SHIPPED, "some", pack_shipped(tensors, tmp_path / "some.safetensors"))
    found = load_shipped("some")
    torch.testing.assert_close(found["weight"], tensors["weight"], rtol=1e-3, atol=1e-4)
    assert found["weight"].dtype == torch.float32 and found["count"] == 3


def test_changed_and_missing_files_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(shipped, "PRETRAINED", tmp_path)
    monkeypatch.setitem(SHIPPED, "some", "0" * 64)
    with pytest.raises(WeightsError, match=r"some\.safetensors cannot be read .*: install posegen again"):
        load_shipped("some")
    pack_shipped({"weight": torch.zeros(1)}, tmp_path / "some.safetensors")
    with pytest.raises(WeightsError, match=r"has sha256 [0-9a-f]{12}…, expected 000000000000…: install posegen again"):
        load_shipped("some")
