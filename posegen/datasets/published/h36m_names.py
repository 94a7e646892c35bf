"""Names of people, actions, cameras and files in Human3.6M (Ionescu et al., 2014)."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np

H36M_SUBJECTS: tuple[str, ...] = ("S1", "S5", "S6", "S7", "S8", "S9", "S11")
"""People whose poses are published."""

TEST_SUBJECTS: tuple[str, ...] = ("S9", "S11")
"""Subjects that are held out in all publications."""

CAMERAS: tuple[str, ...] = ("54138969", "55011271", "58860488", "60457274")
"""Around the room; the same ones for everybody, in other places."""

H36M_ACTIONS: dict[int, str] = {
    2: "Directions",
    3: "Discussion",
    4: "Eating",
    5: "Greeting",
    6: "Phoning",
    7: "Posing",
    8: "Purchases",
    9: "Sitting",
    10: "SittingDown",
    11: "Smoking",
    12: "TakingPhoto",
    13: "Waiting",
    14: "Walking",
    15: "WalkingDog",
    16: "WalkingTogether",
}
"""Actions by number; 1 is a calibration that is not learned."""

H36M_FPS = 50.0
H36M_JOINTS = 32
Y_UP = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
"""From its axes, with z up, to those of posegen, with y up."""

POSES, VIDEOS = "Poses_D3_Positions_mono_universal", "Videos"
"""The archives that everybody needs: positions in each camera's axes on a body of one size, and what it filmed."""

WORLD_POSES, IMAGE_POSES = "Poses_D3_Positions", "Poses_D2_Positions"
"""Archives that are used where they are there: positions in the room, and in pictures."""

# How files call an action; the first is what most have, S1 also has the second.
_WORDS = {12: ("Photo", "TakingPhoto"), 15: ("WalkDog", "WalkingDog"), 16: ("WalkTogether", "WalkingTogether")}
_USUAL = (1, 0)  # numbers behind the names of the two takes, 0 for none
_UNUSUAL: dict[tuple[str, int], tuple[int, int]] = {
    ("S1", 4): (2, 0), ("S1", 9): (1, 2), ("S1", 10): (2, 0),
    ("S5", 2): (1, 2), ("S5", 3): (2, 3), ("S5", 5): (1, 2), ("S5", 10): (0, 1), ("S5", 12): (0, 2), ("S5", 13): (1, 2),
    ("S6", 4): (1, 2), ("S6", 7): (2, 0), ("S6", 9): (1, 2), ("S6", 12): (0, 1), ("S6", 13): (3, 0),
    ("S7", 6): (2, 0), ("S7", 10): (0, 1), ("S7", 12): (0, 1), ("S7", 13): (1, 2), ("S7", 14): (1, 2),
    ("S8", 10): (0, 1), ("S8", 16): (1, 2),
    ("S9", 3): (1, 2), ("S9", 10): (0, 1),
    ("S11", 3): (1, 2), ("S11", 5): (2, 0), ("S11", 6): (3, 2), ("S11", 10): (0, 1), ("S11", 11): (2, 0),
}  # fmt: skip
_FILE = re.compile(r"(?P<word>_?[A-Za-z]+)(?: \d)?(?:\.(?P<camera>\d{8}))?\.(?P<ending>cdf|mp4)")
_ALL_WORDS = {"_ALL", "_All", *H36M_ACTIONS.values(), *(word for words in _WORDS.values() for word in words)}


@dataclass(frozen=True, order=True)
class Take:
    """Take: one performance of one person, seen by four cameras."""

    subject: str
    action: int
    subaction: int
    """1 or 2."""

    def __str__(self) -> str:
        return f"{self.subject}/{self.folder}"

    @property
    def folder(self) -> str:
        """``ACTION-SUBACTION``, as published code calls the folder of its pictures."""
        return f"{H36M_ACTIONS[self.action]}-{self.subaction}"


@dataclass(frozen=True, order=True)
class CameraView:
    """A take as one camera saw it."""

    take: Take
    camera: str

    def __str__(self) -> str:
        return f"{self.take}/{self.camera}"

    @property
    def name(self) -> str:
        """The same as a name of files."""
        return f"{self.take.subject}.{self.take.folder}.{self.camera}"


CORRUPT: frozenset[CameraView] = frozenset({CameraView(Take("S11", 2, 2), "54138969")})
"""Views whose published video is damaged."""


def takes(subject: str) -> list[Take]:
    """Return all takes of a person."""
    return [Take(subject, action, subaction) for action in H36M_ACTIONS for subaction in (1, 2)]


def find_name(take: Take, known: Collection[str], said: str | None = None) -> str | None:
    """Return how a take's files are called, without camera and ending; None where none of `known` is one of it.

    Names are irregular: the first take may be ``Eating 2``, S1 takes photos in ``Photo`` or ``TakingPhoto``.

    Args:
        take: What is looked for.
        known: Names that there are.
        said: What ``metadata.xml`` calls it; goes first.
    """
    candidates = ([said] if said else []) + names_of(take)
    return next((name for name in candidates if name in known), None)


def names_of(take: Take) -> list[str]:
    """Return the names that a take's files may have, the usual one first."""
    number = _UNUSUAL.get((take.subject, take.action), _USUAL)[take.subaction - 1]
    words = _WORDS.get(take.action, (H36M_ACTIONS[take.action],))
    return [f"{word} {number}" if number else word for word in words]


def belongs(name: str, subject: str, kind: str) -> bool:
    """Return True if a file belongs to an archive of a person, by its name and folders."""
    place = PurePosixPath(name)
    match = _FILE.fullmatch(place.name)
    others = [part for part in place.parts[:-1] if re.fullmatch(r"S\d+", part) and part != subject]
    return (
        match is not None
        and not others
        and match["word"] in _ALL_WORDS
        and match["ending"] == ("mp4" if kind == VIDEOS else "cdf")
        and (match["camera"] in CAMERAS if kind != WORLD_POSES else match["camera"] is None)
    )


def example(kind: str) -> str:
    """Return an example of an archive's file names, for messages."""
    return {VIDEOS: "'Walking 1.54138969.mp4'", WORLD_POSES: "'Walking 1.cdf'"}.get(kind, "'Walking 1.54138969.cdf'")
