"""Common parts of all datasets: a folder with a fingerprint, divided into training and test data.

And what every build of one is: what is there stays, what is missing is made, what is stale is deleted.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Generic, Literal, TypeVar

from posegen.errors import DatasetError
from posegen.io.storage import StorageFolder

Split = Literal["train", "test"]
_Entry = TypeVar("_Entry")  # what is recorded of a file of a dataset


class Dataset(ABC):
    """A folder of data, opened for reading. Raises DatasetError where it is none of its kind."""

    folder: StorageFolder

    @abstractmethod
    def __init__(self, folder: StorageFolder | str): ...

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Names the data: equal for equal content in equal splits, wherever the dataset lies."""

    @property
    def full_fingerprint(self) -> str:
        """The same with what was derived from the data later, and is learned from."""
        return self.fingerprint

    @property
    @abstractmethod
    def frame_size(self) -> tuple[int, int] | None:
        """Height and width of its pictures in pixels; None where it has none."""

    @abstractmethod
    def has(self, split: Split) -> bool:
        """Return True if a split is meant to have entries."""


class DatasetBuild(ABC, Generic[_Entry]):
    """One build of a dataset.

    Args:
        folder: The dataset; need not be there yet.
        files: Name of the folder in it that has a file an entry.
        entries: The entries of the files that are there, by id.
    """

    def __init__(self, folder: StorageFolder, files: str, entries: Mapping[str, _Entry]):
        self.folder = folder
        self.files = folder / files
        self.entries = dict(entries)
        """The entries of the files that are there, by id."""
        self._made: set[str] = set()
        self.num_removed = 0
        """Files that this build deleted, and had not made."""

    @property
    def num_made(self) -> int:
        """Files that were made by this build, and not deleted."""
        return len(self._made)

    def add(self, entries: Mapping[str, _Entry]) -> None:
        """Take in the entries, by id, of files that were made."""
        self.entries |= entries
        self._made |= entries.keys()

    def delete(self, ids: Iterable[str]) -> None:
        """Delete files that are stale, with all that was derived from them."""
        for name in ids:
            self.delete_files(name)
            del self.entries[name]
            self.num_removed += name not in self._made
            self._made.discard(name)

    @abstractmethod
    def delete_files(self, entry_id: str) -> None:
        """Delete what there is of an entry."""

    def sweep(self) -> None:
        """Delete what killed processes left."""
        for place in (self.folder, self.files):
            place.sweep()


def find_labelled(name: str, labels: Sequence[str], folder: StorageFolder) -> list[int]:
    """Return which of the entries, by their labels ``PERSON/ACTION``, a name means: one, or none.

    ``PERSON/ACTION/2`` is the second of several. Raises DatasetError where the name does not say which of several, or
    where there are fewer.
    """
    same = [index for index, label in enumerate(labels) if label == name]
    if len(same) > 1:
        raise DatasetError(f"{len(same)} times {name!r} in {folder}: choose one of {name}/1 to {name}/{len(same)}")
    if same:
        return same
    label, _, number = name.rpartition("/")
    same = [index for index, one in enumerate(labels) if one == label]
    if not same or not number.isdecimal():
        return []
    if not 1 <= int(number) <= len(same):
        raise DatasetError(f"{len(same)} times {label!r} in {folder}, got number {number}")
    return [same[int(number) - 1]]


def readable_id(person: str, action: str, content: bytes) -> str:
    """Return a file name that tells people who does what, and machines whether anything in the content changed."""
    readable = "".join(c if c.isalnum() else "-" for c in f"{person}.{action}").strip("-")
    short = readable.encode()[:120].decode(errors="ignore")  # file systems allow 255 bytes, suffixes included
    return f"{short}-{hashlib.sha256(content).hexdigest()[:12]}"


def assign_splits(groups: Iterable[str], train_fraction: float, seed: int) -> dict[str, list[str]]:
    """Divide actions or persons into ``train`` and ``test``, by a hash, so that a newcomer moves few others.

    Both sides get at least one group, unless there is only one, or the fraction is 1: all are then used for training.
    """
    ranked = sorted(set(groups), key=lambda group: hashlib.sha256(f"{seed}/{group}".encode()).digest())
    most = len(ranked) if train_fraction == 1 else max(len(ranked) - 1, 1)
    count = min(max(round(train_fraction * len(ranked)), 1), most)
    return {"train": sorted(ranked[:count]), "test": sorted(ranked[count:])}
