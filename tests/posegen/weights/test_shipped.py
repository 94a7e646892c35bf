"""Weights that come with the package: whole, of the network that takes them, and small."""

from __future__ import annotations

import pytest
import torch

from posegen.errors import WeightsError
from posegen.networks.person_parser import PersonParserNetwork
from posegen.weights import shipped
from posegen.weights.shipped import SHIPPED, load_shipped, pack_shipped, shipped_file, shipped_sha256

MOST_BYTES = 4_000_000


def test_the_person_parser_is_shipped():
    PersonParserNetwork().load_state_dict(load_shipped("person_parser"))
    assert shipped_file("person_parser").stat().st_size <= MOST_BYTES
    assert shipped_sha256("person_parser") == SHIPPED["person_parser"]


def test_unknown_weights_are_named():
    with pytest.raises(WeightsError, match="no weights of 'nothing' come with posegen, expected one of person_parser"):
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
