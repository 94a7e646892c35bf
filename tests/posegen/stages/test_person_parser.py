"""The stage of the person parser: losses, average, figures, and that it learns."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from posegen.datasets.parsing import ParsingDataset
from posegen.errors import ConfigError
from posegen.networks.person_parser import IN_CHANNELS
from posegen.person_classes import PersonClass
from posegen.samples import EpochLoader
from posegen.stages import STAGES, PersonParser
from posegen.stages.person_parser import color_classes, dice_loss
from tests.support.labelled_photos import studio_photos, write_photos

TINY = PersonParser.presets["tiny"]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> ParsingDataset:
    return write_photos(tmp_path_factory.mktemp("photos"), studio_photos(size=(128, 96)))


def make_stage(**changes) -> PersonParser:
    torch.manual_seed(0)
    return PersonParser(replace(TINY, **changes))


def make_batch() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    labels = torch.randint(0, 8, (2, 64, 64), generator=generator)
    labels[:, :4] = 255
    return {"inputs": torch.rand((2, IN_CHANNELS, 64, 64), generator=generator), "labels": labels}


def test_stage_is_known():
    assert STAGES["person_parser"] is PersonParser and set(PersonParser.presets) == {"posegen", "small", "tiny"}


@pytest.mark.parametrize("changes", [{"height": 100}, {"half_share": 1.5}, {"average": -1.0}])
def test_impossible_settings_are_refused(changes):
    with pytest.raises(ConfigError):
        replace(TINY, **changes)


def test_losses_are_those_of_the_objective():
    stage, batch = make_stage(lambda_dice=0.5), make_batch()
    stage.get_buffer("class_weights").copy_(torch.arange(1.0, 9.0))
    logits = stage.network(batch["inputs"]).detach()
    losses = stage.step(batch)
    weights = torch.arange(1.0, 9.0)
    expected = F.cross_entropy(logits, batch["labels"], weights, ignore_index=255)
    torch.testing.assert_close(losses["cross_entropy"], expected)
    torch.testing.assert_close(losses["dice"], 0.5 * dice_loss(logits[..., ::2, ::2], batch["labels"][..., ::2, ::2]))
    assert set(make_stage(lambda_dice=0.0).step(batch)) == {"cross_entropy"}


def test_dice_loss():
    labels = torch.tensor([[[0, 1], [1, 255]]])
    sure = F.one_hot(torch.tensor([[[0, 1], [1, 2]]]), 3).permute(0, 3, 1, 2) * 100.0
    assert dice_loss(sure, labels) == pytest.approx(0, abs=1e-6)
    wrong = F.one_hot(torch.tensor([[[2, 2], [2, 2]]]), 3).permute(0, 3, 1, 2) * 100.0
    assert dice_loss(wrong, labels) == pytest.approx(1, abs=1e-6)


def test_rare_classes_weigh_more(dataset):
    stage = make_stage()
    stage.begin(stage.open_samples(stage.config, dataset, "train"))
    weights = stage.get_buffer("class_weights")
    assert weights[PersonClass.UPPER] > weights[PersonClass.BACKGROUND] and weights.mean() == pytest.approx(1)


def test_weights_are_averaged():
    stage, batch = make_stage(average=0.5), make_batch()
    before = stage.averaged.output.weight.clone()
    stage.step(batch)
    keep = 2 / 11
    torch.testing.assert_close(stage.averaged.output.weight, keep * before + (1 - keep) * stage.network.output.weight)
    assert not any(parameter.requires_grad for parameter in stage.averaged.parameters())


def test_learns_and_measures(dataset):
    stage = make_stage(batch_size=3, epoch_size=9, lr=5e-3)
    samples = stage.open_samples(stage.config, dataset, "train")
    stage.begin(samples)
    before = stage.validate(dataset, "test")
    loader = EpochLoader(samples, 3)
    for epoch in range(6):
        for batch in loader.epoch(epoch):
            losses = stage.step(batch)
    after = stage.validate(dataset, "test")
    assert set(after) == {*(f"{kind.name.lower()}_iou" for kind in PersonClass), "mean_iou", "garment_iou", "painted"}
    assert after["garment_iou"] > before["garment_iou"] + 0.2 and torch.stack([*losses.values()]).isfinite().all()
    for name in ("mean_iou", "painted"):
        assert 0 <= after[name] <= 1


def test_preview_has_four_rows(dataset):
    stage = make_stage()
    samples = stage.open_samples(stage.config, dataset, "test")
    batch = next(iter(EpochLoader(samples, 1).epoch(0)))
    assert stage.preview(batch)["classes"].shape == (4 * (20 + 130), 96, 3)
    assert set(stage.evaluate(batch)) == {"cross_entropy"}


def test_unknown_pixels_are_white():
    assert color_classes(np.array([[0, 255]])).tolist() == [[[0, 0, 0], [255, 255, 255]]]
