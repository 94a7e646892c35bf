"""The colouring stage: its losses, its figures, and that it learns to follow hints."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from orchestration.data.prepare import PrepareSettings, prepare_videos
from posegen.color.lab import lab_to_rgb
from posegen.datasets.clips import ClipDataset
from posegen.networks.siggraph17 import color_bins
from posegen.samples import EpochLoader, HintedFrames
from posegen.stages import STAGES, Colorizer
from posegen.stages.colorizer import to_rgb
from posegen.synthetic.studio import RenderSettings, render_action, write_studio_clip

SMALL = replace(Colorizer.presets["tiny"], width=4, batch_size=2)


def make_stage(**changes) -> Colorizer:
    torch.manual_seed(0)
    return Colorizer(replace(SMALL, **changes))


def make_batch(size: int = 32) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    lightness, ab = (torch.rand((4, c, size, size), generator=generator) - 0.5 for c in (1, 2))
    mask = torch.zeros(4, 1, size, size)
    mask[:, :, 8:15, 8:15] = 1
    return {"lightness": lightness, "ab": ab, "hints": ab * mask, "mask": mask}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> ClipDataset:
    """Two clips of six frames, 96×64."""
    folder = tmp_path_factory.mktemp("studio")
    for action in ("bow", "clap"):
        write_studio_clip(render_action("ada", action, 6, RenderSettings(size=(96, 64))), folder)
    out = tmp_path_factory.mktemp("prepared")
    prepare_videos(folder, out, PrepareSettings(size=(96, 64), pose="truth", edges="truth", mask="truth", workers=0))
    return ClipDataset(out)


def samples(dataset: ClipDataset, **changes) -> HintedFrames:
    return HintedFrames(dataset, "train", **({"recolored_share": 0.0, "epoch_size": 0, "seed": 0} | changes))


def test_stage_is_known():
    assert STAGES["colorizer"] is Colorizer and set(Colorizer.presets) == {"paper", "small", "tiny"}


def test_losses_are_those_of_the_objective():
    stage, batch = make_stage(lambda_ab=3.0, lambda_class=0.5), make_batch()
    with torch.no_grad():
        logits, ab = stage.network(batch["lightness"], batch["hints"], batch["mask"])
    losses = stage.step(batch)
    difference = 110 * (ab - batch["ab"]).abs()
    huber = torch.where(difference < 1, difference**2 / 2, difference - 0.5).mean() / 110
    torch.testing.assert_close(losses["ab"], 3 * huber)
    bins = color_bins(batch["ab"][:, :, ::4, ::4])
    assert bins.shape == (4, 8, 8)
    torch.testing.assert_close(losses["class"], 0.5 * F.cross_entropy(logits, bins))


def test_true_colours_are_scored_as_perfect():
    stage, batch = make_stage(), make_batch()
    stage.network.forward = lambda lightness, hints, mask: (None, batch["ab"] + 1e-6)
    figures = stage.evaluate(batch)
    assert figures["ab_error"] < 1e-3 and figures["hint_hit"] == 1 and figures["psnr"] > 90


def test_error_is_in_units_of_ab():
    stage, batch = make_stage(), make_batch()
    stage.network.forward = lambda lightness, hints, mask: (
        None,
        batch["ab"] + torch.tensor([12 / 110, 0])[:, None, None],
    )
    figures = stage.evaluate(batch)
    assert figures["ab_error"] == pytest.approx(12, rel=1e-4) and figures["hint_hit"] == 0


def test_network_units_are_those_of_lab():
    rgb = to_rgb(torch.full((1, 1, 2, 2), 0.1), torch.tensor([0.2, -0.1]).view(1, 2, 1, 1).expand(1, 2, 2, 2))
    np.testing.assert_allclose(rgb[0, 0, 0], lab_to_rgb(np.array([60, 22, -11])), atol=1e-6)


def test_preview_shows_hints_colours_and_truth():
    picture = make_stage().eval().preview(make_batch())["colors"]
    assert picture.shape == (3 * (20 + 34), 4 * 34 - 2, 3)  # a title above each row
    assert np.ptp(picture[40, 2:8].astype(int), axis=-1).max() == 0  # gray where no hint is
    assert np.ptp(picture[28:35, 8:15].astype(int), axis=-1).max() > 0


def test_impossible_settings_are_refused():
    with pytest.raises(ValueError, match=r"recolored_share must be in \[0, 1\], got 2"):
        Colorizer.Config(recolored_share=2)
    with pytest.raises(ValueError, match="multiples of 8"):
        make_stage().check_size((100, 64))


@pytest.mark.parametrize(("epoch", "factor"), [(0, 1.0), (2, 1.0), (3, 0.75), (5, 0.25)])
def test_learning_rate_falls_at_the_end(epoch, factor):
    stage = make_stage()
    stage.start_epoch(epoch)
    assert stage.optimizers["network"].param_groups[0]["lr"] == pytest.approx(1e-3 * factor)


def test_samples_are_the_frames_in_lab(dataset):
    frames = samples(dataset)
    sample = frames.plan(0)[3]
    arrays = frames.load(sample)
    image = frames.clips[sample.clip].image(sample.row)
    shown = to_rgb(torch.from_numpy(arrays["lightness"])[None], torch.from_numpy(arrays["ab"])[None])[0]
    np.testing.assert_allclose(shown * 255, image, atol=0.01)
    shapes = {name: array.shape for name, array in arrays.items()}
    assert shapes == {"lightness": (1, 96, 64), "ab": (2, 96, 64), "hints": (2, 96, 64), "mask": (1, 96, 64)}
    assert all(array.dtype == np.float32 for array in arrays.values())


def test_noise_belongs_to_the_sample(dataset):
    """Workers load other samples in another order, and get the same ones."""
    frames = samples(dataset, recolored_share=0.5)
    plan = frames.plan(1)
    forwards = [frames.load(sample) for sample in plan]
    backwards = [samples(dataset, recolored_share=0.5).load(sample) for sample in reversed(plan)][::-1]
    for left, right in zip(forwards, backwards, strict=True):
        for name, array in left.items():
            np.testing.assert_array_equal(array, right[name])
    assert not np.array_equal(forwards[0]["mask"], forwards[1]["mask"])


def test_repainting_changes_the_garments_alone(dataset):
    plain, painted = (samples(dataset, recolored_share=share) for share in (0.0, 1.0))
    sample = plain.plan(0)[0]
    own, other = plain.load(sample), painted.load(sample)
    changed = np.abs(own["ab"] - other["ab"]).max(axis=0) > 0.05
    person = plain.clips[sample.clip].mask(sample.row) > 0
    assert changed.sum() > 100 and not (changed & ~person).any()
    assert np.abs(own["lightness"] - other["lightness"]).mean() < 0.005


def test_it_learns_to_follow_hints(dataset):
    stage = make_stage(width=8, lr=3e-3, recolored_share=0.0)
    loader = EpochLoader(samples(dataset, epoch_size=80), 4)
    batch = next(loader.epoch(9))
    before = stage.eval().evaluate(batch)["ab_error"]
    stage.train()
    for batch_of_epoch in loader.epoch(0):
        stage.step(batch_of_epoch)
    for batch_of_epoch in loader.epoch(1):
        stage.step(batch_of_epoch)
    assert stage.eval().evaluate(batch)["ab_error"] < 0.7 * before
