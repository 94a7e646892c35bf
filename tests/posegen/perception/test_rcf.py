"""RCF edges: the published network's numbers, its weights under all their names, and edges of a picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional as F

from posegen.errors import WeightsError
from posegen.networks.rcf import RCFNetwork, bilinear_kernel, multiscale_edges
from posegen.perception.rcf import RCF
from posegen.weights import download as weights
from tests.support.reference import assert_matches, count_parameters, fill, forward_parity, load_json


@pytest.fixture(scope="module")
def network() -> RCFNetwork:
    torch.manual_seed(0)
    return RCFNetwork().eval()


def test_size_is_the_published_one(network, fixtures):
    assert count_parameters(network) == load_json(fixtures, "param_counts")["rcf"]
    assert len(network.state_dict()) == 64


@pytest.mark.parametrize("variant", ["S", "N"])
def test_edges_are_those_of_the_published_code(variant, fixtures):
    (subtracted,), expected = forward_parity(fixtures, "rcf_full")
    network = RCFNetwork().eval()
    fill([network], variant)
    with torch.inference_mode():
        outputs = network((subtracted + network.mean).flip(1))
    for output, wanted in zip(outputs, expected[variant], strict=True):
        assert_matches(output, wanted)


@pytest.mark.parametrize("size", [(32, 48), (33, 47), (16, 16)])
def test_all_six_maps_have_the_size_of_the_image(network, size):
    with torch.inference_mode():
        outputs = network(torch.rand(2, 3, *size) * 255)
    assert [tuple(output.shape) for output in outputs] == [(2, 1, *size)] * 6
    assert all(output.min() >= 0 and output.max() <= 1 for output in outputs)


def test_small_images_are_refused(network):
    with pytest.raises(ValueError, match="RCF needs at least 16 pixels on a side, got 12×40"):
        network(torch.zeros(1, 3, 12, 40))


@pytest.mark.parametrize("stride", [2, 4, 8])
def test_kernel_enlarges_linearly(stride):
    ramp = torch.arange(6.0).view(1, 1, 1, 6).expand(1, 1, 6, 6)
    enlarged = F.conv_transpose2d(ramp, bilinear_kernel(2 * stride), stride=stride)
    inner = enlarged[0, 0, 3 * stride, 2 * stride : -2 * stride]
    torch.testing.assert_close(inner.diff(), torch.full((len(inner) - 1,), 1 / stride))


def test_scales_are_averaged(network):
    image = torch.rand(1, 3, 48, 64) * 255
    with torch.inference_mode():
        expected = [
            F.interpolate(network(F.interpolate(image, size, mode="bilinear"))[-1], (48, 64), mode="bilinear")
            for size in ((24, 32), (48, 64), (72, 96))
        ]
        torch.testing.assert_close(multiscale_edges(network, image), sum(expected) / 3)


def published(network: RCFNetwork, separator: str, fuse: str) -> dict[str, torch.Tensor]:
    """The network's weights under the names that conversions give them."""
    return {published_name(*name.split("."), separator, fuse): t for name, t in network.state_dict().items()}


def published_name(layer: str, *place: str) -> str:
    *numbers, kind, separator, fuse = place
    if layer == "fuse":
        return f"{fuse}.{kind}"
    level = int(numbers[0]) + 1
    if layer == "scores":
        return f"score{separator}dsn{level}.{kind}"
    return f"conv{level}_{int(numbers[1]) + 1}{'_down' if layer == 'downs' else ''}.{kind}"


@pytest.mark.parametrize(
    ("separator", "fuse", "pack"),
    [
        ("_", "score_fuse", lambda tensors: tensors),
        ("-", "new-score-weighting", lambda tensors: tensors),
        ("_", "score_final", lambda tensors: {"epoch": 9, "state_dict": tensors | {"weight_deconv5": torch.ones(32)}}),
        ("_", "score_fuse", lambda tensors: {f"module.{name}": tensor for name, tensor in tensors.items()}),
    ],
)
def test_weights_load_under_any_published_names(separator, fuse, pack, network, monkeypatch, tmp_path):
    monkeypatch.setenv("POSEGEN_CACHE", str(tmp_path / "cache"))
    torch.save(pack(published(network, separator, fuse)), tmp_path / "rcf.pth")
    loaded = load_file(weights.provide("rcf", tmp_path / "rcf.pth"))
    assert loaded.keys() == network.state_dict().keys()
    assert all(tensor.equal(network.state_dict()[name]) for name, tensor in loaded.items())


def test_other_weights_are_refused(network, monkeypatch, tmp_path):
    monkeypatch.setenv("POSEGEN_CACHE", str(tmp_path / "cache"))
    tensors = published(network, "_", "score_fuse")
    del tensors["score_dsn3.bias"]
    torch.save(tensors, tmp_path / "rcf.pth")
    with pytest.raises(WeightsError, match=r"lacks 1 of RCF's 64 tensors, such as scores\.2\.bias"):
        weights.provide("rcf", tmp_path / "rcf.pth")
    with pytest.raises(WeightsError, match=r"cannot be fetched: .*posegen weights provide"):
        weights.path("rcf")


def test_backend_sees_every_frame(network, make_footage, monkeypatch, tmp_path):
    monkeypatch.setenv("POSEGEN_CACHE", str(tmp_path))
    torch.save(published(network, "_", "score_fuse"), tmp_path / "rcf.pth")
    weights.provide("rcf", Path(tmp_path / "rcf.pth"))
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 48, 3), np.uint8)  # more than a batch
    edges = RCF()(make_footage(images))
    assert edges.shape == (3, 32, 48) and edges.dtype == np.uint8
    with torch.inference_mode():
        last = multiscale_edges(network, torch.from_numpy(images[2:]).permute(0, 3, 1, 2).float())[0, 0] * 255
    np.testing.assert_allclose(edges[2], last, atol=1)
