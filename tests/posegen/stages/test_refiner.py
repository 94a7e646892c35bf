"""The stage of the refiner: losses, figures beside those of the layers, and that it learns."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from posegen.datasets.refinement import RefinementDataset
from posegen.errors import ConfigError, DatasetError
from posegen.evaluation.metric_registry import metric_info
from posegen.samples import EpochLoader, RefinementPairs, RefinementSettings
from posegen.stages import STAGES, Refiner
from tests.support.refinement import write_pairs

TINY = Refiner.presets["tiny"]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> RefinementDataset:
    return write_pairs(tmp_path_factory.mktemp("pairs"))


def make_stage(**changes) -> Refiner:
    torch.manual_seed(0)
    return Refiner(replace(TINY, **changes))


def first_batch(dataset: RefinementDataset, stage: Refiner) -> dict[str, torch.Tensor]:
    return next(iter(EpochLoader(stage.open_samples(stage.config, dataset, "train"), 2).epoch(0)))


def test_stage_is_known():
    assert STAGES["refiner"] is Refiner and set(Refiner.presets) == {"posegen", "small", "tiny"}


def test_impossible_settings_are_refused():
    with pytest.raises(ConfigError, match="multiple of 64"):
        replace(TINY, crop_height=100)


def test_begins_with_the_layers(dataset):
    stage = make_stage()
    batch = first_batch(dataset, stage)
    refined, _ = stage.refine(batch)
    torch.testing.assert_close(refined.image, batch["composed"], atol=1e-6, rtol=0)
    found = stage.validate(dataset, "test")
    for name in ("near_l1", "epe", "opacity_error"):
        assert found[name] == pytest.approx(found[f"{name}_layers"], rel=1e-4)
        assert metric_info(f"val/{name}").direction == "down"
    assert found["gain"] == pytest.approx(0, abs=1e-4)


def test_losses_without_weight_are_left_out(dataset):
    stage = make_stage(lambda_flow=0.0, lambda_opacity=0.0, lambda_smoothness=0.0)
    assert set(stage.step(first_batch(dataset, stage))) == {"lab", "gradient"}
    full = make_stage()
    assert set(full.step(first_batch(dataset, full))) == {"lab", "gradient", "flow", "opacity", "smoothness"}


def test_learns(dataset):
    stage = make_stage(lr=3e-3)
    batch = first_batch(dataset, stage)
    losses = [sum(stage.step(batch).values()).item() for _ in range(60)]
    assert losses[-1] < 0.8 * losses[0]


def test_preview_has_four_rows(dataset):
    stage = make_stage()
    batch = first_batch(dataset, stage)
    assert stage.preview(batch)["refined"].shape == (4 * (20 + 64 + 2), 2 * 48 + 2, 3)
    assert set(stage.evaluate(batch)) == {"psnr"}


def test_a_plan_is_a_function_of_seed_and_epoch(dataset):
    samples = RefinementPairs(dataset, "train", RefinementSettings(crop=(64, 48), epoch_size=8))
    again = RefinementPairs(dataset, "train", RefinementSettings(crop=(64, 48), epoch_size=8))
    assert samples.plan(1) == again.plan(1) != samples.plan(0) and len(samples.plan(0)) == 8
    one, other = samples.load(samples.plan(0)[3]), again.load(again.plan(0)[3])
    assert all((one[name] == other[name]).all() for name in one)
    assert one["inputs"].shape == (24, 64, 48) and one["source"].shape == (3, 128, 96)


def test_crops_fit(dataset):
    with pytest.raises(DatasetError, match="expected at least"):
        RefinementPairs(dataset, "train", RefinementSettings(crop=(256, 96)))
    with pytest.raises(ConfigError, match="multiples of 16"):
        RefinementSettings(crop=(100, 96))
