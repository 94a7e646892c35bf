"""Colours of the garments of a photo: from colours, photos, and the colour codes of trained runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from posegen.color.garment_regions import Garment, distinct_garments, require_separate
from posegen.color.lab import Lab
from posegen.color.palette import color_name, hex_color, is_kept, parse_color
from posegen.errors import ColorError, ConfigError
from posegen.inference.cloth_color import color_of_worn
from posegen.inference.code_colors import CodeColors, load_code_colors
from posegen.inference.people import is_image
from posegen.inference.requested_codes import ColorSettings, SamplingSettings, measure_cloth
from posegen.io.video_reader import read_image
from posegen.metrics.garment_color import gamut_note

_GARMENTS: tuple[Garment, ...] = ("upper", "lower")


@dataclass(frozen=True)
class CodedColor:
    """A colour of a garment, and the code that it is the colour of."""

    lab: Lab
    code: Tensor | None = None
    """(Z,); None where no run knows the garment."""


@dataclass(frozen=True)
class ColorPath:
    """The colours of a garment from the first frame of a video to the last."""

    begin: CodedColor
    end: CodedColor
    codes: CodeColors | None = None
    """Of a run, through whose codes the colours go; None for the straight line from one to the other."""

    def colors(self, num_frames: int) -> np.ndarray:
        """Return L, a, b of each frame, (T, 3)."""
        if self.begin is self.end:
            return np.repeat(np.array([self.begin.lab]), num_frames, axis=0)
        shares = np.linspace(0, 1, num_frames)
        if self.codes is None or self.begin.code is None or self.end.code is None:
            return np.outer(1 - shares, self.begin.lab) + np.outer(shares, self.end.lab)
        return self.codes.fade((self.begin.code, self.end.code), (self.begin.lab, self.end.lab), shares)


@dataclass(frozen=True)
class ChosenColors:
    """The colours of the videos of a photo's person."""

    videos: list[dict[Garment, ColorPath]]
    """Of each video, those of the garments that do not keep their own."""
    notes: dict[str, str]
    """For each garment that was given colours, a note on them."""

    @property
    def garments(self) -> list[Garment]:
        """The garments that do not keep their own, in every video the same."""
        return list(self.videos[0])


class ColorReader:
    """Reads the colours that are asked for, and draws others from codes.

    Args:
        runs: Runs whose colour codes are known, see `load_code_colors`.

    Raises:
        PosegenError: A run cannot be read or does not fit.
    """

    def __init__(self, runs: Sequence[str] = ()):
        self.codes = load_code_colors(runs)

    def require_codes(self) -> None:
        """Raise ConfigError where no run is known, from which random colours are drawn."""
        if not self.codes:
            raise ConfigError("--sample draws from the colour codes of a run: name it with --encoders")

    def read(self, garment: Garment, text: str) -> CodedColor:
        """Read a colour of a garment: as in CSS, or of a photo of cloth or of somebody who wears it.

        What somebody wears has the colour of its code where a run knows the garment, and otherwise the photo's own.

        Raises:
            PosegenError: It is neither, or the photo cannot be read or does not show the garment.
        """
        codes = self.codes.get(garment)
        if is_image(text):
            worn = _color_in_photo(Path(text), garment)
            if worn is None:
                lab = measure_cloth(Path(text))
            elif codes is None:
                lab = worn
            else:
                return self._of_code(garment, codes.encode(read_image(Path(text), size=codes.size).images[0]))
        else:
            lab = parse_color(text)
        return CodedColor(lab, codes.code_of(lab) if codes else None)

    def sample(self, garments: Sequence[Garment], asked: SamplingSettings) -> dict[Garment, list[CodedColor]]:
        """Draw random colours of garments: those of the codes that `posegen generate` draws by the same seed.

        Raises:
            ConfigError: No run knows one of them.
        """
        if unknown := [garment for garment in garments if garment not in self.codes]:
            raise ConfigError(
                f"no run of --encoders has learned the {unknown[0]} garment: add one, or give --{unknown[0]}"
            )
        generator = torch.Generator().manual_seed(asked.seed)
        drawn = {
            garment: self.codes[garment].sample(asked.samples, generator, prior=asked.sample == "prior")
            for garment in _GARMENTS
            if garment in self.codes
        }
        return {garment: [self._of_code(garment, code) for code in drawn[garment]] for garment in garments}

    def _of_code(self, garment: Garment, code: Tensor) -> CodedColor:
        lightness, a, b = self.codes[garment].colors_of(code[None])[0].tolist()
        return CodedColor((lightness, a, b), code)


