"""Figures that papers report, for tables that put them beside one's own.

They were measured on other data, and most of them with other weights: read them as an orientation.
"""

from __future__ import annotations

from typing import NamedTuple

TABLE1_RESULTS: dict[str, dict[str, float]] = {
    "deformable_gan": {"ms_ssim_masked": 0.8975, "lpips_masked": 0.0706},
    "proposed": {"ms_ssim_masked": 0.9146, "lpips_masked": 0.0590},
}
"""Published results by method and metric, Table 1 of Yang et al. (2020): other people, 384×256, weights that were never
published."""


class MotionResult(NamedTuple):
    """One row of a published table of generated motions."""

    title: str
    """Evaluated generator and data, and the publication."""
    values: dict[str, tuple[float, float | None]]
    """Values by metric, with the number printed behind ± if any, in the units in which tables print the metric."""


def _row(title: str, fid: str, accuracy: str, diversity: str, multimodality: str) -> MotionResult:
    texts = {"fid": fid, "accuracy": accuracy, "diversity": diversity, "multimodality": multimodality}
    return MotionResult(title, {name: _parse(text) for name, text in texts.items()})


def _parse(text: str) -> tuple[float, float | None]:
    value, _, interval = text.partition("±")
    return float(value), float(interval) if interval else None


PUBLISHED_SEEDS = 20
"""Repeats of a published measurement of generated motions."""
MOTION_RESULTS: dict[str, tuple[MotionResult, ...]] = {
    "gru-humanact12": (
        _row("real (MDM, Table 3)", "0.020±0.010", "99.7±0.1", "6.850±0.050", "2.450±0.040"),
        _row("Action2Motion (MDM, Table 3)", "0.338±0.015", "91.7±0.3", "6.879±0.066", "2.511±0.023"),
        _row("ACTOR (MDM, Table 3)", "0.120±0.000", "95.5±0.8", "6.840±0.030", "2.530±0.020"),
        _row("INR (MDM, Table 3)", "0.088", "97.3", "6.881", "2.569"),
        _row("MDM (MDM, Table 3)", "0.100", "99.0", "6.860", "2.520"),
    ),
    "gru-ntu13": (
        _row("GT, paper", "0.02±0.00", "99.8±0.01", "7.09±0.03", "2.27±0.01"),
        _row("Gen, paper", "0.14±0.00", "97.4±0.14", "7.09±0.04", "2.05±0.01"),
        _row("GT, VIBE, 1800 epochs", "0.02±0.00", "98.8±0.04", "7.04±0.02", "2.38±0.01"),
        _row("Gen, VIBE, 1800 epochs", "0.15±0.00", "96.7±0.31", "7.13±0.02", "2.12±0.01"),
    ),
}
"""Published results by action classifier: generators trained on all motions and measured on all of them, with
`PUBLISHED_SEEDS` seeds. MDM: Tevet et al., 2023, arXiv:2209.14916. ``gru-ntu13``: Table 1 of the comparison of VIBE and
PARE. The number behind ± is 1.96 times the variance over seeds, as the published code prints it."""
