"""Builds datasets of motions: those that are there stay, others are written, and what is stale is deleted.

A build deletes files of motions that the manifest of an earlier one names, and no others. Until it is finished,
``unfinished.json`` names what was written, so that a build that was killed is continued by the next one.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

from posegen.datasets.dataset import DatasetBuild, Split, assign_splits, readable_id
from posegen.datasets.motions import (
    MANIFEST,
    Conversion,
    MotionDatasetInfo,
    MotionEntry,
    check_motion_ids,
    is_same_rate,
    load_motion_info,
    motion_folder,
)
from posegen.errors import DatasetError
from posegen.io.records import parse_json
from posegen.io.storage import StorageFolder
from posegen.motion.motion import Motion, encode_motion

UNFINISHED = "unfinished.json"
"""The file that names the motions of a build that is not finished, written ones and stale ones."""

SplitBy = Literal["person", "action", "motion"]
_NOTE_AFTER = 5.0  # seconds of work that a killed build may lose


class NamedMotion(NamedTuple):
    """A motion on its way into a dataset."""

    motion: Motion
    person: str
    action: str
    source: str
    split: Split | None = None
    """Split, if the source has one."""


@dataclass(frozen=True)
class SplitRule:
    """Rule that splits motions without a split of their own."""

    split_by: SplitBy = "person"
    """Unit that is either in training or held out, as a whole."""
    train_fraction: float = 0.8
    """Share of persons, actions or motions to learn from."""
    seed: int = 0
    """Decides which."""


class MotionBuild(DatasetBuild[MotionEntry]):
    """One build of a dataset of motions: `write` or `keep` every motion, then `finish`.

    A manifest that is damaged, or of a later version, counts as none.

    Args:
        folder: The dataset; need not be there yet.
        actions: The actions in the order of their labels; by default those that occur, by name.
        inputs: Files and folders that motions are made from: whatever they are, none is deleted or replaced.
    """

    def __init__(self, folder: StorageFolder, actions: Iterable[str] = (), inputs: Iterable[Path] = ()):
        sizes = motion_folder(folder).sizes()
        recorded = {entry.motion_id: entry for entry in _load_recorded(folder) if entry.file_name in sizes}
        super().__init__(folder, "motions", recorded)
        self._converted = {
            entry.conversion.key: entry
            for entry in recorded.values()
            if entry.conversion and entry.conversion.num_bytes == sizes[entry.file_name]
        }
        self.actions = list(actions)
        """In the order of their labels; empty where those that occur are taken."""
        self._inputs = {path.resolve() for path in inputs}
        self._fps = 0.0
        self._wanted: list[MotionEntry] = []
        self._assigned: dict[str, Split] = {}
        self._noted = time.monotonic()

    def find_converted(self, key: str) -> MotionEntry | None:
        """Return the motion that was converted under this key, if its file is there and has the size that it was
        given."""
        return self._converted.get(key)

    def keep(self, entry: MotionEntry, source: str, split: Split | None) -> None:
        """Take over a motion that is there. Raises as `write` does.

        Args:
            entry: What `find_converted` gave.
            source: Where its source is now.
            split: Where it comes with one.
        """
        entry = replace(entry, source=source)
        self._check(entry, entry.conversion.fps if entry.conversion else self._fps)
        self.entries[entry.motion_id] = entry
        self._want(entry, split)

    def write(self, named: NamedMotion, key: str = "") -> None:
        """Write a motion. What is there under the same id is replaced.

        Args:
            named: The motion.
            key: See `Conversion.key`; nothing where it was not converted from a file.

        Raises:
            DatasetError: Its rate differs from others', its action is none of those expected, or it would replace
                another motion that is an input.
        """
        content = encode_motion(named.motion)
        made = Conversion(
            key=key,
            fps=float(named.motion.fps),
            joints_sha256=hash_joints(named.motion),
            num_bytes=len(content),
        )
        entry = MotionEntry(
            motion_id=readable_id(named.person, named.action, content),
            person=named.person,
            action=named.action,
            split="train",  # until all are there
            num_frames=len(named.motion),
            source=named.source,
            conversion=made if key else None,
        )
        self._check(entry, made.fps)
        if self._is_input(entry) and self.files.read(entry.file_name) != content:
            raise DatasetError(
                f"{self.files / entry.file_name} is an input and would be replaced: choose another folder"
            )
        self.files.write_bytes(entry.file_name, content)
        self.add({entry.motion_id: entry})
        self._want(entry, named.split)
        if time.monotonic() - self._noted > _NOTE_AFTER:
            self._note()

    def finish(self, settings: Mapping[str, Any], rule: SplitRule = SplitRule()) -> MotionDatasetInfo:
        """Write the manifest, and delete the motions of an earlier one that are not wanted any more.

        Args:
            settings: How the motions were made.
            rule: How those are divided that come without a split.

        Raises:
            DatasetError: There are no motions.
        """
        if not self._wanted:
            raise DatasetError(f"nothing to write to {self.folder}: no motion was found")
        info = MotionDatasetInfo(
            actions=self.actions or sorted({entry.action for entry in self._wanted}),
            fps=self._fps,
            settings=dict(settings),
            motions=sorted(_divide(self._wanted, self._assigned, rule), key=lambda entry: entry.motion_id),
        )
        wanted = {entry.motion_id for entry in self._wanted}
        stale = [entry for entry in self.entries.values() if entry.motion_id not in wanted]
        self._note()  # the manifest does not name what is stale, which a killed build leaves to the next one
        self.folder.write_json(MANIFEST, asdict(info))
        self.delete(entry.motion_id for entry in stale if not self._is_input(entry))
        self.folder.delete(UNFINISHED)
        self.sweep()
        return info

    def delete_files(self, entry_id: str) -> None:
        self.files.delete(self.entries[entry_id].file_name)

    def _check(self, entry: MotionEntry, fps: float) -> None:
        self._fps = self._fps or fps
        if not is_same_rate(fps, self._fps):
            raise DatasetError(f"{entry.source} has {fps:g} frames a second, others {self._fps:g}: say one --rate")
        if self.actions and entry.action not in self.actions:
            raise DatasetError(f"{entry.source} shows {entry.action!r}, expected one of {', '.join(self.actions)}")

    def _is_input(self, entry: MotionEntry) -> bool:
        if not self.files.is_local:  # inputs are
            return False
        path = Path(self.files.uri, entry.file_name)
        return path.exists() and not self._inputs.isdisjoint((path.resolve(), *path.resolve().parents))

    def _want(self, entry: MotionEntry, split: Split | None) -> None:
        self._wanted.append(entry)
        if split is not None:
            self._assigned[entry.motion_id] = split

    def _note(self) -> None:
        self.folder.write_json(UNFINISHED, [asdict(entry) for entry in self.entries.values()])
        self._noted = time.monotonic()


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
        folder: Where. What is there under the same names is replaced, and what only an earlier manifest names deleted.
        motions: All at one rate. Those that come with a split keep it.
        settings: How they were made.
        rule: How the others are divided.
        actions: The actions in the order of their labels; by default those that occur, by name.

    Raises:
        DatasetError: There are no motions, rates differ, or an action is none of `actions`.
    """
    build = MotionBuild(folder, actions)
    for named in motions:
        build.write(named)
    return build.finish(settings, rule)


def hash_joints(motion: Motion) -> str:
    """Name the places of a motion's joints, wherever it came from."""
    return hashlib.sha256(motion.joints.tobytes()).hexdigest()


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


def _load_recorded(folder: StorageFolder) -> list[MotionEntry]:
    """Return the entries of the manifest, followed by those of a build that was interrupted."""
    recorded: list[MotionEntry] = []
    if folder.exists(MANIFEST):
        with suppress(DatasetError):
            recorded += load_motion_info(folder).motions
    if folder.exists(UNFINISHED):
        with suppress(DatasetError):
            place = f"{folder}/{UNFINISHED}"
            entries = parse_json(list[MotionEntry], folder.read(UNFINISHED), place, DatasetError)
            check_motion_ids(entries, place)
            recorded += entries
    return recorded
