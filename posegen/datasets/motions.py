"""A dataset of motions: one ``.npz`` a motion, and a manifest that says what they are.

Layout of ``DATASET/``::

    motions.json       actions, frames per second, settings, and one entry a motion
    motions/ID.npz     see `posegen.motion.motion`

The manifest is written last and names what counts: what a stopped conversion left behind is no part of the dataset.
A motion's id is derived from its content, so equal motions give equal datasets.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, Literal, NamedTuple

from posegen.datasets.dataset import Dataset, Split, assign_splits, readable_id
from posegen.errors import DatasetError, MotionError
from posegen.io.records import parse_json
from posegen.io.storage import StorageFolder
from posegen.motion.motion import Motion, encode_motion, read_motion

SplitBy = Literal["person", "action", "motion"]
MOTIONS_VERSION = 1
"""Of the dataset's format."""
MANIFEST = "motions.json"
"""The file that says what is in a dataset."""
_NAMED = 6  # motions in a message
_RATE_TOLERANCE = 1e-3  # of frames per second, relative: 29.97 is not 30


@dataclass(frozen=True, kw_only=True)
class MotionEntry:
    """What the manifest says of a motion."""

    motion_id: str
    person: str
    action: str
    split: Split
    num_frames: int
    source: str
    """Where it came from."""


@dataclass(frozen=True, kw_only=True)
class MotionDatasetInfo:
    """The content of ``motions.json``."""

    actions: list[str]
    """All of them: an action's place is its label."""
    fps: float
    """Frames per second of every motion."""
    settings: dict[str, Any]
    """How the dataset was made."""
    motions: list[MotionEntry]
    schema_version: int = MOTIONS_VERSION


class NamedMotion(NamedTuple):
    """A motion on its way into a dataset."""

    motion: Motion
    person: str
    action: str
    source: str
    split: Split | None = None
    """Where it comes with one."""


class MotionDataset(Dataset):
    """A folder of motions, opened for reading."""

    def __init__(self, folder: StorageFolder | str):
        self.folder = StorageFolder(folder)
        if not self.folder.exists(MANIFEST):
            if self.folder.exists("dataset.json"):
                raise DatasetError(f"{self.folder} holds clips, expected motions; see `posegen motion --help`")
            raise DatasetError(f"no motions in {self.folder}: {MANIFEST} is missing; see `posegen motion --help`")
        self.info = _load_info(self.folder)

    @cached_property
    def fingerprint(self) -> str:
        content = [json.dumps(asdict(entry), sort_keys=True) for entry in self.info.motions]
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
        """The frames per second of all motions. Raises DatasetError where others are asked for; 0 asks for none."""
        if fps not in (0.0, self.info.fps):
            raise DatasetError(f"{self.folder} has {self.info.fps:g} frames per second, expected {fps:g}")
        return self.info.fps

    def split(self, split: Split) -> list[MotionEntry]:
        """The motions of one split. Raises DatasetError if there are none."""
        entries = [entry for entry in self.info.motions if entry.split == split]
        if not entries:
            raise DatasetError(f"{self.folder} has no motions in the split {split!r}")
        return entries

    def find(self, name: str) -> MotionEntry:
        """The motion whose id is or begins with `name`, or that is ``PERSON/ACTION``. Raises DatasetError."""
        entries = self.info.motions
        matches = [entry for entry in entries if entry.motion_id == name]
        matches = matches or [entry for entry in entries if entry.motion_id.startswith(name)]
        matches = matches or [entry for entry in entries if f"{entry.person}/{entry.action}" == name]
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
        name = f"{entry.motion_id}.npz"
        try:
            motion = read_motion(self.folder / "motions", name)
        except (MotionError, FileNotFoundError) as error:
            raise DatasetError(f"{error}; convert the motions again") from error
        if len(motion) != entry.num_frames or not math.isclose(motion.fps, self.info.fps, rel_tol=_RATE_TOLERANCE):
            raise DatasetError(
                f"{self.folder / 'motions' / name} has {len(motion)} frames, {motion.fps:g} a second, "
                f"the manifest says {entry.num_frames} and {self.info.fps:g}; convert the motions again"
            )
        return motion


