"""Tables of what runs of behaviour have learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rich.table import Table

from orchestration.evaluation.behavior import BehaviorEvaluation
from posegen.evaluation.behavior import Source, read_frames
from posegen.io.storage import StorageFolder
from posegen.metrics.motion import Repeated


class Reading(NamedTuple):
    """How a metric is read."""

    title: str
    scale: float = 1.0
    digits: int = 2


_ENACTED = {
    "accuracy": Reading("the code's action, % ↑", 100, 1),
    "target_accuracy": Reading("the target's, % ↓", 100, 1),
    "movement_accuracy": Reading("the code's, by movement, % ↑", 100, 1),
    "target_movement_accuracy": Reading("the target's, by movement, % ↓", 100, 1),
    "first_step": Reading("first step, cm → real", 100),
    "joint_error": Reading("joint error, cm ↓", 100),
    "cross_displacement": Reading("off the source, σ"),
    "consistency": Reading("off its code ↓"),
}
_DRAWN = {
    "realism": Reading("P(real) → 0.5", digits=3),
    "realism_of_real": Reading("P(real) of real ones", digits=3),
    "realism_accuracy": Reading("told apart, % → 50", 100, 1),
    "limb_drift": Reading("limb drift, % ↓", 100),
    "asd": Reading("ASD, m"),
    "fsd": Reading("FSD, m"),
    "apd": Reading("APD, m"),
    "ade": Reading("ADE, m ↓"),
    "fde": Reading("FDE, m ↓"),
}
_TOLD = {
    "posture_error": Reading("posture in codes, σ off ↑"),
    "posture_r2": Reading("posture in codes, R² ↓"),
}
_READINGS = _ENACTED | _DRAWN | _TOLD
"""Metrics that tables have: of what is enacted, of how it looks, of what codes tell. σ is that of postures."""
_ENACTED_BY: tuple[Source, ...] = ("real", "chance", "reconstruction", "transfer", "late")
_DRAWN_BY: tuple[Source, ...] = ("real", "reconstruction", "transfer", "prior", "flow")
_COMPARED: tuple[tuple[Source, str], ...] = (
    ("reconstruction", "accuracy"),
    ("reconstruction", "joint_error"),
    *(("transfer", name) for name in ("accuracy", "target_accuracy", "movement_accuracy", "target_movement_accuracy")),
    *(("transfer", name) for name in ("first_step", "cross_displacement")),
    ("late", "accuracy"),
    ("code", "posture_error"),
    ("code", "posture_r2"),
    *((source, "realism") for source in ("reconstruction", "transfer", "prior", "flow")),
    *((source, name) for source in ("prior", "flow") for name in ("limb_drift", "asd", "fsd", "apd", "ade", "fde")),
)
"""What runs are compared by. Distances of codes are not among it: each run has codes of its own."""


def behavior_tables(evaluation: BehaviorEvaluation) -> list[Table]:
    """What was measured of one run: what it re-enacts, how real and varied it is, and what postures its codes tell."""
    return [
        _table(evaluation, _ENACTED, _ENACTED_BY),
        _table(evaluation, _DRAWN, _DRAWN_BY),
        _posture_table(evaluation),
    ]


def compared_table(evaluations: Sequence[BehaviorEvaluation]) -> Table:
    """What was measured of several runs: a row for each metric, a column for each run, and real ones and chance."""
    table = _columns("real", "chance", *(StorageFolder(one.run).name for one in evaluations))
    for source, name in _COMPARED:
        of_runs = [one.scores.get(source, {}).get(name) for one in evaluations]
        if any(of_runs):
            beside = [evaluations[0].scores[yardstick].get(name) for yardstick in ("real", "chance")]
            cells = [_cell(figure, _READINGS[name]) for figure in (*beside, *of_runs)]
            table.add_row(f"{source}: {_READINGS[name].title}", *cells)
    return table


def _table(evaluation: BehaviorEvaluation, readings: Mapping[str, Reading], sources: Sequence[Source]) -> Table:
    """Some metrics of some sources, of those that were measured."""
    scores = {source: evaluation.scores[source] for source in sources if source in evaluation.scores}
    table = _columns(*scores)
    for name, reading in readings.items():
        table.add_row(reading.title, *(_cell(of.get(name), reading) for of in scores.values()))
    return table


def _posture_table(evaluation: BehaviorEvaluation) -> Table:
    """How well postures are read out of codes, over all frames and frame by frame, beside the mean posture."""
    code, chance = evaluation.scores["code"], evaluation.scores["chance"]
    error, r2 = _TOLD["posture_error"], _TOLD["posture_r2"]
    table = _columns(r2.title, error.title, "σ off the mean posture")
    for frame in ("", *(f"_{frame}" for frame in read_frames(evaluation.num_frames))):
        figures = (
            (code.get(f"posture_r2{frame}"), r2),
            (code.get(f"posture_error{frame}"), error),
            (chance.get(f"posture_error{frame}"), error),
        )
        table.add_row(f"frame {frame[1:]}" if frame else "all frames", *(_cell(*figure) for figure in figures))
    return table


def _columns(*heads: str) -> Table:
    table = Table()
    table.add_column("", no_wrap=True)
    for head in heads:
        table.add_column(head, justify="right")
    return table


def _cell(figure: Repeated | None, reading: Reading) -> str:
    if figure is None:
        return ""
    mean, half = (f"{reading.scale * x:.{reading.digits}f}" for x in (figure.mean, figure.confidence))
    return mean if figure.std == 0 else f"{mean} ± {half}"
