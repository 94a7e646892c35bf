"""``posegen colorways``: one photo of a person in many colours on a sheet, with how far each is from its request."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.table import Table

from posegen.color.palette import color_name
from posegen.inference.color_sheet import ColorSheetSettings, draw_color_sheet
from posegen.io.images import write_picture, write_whole
from posegen.io.output_files import SHEET, OverwriteSettings, default_file, written_as
from posegen.metrics.garment_color import ColorReport

_COLUMN_NAMES = (
    *("picture", "garment", "requested", "name", "L", "a", "b"),
    *("delta_e_median", "delta_e_p95", "delta_e_pixels", "frames", "note"),
)

_CAPTION = (
    "ΔE2000: how far the cloth is from the colour asked for; below 1 is hardly visible. Pixels have folds and shade."
)


@dataclass(frozen=True, kw_only=True)
class ColorwaySettings(ColorSheetSettings, OverwriteSettings):
    """The colours, and where the sheet is written."""

    out: Path | None = field(default=None, metadata=written_as(SHEET))
    """The sheet to write, .png; by default PHOTO.colors.png in the current folder. Its figures are written beside it,
    .csv."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.out is not None:
            SHEET.require(self.out)


@dataclass(frozen=True)
class Colorways:
    """The files of one command, and what is in them."""

    sheet: Path
    figures: Path
    num_pictures: int
    """Without the photo itself."""
    reports: list[tuple[int, ColorReport]]
    """For each garment with a new colour the number of its picture, from 1 on, and how well it has the colour."""
    notes: list[str] = field(default_factory=list)

    def table(self) -> Table:
        """Return the reports, for the console."""
        table = Table("picture", "garment", "asked for", "CSS name", caption=_CAPTION)
        for head in ("ΔE2000", "of pixels"):
            table.add_column(head, justify="right")
        for number, report in sorted(self.reports, key=lambda one: (one[0], one[1].garment != "upper")):
            figures = (f"{report.median:.2f}", f"{report.per_pixel:.1f}")
            table.add_row(str(number), report.garment, report.requested, color_name(report.lab), *figures)
        return table


def write_colorways(photo: Path, settings: ColorwaySettings) -> Colorways:
    """Write a sheet of a photo in all colours asked for.

    Args:
        photo: The photo.
        settings: The colours, and where the sheet is written.

    Raises:
        PosegenError: See `draw_color_sheet`, or the sheet would replace an input. Nothing is written then.
    """
    sheet = settings.out or default_file(photo, "colors.png")
    figures = sheet.with_suffix(".csv")
    settings.require_writable((sheet, figures), photo, settings.upper, settings.lower, settings.view)
    made = draw_color_sheet(photo, settings)
    write_picture(sheet, made.image)
    write_whole(figures, _as_csv(made.reports).encode())
    return Colorways(sheet, figures, made.num_pictures, made.reports, made.notes)


def _as_csv(reports: Sequence[tuple[int, ColorReport]]) -> str:
    """The reports, one a line."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMN_NAMES)
    for number, report in reports:
        lab = (f"{value:.2f}" for value in report.lab)
        figures = (f"{value:.3f}" for value in (report.median, report.p95, report.per_pixel))
        name = color_name(report.lab)
        writer.writerow([number, report.garment, report.requested, name, *lab, *figures, report.frames, report.note])
    return text.getvalue()
