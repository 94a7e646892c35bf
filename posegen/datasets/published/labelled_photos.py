"""Photos of people with label maps: which files there are, and what their classes are to the person parser.

Two layouts are read. ``photos/ID.jpg``, ``labels/ID.png`` and ``classes.txt``, one name a line, to which the labels are
indices. And Clothing Co-Parsing (Yang, Luo and Lin, CVPR 2014, arXiv:1502.00739) as published: ``photos/ID.jpg``,
``annotations/pixel-level/ID.mat`` with ``groundtruth``, and ``label_list.mat``, or ``classes.txt``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from posegen.errors import ArchiveError, DatasetError, first_line
from posegen.person_classes import PersonClass

_KNOWN: dict[PersonClass, str] = {
    PersonClass.BACKGROUND: "null background",
    PersonClass.HAIR: "hair",
    PersonClass.SKIN: "skin face arm arms leg legs hand hands",
    PersonClass.UPPER: (
        "upper blazer blouse bra cape cardigan coat hoodie intimate jacket jumper shirt suit sweater sweatshirt "
        "t-shirt top vest"
    ),
    PersonClass.LOWER: "lower jeans leggings panties pants shorts skirt trousers",
    PersonClass.ONE_PIECE: "one_piece bodysuit dress jumpsuit overall romper swimwear",
    PersonClass.SHOES: (
        "footwear boots clogs flats heels loafers pumps sandals shoes sneakers socks stockings tights wedges"
    ),
    PersonClass.CARRIED: (
        "carried accessories bag belt bracelet earrings glasses gloves hat necklace purse ring scarf sunglasses tie "
        "wallet watch"
    ),
}
CLASS_TABLE: dict[str, PersonClass] = {name: kind for kind, names in _KNOWN.items() for name in names.split()}
"""Class of the person parser for each class of a set. Suits are jackets in Clothing Co-Parsing, and jumpers
sweaters."""

_SUFFIXES = (".jpg", ".jpeg", ".png")


@dataclass(frozen=True)
class LabelledFile:
    """A photo of a set and its label map."""

    name: str
    photo: Path
    labels: Path


@dataclass(frozen=True)
class PhotoSet:
    """A set of labelled photos."""

    files: list[LabelledFile]
    table: np.ndarray
    """(K,) uint8: the `PersonClass` of each of the set's labels."""


def open_photo_set(folder: Path, classes: Mapping[str, str]) -> PhotoSet:
    """Find the photos of a set.

    Args:
        folder: The set.
        classes: What classes are that `CLASS_TABLE` does not know, or knows otherwise: name to name of a `PersonClass`.

    Raises:
        ArchiveError: The folder has no labelled photos, or no table of classes.
        DatasetError: A class is unknown.
    """
    labels = _label_files(folder)
    photos = {file.stem: file for file in sorted((folder / "photos").glob("*")) if file.suffix.lower() in _SUFFIXES}
    files = [LabelledFile(name, photos[name], labels[name]) for name in sorted(labels) if name in photos]
    if not files:
        raise ArchiveError(
            f"{folder} has no labelled photos, expected photos/ID.jpg with labels/ID.png, "
            "or with annotations/pixel-level/ID.mat"
        )
    return PhotoSet(files, class_table(_class_names(folder), classes))


def class_table(names: Sequence[str], classes: Mapping[str, str]) -> np.ndarray:
    """Return the `PersonClass` (K,) uint8 of each of a set's classes. Raises DatasetError for one that is unknown."""
    by_name = {kind.name.lower(): kind for kind in PersonClass}
    wrong = [kind for kind in classes.values() if kind.lower() not in by_name]
    if wrong:
        raise DatasetError(f"no class {wrong[0]!r}, expected one of {', '.join(by_name)}")
    known = {**CLASS_TABLE, **{name.lower(): by_name[kind.lower()] for name, kind in classes.items()}}
    unknown = [name for name in names if name.strip().lower() not in known]
    if unknown:
        raise DatasetError(
            f"unknown class {unknown[0]!r}: map it with --classes {unknown[0]}=CLASS, "
            f"where CLASS is one of {', '.join(by_name)}"
        )
    return np.array([known[name.strip().lower()] for name in names], np.uint8)


def read_label_map(file: Path, table: np.ndarray) -> np.ndarray:
    """Read a label map as classes of the person parser, (H, W) uint8.

    Args:
        file: A PNG of indices, or a ``.mat`` with ``groundtruth``.
        table: (K,) the class of each index.

    Raises:
        ArchiveError: The file is damaged, or has labels beyond the table.
    """
    labels = _read_mat(file, "groundtruth") if file.suffix == ".mat" else _read_png(file)
    if labels.ndim != 2 or not np.issubdtype(labels.dtype, np.integer) or labels.size == 0:
        raise ArchiveError(
            f"{file} has labels of shape {labels.shape} and type {labels.dtype}, expected (H, W) integers"
        )
    if labels.min() < 0 or labels.max() >= len(table):
        raise ArchiveError(
            f"{file} has the label {labels.max()}, expected less than {len(table)}, the number of classes"
        )
    return table[labels]


def _label_files(folder: Path) -> dict[str, Path]:
    maps = folder / "labels"
    found = maps.glob("*.png") if maps.is_dir() else (folder / "annotations" / "pixel-level").glob("*.mat")
    return {file.stem: file for file in sorted(found)}


def _class_names(folder: Path) -> list[str]:
    listed = folder / "classes.txt"
    if listed.is_file():
        try:
            return listed.read_text().split("\n")[: len(listed.read_text().splitlines())]
        except UnicodeDecodeError as error:
            raise ArchiveError(f"{listed} is no text: {error}") from None
    for place in (folder, folder / "annotations"):
        if (place / "label_list.mat").is_file():
            names = _read_mat(place / "label_list.mat", "label_list")
            return [str(np.ravel(name)[0]) if np.size(name) else "null" for name in names.ravel()]
    raise ArchiveError(f"{folder} has no table of classes, expected classes.txt or label_list.mat")


def _read_mat(file: Path, variable: str) -> np.ndarray:
    from scipy.io import loadmat

    try:
        return loadmat(file, variable_names=[variable])[variable]
    except Exception as error:  # SciPy's reader raises whatever a broken file makes it stumble over
        raise ArchiveError(f"{file} cannot be read as MATLAB's file with {variable!r}: {first_line(error)}") from error


def _read_png(file: Path) -> np.ndarray:
    content = np.frombuffer(file.read_bytes(), np.uint8)
    labels = cv2.imdecode(content, cv2.IMREAD_UNCHANGED) if content.size else None
    if labels is None:
        raise ArchiveError(f"{file} is no picture")
    return labels
