"""A dataset of motions: one ``.npz`` a motion, and a manifest that says what they are.

Layout of ``DATASET/``::

    motions.json       actions, frames per second, settings, and one entry a motion
    motions/ID.npz     see `posegen.motion.motion`

The manifest names what counts: what a stopped conversion left behind is no part of the dataset. A motion's id is
derived from its content, so equal motions give equal datasets. `posegen.datasets.motion_build` writes them.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from posegen.datasets.dataset import Dataset, Split, find_labelled
from posegen.errors import DatasetError, MotionError, counted
from posegen.io.records import parse_json
from posegen.io.storage import StorageFolder
from posegen.motion.motion import Motion, read_motion

MOTIONS_VERSION = 2
"""Of the dataset's format. Version 1 does not say what motions were converted from."""
MANIFEST = "motions.json"
"""The file that says what is in a dataset."""
_NAMED = 6  # motions in a message
_RATE_TOLERANCE = 1e-3  # of frames per second, relative: 29.97 is not 30


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """Source and result of a motion's conversion: enough to recognise it without opening its file."""

    key: str
    """Names the content of the source, the settings and the code that made the motion of it."""
    fps: float
    """Frames per second of the motion."""
    joints_sha256: str
    """Of the motion's joints: equal for equal motions from different sources."""
    num_bytes: int
    """Size of the motion's file."""


@dataclass(frozen=True, kw_only=True)
class MotionEntry:
    """Entry of a motion in the manifest."""

    motion_id: str
    person: str
    action: str
    split: Split
    num_frames: int
    source: str
    """Source of the motion."""
    conversion: Conversion | None = None
    """None where the motion was not converted from a file, or by version 1."""

    @property
    def file_name(self) -> str:
        """The name of its file, in the folder of the dataset's motions."""
        return f"{self.motion_id}.npz"


@dataclass(frozen=True, kw_only=True)
class MotionDatasetInfo:
    """The content of ``motions.json``."""

    actions: list[str]
    """All of them: an action's place is its label."""
    fps: float
    """Frames per second of every motion."""
    settings: dict[str, Any]
    """Settings that made the dataset."""
    motions: list[MotionEntry]
    schema_version: int = MOTIONS_VERSION


