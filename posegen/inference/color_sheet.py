"""One photo of a person in many colours on a sheet, with how far each is from its request."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

import cv2
import numpy as np

from posegen.color.garment_recoloring import GarmentPaint
from posegen.color.garment_regions import Garment, distinct_garments, require_separate
from posegen.color.lab import Lab, lab_to_rgb, shown_color
from posegen.color.palette import color_name, hex_color, is_kept
from posegen.errors import ConfigError, counted
from posegen.inference.movements import Movement
from posegen.inference.people import is_image
from posegen.inference.photo import perceive_photo
from posegen.inference.requested_codes import SamplingSettings
from posegen.inference.requested_colors import ColorReader
from posegen.inference.requested_motions import MotionSettings, resolve_motions
from posegen.inference.shown_person import CodedViewSettings, open_person
from posegen.io.images import grid, shrink
from posegen.io.lettering import INK, draw_text, text_width
from posegen.io.video_reader import read_image
from posegen.metrics.garment_color import ColorReport, color_report

_ORDER: tuple[Garment, ...] = ("lower", "upper")  # in which garments are painted, and their figures are listed
_MOST = 100  # pictures on a sheet
_TALLEST = 1024  # pixels; taller photos are made smaller
_MOMENTS = 4  # of an action
_COLUMNS = 6  # where there's one row of colours alone


@dataclass(frozen=True, kw_only=True)
class ColorSheetSettings(SamplingSettings):
    """The colours of a sheet."""

    upper: tuple[str, ...] = ()
    """Colours of the upper garment, with spaces or commas between them: #rrggbb, a CSS name, lab(L a b), a photo of
    cloth, or keep for its own."""
    lower: tuple[str, ...] = ()
    """Colours of the lower garment, likewise; each is combined with each of the upper one."""
    action: str = ""
    """An action, of which moments are shown in each colour; by default the photo as it is."""
    view: CodedViewSettings = field(default_factory=CodedViewSettings)
    """Person to show and, with an action, the size of each moment."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for garment in _ORDER:  # fields are frozen
            object.__setattr__(self, garment, tuple(one for text in getattr(self, garment) for one in _split(text)))
        if not self.upper and not self.lower and self.sample == "none":
            raise ConfigError(
                "no colours given, expected --upper '#2a6fdb' black, --lower navy, or --sample fitted --encoders RUN"
            )
        if not any(self._changes(texts) for texts in (self.upper, self.lower)):
            raise ConfigError("no garment gets another colour by keep alone: add a colour, as in --upper keep teal")
        number = max(len(self.upper), 1) * max(len(self.lower), 1) * self.num_videos
        if number > _MOST:
            raise ConfigError(f"{number} pictures are more than the {_MOST} of a sheet: ask for fewer colours")

    def _changes(self, texts: Sequence[str]) -> bool:
        """Return True for a garment that gets another colour, given or at random."""
        return any(not is_kept(text) for text in texts) or (not texts and self.sample != "none")


def _split(text: str) -> list[str]:
    """Colours with commas between them; those of functions, such as rgb(1, 2, 3), part nothing."""
    return [text] if is_image(text) else [one.strip() for one in re.split(r",(?![^(]*\))", text) if one.strip()]


@dataclass(frozen=True)
class ColorSheet:
    """A photo in many colours."""

    image: np.ndarray
    """(H, W, 3) uint8 RGB: the sheet."""
    num_pictures: int
    """Without the photo itself."""
    reports: list[tuple[int, ColorReport]]
    """For each garment with a new colour the number of its picture, from 1 on, and how well it has the colour."""
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Request:
    """A colour that was asked for, or drawn at random."""

    text: str
    lab: Lab

    @property
    def label(self) -> str:
        """For people to read: its name, and the code where it isn't one."""
        text, name = Path(self.text).name if is_image(self.text) else self.text, color_name(self.lab)
        return text if text.lower() == name else f"{text} {name}"


