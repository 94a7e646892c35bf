"""Tables of how good generated motions are, with what has been published beside them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rich.table import Table

from orchestration.evaluation.motion import MotionEvaluation
from posegen.evaluation.motion_generation import Source
from posegen.metrics.motion import Repeated

_COLUMNS = {"fid": "FID ↓", "accuracy": "accuracy, % ↑", "diversity": "diversity →", "multimodality": "multimodality →"}
_AMPLITUDE = "amplitude, cm →"


class Published(NamedTuple):
    """A row of someone's table."""

    title: str
    values: dict[str, tuple[float, float]]
    """By metric, the value and what is printed behind ±; accuracy in per cent."""


def _published(title: str, fid: str, accuracy: str, diversity: str, multimodality: str) -> Published:
    texts = {"fid": fid, "accuracy": accuracy, "diversity": diversity, "multimodality": multimodality}
    return Published(title, {name: _pair(text) for name, text in texts.items()})


def _pair(text: str) -> tuple[float, float]:
    value, _, interval = text.partition("±")
    return float(value), float(interval)


PUBLISHED: dict[str, tuple[Published, ...]] = {
    "gru-humanact12": (
        _published("real (MDM, Table 3)", "0.020±0.010", "99.7±0.1", "6.850±0.050", "2.450±0.040"),
        _published("Action2Motion (MDM, Table 3)", "0.338±0.015", "91.7±0.3", "6.879±0.066", "2.511±0.023"),
        _published("ACTOR (MDM, Table 3)", "0.120±0.000", "95.5±0.8", "6.840±0.030", "2.530±0.020"),
    ),
    "ntu13": (
        _published("GT, paper", "0.02±0.00", "99.8±0.01", "7.09±0.03", "2.27±0.01"),
        _published("Gen, paper", "0.14±0.00", "97.4±0.14", "7.09±0.04", "2.05±0.01"),
        _published("GT, VIBE, 1800 epochs", "0.02±0.00", "98.8±0.04", "7.04±0.02", "2.38±0.01"),
        _published("Gen, VIBE, 1800 epochs", "0.15±0.00", "96.7±0.31", "7.13±0.02", "2.12±0.01"),
    ),
}
"""By recogniser, what it gave others; "ntu13": Table 1 of the comparison of VIBE and PARE."""


def motion_table(
    rows: Sequence[tuple[str, MotionEvaluation, Source]], published: Sequence[Published] = (), title: str = ""
) -> Table:
    """Figures as a table; ± is half of the mean's 95 % confidence interval, and in brackets stands what ACTOR prints.

    Args:
        rows: What to call each row, and where its figures are.
        published: Rows of others, below.
        title: Above.
    """
    table = Table(title=title)
    table.add_column("", overflow="fold")
    for head in (*_COLUMNS.values(), _AMPLITUDE):
        table.add_column(head, justify="right")
    for name, evaluation, source in rows:
        scores = evaluation.scores[source]
        cells = [_cell(scores[metric], 100 if metric == "accuracy" else 1) for metric in _COLUMNS]
        table.add_row(name, *cells, f"{100 * scores['amplitude'].mean:.1f}")
    if published:
        table.add_section()
    for one in published:
        cells = [f"{value:g} [{interval:g}]" for value, interval in one.values.values()]
        table.add_row(f"{one.title} (published)", *cells, "")
    return table


def evaluation_table(evaluation: MotionEvaluation) -> Table:
    """What was measured of one run."""
    rows: list[tuple[str, MotionEvaluation, Source]] = [
        ("real", evaluation, "real"),
        ("generated", evaluation, "generated"),
    ]
    return motion_table(rows, PUBLISHED.get(evaluation.recognizer, ()))


def _cell(figure: Repeated, scale: float) -> str:
    mean, half, interval = (scale * x for x in (figure.mean, figure.confidence, scale * figure.published_interval))
    return f"{mean:.3f} ± {half:.3f} [{interval:.3f}]"
