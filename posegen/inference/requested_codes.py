"""Colour codes of generated videos: from colours, photos, or sampled."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from posegen.color.lab import rgb_to_lab
from posegen.color.palette import hex_color, is_kept, parse_color
from posegen.datasets.clips import DatasetInfo, GarmentChoice
from posegen.errors import ConfigError
from posegen.inference.color_matching import ColorMatch, match_colors
from posegen.inference.option_use import RUN, used_with
from posegen.inference.people import is_image, shows_person
from posegen.inference.person import Person, worn_color
from posegen.inference.video_synthesizer import VideoSynthesizer, interpolate_codes
from posegen.io.video_reader import read_image
from posegen.samples import REGIONS


@dataclass(frozen=True, kw_only=True)
class SamplingSettings:
    """Random colours."""

    sample: Literal["none", "fitted", "prior"] = "none"
    """Sample random colours: from the distribution in training (fitted), or from N(0, I) as in the paper (prior). With
    a photo, those of the run in --encoders."""
    samples: int = 4
    """Number of random colours: videos of each pose sequence, or pictures."""
    seed: int = 0
    """Seed of random colours, and of the motion that is generated for an action."""

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise ConfigError(f"got samples {self.samples}, expected 1 or more")

    @property
    def num_videos(self) -> int:
        """Videos of each pose sequence."""
        return 1 if self.sample == "none" else self.samples


@dataclass(frozen=True, kw_only=True)
class ColorSettings(SamplingSettings):
    """Colours of the clothes. A garment without one keeps its own, or with --sample gets a random one."""

    upper: str = ""
    """Colour of the upper garment: #rrggbb, a CSS name, lab(L a b), a photo of a person who wears it or of cloth, or
    keep for its own."""
    lower: str = ""
    """Colour of the lower garment, likewise."""
    upper_to: str = ""
    """Colour of the upper garment in the last frame; it changes evenly from the first frame on."""
    lower_to: str = ""
    """The same for the lower garment."""
    exact_color: bool = field(default=False, metadata=used_with(RUN))
    """Correct the codes until the rendered garments have the colours given; takes some seconds."""
    garments: GarmentChoice = field(default="dataset", metadata=used_with(RUN))
    """Method that finds the garments: the one that prepared the dataset, heuristic or parser."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("upper_to", "lower_to"):  # fields are frozen; what keeps its colour does not change to another
            if is_kept(getattr(self, name)):
                object.__setattr__(self, name, "")

    @property
    def files(self) -> list[Path]:
        """The photos that colours are taken from."""
        return [Path(text) for text in (self.upper, self.lower, self.upper_to, self.lower_to) if is_image(text)]


OWN_COLORS = ColorSettings()
"""Every garment keeps its own colour."""


@dataclass(frozen=True)
class ChosenCodes:
    """Colour codes of the videos of a pose sequence."""

    ends: list[tuple[Tensor, Tensor]]
    """For each video the codes (Z,) of its first and of its last frame."""
    notes: dict[str, str]
    """For each garment that was given a colour, a note on it."""

    def of_frames(self, video: int, num_frames: int) -> Tensor:
        """Return the codes of a video's frames: (T, Z) where they change, otherwise (Z,)."""
        start, end = self.ends[video]
        if start is end or torch.equal(start, end):
            return start
        return interpolate_codes(start, end, num_frames)