def draw_color_sheet(photo: Path, settings: ColorSheetSettings) -> ColorSheet:
    """Draw a sheet of a photo in all colours asked for.

    Args:
        photo: The photo.
        settings: The colours.

    Raises:
        PosegenError: The photo shows no person or not the garment, a colour cannot be read, or a dress is given two
            colours.
    """
    reader = ColorReader(settings.view.encoders)
    asked = {garment: _read_requests(reader, garment, getattr(settings, garment)) for garment in _ORDER}
    if settings.sample != "none":
        reader.require_codes()
    shots = _Moments(photo, settings) if settings.action else _Still(photo, settings)
    found = shots.photo
    combinations = _combine(asked, _draw(reader, settings, found.labels, asked))
    given = {garment for colors in combinations for garment in colors}
    paints = {garment: GarmentPaint(found.image, found.labels, garment) for garment in _ORDER if garment in given}
    cloth = {garment: shots.where(paint.cloth) for garment, paint in paints.items()}
    pictures, reports = [_captioned(_in_a_row(shots.show(found.image)), [("the photo", None)], lines=len(paints))], []
    for number, colors in enumerate(combinations, 1):
        require_separate(found.labels, {garment: wanted.lab for garment, wanted in colors.items()})
        picture = found.image
        for garment, wanted in colors.items():
            picture = paints[garment].apply(wanted.lab, onto=picture)
        frames = shots.show(picture)
        made = [
            color_report(garment, wanted.text, wanted.lab, frames, cloth[garment]) for garment, wanted in colors.items()
        ]
        reports += [(number, report) for report in made]
        captions = [
            (f"{number}  {colors[report.garment].label}  ΔE {report.median:.1f}", report.lab)
            for report in reversed(made)
        ]
        pictures.append(
            _captioned(_in_a_row(frames), captions or [(f"{number}  own colours", None)], lines=len(paints))
        )
    columns = min(_columns(settings), len(pictures))
    if len(asked["upper"]) > 1 and len(combinations) > len(asked["upper"]):
        columns = len(asked["upper"])
    notes = dict.fromkeys(shots.notes) | {
        f"{report.requested}: {report.note}": None for _, report in reports if report.note
    }
    if found.others:
        whose = (
            "the most prominent person is taken"
            if settings.view.person == 1
            else f"person {settings.view.person} is taken"
        )
        notes[f"{counted(found.others, 'more person')} of comparable size: {whose}; choose with --person"] = None
    return ColorSheet(_lay_out(pictures, columns), len(pictures) - 1, reports, list(notes))


def _columns(settings: ColorSheetSettings) -> int:
    """Pictures beside each other; those of an action are several times as wide."""
    return 2 if settings.action else _COLUMNS


class _Still:
    """The photo as it is."""

    def __init__(self, path: Path, settings: ColorSheetSettings):
        footage = read_image(path, size=None)
        self.notes = footage.notes
        self.photo = perceive_photo(shrink(footage.images[0], _TALLEST), settings.view.person)

    def show(self, image: np.ndarray) -> np.ndarray:
        """Show the photo with other colours (H, W, 3): (1, H, W, 3)."""
        return image[None]

    def where(self, region: np.ndarray) -> np.ndarray:
        """Find a region (H, W) bool of the photo in what is shown: (1, H, W)."""
        return region[None]


