"""Deformable GAN's networks: published sizes, and parts that land where OpenCV puts them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from posegen.features.parts import part_shapes
from posegen.features.warp import estimate_affines
from posegen.networks.deformable_gan import (
    DeformableGenerator,
    JointNorm,
    PairDiscriminator,
    heat_maps,
    warp_features,
)
from tests.support.reference import closed_form, count_parameters, load_json

SIZE = (256, 128)


@pytest.fixture(scope="module")
def poses(fixtures) -> tuple[np.ndarray, np.ndarray]:
    """Two standing people, (18, 3) each."""
    pose_gan = load_json(fixtures, "losses_metrics_geometry")["pose_gan"]
    yx = np.array([pose_gan["source"], pose_gan["target"]], np.float64)
    one, two = np.concatenate([yx[..., ::-1], np.ones((2, 18, 1))], axis=-1)
    return one, two


def geometry(source: np.ndarray, target: np.ndarray) -> tuple[Tensor, Tensor]:
    """Affines (1, 10, 2, 3) and masks (1, 10, H, W) of two poses."""
    masks = part_shapes(target, SIZE, torso="full")
    return torch.from_numpy(estimate_affines(source, target).matrices)[None], torch.from_numpy(masks)[None]


def make_inputs(size: tuple[int, int], count: int = 2) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    image, pose, target_pose = (torch.rand(count, d, *size, generator=generator) for d in (3, 18, 18))
    affines = torch.eye(2, 3).repeat(count, 10, 1, 1)
    masks = torch.rand(count, 10, *size, generator=generator) > 0.5
    return [image * 2 - 1, pose, target_pose, affines, masks]


@pytest.mark.parametrize(("entry", "num_levels"), [("G[256,heatmap18]", 7), ("G[128,heatmap18]", 6)])
def test_generator_has_the_published_number_of_parameters(entry, num_levels, fixtures):
    with torch.device("meta"):
        network = DeformableGenerator(num_levels=num_levels)
    expected = load_json(fixtures, "param_counts")[f"deformable_gan.{entry} (PyTorch port)"]
    assert count_parameters(network) == expected


def test_discriminator_has_the_published_number_of_parameters(fixtures):
    with torch.device("meta"):
        network = PairDiscriminator()
    assert count_parameters(network) == load_json(fixtures, "param_counts")["deformable_gan.D[in=42] (PyTorch port)"]


def test_heat_maps_are_gaussians_on_visible_joints():
    keypoints = torch.zeros(1, 18, 3)
    keypoints[0, 4] = torch.tensor([40.0, 100.0, 0.3])
    maps = heat_maps(keypoints, (256, 192))
    assert maps.shape == (1, 18, 256, 192)
    assert maps[0, 4, 100, 40] == 1
    assert maps[0, 4, 100, 46].item() == pytest.approx(np.exp(-0.5))
    assert maps[0, 4, 106, 46].item() == pytest.approx(np.exp(-1))
    assert not maps[0, [joint for joint in range(18) if joint != 4]].any()


def test_heat_maps_grow_with_the_image():
    keypoints = torch.tensor([20.0, 20, 1]).expand(1, 18, 3)
    small, large = heat_maps(keypoints, (64, 64)), heat_maps(2 * keypoints, (128, 128))
    torch.testing.assert_close(large[..., ::2, ::2], small)


def test_warp_equals_opencv(poses):
    affines, masks = geometry(*poses)
    image = np.random.default_rng(0).random((*SIZE, 3), np.float32)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    parts = [
        cv2.warpAffine(image, matrix, SIZE[::-1], flags=flags) * mask[..., None]
        for matrix, mask in zip(affines[0].numpy(), masks[0].numpy(), strict=True)
    ]
    warped = warp_features(torch.from_numpy(image).permute(2, 0, 1)[None], affines, masks)
    np.testing.assert_allclose(warped[0].permute(1, 2, 0).numpy(), np.max(parts, axis=0), atol=1e-3)


@pytest.mark.parametrize("scale", [1, 4])
def test_identity_pose_is_an_identity_warp_inside_the_masks(scale, poses):
    affines, masks = geometry(poses[0], poses[0])
    masks[:, 0] = False  # the torso's covers all
    features = closed_form((1, 5, SIZE[0] // scale, SIZE[1] // scale), t=1).float()
    inside = masks[..., ::scale, ::scale].any(dim=1, keepdim=True)
    assert 0.1 < inside.float().mean() < 0.5
    expected = features.clamp(min=0) * inside  # no pixel is in all parts: the zeros of others floor negative features
    torch.testing.assert_close(warp_features(features, affines, masks), expected, rtol=0, atol=1e-4)


def test_coarse_features_move_by_a_share_of_the_translation():
    """8 pixels to the right and 4 up in the source are 2 and 1 features at a quarter of its size."""
    affines = torch.eye(2, 3).repeat(1, 10, 1, 1)
    affines[..., 2] = torch.tensor([8.0, -4.0])
    features = torch.rand(1, 2, 16, 12)
    warped = warp_features(features, affines, torch.ones(1, 10, 64, 48, dtype=torch.bool))
    torch.testing.assert_close(warped[..., 1:, :-2], features[..., :-1, 2:], rtol=0, atol=1e-4)
    assert max(warped[..., :1, :].abs().max(), warped[..., -2:].abs().max()) < 1e-4


def test_warp_is_exact_on_images_that_are_not_square():
    """(x, y) samples (y, x): transposing needs the ratio of height and width in both directions."""
    affines = torch.tensor([[0.0, 1, 0], [1, 0, 0]]).repeat(1, 10, 1, 1)
    features = torch.rand(1, 1, 8, 24)
    warped = warp_features(features, affines, torch.ones(1, 10, 8, 24, dtype=torch.bool))
    torch.testing.assert_close(warped[..., :, :8], features[..., :, :8].transpose(-1, -2), rtol=0, atol=1e-5)
    assert warped[..., 8:].abs().max() < 1e-4


def test_joint_norm_spans_channels_and_pixels():
    x = closed_form((2, 3, 4, 5), t=1, scale=3.0, offset=1.0)
    flat = x.flatten(1)
    std = flat.std(dim=1, correction=0, keepdim=True) + 1e-3
    norm = JointNorm().double()
    torch.testing.assert_close(norm(x).flatten(1), (flat - flat.mean(dim=1, keepdim=True)) / std)
    with torch.no_grad():
        norm.gamma.fill_(2.0)
        norm.beta.fill_(0.5)
    torch.testing.assert_close(norm(x).mean(), torch.tensor(0.5, dtype=torch.float64))


@pytest.mark.parametrize(("num_levels", "size"), [(5, (96, 64)), (6, (96, 64)), (7, (128, 64))])
def test_generator_draws_images_of_the_size_of_the_source(num_levels, size):
    torch.manual_seed(0)
    image = DeformableGenerator(width=2, num_levels=num_levels)(*make_inputs(size))
    assert image.shape == (2, 3, *size)
    assert image.abs().max() <= 1


def test_every_input_decides_the_image():
    torch.manual_seed(0)
    generator, inputs = DeformableGenerator(width=4, num_levels=5).eval(), make_inputs((32, 32))
    image = generator(*inputs)
    for position, other in enumerate(make_inputs((32, 32), count=4)):
        changed = [*inputs]
        changed[position] = other[2:] * (0.5 if position == 3 else 1)
        assert (generator(*changed) - image).abs().mean() > 1e-4, position


def test_three_innermost_levels_drop_activations():
    generator = DeformableGenerator(width=2, num_levels=7)
    assert [up[-1].p for up in generator.ups] == [0.5, 0.5, 0.5, 0, 0, 0]
    inputs = make_inputs((64, 64))
    assert not generator(*inputs).equal(generator(*inputs))
    generator.eval()
    assert generator(*inputs).equal(generator(*inputs))


@pytest.mark.parametrize("size", [(96, 80), (100, 64)])
def test_generator_refuses_sizes(size):
    with pytest.raises(ValueError, match=f"multiples of 32 and at least 32, got {size[0]}×{size[1]}"):
        DeformableGenerator(width=2, num_levels=6)(*make_inputs(size))


def test_generator_needs_a_level_that_is_not_warped():
    with pytest.raises(ValueError, match="num_levels must be more than 4, got 4"):
        DeformableGenerator(num_levels=4)


@pytest.mark.parametrize(("size", "patches"), [((34, 34), 1), ((96, 64), 2), ((256, 256), 49)])
def test_discriminator_gives_a_probability_per_patch(size, patches):
    torch.manual_seed(0)
    image, pose, target_pose, *_ = make_inputs(size)
    discriminator = PairDiscriminator(width=2)
    discriminator.check_size(size)
    score = discriminator(image, pose, image, target_pose)
    assert score.shape == (2, patches)
    assert score.min() > 0 and score.max() < 1


def test_first_convolution_of_the_discriminator_has_no_padding():
    discriminator = PairDiscriminator(width=2)
    first = discriminator.layers[0]
    x = torch.rand(1, 42, 64, 64)
    assert first(x).shape == (1, 2, 31, 31)
    torch.testing.assert_close(first(x), F.conv2d(x, first.weight, first.bias, stride=2))


def test_discriminator_refuses_images_without_a_patch():
    with pytest.raises(ValueError, match="at least 34, got 33×64"):
        PairDiscriminator(width=2).check_size((33, 64))
