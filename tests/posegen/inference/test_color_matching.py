"""Correcting codes on a generator whose colours are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from posegen.inference.color_matching import _Compared, match_colors
from posegen.inference.person import Person
from posegen.inference.video_synthesizer import VideoSynthesizer
from posegen.stages import VideoGenerator
from posegen.synthetic.studio import RenderSettings, render_action

SIZE = (96, 64)
GRAY = (53.4, 0.0, 0.0)  # rendered with the code 0
TARGET = (53.0, -12.0, 20.0)


class FlatGenerator(nn.Module):
    """Three dimensions of each garment's code are its RGB; the upper one's fourth shines on the whole picture.

    A share `leak` of the upper garment's colour comes through in the lower one.
    """

    leak = 0.0

    def forward(self, features, previous, z, regions):
        upper, shine, lower = z[:, :3, None, None], z[:, 3:4, None, None], z[:, 4:7, None, None]
        lower = lower + self.leak * upper
        return (0.3 * torch.tanh(regions[:, :1] * upper + regions[:, 1:] * lower + shine)).expand(-1, 3, -1, -1)


@pytest.fixture(scope="module")
def content():
    clip = render_action("grace", "salute", 1, RenderSettings(size=SIZE))
    return Person(clip.images[0], clip.keypoints[0], clip.edges[0], clip.masks[0])


@pytest.fixture(scope="module")
def synthesizer():
    """Its codebooks answer every colour with the same code."""
    config = replace(VideoGenerator.presets["tiny"], generator_width=4, num_blocks=1, encoder_width=4)
    synthesizer = VideoSynthesizer(VideoGenerator(config), SIZE, torch.device("cpu"))
    synthesizer.stage.generator = FlatGenerator()
    lab = torch.rand(100, 3, generator=torch.Generator().manual_seed(0)) * 60
    for region in ("upper", "lower"):
        synthesizer.codebook(region).fit(torch.zeros(100, 4), lab)
        synthesizer.codebook(region).std.fill_(0.3)
    return synthesizer


def test_the_target_is_reached_and_the_rest_stays(synthesizer, content):
    own = torch.zeros(8)
    z, matches = match_colors(synthesizer, content, own, {"upper": TARGET})
    assert matches.keys() == {"upper"}
    assert matches["upper"].before > 10 and matches["upper"].is_reached
    torch.testing.assert_close(z[4:], own[4:], atol=0.05, rtol=0)
    assert z[3].abs() < 0.05  # the shine would change the background, too


def test_the_other_garments_code_makes_up_for_what_leaks(synthesizer, content, monkeypatch):
    monkeypatch.setattr(synthesizer.stage.generator, "leak", 0.5)
    z, matches = match_colors(synthesizer, content, torch.zeros(8), {"upper": TARGET})
    assert matches["upper"].is_reached
    torch.testing.assert_close(z[4:7], -0.5 * z[:3], atol=0.05, rtol=0)


def test_both_garments_at_once(synthesizer, content):
    z, matches = match_colors(synthesizer, content, torch.zeros(8), {"upper": TARGET, "lower": (53.0, 15.0, -15.0)})
    assert all(match.is_reached for match in matches.values())
    assert z[:3].abs().max() > 0.1 and z[4:7].abs().max() > 0.1


def test_a_target_that_is_reached_changes_nothing(synthesizer, content):
    reached, _ = match_colors(synthesizer, content, torch.zeros(8), {"upper": GRAY})
    torch.testing.assert_close(reached, torch.zeros(8), atol=0.02, rtol=0)


def test_out_of_reach_colours_end(synthesizer, content):
    z, matches = match_colors(synthesizer, content, torch.zeros(8), {"upper": (53.0, 120.0, 120.0)})
    assert torch.isfinite(z).all() and matches["upper"].after < matches["upper"].before


def test_lightness_counts(synthesizer, content):
    """White is as far from gray as it looks, and the generator can be no lighter than its range."""
    _, matches = match_colors(synthesizer, content, torch.zeros(8), {"upper": (100.0, 0.0, 0.0)})
    match = matches["upper"]
    assert match.before > 30 and match.before >= match.after > 15 and not match.is_reached
    assert match.rendered[0] < 75


class PatchyGenerator(nn.Module):
    """Left and right of a garment have opposite hues, whose mean is gray, until the code's first value is 0.5."""

    def forward(self, features, previous, z, regions):
        columns = torch.linspace(-1, 1, features.shape[-1]).sign()
        patches = torch.stack([columns, -columns, 0 * columns])[None, :, None] * regions[:, :1]  # (N, 3, 1, W)
        return 0.4 * patches * (1 - 2 * z[:, :1, None, None]) + 0 * features[:, :1]


def test_patches_of_opposite_hues_are_no_gray(synthesizer, content, monkeypatch):
    monkeypatch.setitem(synthesizer.stage._modules, "generator", PatchyGenerator())
    z, matches = match_colors(synthesizer, content, torch.zeros(8), {"upper": GRAY})
    assert matches["upper"].before > 20  # a gray mean, and no gray pixel
    assert matches["upper"].after < 0.6 * matches["upper"].before and 0.2 < z[0] < 0.6


def test_the_better_code_is_kept(synthesizer, content, monkeypatch):
    """A correction that brings some pixels nearer and most of them farther away is dropped."""
    calls = []

    def compare(self, z):
        calls.append(z)
        return {"upper": _Compared(float(len(calls)), GRAY)}

    monkeypatch.setattr("posegen.inference.color_matching._Problem.compare", compare)
    z, matches = match_colors(synthesizer, content, torch.zeros(8), {"upper": TARGET})
    assert torch.equal(z, calls[0]) and not torch.equal(calls[0], calls[1])
    assert matches["upper"].after == matches["upper"].before == 1


def test_unseen_garments_are_refused(synthesizer, content):
    with pytest.raises(ValueError, match="no upper garment is seen"):
        match_colors(synthesizer, replace(content, mask=np.zeros(SIZE, np.uint8)), torch.zeros(8), {"upper": TARGET})