class _Moments:
    """Moments of an action that the person of the photo does."""

    def __init__(self, path: Path, settings: ColorSheetSettings):
        moves = MotionSettings(action=(settings.action,))
        [(name, motion)] = resolve_motions(moves, None, settings.seed, None).items()
        movement = Movement(name, motion, motion.fps)
        shown = open_person(path, settings.view, [movement])
        self.photo, self._person = shown.photo, shown.photo.layered()
        self.notes = shown.findings
        poses = movement.fit(self.photo.pose, settings.view.height_and_width, shown.measures)
        rows = np.linspace(0, len(poses) - 1, _MOMENTS + 2).round().astype(int)[1:-1]
        self._poses = [poses[int(row)] for row in rows]

    def show(self, image: np.ndarray) -> np.ndarray:
        """Show the moments with other colours of the photo (H, W, 3): (T, H, W, 3)."""
        person = self._person.recolored(image)
        return np.stack([person.frame(pose) for pose in self._poses])

    def where(self, region: np.ndarray) -> np.ndarray:
        """Find a region (H, W) bool of the photo in the moments: (T, H, W), where nothing else is mixed in."""
        marked = self.show(np.where(region[..., None], np.uint8(255), np.uint8(0)).repeat(3, axis=-1))
        background = self.show(np.zeros((*region.shape, 3), np.uint8))
        return (marked.min(axis=-1) == 255) & (background.max(axis=-1) == 0)


def _in_a_row(frames: np.ndarray) -> np.ndarray:
    return np.concatenate([*frames], axis=1)


def _read_requests(reader: ColorReader, garment: Garment, texts: Sequence[str]) -> list[_Request | None]:
    """The colours that are asked for of a garment; None where it keeps its own."""
    return [None if is_kept(text) else _Request(text, reader.read(garment, text).lab) for text in texts]


def _draw(
    reader: ColorReader, settings: ColorSheetSettings, labels: np.ndarray, asked: dict[Garment, list[_Request | None]]
) -> list[dict[Garment, _Request]]:
    """Random colours of the garments that no colours are asked of, a combination each; without any, one of none."""
    if settings.sample == "none":
        return [{}]
    free = distinct_garments(labels, [garment for garment in _ORDER if asked[garment]])
    drawn = reader.sample(free, settings)
    return [
        {garment: _Request(hex_color(colors[number].lab), colors[number].lab) for garment, colors in drawn.items()}
        for number in range(settings.samples)
    ]


def _combine(
    asked: dict[Garment, list[_Request | None]], drawn: Sequence[dict[Garment, _Request]]
) -> list[dict[Garment, _Request]]:
    """Every combination of the colours that are asked for with those that are drawn."""
    combinations = []
    for lower, of_drawn, upper in product(asked["lower"] or [None], drawn, asked["upper"] or [None]):
        wanted: dict[Garment, _Request | None] = {"lower": lower, "upper": upper}
        every = {garment: wanted[garment] or of_drawn.get(garment) for garment in _ORDER}
        combinations.append({garment: color for garment, color in every.items() if color})
    return combinations


# ---- The sheet


def _captioned(image: np.ndarray, captions: Sequence[tuple[str, Lab | None]], lines: int) -> np.ndarray:
    """A picture with lines of text above it, each with a swatch of its colour."""
    height, width = image.shape[:2]
    size = int(np.clip(width // 18, 10, 22))
    line = round(1.7 * size)
    sheet = np.full((height + lines * line + 4, width, 3), 255, np.uint8)
    for row, (text, lab) in enumerate(captions):
        top, left = row * line + 3, 4
        if lab is not None:
            corners = (left, top), (left + 2 * size, top + line - 5)
            color = [round(float(channel) * 255) for channel in lab_to_rgb(shown_color(lab))]
            cv2.rectangle(sheet, *corners, color, cv2.FILLED)
            cv2.rectangle(sheet, *corners, INK)
            left += round(2.4 * size)
        while text and text_width(text, size) > width - left - 2:
            text = text[:-2] + "…" if len(text) > 2 else ""
        draw_text(sheet, text, (left, top + size), size)
    sheet[-height:] = image
    return sheet


def _lay_out(pictures: Sequence[np.ndarray], columns: int) -> np.ndarray:
    """Pictures in rows; where there are colours of two garments, the photo has a row of its own."""
    first = [] if len(pictures) <= columns or (len(pictures) - 1) % columns else [list(pictures[:1])]
    rest = pictures[len(first) :]
    return grid([*first, *(list(rest[i : i + columns]) for i in range(0, len(rest), columns))], gap=6)
