"""Image metrics against the numbers of published implementations."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import av
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from posegen.errors import WeightsError
from posegen.metrics._torchvision import import_torchvision
from posegen.metrics.image import LPIPS, STLPIPS, masked, ms_ssim, psnr, ssim
from posegen.weights import download as weights
from tests.support.reference import closed_form, load_json

MEASURES = {"ssim": ssim, "ms_ssim": ms_ssim, "psnr": psnr}


def smooth(shape: tuple[int, ...], t: int) -> Tensor:
    """A closed-form picture in [0, 1] without sharp edges, float64."""
    return (F.avg_pool2d(closed_form(shape, t), 9, stride=1, padding=4) + 1) / 2


@pytest.fixture(scope="module")
def pair() -> tuple[Tensor, Tensor]:
    """The picture of the published MS-SSIM numbers, noisy and clean."""
    shape = (1, 3, 384, 256)
    real = F.avg_pool2d((closed_form(shape, 41) + 1) / 2, 9, stride=1, padding=4)
    return (real + 0.05 * closed_form(shape, 42)).clamp(0, 1), real


@pytest.fixture(scope="module")
def st_lpips(shared: Path) -> STLPIPS:
    path = shared / "weights" / "stlpips_alex_shift_tolerant.pth"
    return STLPIPS(torch.load(path, map_location="cpu", weights_only=True)).double()


@pytest.fixture(scope="module")
def trunk() -> dict[str, Tensor]:
    """An AlexNet with random weights, under torchvision's names."""
    torch.manual_seed(0)
    return import_torchvision().models.alexnet(weights=None).state_dict()


@pytest.mark.parametrize("name", ["ssim", "ms_ssim"])
def test_similarity_is_the_published_one(name, pair, fixtures):
    expected = load_json(fixtures, "losses_metrics_geometry")["ms_ssim"]
    assert MEASURES[name](*pair).tolist() == pytest.approx([expected[name]], rel=1e-9)
    assert MEASURES[name](pair[1], pair[1]).item() == pytest.approx(1.0)


def test_masked_similarity_is_the_published_one(pair, fixtures):
    mask = torch.zeros(1, 1, 384, 256, dtype=torch.float64)
    mask[:, :, 64:320, 64:192] = 1.0
    expected = load_json(fixtures, "losses_metrics_geometry")["ms_ssim"]["masked_rect_64_320_64_192"]
    assert ms_ssim(*masked(*pair, mask)).item() == pytest.approx(expected, rel=1e-9)


def test_psnr_of_a_known_error():
    real = torch.zeros(2, 3, 8, 8)
    fake = real.clone()
    fake[0] += 0.1
    fake[1, :, :4] += 0.1
    assert psnr(fake, real).tolist() == pytest.approx([20.0, 20 + 10 * math.log10(2)])
    assert psnr(real, real).tolist() == [math.inf, math.inf]


def test_every_image_gets_its_own_number():
    real = smooth((3, 3, 176, 176), 1)
    fake = real.clone()
    fake[1] = real[1].flip(-1)
    for measure in MEASURES.values():
        values = measure(fake, real)
        assert values.shape == (3,)
        assert values[1] < values[0] == values[2]


def test_empty_masks_score_as_perfect_with_a_warning():
    fake, real = torch.rand(2, 3, 176, 176), torch.rand(2, 3, 176, 176)
    mask = torch.zeros(2, 1, 176, 176)
    mask[1] = 1.0
    with pytest.warns(UserWarning, match="1 of 2 masks are empty"):
        images = masked(fake, real, mask)
    assert ssim(*images)[0].item() == pytest.approx(1.0)
    assert ms_ssim(*images)[0].item() == pytest.approx(1.0)
    assert ssim(*images)[1].item() < 0.1


@pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES)
@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.full((1, 3, 176, 176), -1.0), r"in \[0, 1\], got \[-1, -1\]"),
        (torch.full((1, 3, 176, 176), 255.0), r"in \[0, 1\], got \[255, 255\]"),
        (torch.full((1, 3, 176, 176), math.nan), r"in \[0, 1\], got \[nan, nan\]"),
        (torch.zeros(1, 1, 176, 176), r"\(N, 3, H, W\), got \(1, 1, 176, 176\)"),
        (torch.zeros(3, 176, 176), r"\(N, 3, H, W\), got \(3, 176, 176\)"),
    ],
)
def test_images_that_would_give_a_wrong_number_are_refused(measure, images, message):
    with pytest.raises(ValueError, match=message):
        measure(images, images)


def test_images_of_different_size_are_refused():
    with pytest.raises(ValueError, match=r"got \(1, 3, 16, 16\) and \(1, 3, 16, 8\)"):
        psnr(torch.zeros(1, 3, 16, 16), torch.zeros(1, 3, 16, 8))


def test_ms_ssim_names_ssim_for_small_images():
    small = torch.rand(1, 3, 160, 256)
    with pytest.raises(ValueError, match=r"at least 161 pixels .* got 160×256: use ssim"):
        ms_ssim(small, small)
    large_enough = torch.rand(1, 3, 161, 161)
    assert ms_ssim(large_enough, large_enough).item() == pytest.approx(1.0)