@dataclass(frozen=True)
class SplitRule:
    """How motions that come without a split are divided."""

    split_by: SplitBy = "person"
    """What is either learned from or held out, as a whole."""
    train_fraction: float = 0.8
    """Share of persons, actions or motions to learn from."""
    seed: int = 0
    """Decides which."""


def write_motions(
    folder: StorageFolder,
    motions: Iterable[NamedMotion],
    *,
    settings: Mapping[str, Any],
    rule: SplitRule = SplitRule(),
    actions: Iterable[str] = (),
) -> MotionDatasetInfo:
    """Write a dataset: every motion as it comes, and the manifest when all are there.

    Args:
        folder: Where. What is there under the same names is replaced.
        motions: All at one rate. Those that come with a split keep it.
        settings: How they were made.
        rule: How the others are divided.
        actions: The actions in the order of their labels; by default those that occur, by name.

    Raises:
        DatasetError: There are no motions, rates differ, or an action is none of `actions`.
    """
    entries: list[MotionEntry] = []
    assigned: dict[str, Split] = {}
    order = list(actions)
    fps = 0.0
    for named in motions:
        fps = fps or named.motion.fps
        if not math.isclose(named.motion.fps, fps, rel_tol=_RATE_TOLERANCE):
            raise DatasetError(
                f"{named.source} has {named.motion.fps:g} frames a second, others {fps:g}: say one --rate"
            )
        if order and named.action not in order:
            raise DatasetError(f"{named.source} shows {named.action!r}, expected one of {', '.join(order)}")
        entry = _write_motion(folder, named)
        entries.append(entry)
        if named.split is not None:
            assigned[entry.motion_id] = named.split
    if not entries:
        raise DatasetError(f"nothing to write to {folder}: no motion was found")
    info = MotionDatasetInfo(
        actions=order or sorted({entry.action for entry in entries}),
        fps=fps,
        settings=dict(settings),
        motions=sorted(_divide(entries, assigned, rule), key=lambda entry: entry.motion_id),
    )
    folder.write_json(MANIFEST, asdict(info))
    return info


def _write_motion(folder: StorageFolder, named: NamedMotion) -> MotionEntry:
    """Write one motion. Its split is decided when all are there."""
    content = encode_motion(named.motion)
    motion_id = readable_id(named.person, named.action, content)
    (folder / "motions").write_bytes(f"{motion_id}.npz", content)
    return MotionEntry(
        motion_id=motion_id,
        person=named.person,
        action=named.action,
        split="train",
        num_frames=len(named.motion),
        source=named.source,
    )


def _divide(entries: Sequence[MotionEntry], assigned: Mapping[str, Split], rule: SplitRule) -> list[MotionEntry]:
    """The entries in their splits: those assigned by id, all others by what is held out as a whole."""
    group = {"person": "person", "action": "action", "motion": "motion_id"}[rule.split_by]
    open_groups = [str(getattr(entry, group)) for entry in entries if entry.motion_id not in assigned]
    train = set(assign_splits(open_groups, rule.train_fraction, rule.seed)["train"]) if open_groups else set()
    return [
        replace(
            entry,
            split=assigned.get(entry.motion_id) or ("train" if str(getattr(entry, group)) in train else "test"),
        )
        for entry in entries
    ]


def _load_info(folder: StorageFolder) -> MotionDatasetInfo:
    """Read the manifest. Raises DatasetError for one of another version, or that is none."""
    place = f"{folder}/{MANIFEST}"
    info = parse_json(MotionDatasetInfo, folder.read(MANIFEST), place, DatasetError)
    if info.schema_version != MOTIONS_VERSION:
        raise DatasetError(f"{place} has schema version {info.schema_version}, expected {MOTIONS_VERSION}")
    if not (math.isfinite(info.fps) and info.fps > 0):
        raise DatasetError(f"{place} has {info.fps} frames per second; convert the motions again")
    if len(set(info.actions)) != len(info.actions):
        raise DatasetError(f"{place} has an action twice; convert the motions again")
    for entry in info.motions:
        if not re.fullmatch(r"[\w-][\w.-]*", entry.motion_id):  # it becomes the name of a file
            raise DatasetError(f"{place} has a motion {entry.motion_id!r}, which is no name of a file")
        if entry.action not in info.actions:
            raise DatasetError(f"{place} has a motion of {entry.action!r}, which is none of its actions")
    return info
