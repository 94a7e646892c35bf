"""Labelled photos of the studio's people: what tests of the person parser learn from."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from posegen.datasets.parsing import LabelledPhoto, ParsingDataset, PhotoEntry, write_parsing_manifest, write_photo
from posegen.io.storage import StorageFolder
from posegen.person_classes import PersonClass
from posegen.synthetic.studio import RenderSettings, render_action

CLASSES = ["null", "skin", "shirt", "jeans"]
"""Of the label maps that `write_photo_set` writes."""


def studio_photos(size: tuple[int, int] = (96, 64), people: tuple[str, ...] = ("ada", "bruno")) -> list[LabelledPhoto]:
    """Two photos of each person, labelled by the studio's truth."""
    photos = []
    for person in people:
        clip = render_action(person, "wave", 2, RenderSettings(size=size))
        for image, mask, garments, keypoints in zip(
            clip.images, clip.masks, clip.garments, clip.keypoints, strict=True
        ):
            kinds = np.array([PersonClass.SKIN, PersonClass.UPPER, PersonClass.LOWER], np.uint8)
            labels = np.where(mask > 0, kinds[garments], PersonClass.BACKGROUND).astype(np.uint8)
            photos.append(LabelledPhoto(image, labels, mask, garments, mask, garments, keypoints))
    return photos


def write_photos(folder: Path, photos: list[LabelledPhoto]) -> ParsingDataset:
    """A dataset of photos, the last of which is held out."""
    entries = []
    for number, photo in enumerate(photos):
        write_photo(StorageFolder(folder), f"photo-{number}", photo)
        entries.append(
            PhotoEntry(
                photo_id=f"photo-{number}",
                source=f"{number}",
                split="test" if number == len(photos) - 1 else "train",
                size=(photo.labels.shape[0], photo.labels.shape[1]),
                pixels=np.bincount(photo.labels.ravel(), minlength=len(PersonClass)).tolist(),
            )
        )
    write_parsing_manifest(StorageFolder(folder), entries, {}, {})
    return ParsingDataset(folder)


def write_photo_set(folder: Path, photos: list[LabelledPhoto]) -> None:
    """A set as people publish it: photos, label maps and the names of the classes."""
    for name in ("photos", "labels"):
        (folder / name).mkdir(parents=True)
    indices = np.zeros(len(PersonClass), np.uint8)
    indices[[PersonClass.SKIN, PersonClass.UPPER, PersonClass.LOWER]] = 1, 2, 3
    for number, photo in enumerate(photos):
        cv2.imwrite(str(folder / "photos" / f"{number:04}.jpg"), photo.image[..., ::-1])
        cv2.imwrite(str(folder / "labels" / f"{number:04}.png"), indices[photo.labels])
    (folder / "classes.txt").write_text("\n".join(CLASSES) + "\n")
