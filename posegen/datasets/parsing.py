"""A dataset of labelled photos, to train the person parser: one Parquet file a photo, and a manifest.

Layout of ``DATASET/``::

    parsing.json           settings, weights of the backends, and one entry a photo
    photos/ID.parquet      image, labels, two person masks with a first guess of the garments, keypoints

The manifest is written last and names what counts. A photo's id is derived from its content and the settings, so the
same photos give the same dataset.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from posegen.datasets.dataset import Split
from posegen.datasets.picture_dataset import PictureDataset, check_entries, read_row
from posegen.errors import DatasetError, ImageError
from posegen.io.images import decode_png, encode_png
from posegen.io.records import parse_json
from posegen.io.storage import StorageFolder
from posegen.person_classes import PersonClass

PARSING_MANIFEST = "parsing.json"
"""The file that says what is in a dataset."""
_VERSION = 1
_SCHEMA = pa.schema(
    [
        ("image", pa.binary()),
        ("labels", pa.binary()),
        ("mask", pa.binary()),
        ("garments", pa.binary()),
        ("pose_mask", pa.binary()),
        ("pose_garments", pa.binary()),
        ("keypoints", pa.list_(pa.float32(), 54)),
    ]
)
_REMEDY = "convert the photos again with `posegen data parsing`"


@dataclass(frozen=True, kw_only=True)
class PhotoEntry:
    """Entry of a photo in the manifest."""

    photo_id: str
    source: str
    """Name of the photo in its set."""
    split: Split
    size: tuple[int, int]
    """Height and width in pixels."""
    pixels: list[int]
    """Pixels of each class."""

    @property
    def file_id(self) -> str:
        return self.photo_id


@dataclass(frozen=True, kw_only=True)
class ParsingDatasetInfo:
    """The content of ``parsing.json``."""

    settings: dict[str, Any]
    """Settings that made the dataset, with the table of classes."""
    backends: dict[str, str]
    """sha256 of the weights that found poses and masks."""
    photos: list[PhotoEntry]
    schema_version: int = _VERSION


@dataclass(frozen=True)
class LabelledPhoto:
    """A photo of a person with what its pixels show."""

    image: np.ndarray
    """(H, W, 3) uint8 RGB."""
    labels: np.ndarray
    """(H, W) uint8, values of `PersonClass`."""
    mask: np.ndarray
    """(H, W) uint8, probability × 255 of the person by the selfie segmenter."""
    garments: np.ndarray
    """(H, W) uint8, a first guess inside it: 1 upper, 2 lower garment."""
    pose_mask: np.ndarray
    """(H, W) uint8, probability × 255 of the person by the pose estimator; zeros where it found nobody."""
    pose_garments: np.ndarray
    """(H, W) uint8, a first guess inside that."""
    keypoints: np.ndarray
    """(18, 3) float32 in pixels."""


class ParsingDataset(PictureDataset[PhotoEntry]):
    """A folder of labelled photos, opened for reading."""

    def __init__(self, folder: StorageFolder | str):
        self.folder = StorageFolder(folder)
        if not self.folder.exists(PARSING_MANIFEST):
            raise DatasetError(
                f"no labelled photos in {self.folder}: {PARSING_MANIFEST} is missing; "
                "make them with `posegen data parsing`"
            )
        self.info = _load_info(self.folder)

    @property
    def entries(self) -> list[PhotoEntry]:
        return self.info.photos

    def read(self, entry: PhotoEntry) -> LabelledPhoto:
        """Read a photo. Raises DatasetError where it is missing, damaged or not what the manifest says."""
        return read_photo(self.folder, entry)


def split_of_photo(name: str, held_out: float) -> Split:
    """Return the split of a photo by a hash of its name, so that others that come or go do not move it.

    Args:
        name: Of the photo in its set.
        held_out: Share of all photos that is held out, in [0, 1].
    """
    place = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64
    return "test" if place < held_out else "train"


def write_photo(folder: StorageFolder, photo_id: str, photo: LabelledPhoto) -> None:
    """Write one photo, atomically."""
    columns: dict[str, Any] = {
        name: [encode_png(getattr(photo, name))] for name in _SCHEMA.names if name != "keypoints"
    }
    columns["keypoints"] = [photo.keypoints.astype(np.float32).ravel()]
    with (folder / "photos").write(f"{photo_id}.parquet") as stream:
        pq.write_table(pa.table(columns, schema=_SCHEMA), stream, compression="none", use_dictionary=False)


def read_photo(folder: StorageFolder, entry: PhotoEntry) -> LabelledPhoto:
    """Read a photo of a dataset. Raises DatasetError where it is missing, damaged or not what the entry says."""
    row = read_row(folder, f"photos/{entry.photo_id}.parquet", _SCHEMA, _REMEDY)
    place = f"{folder}/photos/{entry.photo_id}.parquet"
    try:
        image = decode_png(row["image"], size=entry.size)
        maps = {
            name: decode_png(row[name], gray=True, size=entry.size)
            for name in ("labels", "mask", "garments", "pose_mask", "pose_garments")
        }
    except ImageError as error:
        raise DatasetError(f"{place}: {error}; {_REMEDY}") from error
    keypoints = np.array(row["keypoints"], np.float32).reshape(18, 3)
    if maps["labels"].max() >= len(PersonClass) or not np.isfinite(keypoints).all():
        raise DatasetError(f"{place} has labels or keypoints that are none; {_REMEDY}")
    return LabelledPhoto(image=image, keypoints=keypoints, **maps)


def write_parsing_manifest(
    folder: StorageFolder, photos: Sequence[PhotoEntry], settings: dict[str, Any], backends: dict[str, str]
) -> ParsingDatasetInfo:
    """Write the manifest, by which the photos become a dataset."""
    info = ParsingDatasetInfo(
        settings=settings, backends=backends, photos=sorted(photos, key=lambda entry: entry.photo_id)
    )
    folder.write_json(PARSING_MANIFEST, asdict(info))
    return info


def _load_info(folder: StorageFolder) -> ParsingDatasetInfo:
    """Read the manifest. Raises DatasetError for one of another version, or that is none."""
    place = f"{folder}/{PARSING_MANIFEST}"
    info = parse_json(ParsingDatasetInfo, folder.read(PARSING_MANIFEST), place, DatasetError)
    if info.schema_version != _VERSION:
        raise DatasetError(f"{place} has schema version {info.schema_version}, expected {_VERSION}")
    check_entries(info.photos, place)
    for entry in info.photos:
        if len(entry.pixels) != len(PersonClass):
            raise DatasetError(f"{place} counts pixels of {len(entry.pixels)} classes, expected {len(PersonClass)}")
    return info