def test_st_lpips_is_the_published_one(st_lpips):
    """The numbers are of the wheel stlpips-pytorch 0.0.2 in float64."""
    shape = (2, 3, 64, 80)
    first, second = smooth(shape, 1), smooth(shape, 2)
    assert st_lpips(first, second).tolist() == pytest.approx([0.16937339838756807, 0.15688036444849873], rel=1e-9)
    shifted = st_lpips(first[..., 1:], first[..., :-1])
    assert shifted.tolist() == pytest.approx([0.0025462514225611096, 0.002641405218883389], rel=1e-9)
    assert st_lpips(first, first).tolist() == [0.0, 0.0]


def test_st_lpips_forgives_a_shift_of_a_real_frame(st_lpips, shared):
    with av.open(str(shared / "data" / "videos" / "single_cam01.mp4")) as container:
        frame = next(container.decode(video=0)).to_ndarray(format="rgb24")
    image = torch.from_numpy(frame).permute(2, 0, 1)[None].double() / 255
    image = F.interpolate(image, size=(384, 256), mode="area")
    shifted = st_lpips(image[..., 1:], image[..., :-1]).item()
    blurred = st_lpips(F.avg_pool2d(image, 9, stride=1, padding=4), image).item()
    assert shifted == pytest.approx(0.0035426, rel=1e-3)
    assert blurred > 50 * shifted


def test_st_lpips_reads_its_weights_from_the_cache(st_lpips, monkeypatch, tmp_path, shared):
    published = torch.load(
        shared / "weights" / "stlpips_alex_shift_tolerant.pth", map_location="cpu", weights_only=True
    )
    save_file(published, tmp_path / "cached.safetensors")
    monkeypatch.setattr(weights, "path", {"st_lpips": tmp_path / "cached.safetensors"}.__getitem__)
    cached = STLPIPS.pretrained().double()
    images = smooth((1, 3, 48, 48), 1), smooth((1, 3, 48, 48), 2)
    assert cached(*images).equal(st_lpips(*images))


def test_st_lpips_names_weights_that_are_missing():
    with pytest.raises(ValueError, match=r"weights of st_lpips lack \['lin0.model.1.weight'"):
        STLPIPS({})


def test_lpips_is_what_its_paper_defines(trunk):
    """An independent version of Zhang et al., 2018, Equation 1, on the same weights."""
    metric = LPIPS(trunk).double()
    heads = [head.model[1].weight.flatten() for head in metric.network.lins]
    shift = torch.tensor([-0.030, -0.088, -0.188]).double().view(3, 1, 1)
    scale = torch.tensor([0.458, 0.448, 0.450]).double().view(3, 1, 1)

    def activations(image: Tensor) -> list[Tensor]:
        x, found = (2 * image - 1 - shift) / scale, []
        for n, (layer, stride, padding) in enumerate(((0, 4, 2), (3, 1, 2), (6, 1, 1), (8, 1, 1), (10, 1, 1))):
            x = F.max_pool2d(x, 3, stride=2) if n in (1, 2) else x
            kernel, bias = (trunk[f"features.{layer}.{kind}"].double() for kind in ("weight", "bias"))
            x = F.relu(F.conv2d(x, kernel, bias, stride=stride, padding=padding))
            found.append(x / x.square().sum(1, keepdim=True).sqrt())
        return found

    fake, real = smooth((2, 3, 96, 80), 1), smooth((2, 3, 96, 80), 2)
    expected = torch.zeros(2, dtype=torch.float64)
    for head, a, b in zip(heads, activations(fake), activations(real), strict=True):
        expected += torch.einsum("ndhw,d->nhw", (a - b).square(), head).mean(dim=(1, 2))
    torch.testing.assert_close(metric(fake, real), expected, rtol=1e-6, atol=1e-9)
    assert metric(real, real).tolist() == [0.0, 0.0]


def test_lpips_has_the_heads_of_version_01(trunk, fixtures):
    counts = load_json(fixtures, "param_counts")
    network = LPIPS(trunk).network
    for n, head in enumerate(network.lins):
        published = counts["lpips_lin_v0.1_alex"][f"lin{n}.model.1.weight"]
        weight = head.model[1].weight.double()
        assert list(weight.shape) == published["shape"]
        assert weight.sum().item() == pytest.approx(published["sum"], abs=1e-5)
        assert weight.max().item() == pytest.approx(published["max"], abs=1e-6)
    assert sum(parameter.numel() for parameter in network.net.parameters()) == counts["alexnet_features"]


def test_lpips_names_weights_that_are_missing(trunk):
    incomplete = {name: tensor for name, tensor in trunk.items() if name != "features.8.bias"}
    with pytest.raises(ValueError, match=r"AlexNet lack \['features.8.bias'\]"):
        LPIPS(incomplete)


def test_lpips_without_its_weights_names_st_lpips(monkeypatch):
    def unreachable(name: str) -> Path:
        raise WeightsError(f"cannot fetch {name}")

    monkeypatch.setattr(weights, "path", unreachable)
    with pytest.raises(ValueError, match=r"cannot fetch lpips-alexnet.*use st_lpips"):
        LPIPS.pretrained()


def test_torchvision_imports_in_a_fresh_process():
    script = "from posegen.metrics._torchvision import import_torchvision as f; assert f() is f(); import lpips"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
