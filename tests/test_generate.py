"""Drawing videos with a stage that need not be trained for it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from posegen.generate import Content, VideoSynthesizer, interpolate
from posegen.metrics.color import mean_ab, mean_change, share_of_way
from posegen.stages import VideoGenerator
from posegen.studio import render_clip

SIZE = (96, 64)


@pytest.fixture(scope="module")
def clip():
    return render_clip("grace", "salute", num_frames=5, size=SIZE)


@pytest.fixture(scope="module")
def content(clip):
    return Content(clip.images[0], clip.keypoints[0], clip.edges[0], clip.masks[0])


@pytest.fixture(scope="module")
def synthesizer():
    torch.manual_seed(0)
    config = replace(VideoGenerator.presets["tiny"], generator_width=4, num_blocks=1, encoder_width=4)
    return VideoSynthesizer(VideoGenerator(config), SIZE, torch.device("cpu"))


def draw(synthesizer, content, poses, z=None):
    return np.stack(list(synthesizer.frames(content, poses, z)))


def test_a_frame_for_every_pose(synthesizer, content, clip):
    frames = draw(synthesizer, content, clip.keypoints)
    assert frames.shape == clip.images.shape and frames.dtype == np.uint8
    np.testing.assert_array_equal(draw(synthesizer, content, clip.keypoints), frames)


def test_frames_come_one_by_one(synthesizer, content, clip):
    """The state is carried: the first frames do not depend on how many follow."""
    np.testing.assert_array_equal(
        draw(synthesizer, content, clip.keypoints[:2]), draw(synthesizer, content, clip.keypoints)[:2]
    )


def test_a_code_for_every_frame(synthesizer, content, clip):
    z = torch.zeros(8), torch.full((8,), 5.0)
    codes = torch.stack([z[0], z[0], z[1], z[1], z[1]])
    mixed, plain = (draw(synthesizer, content, clip.keypoints, code) for code in (codes, z[0]))
    np.testing.assert_array_equal(mixed[:2], plain[:2])
    assert (mixed[2:] != plain[2:]).any()


def test_size_of_the_content_is_checked(synthesizer, content, clip):
    small = replace(content, image=content.image[:64])
    with pytest.raises(ValueError, match=r"content image is \(64, 64\), the run was trained at \(96, 64\)"):
        draw(synthesizer, small, clip.keypoints)


def test_recolor_takes_the_nearest_training_codes(synthesizer):
    book = synthesizer.codebook("upper")
    book.fit(torch.eye(4)[:3], torch.tensor([[60.0, 40.0], [-50.0, 40.0], [10.0, -60.0]]))
    z = synthesizer.recolor(torch.zeros(8), {"upper": (255, 0, 0)}, count=1)
    torch.testing.assert_close(z[:4], torch.eye(4)[0])
    torch.testing.assert_close(z[4:], torch.zeros(4))
    np.testing.assert_allclose(synthesizer.nearest_color("upper", (0, 0, 255), count=1), [10, -60])


def test_interpolation_is_the_papers():
    """(1 − i/N) z1 + (i/N) z2 for i = 1..N: never z1 itself, z2 at the end (Section 4.4)."""
    codes = interpolate(torch.zeros(2), torch.tensor([4.0, 8.0]), 4)
    torch.testing.assert_close(codes, torch.tensor([[1.0, 2], [2, 4], [3, 6], [4, 8]]))


def test_color_measures():
    before, after, target = np.array([0.0, 0]), np.array([5.0, 3]), np.array([10.0, 0])
    assert share_of_way(before, after, target) == pytest.approx(0.5)
    assert share_of_way(before, -after, target) == pytest.approx(-0.5)
    gray = np.full((2, 4, 4, 3), 128, np.uint8)
    red = gray.copy()
    red[:, :2] = (255, 0, 0)
    top = np.zeros((2, 4, 4), bool)
    top[:, :2] = True
    np.testing.assert_allclose(mean_ab(red, top), [80.09, 67.20], atol=0.05)
    assert mean_change(gray, red, ~top) == 0 and mean_change(gray, red, top) > 20
