"""The colouring network against the numbers of the published code, and its weights with the mask they expect."""

from __future__ import annotations

import pytest
import torch

from posegen.errors import WeightsError
from posegen.networks.siggraph17 import SIGGRAPH17, color_bins
from posegen.weights import download as weights
from tests.support.reference import assert_matches, count_parameters, fill, forward_parity, load_json


def small(mask_cent: float = 0.0) -> SIGGRAPH17:
    torch.manual_seed(0)
    return SIGGRAPH17(width=4, mask_cent=mask_cent).eval()


def test_size_is_the_published_one(fixtures):
    counts = load_json(fixtures, "param_counts")
    with torch.device("meta"):
        network = SIGGRAPH17()
    assert count_parameters(network) == counts["siggraph17.G[4->2,529]"]
    assert len(network.state_dict().keys() - {"mask_cent"}) == counts["siggraph17.n_state_tensors"]


@pytest.mark.parametrize("variant", ["S", "N"])
def test_colours_are_those_of_the_published_code(variant, fixtures):
    inputs, expected = forward_parity(fixtures, "siggraph17_full")
    network = SIGGRAPH17().eval()
    fill([network], variant)
    for dtype, tolerance in ((torch.float64, 1e-9), (torch.float32, 1e-5)):
        with torch.inference_mode():
            outputs = network.to(dtype)(*(given.to(dtype) for given in inputs))
        for output, wanted in zip(outputs, expected[variant], strict=True):
            assert_matches(output, wanted, tolerance)


def test_layers_have_their_published_names(fixtures):
    entry = next(e for e in load_json(fixtures, "forward_parity") if e["name"] == "siggraph17_full")
    with torch.device("meta"):
        shapes = {name: list(tensor.shape) for name, tensor in SIGGRAPH17().state_dict().items()}
    for name, shape, _ in entry["tensor_order"]:
        assert shapes[name] == shape


def test_mask_is_centred_inside():
    plain, centred = small(), small(mask_cent=0.5)
    lightness, ab, mask = torch.rand(1, 1, 16, 24), torch.rand(1, 2, 16, 24), torch.ones(1, 1, 16, 24)
    torch.testing.assert_close(centred(lightness, ab, mask)[1], plain(lightness, ab, mask - 0.5)[1])


def test_sizes_that_cannot_be_halved_are_refused():
    with pytest.raises(ValueError, match="multiples of 8"):
        small()(torch.zeros(1, 1, 20, 16), torch.zeros(1, 2, 20, 16), torch.zeros(1, 1, 20, 16))


@pytest.mark.parametrize(
    ("ab", "index"), [((-110, -110), 0), ((0, 0), 264), ((110, 110), 528), ((-110, 110), 22), ((14, -26), 12 * 23 + 8)]
)
def test_bins_are_ten_units_wide(ab, index):
    assert color_bins(torch.tensor(ab).view(1, 2, 1, 1) / 110).item() == index


def test_weights_load_without_what_old_files_have_too_much():
    network = small(mask_cent=0.5)
    state = {n: t for n, t in network.state_dict().items() if not n.endswith("num_batches_tracked")}
    loaded = SIGGRAPH17.from_state_dict(state | {"model1.4.old_buffer": torch.ones(3)})
    assert loaded.mask_cent == 0.5 and not loaded.training
    inputs = torch.rand(1, 1, 8, 8), torch.rand(1, 2, 8, 8), torch.ones(1, 1, 8, 8)
    torch.testing.assert_close(loaded(*inputs)[1], network(*inputs)[1])


@pytest.mark.parametrize("missing", ["mask_cent", "model1.0.weight"])
def test_weights_without_their_mask_are_refused(missing):
    state = small().state_dict()
    del state[missing]
    with pytest.raises(ValueError, match="expected the weights of SIGGRAPH17 together with their mask_cent"):
        SIGGRAPH17.from_state_dict(state)


def test_incomplete_weights_are_refused():
    state = small().state_dict()
    del state["model8.3.bias"]
    with pytest.raises(ValueError, match=r"lack model8\.3\.bias and 0 others"):
        SIGGRAPH17.from_state_dict(state)


def test_file_keeps_the_mask_that_its_weights_expect(monkeypatch, tmp_path):
    monkeypatch.setenv("POSEGEN_CACHE", str(tmp_path / "cache"))
    state = {name: tensor for name, tensor in small().state_dict().items() if name != "mask_cent"}
    torch.save(state, tmp_path / "pytorch.pth")
    weights.provide("siggraph17-retrained", tmp_path / "pytorch.pth")
    assert SIGGRAPH17.pretrained("siggraph17-retrained").mask_cent == 0.5
    with pytest.raises(WeightsError, match="expected df00044c"):
        weights.provide("siggraph17", tmp_path / "pytorch.pth")


def test_published_file_is_refused_under_the_other_name(monkeypatch, tmp_path):
    monkeypatch.setenv("POSEGEN_CACHE", str(tmp_path / "cache"))
    for module in ("registry", "download"):
        monkeypatch.setattr(f"posegen.weights.{module}.sha256_of", lambda file: "df00044c" + 56 * "0")
    torch.save(small().state_dict(), tmp_path / "siggraph17-df00044c.pth")
    with pytest.raises(WeightsError, match="these are the weights 'siggraph17'"):
        weights.provide("siggraph17-retrained", tmp_path / "siggraph17-df00044c.pth")
    weights.provide("siggraph17", tmp_path / "siggraph17-df00044c.pth")
    assert SIGGRAPH17.pretrained().mask_cent == 0