class RequestedColors:
    """The colours that are asked for, as far as they are known before the photo is.

    Args:
        asked: The colours.
        runs: Runs whose codes random colours are drawn from, and changing colours go through.

    Raises:
        PosegenError: A colour or a run cannot be read, or nothing says what random colours are drawn from.
    """

    def __init__(self, asked: ColorSettings, runs: Sequence[str] = ()):
        self._asked, self._reader = asked, ColorReader(runs)
        if asked.sample != "none":
            self._reader.require_codes()
        begin = {garment: getattr(asked, garment) for garment in _GARMENTS}
        end = {garment: getattr(asked, f"{garment}_to") for garment in _GARMENTS}
        self._kept = {garment for garment, text in begin.items() if is_kept(text)}
        self._begin, self._end = self._read(begin), self._read(end)
        self._notes: dict[str, str] = {garment: _note(begin[garment], color) for garment, color in self._begin.items()}
        self._notes |= {f"{one}, at the end": _note(end[one], color) for one, color in self._end.items()}

    def _read(self, texts: Mapping[Garment, str]) -> dict[Garment, CodedColor]:
        """The colours of the garments that do not keep theirs."""
        given = {garment: text for garment, text in texts.items() if text and not is_kept(text)}
        return {garment: self._reader.read(garment, text) for garment, text in given.items()}

    def choose(self, labels: np.ndarray) -> ChosenColors:
        """Choose the colours of the videos of a photo's person; without random ones there is one video.

        Args:
            labels: (H, W) uint8 of `PersonClass`, the photo's.

        Raises:
            PosegenError: A one-piece is given two colours, no run knows a garment that is to have a random one, or one
                fades from none.
        """
        random: dict[Garment, list[CodedColor]] = {}
        if self._asked.sample != "none":
            random = self._reader.sample(distinct_garments(labels, {*self._begin, *self._kept}), self._asked)
        if unbegun := sorted(set(self._end) - set(self._begin) - set(random)):
            raise ConfigError(f"--{unbegun[0]}-to fades from --{unbegun[0]}, which is missing")
        videos = []
        for number in range(self._asked.num_videos):
            first = self._begin | {garment: colors[number] for garment, colors in random.items()}
            for colors in (first, first | self._end):
                require_separate(labels, {garment: color.lab for garment, color in colors.items()})
            paths = {
                garment: ColorPath(color, self._end.get(garment, color), self._reader.codes.get(garment))
                for garment, color in first.items()
            }
            videos.append(paths)
        drawn: dict[str, str] = {garment: f"at random {_list(colors)}" for garment, colors in random.items()}
        return ChosenColors(videos, self._notes | drawn)


def _color_in_photo(path: Path, garment: Garment) -> Lab | None:
    """The colour of what somebody in a photo wears; None where the photo shows nobody."""
    try:
        return color_of_worn(read_image(path, size=None).images[0], garment)
    except ColorError as error:
        raise ColorError(f"{path} does not show the {garment} garment of its person") from error


def _note(text: str, color: CodedColor) -> str:
    beyond = gamut_note(color.lab)
    shown = hex_color(color.lab)
    return (text if text.lower() == shown else f"{text} is {shown}") + (f"; {beyond}" if beyond else "")


def _list(colors: Sequence[CodedColor]) -> str:
    """Write colours that were drawn, so that they can be asked for."""
    return ", ".join(f"{hex_color(color.lab)} {color_name(color.lab)}" for color in colors)