def choose_codes(
    synthesizer: VideoSynthesizer, person: Person, info: DatasetInfo, colors: ColorSettings
) -> ChosenCodes:
    """Choose the colour codes of a person's videos.

    Args:
        synthesizer: The renderer of the videos.
        person: The person, whose own colours are kept where none are given.
        info: Facts of the dataset, whose pose estimator separates photos of people from photos of cloth.
        colors: The colours.

    Raises:
        PosegenError: A colour cannot be parsed, a photo not be read, or the garment is not seen.
    """
    own = synthesizer.encode(person.image)
    begin, end = {"upper": colors.upper, "lower": colors.lower}, {"upper": colors.upper_to, "lower": colors.lower_to}
    start, notes = recolor_garments(synthesizer, person, info, own, begin, exact=colors.exact_color)
    stop, at_end = recolor_garments(synthesizer, person, info, start, end, exact=colors.exact_color)
    notes |= {f"{region}, at the end": note for region, note in at_end.items()}
    if colors.sample == "none":
        return ChosenCodes([(start, stop)], notes)
    generator = torch.Generator().manual_seed(colors.seed)
    sampled = [
        synthesizer.codebook(region).sample(colors.samples, generator, prior=colors.sample == "prior")
        for region in REGIONS
    ]
    ends = []
    for number in range(colors.samples):
        random = {region: parts[number] for region, parts in zip(REGIONS, sampled, strict=True)}
        free = {region: code for region, code in random.items() if not begin[region]}
        free_at_end = {region: code for region, code in free.items() if not end[region]}
        ends.append((_replace_parts(synthesizer, start, free), _replace_parts(synthesizer, stop, free_at_end)))
    return ChosenCodes(ends, notes)


def recolor_garments(
    synthesizer: VideoSynthesizer,
    person: Person,
    info: DatasetInfo,
    z: Tensor,
    targets: dict[str, str],
    *,
    exact: bool,
) -> tuple[Tensor, dict[str, str]]:
    """Replace the codes of the garments for which a colour or a photo is given.

    Codes change hue and chroma: a garment keeps about its own lightness.

    Args:
        synthesizer: The renderer.
        person: The person.
        info: Facts of the dataset, see `choose_codes`.
        z: The code (Z,) to change.
        targets: A colour or a photo's path by region; empty or ``keep`` for none.
        exact: Correct the codes by what is rendered with them.

    Returns:
        The new code (Z,), and a note on each garment that was given a colour.
    """
    asked: dict[str, tuple[float, float, float]] = {}
    notes = {}
    for region, target in targets.items():
        if not target or is_kept(target):
            continue
        if is_image(target) and shows_person(Path(target), info):
            photo = read_image(Path(target), size=synthesizer.size).images[0]
            code = synthesizer.split(synthesizer.encode(photo))[REGIONS.index(region)]
            z = _replace_parts(synthesizer, z, {region: code})
            notes[region] = f"as in {target}"
            continue
        asked[region] = read_color(target)
        notes[region] = f"{target} is {hex_color(asked[region])}"
    if exact and asked:
        z, matches = match_colors(synthesizer, person, z, asked)
        for region, match in matches.items():
            notes[region] += f"; {_describe_match(match)}"
        return z, notes
    lightness = {region: worn_color(person, region)[0] for region in asked}
    return synthesizer.recolor(z, {region: (lightness[region], a, b) for region, (_, a, b) in asked.items()}), notes


def _describe_match(match: ColorMatch) -> str:
    """Say how far the rendered colour is from the one that was asked for, and why where it is far."""
    text = f"rendered as {hex_color(match.rendered)}, ΔE2000 {match.after:.1f} from it"
    if match.after < match.before:
        text += f", {match.before:.1f} before the correction"
    else:
        text += ", which no correction brings nearer"
    if match.is_reached:
        return text
    return f"{text}: as near as this run's codes come, which change hue and chroma and hardly lightness"


def read_color(text: str) -> tuple[float, float, float]:
    """Return L, a, b of a colour as in CSS, or of a photo of cloth. Raises PosegenError where it is neither."""
    return measure_cloth(Path(text)) if is_image(text) else parse_color(text)


def measure_cloth(path: Path) -> tuple[float, float, float]:
    """Return mean L, a, b of a picture of cloth: of its central half in each direction, to leave out a background."""
    image = read_image(path, size=None).images[0]
    height, width = image.shape[:2]
    lightness, a, b = rgb_to_lab(image[height // 4 : -(height // 4), width // 4 : -(width // 4)]).mean((0, 1)).tolist()
    return lightness, a, b


def _replace_parts(synthesizer: VideoSynthesizer, z: Tensor, parts: dict[str, Tensor]) -> Tensor:
    """A code (Z,) with the codes of some garments replaced."""
    own = zip(REGIONS, synthesizer.split(z), strict=True)
    return torch.cat([parts.get(region, part) for region, part in own])
