"""``posegen data parsing``: photos with label maps become a dataset for the person parser, on Ray Data.

Poses, masks and first guesses of the garments are found once. What is there is not made again.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from pydantic import TypeAdapter

from orchestration.data.rejections import REJECTED, Rejection, first_of, save_rejections
from orchestration.errors import reason_of
from orchestration.runtime.progress import ProgressCallback, ignore_progress
from orchestration.runtime.ray_data import Row, RowWork, Step, map_rows
from posegen.datasets.dataset import readable_id
from posegen.datasets.parsing import (
    PARSING_MANIFEST,
    LabelledPhoto,
    ParsingDataset,
    ParsingDatasetInfo,
    PhotoEntry,
    split_of_photo,
    write_parsing_manifest,
    write_photo,
)
from posegen.datasets.published.labelled_photos import LabelledFile, open_photo_set, read_label_map
from posegen.errors import ArchiveError, ConfigError, DatasetError, counted
from posegen.io.storage import StorageFolder, expand_home
from posegen.io.video_reader import Footage, read_image
from posegen.perception import SEGMENTERS
from posegen.person_classes import PersonClass

_VERSION = 1
_FARTHEST_SHIFT = 16.0


@dataclass(frozen=True, kw_only=True)
class ParsingSettings:
    """Settings that turn labelled photos into a dataset."""

    height: int = 384
    """Height of the photos in pixels; smaller ones stay as they are."""
    held_out: float = 0.2
    """Share of the photos that is held out, chosen by a hash of their names."""
    shift: tuple[float, float] = (0.0, 0.0)
    """Pixels by which label maps are moved right and down, for sets whose labels lie a little beside their photos."""
    classes: tuple[str, ...] = ()
    """Classes of the set that are unknown here, or are something else, as NAME=CLASS: kimono=one_piece."""
    workers: int = -1
    """Processes that read photos; -1 takes all CPUs of the cluster, 0 works in this process, without Ray."""

    def __post_init__(self) -> None:
        if self.height < 64:
            raise ConfigError(f"height must be at least 64, got {self.height}")
        if not all(abs(pixels) <= _FARTHEST_SHIFT for pixels in self.shift):
            raise ConfigError(f"shift must be within {_FARTHEST_SHIFT:g} pixels, got {self.shift}")
        if not 0 <= self.held_out < 1:
            raise ConfigError(f"held_out must be at least 0 and less than 1, got {self.held_out}")
        wrong = [text for text in self.classes if not all(text.partition("="))]
        if wrong:
            raise ConfigError(f"got --classes {wrong[0]!r}, expected NAME=CLASS, for example kimono=one_piece")

    @property
    def class_names(self) -> dict[str, str]:
        """The class of the person parser by the name of the set's class."""
        pairs = (text.rpartition("=") for text in self.classes)
        return {name: kind for name, _, kind in pairs}


@dataclass(frozen=True)
class ConvertedPhotos:
    """A dataset of labelled photos that was made."""

    folder: StorageFolder
    info: ParsingDatasetInfo
    num_new: int
    rejections: list[Rejection]

    def __str__(self) -> str:
        photos = self.info.photos
        held_out = sum(entry.split == "test" for entry in photos)
        text = f"{counted(len(photos), 'labelled photo')} in {self.folder}, {self.num_new:,} new, {held_out:,} held out"
        shares = np.sum([entry.pixels for entry in photos], axis=0, dtype=np.float64)
        shares = 100 * shares / max(shares.sum(), 1)
        text += "; " + ", ".join(
            f"{kind.name.lower()} {share:.1f} %" for kind, share in zip(PersonClass, shares, strict=True)
        )
        if self.rejections:
            text += f"; {len(self.rejections):,} left out, see {self.folder}/{REJECTED}: {first_of(self.rejections)}"
        return text


def convert_photos(
    source: Path,
    out: StorageFolder | str,
    settings: ParsingSettings,
    *,
    on_progress: ProgressCallback = ignore_progress,
) -> ConvertedPhotos:
    """Make a dataset of a set of labelled photos. Photos that are broken are listed and left out.

    Args:
        source: The set, see `posegen.datasets.published.labelled_photos`.
        out: Folder of the dataset.
        settings: How.
        on_progress: Called after every photo.

    Raises:
        ArchiveError: The set has no labelled photos, or none that can be used.
        DatasetError: A class of the set is unknown, or `out` is a dataset of something else.
    """
    source, folder = expand_home(source).absolute(), StorageFolder(out)
    if folder.exists("dataset.json") or folder.exists("motions.json"):
        raise DatasetError(f"{folder} is a dataset of another kind: choose another folder")
    photos = open_photo_set(source, settings.class_names)
    making = {
        "version": _VERSION,
        "height": settings.height,
        "shift": list(settings.shift),
        "table": photos.table.tolist(),
    }
    known = _known(folder)
    rows, entries = [], []
    for file in photos.files:
        photo_id = _photo_id(file, making)
        if photo_id in known:
            entries.append(known[photo_id])
        else:
            rows.append({"photo_id": photo_id, **{key: str(value) for key, value in asdict(file).items()}})
    work = RowWork((Step(_PhotoMaker, (folder, photos.table, settings.height, settings.shift)),), key="photo_id")
    rejections, names = [], {row["photo_id"]: row["name"] for row in rows}
    num_known = len(entries)
    for result in map_rows(rows, work, out=folder, workers=settings.workers, on_progress=on_progress):
        if result.get("reason"):
            rejections.append(Rejection(names[result["photo_id"]], result["reason"]))
        else:
            entries.append(TypeAdapter(PhotoEntry).validate_json(result["entry"]))
    if not entries:
        raise ArchiveError(f"none of the photos of {source} can be used: {first_of(rejections)}")
    divided = [PhotoEntry(**{**asdict(one), "split": split_of_photo(one.source, settings.held_out)}) for one in entries]
    said: dict[str, Any] = {
        "source": source.name,
        "held_out": settings.held_out,
        **making,
        "classes": settings.class_names,
    }
    info = write_parsing_manifest(folder, divided, said, SEGMENTERS["blazepose"].identity())
    save_rejections(folder, rejections)
    return ConvertedPhotos(folder, info, len(entries) - num_known, rejections)


