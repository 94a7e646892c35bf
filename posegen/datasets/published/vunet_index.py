"""DeepFashion and Market in the layout of the VUNet (Esser et al., 2018): pictures and ``index.p``, a pickle.

``imgs`` has the paths of the pictures, ``joints`` (N, J, 2) shares of width and height, negative where a joint is not
seen, and ``train`` whether a picture is learned from. ``joint_order`` may name the joints.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np

from posegen.errors import ArchiveError, PickleError
from posegen.io.pickles import read_pickle
from posegen.skeletons import OPENPOSE_18, convert_joints

INDEX_PICKLE = "index.p"

DatasetName = Literal["deepfashion", "market"]

MARKET_18: tuple[str, ...] = (
    "right_ankle",
    "right_knee",
    "right_hip",
    "left_hip",
    "left_knee",
    "left_ankle",
    "right_wrist",
    "right_elbow",
    "right_shoulder",
    "left_shoulder",
    "left_elbow",
    "left_wrist",
    "neck",
    "nose",
    "left_eye",
    "right_eye",
    "left_ear",
    "right_ear",
)
"""Joints of Market, in the order of its index."""

_FARTHEST = 2.0  # widths of a picture: joints beyond it are no shares
_WORDS = {"foot": "ankle", "cnose": "nose"}  # what indices call joints, besides their usual names
_NOBODY = ("-1", "0000")  # Market's pictures of no person, or of parts of several


@dataclass(frozen=True)
class _Layout:
    joints: tuple[str, ...]
    name: re.Pattern[str]
    """Pattern of a picture's name, with the person and the clothes."""


_LAYOUTS: dict[DatasetName, _Layout] = {
    "deepfashion": _Layout(OPENPOSE_18, re.compile(r".*(?P<person>id_?\d{8})[/_]?(?P<clothes>\d\d)_")),
    "market": _Layout(MARKET_18, re.compile(r"(?:.*/)?(?P<person>-1|\d{4})_c\d")),
}


@dataclass(frozen=True)
class IndexedImage:
    """A picture of an index."""

    path: str
    """Inside the folder of the index."""
    person: str
    """Empty for nobody's; the picture's own name where that does not tell."""
    clothes: str
    """Tells what a person wears from what the same one wears elsewhere."""
    joints: np.ndarray
    """(18, 3) of OpenPose: shares of width and height and a confidence of 1, or (0, 0, 0) where it is not seen."""
    train: bool

    @property
    def is_anonymous(self) -> bool:
        """True if the picture's name does not tell the person."""
        return bool(self.person) and self.person == _without_ending(self.path)


def read_index(folder: Path, dataset: DatasetName) -> list[IndexedImage]:
    """Read ``index.p`` without running what is in it.

    Raises:
        ArchiveError: There is none, it is damaged or of another dataset, or names files elsewhere. The message is one
            line with file and field.
    """
    path = folder / INDEX_PICKLE
    if not path.is_file():
        raise ArchiveError(
            f"no {INDEX_PICKLE} in {folder}, expected the folder of a dataset as the VUNet's authors share it"
        )
    try:
        content = read_pickle(path)
    except PickleError as error:
        raise ArchiveError(str(error).replace("which no motions are", "which no index is")) from None
    images, joints, train = _columns(content, path)
    layout = _LAYOUTS[dataset]
    _check_names(images, dataset, path)
    names = _joint_names(content, layout.joints, joints.shape[1], path)
    seen = (joints >= 0).all(axis=-1, keepdims=True)
    poses = convert_joints(np.concatenate([np.where(seen, joints, 0), seen], axis=-1), names)
    return [
        IndexedImage(image, *_who(image, layout), pose.astype(np.float32), bool(learned))
        for image, pose, learned in zip(images, poses, train, strict=True)
    ]


def _columns(content: Any, path: Path) -> tuple[list[str], np.ndarray, list[bool]]:
    fields = ("imgs", "joints", "train")
    missing = [name for name in fields if not isinstance(content, dict) or name not in content]
    if missing:
        raise ArchiveError(f"{path}: {', '.join(missing)} is missing, expected {', '.join(fields)}")
    images = [str(image) for image in content["imgs"]]
    try:
        joints = np.asarray(content["joints"], np.float64)
    except (ValueError, TypeError):
        raise ArchiveError(f"{path}: joints is no array of numbers") from None
    train = list(content["train"])
    if joints.ndim != 3 or joints.shape[2] != 2 or not images:
        raise ArchiveError(f"{path}: joints has shape {joints.shape}, expected (N, {len(OPENPOSE_18)}, 2)")
    if not len(images) == len(joints) == len(train):
        raise ArchiveError(
            f"{path}: imgs has {len(images)} entries, joints {len(joints)} and train {len(train)}, expected as many"
        )
    if not (joints <= _FARTHEST).all():  # nor is NaN
        raise ArchiveError(f"{path}: joints has numbers such as {joints.max():g}, expected shares of width and height")
    for image in images:
        place = PurePosixPath(image)
        if place.is_absolute() or ".." in place.parts:
            raise ArchiveError(f"{path}: imgs has {image!r}, which leads out of the folder")
    return images, joints, train


def _check_names(images: list[str], dataset: DatasetName, path: Path) -> None:
    """Raise ArchiveError where pictures are called as those of another dataset."""
    fits = {name: sum(layout.name.match(image) is not None for image in images) for name, layout in _LAYOUTS.items()}
    best = max(fits, key=lambda name: fits[name])
    if fits[best] > len(images) / 2 > fits[dataset]:
        raise ArchiveError(
            f"{path}: its pictures are called as those of {best}, such as {images[0]!r}: {dataset} was said"
        )


def _joint_names(content: dict[str, Any], usual: tuple[str, ...], count: int, path: Path) -> tuple[str, ...]:
    """Return the index's names of its joints, or the dataset's own order."""
    order = content.get("joint_order")
    names = usual if order is None else tuple(_full_name(str(name)) for name in order)
    if len(names) != count:
        raise ArchiveError(f"{path}: joints has {count} joints a picture, expected {len(names)}")
    unknown = [name for name in names if name not in OPENPOSE_18]
    if unknown:
        raise ArchiveError(f"{path}: joint_order has {unknown[0]!r}, which is no joint that is known")
    return names


def _full_name(name: str) -> str:
    """``left_knee`` for ``lknee``."""
    if name in _WORDS:
        return _WORDS[name]
    side = {"l": "left_", "r": "right_"}.get(name[:1], "")
    return name if not side else side + _WORDS.get(name[1:], name[1:])


def _who(image: str, layout: _Layout) -> tuple[str, str]:
    """Person and clothes; a picture whose name does not tell shows a person of its own."""
    match = layout.name.match(image)
    if match is None:
        return _without_ending(image), "still"
    person = "" if match["person"] in _NOBODY else match["person"].replace("_", "")
    return person, match.groupdict().get("clothes") or "still"


def _without_ending(image: str) -> str:
    return str(PurePosixPath(image).with_suffix(""))
