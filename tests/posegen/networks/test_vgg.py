"""VGG features against the numbers of the published code, and with real weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from posegen.networks.layers import blur_pool
from posegen.networks.vgg import VGGFeatures
from posegen.weights import download as weights
from tests.support.reference import assert_matches, closed_form, count_parameters, fill, forward_parity, load_json


@pytest.fixture(scope="module")
def hed(shared: Path) -> dict[str, torch.Tensor]:
    return torch.load(shared / "weights" / "hed_vgg16_bsds500_fp16.pth", weights_only=True)


def test_vgg19_ends_at_relu5_1(fixtures):
    with torch.device("meta"):
        assert count_parameters(VGGFeatures()) == load_json(fixtures, "param_counts")["vgg19_features_to_relu5_1"]


@pytest.mark.parametrize("variant", ["S", "N"])
def test_vgg19_activates_as_the_published_code_does(variant, fixtures):
    (image,), expected = forward_parity(fixtures, "vgg19_slices_full")
    network = VGGFeatures()
    fill([network], variant)
    for dtype, tolerance in ((torch.float64, 1e-9), (torch.float32, 1e-4)):
        for output, wanted in zip(network.to(dtype)(image.to(dtype)), expected[variant], strict=True):
            assert_matches(output, wanted, tolerance)


@pytest.mark.parametrize(
    ("normalization", "expected"),
    [
        ("none", [-0.2, 0.4, 0.6]),
        ("imagenet", [(0.4 - 0.485) / 0.229, (0.7 - 0.456) / 0.224, (0.8 - 0.406) / 0.225]),
        ("caffe", [204 - 104.00699, 178.5 - 116.66877, 102 - 122.67892]),
    ],
)
def test_input_is_normalized_as_the_weights_expect(normalization, expected, monkeypatch):
    network = VGGFeatures("vgg16", normalization)
    seen = []
    network.blocks[0][0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    network(torch.tensor([-0.2, 0.4, 0.6]).view(1, 3, 1, 1).expand(1, 3, 16, 16))
    torch.testing.assert_close(seen[0][0, :, 5, 5], torch.tensor(expected), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("pooling", ["max", "blur"])
def test_there_are_five_activations_of_falling_size(pooling):
    activations = VGGFeatures("vgg16", pooling=pooling)(torch.rand(2, 3, 64, 48))
    assert [activation.shape[1] for activation in activations] == [64, 128, 256, 512, 512]
    rows = {"max": [64, 32, 16, 8, 4], "blur": [64, 33, 17, 9, 5]}[pooling]
    assert [activation.shape[2] for activation in activations] == rows


def test_blur_pool_averages_with_a_binomial_filter():
    x = closed_form((2, 3, 9, 8), t=1)
    padded = F.pad(x, (2, 2, 2, 2), mode="reflect")
    pooled = blur_pool(x)
    assert pooled.shape == (2, 3, 6, 5)
    kernel = torch.tensor([[1, 2, 1], [2, 4, 2], [1, 2, 1]], dtype=torch.float64) / 16
    for row, column in ((0, 0), (2, 3), (5, 4)):
        window = padded[:, :, 2 * row : 2 * row + 3, 2 * column : 2 * column + 3]
        torch.testing.assert_close(pooled[:, :, row, column], (window * kernel).sum((2, 3)))


def test_convolutions_are_loaded_by_the_numbers_in_their_names(hed):
    shuffled = {name: hed[name] for name in sorted(hed, reverse=True)}
    network = VGGFeatures.from_state_dict("vgg16-hed", shuffled)
    torch.testing.assert_close(network.blocks[3][1].weight, hed["blocks.3.1.weight"].float())
    torch.testing.assert_close(network.blocks[4][0].bias, hed["blocks.4.0.bias"].float())
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_weights_are_read_from_the_cache(hed, monkeypatch, tmp_path):
    save_file(hed, tmp_path / "cached.safetensors")
    monkeypatch.setattr(weights, "path", {"vgg16-hed": tmp_path / "cached.safetensors"}.__getitem__)
    image = closed_form((1, 3, 32, 32), t=1).float()
    cached, given = VGGFeatures.pretrained("vgg16-hed"), VGGFeatures.from_state_dict("vgg16-hed", hed)
    for activation, wanted in zip(cached(image), given(image), strict=True):
        assert activation.equal(wanted)


def test_hed_features_tell_a_picture_from_its_blurred_copy(hed):
    network = VGGFeatures.from_state_dict("vgg16-hed", hed)
    image = closed_form((1, 3, 64, 64), t=1).float()
    blurred = F.avg_pool2d(image, 5, stride=1, padding=2)
    same = [F.l1_loss(a, b) for a, b in zip(network(image), network(image), strict=True)]
    different = [F.l1_loss(a, b) for a, b in zip(network(image), network(blurred), strict=True)]
    assert max(same) == 0
    assert min(different) > 0


def test_wrong_weights_are_refused(hed):
    with pytest.raises(ValueError, match=r"expected 13 convolutions named features\.…weight, got 0"):
        VGGFeatures.from_state_dict("vgg19", hed)
    with pytest.raises(ValueError, match=r"blocks\.0\.0\.weight is \(3, 3, 3, 64\), expected \(64, 3, 3, 3\)"):
        channels_last = {**hed, "blocks.0.0.weight": hed["blocks.0.0.weight"].permute(2, 3, 1, 0)}
        VGGFeatures.from_state_dict("vgg16-hed", channels_last)


def test_unknown_network_is_named():
    with pytest.raises(ValueError, match=r"unknown perceptual network 'vgg11', expected one of \['vgg16-hed'"):
        VGGFeatures.pretrained("vgg11")


def test_second_activations_are_those_behind_the_second_convolutions():
    torch.manual_seed(0)
    first, second = VGGFeatures("vgg16"), VGGFeatures("vgg16", convolution=2)
    second.load_state_dict(first.state_dict(), strict=False)
    image = torch.rand(1, 3, 32, 32) * 2 - 1
    activations = second(image)
    assert [x.shape for x in activations] == [x.shape for x in first(image)]
    expected = F.relu(second.blocks[0][1](first(image)[0]))
    torch.testing.assert_close(activations[0], expected)
    torch.testing.assert_close(second.relu1_2(image), 127.5 * expected)


@pytest.mark.parametrize("name", ["vgg19", "vgg16-stlpips", "vgg16-hed"])
def test_second_activations_are_of_images_as_the_weights_were_trained_on(name):
    network = VGGFeatures.untrained(name, convolution=2)
    assert network.scale.min() > 2  # no image in [-1, 1]
    assert VGGFeatures.untrained("vgg19").scale.max() == 1


def test_rescaled_activations_do_not_depend_on_the_range_that_the_weights_expect():
    torch.manual_seed(0)
    imagenet, caffe = (VGGFeatures("vgg16", normalization, convolution=2) for normalization in ("imagenet", "caffe"))
    caffe.load_state_dict(imagenet.state_dict())
    image = torch.rand(1, 3, 32, 32) * 2 - 1
    own, other = imagenet.rescaled(image)[0], caffe.rescaled(image.flip(1))[0]
    torch.testing.assert_close(own, imagenet(image)[0])
    assert other.std().item() == pytest.approx(own.std().item(), rel=0.2)
