"""The tables of `posegen evaluate --pipeline photo`: lines of cells, and a page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestration.reports.photo import PhotoEvaluation

OURS = "layers"
"""The method that is measured: the pipeline as it is."""
RAISED: frozenset[str] = frozenset(("ms_ssim", "ssim"))
"""Metrics of clips that are the better the higher."""
DIGITS = 4
"""Of figures, behind the point."""


def photo_folder(method: str) -> str:
    """Return the folder of a method\'s pictures of photos, below the report\'s folder."""
    return "photos" + method.removeprefix(OURS).replace(" ", "-")


def table_cells(evaluation: PhotoEvaluation) -> list[tuple[str, ...]]:
    """Return the lines of the protocol's table, the first with its heads."""
    lines: list[tuple[str, ...]] = [
        ("what", "metric", "method", "mean", "95 % interval", "of", "before", "to reach", "reached")
    ]
    for row in evaluation.rows:
        interval = " – ".join(f"{x:.{DIGITS}f}" for x in row.score.interval or ())
        sign = "≥" if row.direction == "up" else "≤"
        lines.append(
            (
                row.what,
                row.metric,
                row.method,
                f"{row.score.mean:.{DIGITS}f}",
                interval,
                str(row.count),
                row.today,
                f"{sign} {row.goal:.4g}",
                "yes" if row.reached else "no",
            )
        )
    return lines


def motion_cells(evaluation: PhotoEvaluation) -> list[tuple[str, ...]]:
    """Return the lines of the table of clips and methods; behind another method's value is the layers' p value."""
    metrics = next(iter(next(iter(evaluation.motion.values()), {}).values()), {})
    lines: list[tuple[str, ...]] = [("clip", "method", *metrics)]
    for clip, methods in evaluation.motion.items():
        for method, values in methods.items():
            cells = []
            for metric, value in values.items():
                test = evaluation.tests[clip].get(method, {}).get(metric)
                ahead = test is not None and (test.mean_difference > 0) == (metric in RAISED)
                note = "" if test is None else f" ({'ahead' if ahead else 'behind'}, p {test.p_value:.4f})"
                cells.append(f"{value:.{DIGITS}f}{note}")
            lines.append((clip, method, *cells))
    return lines


def to_markdown(evaluation: PhotoEvaluation) -> str:
    """Write the report as a page."""
    parts = ["# Photos in motion", "", *(f"- {note}" for note in evaluation.notes)]
    for title, lines in (("Protocol", table_cells(evaluation)), ("Clips", motion_cells(evaluation))):
        if len(lines) > 1:
            parts += ["", f"## {title}", "", _line(lines[0]), _line(["---"] * len(lines[0]))]
            parts += [_line(cells) for cells in lines[1:]]
    if evaluation.motion:
        parts += ["", f"In brackets: whether {OURS} are ahead of the method, and the paired p value."]
    parts += ["", *(f"![{clip}](clips/{clip}.png)" for clip in evaluation.motion)]
    parts += [
        f"![{photo.name}, {method}]({photo_folder(method)}/{photo.name}.png)"
        for method, photos in evaluation.photos.items()
        for photo in photos
    ]
    return "\n".join(parts) + "\n"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
