"""Tables of evaluation records and of comparisons. Titles, units, directions and digits are those of the registry."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

from rich.table import Table

from orchestration.evaluation.behavior import BehaviorBasis
from orchestration.evaluation.compare import Comparison
from orchestration.evaluation.motion import MotionBasis
from orchestration.evaluation.records import EvaluationRecord, Score, score_name
from posegen.errors import counted
from posegen.evaluation.behavior import BehaviorSource, probed_frames
from posegen.evaluation.metric_info import MetricInfo
from posegen.evaluation.metric_registry import metric_info
from posegen.evaluation.motion_generation import MotionSet
from posegen.io.storage import StorageFolder

_LIKENESS = ("fid", "accuracy", "diversity", "multimodality")
_MOVEMENT = ("coverage", "nearest", "amplitude", "jerk", "foot_skate", "limb_drift")
_JUDGES = ("accuracy", "movement_accuracy")
_ACTIONS = ("accuracy", "target_accuracy", "movement_accuracy", "target_movement_accuracy")
_TRANSFER_ROWS = (*_ACTIONS, "first_step", "joint_error", "cross_displacement", "consistency")
_TRANSFER_COLUMNS: tuple[BehaviorSource, ...] = ("real", "chance", "reconstruction", "transfer", "late")
_REALISM_ROWS = ("realism", "realism_of_real", "realism_accuracy", "limb_drift", "asd", "fsd", "apd", "ade", "fde")
_REALISM_COLUMNS: tuple[BehaviorSource, ...] = ("real", "reconstruction", "transfer", "prior", "flow")
_COMPARED: tuple[tuple[BehaviorSource, str], ...] = (
    ("reconstruction", "accuracy"),
    ("reconstruction", "joint_error"),
    *(("transfer", name) for name in (*_ACTIONS, "first_step", "limb_drift", "cross_displacement")),
    ("late", "accuracy"),
    ("code", "posture_error"),
    ("code", "posture_r2"),
    *((source, "realism") for source in ("reconstruction", "transfer", "prior", "flow")),
    *((source, name) for source in ("prior", "flow") for name in ("limb_drift", "asd", "fsd", "apd", "ade", "fde")),
)
"""Figures that runs are compared by. Distances of codes are left out: each run has codes of its own."""


def record_tables(record: EvaluationRecord[Any]) -> list[Table]:
    """Make the tables of one record, whatever its protocol."""
    match record.basis:
        case MotionBasis():
            return motion_tables([*real_rows(record), ("generated", record, "generated")])
        case BehaviorBasis():
            return behavior_tables(record)
    return [score_table(record)]


def score_table(record: EvaluationRecord[Any]) -> Table:
    """Make a table with a row for each score, by groups."""
    rows: list[Sequence[str]] = []
    infos = {name: metric_info(f"test/{name}") for name in record.scores}
    for group, names in groupby(record.scores, key=lambda name: infos[name].group):
        rows.append([f"[bold]{group}[/]"])
        for name in names:
            info, score = infos[name], record.scores[name]
            interval = " – ".join(map(info.format, score.interval or ()))
            rows.append([info.title, info.arrow, info.format(score.mean), interval, info.unit])
    return _grid(("metric", "better", "mean", "95 % interval", "unit"), rows)


MotionRow = tuple[str, EvaluationRecord[MotionBasis], MotionSet]
"""The title of a row, the record and the source of its scores."""


def real_rows(record: EvaluationRecord[MotionBasis]) -> list[MotionRow]:
    """Return the rows of real motions, those of the people that the run learned from if others were held out."""
    rows: list[MotionRow] = [("real", record, "real"), ("real people it learned from", record, "learned")]
    return [row for row in rows if score_name(row[2], "fid") in record.scores or row[2] == "real"]


def motion_tables(rows: Sequence[MotionRow], title: str = "") -> list[Table]:
    """Make two tables with a column for each metric: how like real motions those of each row are, and how they move.

    ± is half of the mean's 95 % interval; in brackets what ACTOR prints, in the first table, where published rows are
    below if all rows were measured as those were. Records of older versions have no second table.
    """
    published = rows[0][1].basis.published
    is_alike = all(record.basis.published == published for _, record, _ in rows)
    likeness, movement = (_motion_cells(rows, names, published=names == _LIKENESS) for names in (_LIKENESS, _MOVEMENT))
    for result in published if is_alike else ():
        values = (result.values.get(metric) for metric in _LIKENESS)
        likeness.append([f"{result.title} (published)", *map(_published_cell, values)])
    heads = [("", *(metric_info(f"motion/{name}").heading for name in names)) for names in (_LIKENESS, _MOVEMENT)]
    tables = [_grid(heads[0], likeness, title=title, divide_at=len(rows))]
    return [*tables, _grid(heads[1], movement)] if any(any(cells[1:]) for cells in movement) else tables


def _motion_cells(rows: Sequence[MotionRow], metrics: Sequence[str], *, published: bool) -> list[Sequence[str]]:
    """The title of each row, and its scores."""
    infos = [metric_info(f"motion/{name}") for name in metrics]
    return [
        [
            title,
            *(
                _cell(record.scores.get(score_name(source, info.name.partition("/")[2])), info, published=published)
                for info in infos
            ),
        ]
        for title, record, source in rows
    ]


def behavior_tables(record: EvaluationRecord[BehaviorBasis]) -> list[Table]:
    """Make the tables of one behaviour net: how well the judges know real motions, its transfers, its realism and
    diversity, and postures in its codes."""
    return [
        _source_table(record, _JUDGES, ("real", "chance")),
        _source_table(record, _TRANSFER_ROWS, _TRANSFER_COLUMNS),
        _source_table(record, _REALISM_ROWS, _REALISM_COLUMNS),
        _posture_table(record),
    ]


def behavior_comparison(records: Sequence[EvaluationRecord[BehaviorBasis]]) -> Table:
    """Make a table with a row for each metric and a column for each run, beside real motions and chance."""
    rows = []
    for source, metric in _COMPARED:
        scores = [record.scores.get(score_name(source, metric)) for record in records]
        if any(scores):
            info = metric_info(f"behavior/{metric}")
            beside = [records[0].scores.get(score_name(reference, metric)) for reference in ("real", "chance")]
            rows.append([f"{source}: {info.heading}", *(_cell(score, info) for score in (*beside, *scores))])
    return _grid(("", "real", "chance", *(StorageFolder(record.run).name for record in records)), rows)


def comparison_table(found: Comparison, top: int) -> Table:
    """Make a table of the best runs, with the parameters in which they differ."""
    infos = [metric_info(name) for name in found.objectives]
    measured = any(entry.interval for entry in found.entries)
    ends = ["95 % interval"] if measured else []
    heads = ["run", "state", *(info.heading for info in infos), *ends, *(x.rpartition(".")[2] for x in found.varied)]
    rows = []
    for entry in found.entries[:top]:
        metrics = entry.run.metrics
        values = [info.format(metrics[info.name]) if info.name in metrics else "" for info in infos]
        interval = [" – ".join(map(found.info.format, entry.interval or ()))] if measured else []
        varied = [_shorten(entry.parameters.get(name, "")) for name in found.varied]
        rows.append([entry.run.name, entry.state, *values, *interval, *varied])
    return _grid(heads, rows, title=f"{counted(len(found.entries), 'run')}, {found.order}", names=2)


def _source_table(
    record: EvaluationRecord[BehaviorBasis], metrics: Sequence[str], sources: Sequence[BehaviorSource]
) -> Table:
    """A row for each metric and a column for each source that was measured."""
    measured = [source for source in sources if any(score_name(source, name) in record.scores for name in metrics)]
    rows = []
    for name in metrics:
        info = metric_info(f"behavior/{name}")
        rows.append([info.heading, *(_cell(record.scores.get(score_name(x, name)), info) for x in measured)])
    return _grid(("", *measured), rows)


def _posture_table(record: EvaluationRecord[BehaviorBasis]) -> Table:
    """Table of the errors of postures predicted from codes, over all frames and frame by frame, beside the mean
    posture."""
    r2, error = (metric_info(f"behavior/{name}") for name in ("posture_r2", "posture_error"))
    rows = []
    for suffix in ("", *(f"_{frame}" for frame in probed_frames(record.basis.num_frames))):
        cells = (
            _cell(record.scores.get(f"code_posture_r2{suffix}"), r2),
            _cell(record.scores.get(f"code_posture_error{suffix}"), error),
            _cell(record.scores.get(f"chance_posture_error{suffix}"), error),
        )
        rows.append([f"frame {suffix[1:]}" if suffix else "all frames", *cells])
    return _grid(("", r2.heading, error.heading, f"of the mean posture, {error.unit}"), rows)


def _cell(score: Score | None, info: MetricInfo, *, published: bool = False) -> str:
    """A mean with half of its interval behind ±, where it varies, and the published kind of interval in brackets."""
    if score is None:
        return ""
    low, high = score.interval or (score.mean, score.mean)
    spread = f" ± {info.format((high - low) / 2)}" if high > low else ""
    if published and score.published_interval is not None:
        spread += f" [{info.format(info.scale * score.published_interval)}]"  # a variance: scaled twice
    return info.format(score.mean) + spread


def _published_cell(printed: tuple[float, float | None] | None) -> str:
    """A published value, with the number printed behind ± in brackets."""
    if printed is None:
        return ""
    value, spread = printed
    return f"{value:g}" if spread is None else f"{value:g} [{spread:g}]"


def _grid(
    heads: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    title: str = "",
    names: int = 1,
    divide_at: int | None = None,
) -> Table:
    """A table whose first columns have names and whose others have numbers; rows of one cell begin a section."""
    table, rows = Table(title=title or None), list(rows)
    for number, head in enumerate(heads):
        if number < names:  # words of names stay whole
            longest = max((len(word) for row in rows for word in row[number].split()), default=0)
            table.add_column(head, no_wrap=names > 1, overflow="fold", min_width=longest)
        else:
            table.add_column(head, justify="right", overflow="fold")
    for number, row in enumerate(rows):
        if len(row) == 1 or number == divide_at:
            table.add_section()
        table.add_row(*row)
    return table


def _shorten(text: str) -> str:
    """A number in four digits; anything else as it is."""
    try:
        return f"{float(text):.4g}"
    except ValueError:
        return text