def _known(folder: StorageFolder) -> dict[str, PhotoEntry]:
    """The photos that are there already, by id."""
    if not folder.exists(PARSING_MANIFEST):
        return {}
    there = set((folder / "photos").files(".parquet"))
    entries = ParsingDataset(folder).info.photos
    return {entry.photo_id: entry for entry in entries if f"{entry.photo_id}.parquet" in there}


def _photo_id(file: LabelledFile, making: dict[str, Any]) -> str:
    content = hashlib.sha256(json.dumps(making, sort_keys=True).encode())
    for path in (file.photo, file.labels):
        content.update(path.read_bytes())
    return readable_id(file.name, "photo", content.digest())


class _PhotoMaker:
    """Makes one labelled photo after the other."""

    def __init__(self, folder: StorageFolder, table: np.ndarray, height: int, shift: tuple[float, float]):
        self.folder, self.table, self.height, self.shift = folder, table, height, shift
        from posegen.perception.blazepose import Blazepose
        from posegen.perception.selfie import Selfie

        self._pose, self._selfie = Blazepose(), Selfie()

    def __call__(self, row: Row) -> Row:
        """Make a photo; what is wrong with it is its ``reason``."""
        try:
            photo = self._label(Path(row["photo"]), Path(row["labels"]))
            write_photo(self.folder, row["photo_id"], photo)
            height, width = photo.labels.shape
            entry = PhotoEntry(
                photo_id=row["photo_id"],
                source=row["name"],
                split="train",
                size=(height, width),
                pixels=np.bincount(photo.labels.ravel(), minlength=len(PersonClass)).tolist(),
            )
            return {"photo_id": row["photo_id"], "entry": json.dumps(asdict(entry)), "reason": ""}
        except Exception as error:
            return {"photo_id": row["photo_id"], "entry": "", "reason": reason_of(error)}

    def _label(self, file: Path, label_file: Path) -> LabelledPhoto:
        from posegen.perception.garment_guess import guess_garments, person_probability

        image = read_image(file, size=None, crop="none").images[0]
        labels = read_label_map(label_file, self.table)
        if labels.shape != image.shape[:2]:
            raise ArchiveError(f"labels have {labels.shape[::-1]} pixels, the photo has {image.shape[1::-1]}")
        image, labels = _shrink(image, labels, self.height, self.shift)
        footage = Footage(
            images=image[None],
            times=np.zeros(1),
            indices=np.zeros(1, np.int32),
            fps=1.0,
            source=file,
            transform=np.eye(2, 3),
        )
        poses = self._pose(footage)
        keypoints = poses.keypoints[0]
        pose_mask = np.zeros_like(labels) if poses.masks is None else poses.masks[0]
        mask = person_probability(image, keypoints, self._selfie)
        return LabelledPhoto(
            image=image,
            labels=labels,
            mask=mask,
            garments=guess_garments(image, keypoints, mask),
            pose_mask=pose_mask,
            pose_garments=guess_garments(image, keypoints, pose_mask),
            keypoints=keypoints,
        )


def _shrink(
    image: np.ndarray, labels: np.ndarray, height: int, shift: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """A photo and its labels at a height, unless they are smaller; a pixel gets the label that fills most of it.

    Labels are moved right and down by `shift` pixels first.
    """
    rows, columns = labels.shape
    height = min(height, rows)
    size = (max(round(columns * height / rows), 1), height)
    move = np.array([[1, 0, shift[0]], [0, 1, shift[1]]], np.float64)
    shares = []
    for kind in PersonClass:
        share = (labels == kind).astype(np.float32)
        if any(shift):
            share = cv2.warpAffine(share, move, (columns, rows), borderMode=cv2.BORDER_REPLICATE)
        shares.append(cv2.resize(share, size, interpolation=cv2.INTER_AREA))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.argmax(shares, axis=0).astype(np.uint8)
