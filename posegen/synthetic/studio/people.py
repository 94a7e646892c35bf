"""The cast: thirteen people with bodies, hair and clothes of their own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from posegen.errors import ConfigError
from posegen.synthetic.studio.skeleton import rest_joints

Rgb = tuple[int, int, int]
"""sRGB, 0 to 255."""
Pattern = Literal["plain", "hoops", "pinstripes", "checks", "block"]
Hair = Literal["short", "crop", "bob", "long", "bun", "ponytail", "curls", "bald"]


@dataclass(frozen=True, kw_only=True)
class StudioPerson:
    """Body and looks. Widths and lengths without a unit are relative to the average adult."""

    height: float
    """Metres."""
    build: float = 1.0
    """Thickness of trunk and limbs."""
    shoulders: float = 1.0
    hips: float = 1.0
    waist: float = 1.0
    legs: float = 1.0
    bust: float = 0.0
    """0 is a flat chest."""
    skin: Rgb
    hair: Rgb
    hair_style: Hair = "short"
    beard: bool = False
    upper: Rgb
    """Base colour of the upper garment."""
    upper_pattern: Pattern = "plain"
    sleeves: Literal["long", "short"] = "long"
    lower: Rgb
    lower_pattern: Pattern = "plain"
    legwear: Literal["trousers", "shorts"] = "trousers"
    shoes: Rgb = (45, 42, 44)
    backdrop: Literal["plain", "skirting", "panels", "two_tone", "cove"] = "plain"

    @property
    def rest(self) -> np.ndarray:
        """(24, 3) metres: the joints of SMPL-24 in a T-pose, the pelvis at the origin."""
        return rest_joints(self.height, legs=self.legs, shoulders=self.shoulders, hips=self.hips)


CAST: dict[str, StudioPerson] = {
    "ada": StudioPerson(
        height=1.66, build=0.94, shoulders=0.93, hips=1.05, waist=0.92, legs=1.02, bust=0.8,
        skin=(224, 178, 148), hair=(70, 42, 28), hair_style="bob",
        upper=(176, 44, 58), lower=(52, 62, 92), shoes=(235, 232, 226), backdrop="skirting",
    ),
    "bruno": StudioPerson(
        height=1.79, build=1.10, shoulders=1.06,
        skin=(206, 154, 120), hair=(38, 30, 26), beard=True,
        upper=(58, 96, 168), upper_pattern="checks", lower=(88, 78, 66), shoes=(96, 62, 40), backdrop="two_tone",
    ),
    "chloe": StudioPerson(
        height=1.70, build=0.90, shoulders=0.94, hips=1.0, waist=0.88, legs=1.03, bust=0.7,
        skin=(240, 202, 178), hair=(206, 164, 92), hair_style="ponytail",
        upper=(238, 196, 72), sleeves="short", lower=(62, 70, 78), legwear="shorts", shoes=(214, 84, 92),
    ),
    "dmitri": StudioPerson(
        height=1.77, build=1.18, shoulders=1.05, hips=1.04, waist=1.18, legs=0.97,
        skin=(232, 190, 164), hair=(150, 142, 134), hair_style="crop",
        upper=(66, 122, 88), upper_pattern="hoops", lower=(48, 48, 56), backdrop="skirting",
    ),
    "elena": StudioPerson(
        height=1.62, build=0.97, shoulders=0.94, hips=1.1, waist=0.94, bust=1.0,
        skin=(214, 166, 130), hair=(92, 46, 30), hair_style="long",
        upper=(232, 228, 220), upper_pattern="hoops", lower=(150, 60, 84), shoes=(70, 48, 44), backdrop="cove",
    ),
    "farid": StudioPerson(
        height=1.74, build=0.98, shoulders=1.02,
        skin=(182, 128, 92), hair=(28, 24, 24), beard=True,
        upper=(206, 112, 52), sleeves="short", lower=(64, 84, 120), shoes=(226, 224, 220), backdrop="panels",
    ),
    "grace": StudioPerson(
        height=1.68, build=1.08, shoulders=0.98, hips=1.12, waist=1.06, bust=1.1,
        skin=(104, 66, 48), hair=(26, 20, 20), hair_style="curls",
        upper=(60, 158, 160), lower=(206, 190, 160), shoes=(120, 72, 60), backdrop="plain",
    ),
    "hiro": StudioPerson(
        height=1.71, build=0.92, shoulders=0.98,
        skin=(232, 194, 158), hair=(24, 22, 26), hair_style="short",
        upper=(96, 92, 104), upper_pattern="pinstripes", lower=(170, 152, 120), legwear="shorts",
        shoes=(52, 84, 140), backdrop="two_tone",
    ),
    "imani": StudioPerson(
        height=1.71, build=0.93, shoulders=0.97, hips=1.03, waist=0.9, legs=1.04, bust=0.7,
        skin=(84, 54, 42), hair=(22, 18, 20), hair_style="bun",
        upper=(132, 74, 152), sleeves="short", lower=(226, 222, 216), shoes=(60, 56, 66), backdrop="skirting",
    ),
    "jonas": StudioPerson(
        height=1.80, build=0.96, shoulders=1.04, legs=1.03,
        skin=(238, 198, 172), hair=(164, 92, 48), hair_style="short",
        upper=(134, 168, 204), upper_pattern="block", sleeves="short", lower=(46, 58, 84), shoes=(222, 218, 210),
        backdrop="panels",
    ),
    "kavya": StudioPerson(
        height=1.60, build=0.96, shoulders=0.93, hips=1.06, waist=0.95, bust=0.9,
        skin=(170, 116, 82), hair=(30, 22, 22), hair_style="ponytail",
        upper=(212, 96, 140), upper_pattern="pinstripes", lower=(74, 60, 96), shoes=(236, 230, 224), backdrop="cove",
    ),
    "luis": StudioPerson(
        height=1.69, build=1.14, shoulders=1.03, waist=1.08, legs=0.98,
        skin=(196, 144, 108), hair=(40, 30, 28), hair_style="bald",
        upper=(164, 178, 92), sleeves="short", lower=(112, 72, 48), lower_pattern="checks", legwear="shorts",
        shoes=(58, 58, 60), backdrop="plain",
    ),
    "mei": StudioPerson(
        height=1.63, build=0.90, shoulders=0.92, hips=0.98, waist=0.92, bust=0.5,
        skin=(240, 206, 176), hair=(22, 20, 24), hair_style="bob",
        upper=(186, 138, 70), upper_pattern="checks", lower=(36, 40, 48), shoes=(196, 60, 56), backdrop="two_tone",
    ),
}  # fmt: skip

PEOPLE: tuple[str, ...] = tuple(CAST)
"""The names of the thirteen people."""


def find_person(name: str) -> StudioPerson:
    """Return a member of the cast; ConfigError for an unknown name."""
    if name not in CAST:
        raise ConfigError(f"unknown person {name!r}, expected one of {sorted(CAST)}")
    return CAST[name]
