"""The net that samples behaviour: what its codes see, and what its motions keep whatever it has learned."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from posegen.metrics.behavior import limb_drift
from posegen.motion.to_openpose import h36m_joints
from posegen.networks.behavior_diffusion import BehaviorDiffusion, DiffusionSize, calm, emphasize
from posegen.networks.bone_directions import bone_sizes
from posegen.synthetic.motions import make_subject, perform

FRAMES = 12
SIZE = DiffusionSize(latent_dim=8, num_frames=FRAMES, num_components=6, width=16, num_blocks=1, blend_frames=6)


@pytest.fixture(scope="module")
def windows() -> Tensor:
    """(8, 13, 17, 3) metres."""
    motions = [
        h36m_joints(perform(action, make_subject(number)))[start : start + FRAMES + 1]
        for number, action in enumerate(("walk", "wave"))
        for start in (0, 7, 14, 21)
    ]
    return torch.from_numpy(np.stack(motions)).float()


@pytest.fixture(scope="module")
def network(windows) -> BehaviorDiffusion:
    torch.manual_seed(0)
    made = BehaviorDiffusion(SIZE, guidance=2.0, sampling_steps=3)
    made.fit(windows)
    for parameter in made.denoiser.parameters():  # as if it had learned something
        torch.nn.init.normal_(parameter, std=0.2)
    return made.eval()


def turned(joints: Tensor, by: Tensor) -> Tensor:
    """Joints turned by 90° about +y and moved."""
    x, y, z = joints.unbind(dim=-1)
    return torch.stack([z, y, -x], dim=-1) + by


MOVED = torch.tensor([3.0, 0.0, -2.0])


def test_codes_see_neither_place_nor_heading_nor_frames_that_are_filled_up(network, windows):
    codes, _ = network.encode(windows)
    assert codes.shape == (8, 8)
    torch.testing.assert_close(network.encode(turned(windows, MOVED))[0], codes, atol=1e-4, rtol=0)
    lengths = torch.full((8,), 9)
    changed = windows.clone()
    changed[:, 9:] = 5.0
    torch.testing.assert_close(network.encode(changed, lengths)[0], network.encode(windows, lengths)[0])
    assert not torch.allclose(network.encode(windows, lengths)[0], codes, atol=1e-3)


@pytest.mark.parametrize("num_frames", [1, FRAMES, 3 * FRAMES + 5])
def test_limbs_keep_their_length_for_any_number_of_frames(num_frames, network, windows):
    start = windows[:, 0]
    made = network.decode(network.encode(windows)[0], start, num_frames)
    assert made.shape == (8, num_frames, 17, 3) and made.isfinite().all()
    assert limb_drift(torch.cat([start[:, None], made], dim=1).numpy()) < 1e-4
    torch.testing.assert_close(bone_sizes(made[:, -1]), bone_sizes(start), atol=1e-4, rtol=0)


def test_motions_start_at_their_posture_wherever_it_stands(network, windows):
    codes, start = network.encode(windows)[0], windows[:, 0].roll(4, dims=0)
    made = network.decode(codes, start, 30)
    torch.testing.assert_close(network.decode(codes, turned(start, MOVED), 30), turned(made, MOVED), atol=1e-3, rtol=0)
    begun = network.begin_at(network.features(windows), network.features(start[:, None])[:, 0])
    torch.testing.assert_close(begun[:, 0], network.features(start[:, None])[:, 0])
    torch.testing.assert_close(begun[:, SIZE.blend_frames :], network.features(windows)[:, SIZE.blend_frames :])


def test_the_code_decides_and_without_guidance_it_does_not(network, windows):
    codes, start = network.encode(windows)[0], windows[:1, 0].expand(8, -1, -1)
    other = codes.flip(0)
    assert not torch.allclose(network.decode(codes, start, FRAMES), network.decode(other, start, FRAMES), atol=1e-3)
    torch.testing.assert_close(network.decode(codes, start, FRAMES), network.decode(codes, start, FRAMES))
    network.guidance, kept = 0.0, network.guidance
    torch.testing.assert_close(
        network.decode(codes, start, FRAMES), network.decode(other, start, FRAMES), atol=1e-5, rtol=0
    )
    network.guidance = kept


def test_quick_movements_are_emphasized_and_calmed():
    motions = torch.randn(2, 9, 4, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(calm(emphasize(motions)), motions)
    assert emphasize(motions).diff(dim=1).std() > 2 * motions.diff(dim=1).std()
