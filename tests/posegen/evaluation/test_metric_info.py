"""How metrics are read: which values are better, and how they are printed."""

from __future__ import annotations

import pytest

from posegen.errors import ConfigError, EvaluationError
from posegen.evaluation.metric_info import MetricInfo

UP = MetricInfo("psnr", "PSNR", "dB", "up", digits=2)
DOWN = MetricInfo("error", "error", "cm", "down", scale=100, digits=1)
SHARE = MetricInfo("share", "discriminator accuracy", "%", "target", target=0.5, scale=100, digits=1)
REAL = MetricInfo("diversity", "diversity", "", "target", digits=3)
NONE = MetricInfo("nats", "information", "nats")


@pytest.mark.parametrize(
    ("info", "values"),
    [(UP, [30.0, 20.0, -1.0]), (DOWN, [0.0, 0.1, 7.0]), (SHARE, [0.5, 0.52, 0.4, 0.99]), (SHARE, [0.48, 0.1, 1.0])],
)
def test_values_are_sorted_by_the_distance_to_the_goal(info, values):
    assert info.is_ranked and sorted(reversed(values), key=info.distance_to_goal) == values


@pytest.mark.parametrize("info", [REAL, NONE])
def test_metrics_without_a_goal_are_not_ranked(info):
    assert not info.is_ranked and info.order == ""
    with pytest.raises(EvaluationError, match=f"{info.name} has no direction: its values cannot be ranked"):
        info.distance_to_goal(1.0)


@pytest.mark.parametrize(
    ("info", "heading", "order"),
    [
        (UP, "PSNR, dB ↑", "highest"),
        (DOWN, "error, cm ↓", "lowest"),
        (SHARE, "discriminator accuracy, % → 50", "nearest to 50"),
        (REAL, "diversity → real", ""),
        (NONE, "information, nats", ""),
    ],
)
def test_headings_name_unit_and_direction(info, heading, order):
    assert (info.heading, info.order) == (heading, order)


def test_values_are_scaled_and_rounded():
    assert (UP.format(20.126), DOWN.format(0.0416)) == ("20.13", "4.2")
    assert (UP.format(20.126, unit=True), REAL.format(1 / 3, unit=True)) == ("20.13 dB", "0.333")
    assert (NONE.format(123456.0), NONE.format(0.00012345)) == ("1.235e+05", "0.0001234")


def test_optimizers_raise_and_lower():
    assert (UP.mode, DOWN.mode) == ("max", "min")
    for info in (SHARE, REAL, NONE):
        with pytest.raises(ConfigError, match="is neither to be raised nor lowered"):
            _ = info.mode


def test_a_target_needs_its_direction():
    with pytest.raises(ConfigError, match="x has the target 1 and the direction 'up'"):
        MetricInfo("x", "x", "", "up", target=1.0)