class MotionDataset(Dataset):
    """A folder of motions, opened for reading."""

    def __init__(self, folder: StorageFolder | str):
        self.folder = StorageFolder(folder)
        if not self.folder.exists(MANIFEST):
            if self.folder.exists("dataset.json"):
                raise DatasetError(f"{self.folder} holds clips, expected motions; see `posegen motion --help`")
            raise DatasetError(f"no motions in {self.folder}: {MANIFEST} is missing; see `posegen motion --help`")
        self.info = load_motion_info(self.folder)

    @cached_property
    def fingerprint(self) -> str:
        # What a motion was made from is no part of it: version 1, which does not say it, gives the same.
        facts_of = [
            {name: fact for name, fact in asdict(entry).items() if name != "conversion"} for entry in self.info.motions
        ]
        content = [json.dumps(facts, sort_keys=True) for facts in facts_of]
        facts = json.dumps([self.info.actions, self.info.fps])
        return hashlib.sha256("\n".join([facts, *content]).encode()).hexdigest()[:16]

    @property
    def frame_size(self) -> None:
        return None

    def has(self, split: Split) -> bool:
        return any(entry.split == split for entry in self.info.motions)

    def actions(self, names: Sequence[str] = ()) -> tuple[str, ...]:
        """These actions, or all. Raises DatasetError for one that the dataset does not have."""
        unknown = [name for name in names if name not in self.info.actions]
        if unknown:
            raise DatasetError(
                f"{self.folder} has no action {unknown[0]!r}, expected some of {', '.join(self.info.actions)}"
            )
        return tuple(names or self.info.actions)

    def rate(self, fps: float = 0.0) -> float:
        """Return the frames per second of all motions. Raises DatasetError where others are asked for; 0 asks for
        none."""
        if fps not in (0.0, self.info.fps):
            raise DatasetError(f"{self.folder} has {self.info.fps:g} frames per second, expected {fps:g}")
        return self.info.fps

    def split(self, split: Split) -> list[MotionEntry]:
        """Return the motions of one split. Raises DatasetError if there are none."""
        entries = [entry for entry in self.info.motions if entry.split == split]
        if not entries:
            raise DatasetError(f"{self.folder} has no motions in the split {split!r}")
        return entries

    def find(self, name: str) -> MotionEntry:
        """Return the motion whose id is or begins with `name`, or that is ``PERSON/ACTION`` (``/2``: the second).

        Raises DatasetError.
        """
        entries = self.info.motions
        matches = [entry for entry in entries if entry.motion_id == name]
        matches = matches or [entry for entry in entries if entry.motion_id.startswith(name)]
        labels = [f"{entry.person}/{entry.action}" for entry in entries]
        matches = matches or [entries[index] for index in find_labelled(name, labels, self.folder)]
        if len(matches) == 1:
            return matches[0]
        if matches:
            known = [entry.motion_id for entry in matches]
        else:
            known = list(dict.fromkeys(f"{entry.person}/{entry.action}" for entry in entries))
        found, more = ("several motions" if matches else "no motion"), ", …" if len(known) > _NAMED else ""
        raise DatasetError(f"{found} {name!r} in {self.folder}; it has {', '.join(known[:_NAMED])}{more}")

    def read(self, entry: MotionEntry) -> Motion:
        """Read a motion. Raises DatasetError where it is missing, broken or not what the manifest says."""
        folder = motion_folder(self.folder)
        try:
            motion = read_motion(folder, entry.file_name)
        except (MotionError, FileNotFoundError) as error:
            raise DatasetError(f"{error}; convert the motions again") from error
        if len(motion) != entry.num_frames or not is_same_rate(motion.fps, self.info.fps):
            raise DatasetError(
                f"{folder / entry.file_name} has {counted(len(motion), 'frame')}, {motion.fps:g} a second, "
                f"the manifest has {entry.num_frames} and {self.info.fps:g}; convert the motions again"
            )
        return motion


def motion_folder(dataset: StorageFolder) -> StorageFolder:
    """Return the folder of a dataset that has the files of its motions."""
    return dataset / "motions"


def is_same_rate(fps: float, expected: float) -> bool:
    """Return True if two rates in frames per second are equal but for rounding."""
    return math.isclose(fps, expected, rel_tol=_RATE_TOLERANCE)


def load_motion_info(folder: StorageFolder) -> MotionDatasetInfo:
    """Read the manifest. Raises DatasetError for one of a later version, or that is none."""
    place = f"{folder}/{MANIFEST}"
    info = parse_json(MotionDatasetInfo, folder.read(MANIFEST), place, DatasetError)
    if info.schema_version not in (1, MOTIONS_VERSION):
        raise DatasetError(f"{place} has schema version {info.schema_version}, expected 1 or {MOTIONS_VERSION}")
    if not (math.isfinite(info.fps) and info.fps > 0):
        raise DatasetError(f"{place} has {info.fps} frames per second; convert the motions again")
    if len(set(info.actions)) != len(info.actions):
        raise DatasetError(f"{place} has an action twice; convert the motions again")
    check_motion_ids(info.motions, place)
    for entry in info.motions:
        if entry.action not in info.actions:
            raise DatasetError(f"{place} has a motion of {entry.action!r}, which is none of its actions")
    return info


def check_motion_ids(entries: Iterable[MotionEntry], place: str) -> None:
    """Raise DatasetError for a motion whose id is no name of a file, which it becomes."""
    for entry in entries:
        if not re.fullmatch(r"[\w-][\w.-]*", entry.motion_id):
            raise DatasetError(f"{place} has a motion {entry.motion_id!r}, which is no name of a file")
