"""The registry: one entry for a metric, whatever it is measured on and wherever it is logged."""

from __future__ import annotations

import pytest

from posegen.errors import ConfigError
from posegen.evaluation import metric_registry
from posegen.evaluation.metric_info import MetricInfo
from posegen.evaluation.metric_registry import (
    METRICS,
    find_metric_info,
    metric_info,
    objective_info,
    objective_metric,
    register_metric,
    table_position,
)
from posegen.evaluation.motion_generation import MOTION_METRICS
from posegen.evaluation.published_results import MOTION_RESULTS, TABLE1_RESULTS
from posegen.stages import STAGES


@pytest.mark.parametrize("info", METRICS.values(), ids=METRICS)
def test_every_entry_has_a_title_a_source_and_a_group(info):
    assert info.title and info.source and info.group
    assert info.is_ranked or info.direction in ("none", "target")


def test_a_metric_means_the_same_in_every_phase():
    for phase in ("val", "test", "motion"):
        info = metric_info(f"{phase}/psnr")
        assert (info.name, info.title, info.direction) == (f"{phase}/psnr", "PSNR", "up")
    assert metric_info("psnr").title == "PSNR"


def test_a_metric_that_means_something_else_in_a_phase_has_an_entry_of_its_own():
    assert metric_info("val/amplitude").target == 1 and metric_info("motion/amplitude").target is None
    assert metric_info("val/generated_amplitude").unit == "cm"  # as in the protocol, not as in `evaluate`
    assert metric_info("behavior/transfer_accuracy").title == "transfer: action of the code"
    assert metric_info("val/accuracy").title == "accuracy"
    assert metric_info("val/posture_error").unit != metric_info("behavior/code_posture_error").unit


@pytest.mark.parametrize(
    ("name", "title", "direction"),
    [
        ("test/ms_ssim_masked", "MS-SSIM, masked", "up"),
        ("test/lpips_masked", "LPIPS, masked", "down"),
        ("test/t_lpips", "tLPIPS", "down"),
        ("test/texture_lower", "texture kept, lower garment", "up"),
        ("test/recolor_upper", "colour reached with a swapped code, upper garment", "target"),
        ("test/background_delta_e", "change of the background", "down"),
        ("test/asked_hit_upper", "distance to the target colour, upper garment, colour asked for", "down"),
        ("test/ssim.low", "SSIM, low end of the 95 % interval", "up"),
        ("test/proposed/ssim_masked", "proposed: SSIM, masked", "up"),
        ("val/self_box_ssim", "SSIM, near the person, own shape", "up"),
        ("behavior/transfer_target_accuracy", "transfer: action of the target", "down"),
        ("behavior/prior_realism_accuracy", "prior: discriminator accuracy", "target"),
        ("behavior/code_posture_error_10", "code: error of postures read from codes, frame 10", "up"),
        ("behavior/real_accuracy", "real: action of the code", "none"),
        ("behavior/chance_accuracy", "chance: action of the code", "none"),
        ("motion/real_fid", "real: FID", "none"),
        ("objective/posture_error", "squared error of postures read from codes", "up"),
        ("objective/lpips", "ST-LPIPS, masked", "down"),
        ("train/gan", "adversarial loss (training)", "none"),
        ("train/l1", "absolute error (training)", "down"),
    ],
)
def test_qualified_names_are_resolved(name, title, direction):
    info = metric_info(name)
    assert (info.name, info.title, info.direction) == (name, title, direction)


@pytest.mark.parametrize(
    "name", ["val/charm", "train/charm", "train/psnr", "objective/charm", "charm_masked", "system/cpu"]
)
def test_a_metric_that_nobody_registered_has_no_direction(name):
    assert find_metric_info(name) is None
    info = metric_info(name)
    assert (info.title, info.direction, info.is_ranked) == (name, "none", False)


def test_others_register_metrics_of_their_stages(monkeypatch):
    monkeypatch.setattr(metric_registry, "METRICS", dict(METRICS))
    charm = MetricInfo("charm", "charm", "", "up")
    register_metric(charm)
    register_metric(charm)  # again, in another process
    assert metric_info("val/charm_masked").direction == "up"
    assert table_position("val/charm") > table_position("train/l1")
    with pytest.raises(ConfigError, match="the metric 'psnr' is registered as 'PSNR': take another name"):
        register_metric(MetricInfo("psnr", "something else"))


def test_every_objective_is_registered_and_has_one_meaning():
    for stage in STAGES.values():
        if stage.__module__.startswith("posegen."):  # a test may have defined another one
            for name, metric in stage.objectives.items():
                assert find_metric_info(metric).mode in ("min", "max")
                assert objective_metric(name) == metric, (stage.name, name)
    assert objective_metric("charm") == ""


def test_an_objective_that_nobody_registered_is_lowered(monkeypatch):
    monkeypatch.setattr(STAGES["actor"], "objectives", {"charm": "val/charm"})
    assert objective_info("val/charm").mode == metric_info("objective/charm").mode == "min"
    assert not metric_info("val/charm").is_ranked and objective_info("val/psnr").mode == "max"


def test_tables_list_groups_in_the_registrys_order():
    names = ["asked_hit_upper", "hit_upper", "flicker", "ssim_masked", "ms_ssim", "joint_error", "charm"]
    assert sorted(names, key=table_position) == [
        *("ms_ssim", "ssim_masked", "flicker", "hit_upper", "asked_hit_upper", "joint_error", "charm"),
    ]


def test_published_results_are_of_registered_metrics():
    assert {name for results in TABLE1_RESULTS.values() for name in results} == {"ms_ssim_masked", "lpips_masked"}
    for rows in MOTION_RESULTS.values():
        for row in rows:
            assert set(row.values) < set(MOTION_METRICS)
    real, actor = MOTION_RESULTS["gru-humanact12"][0], MOTION_RESULTS["gru-humanact12"][2]
    assert real.values["accuracy"] == (99.7, 0.1) and actor.values["fid"] == (0.12, 0.0)
