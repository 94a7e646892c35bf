"""What every dataset is, whatever it holds: a folder with a fingerprint, divided into training and test data."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Literal

from posegen.io.storage import StorageFolder

Split = Literal["train", "test"]


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
        """Whether a split is meant to have something in it."""


def readable_id(person: str, action: str, content: bytes) -> str:
    """A file name that tells people who does what, and machines whether anything in the content changed."""
    readable = "".join(c if c.isalnum() else "-" for c in f"{person}.{action}").strip("-")
    short = readable.encode()[:120].decode(errors="ignore")  # file systems allow 255 bytes, suffixes included
    return f"{short}-{hashlib.sha256(content).hexdigest()[:12]}"


def assign_splits(groups: Iterable[str], train_fraction: float, seed: int) -> dict[str, list[str]]:
    """Divide actions or persons into ``train`` and ``test``, by a hash, so that a newcomer moves few others.

    Both sides get at least one group, unless there is only one, which is then used for training.
    """
    ranked = sorted(set(groups), key=lambda group: hashlib.sha256(f"{seed}/{group}".encode()).digest())
    count = min(max(round(train_fraction * len(ranked)), 1), max(len(ranked) - 1, 1))
    return {"train": sorted(ranked[:count]), "test": sorted(ranked[count:])}
