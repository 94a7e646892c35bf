"""Session of the page: its files, the person of its photo, taken apart once, and its videos."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from orchestration.app.film import Film
from orchestration.app.scene import ResolvedScene
from orchestration.app.uploads import StoredFile
from posegen.color.garment_regions import Garment, distinct_garments, garment_region
from posegen.errors import ConfigError
from posegen.inference.photo_video import PreparedPerson, prepare_person
from posegen.inference.shown_person import Painter, PhotoSettings, PhotoSubject, find_subject, open_person
from posegen.person_classes import PersonClass

_MOST_FILES = 40
_MOST_FILMS = 4
_MOST_PREPARED = 4
_LEAST_AREA = 24  # pixels of a piece of a garment that is outlined


@dataclass(frozen=True)
class DressedPerson:
    """A person prepared for a scene, and taken apart to be shown in any colours."""

    prepared: PreparedPerson
    painter: Painter
    garments: list[Garment]
    """Visible garments with a colour of their own; a one-piece counts as the upper one."""


@dataclass
class Designer:
    """A session. All but `files` is touched by the queue's thread alone."""

    name: str
    folder: Path
    files: dict[str, StoredFile] = field(default_factory=dict)
    photo: StoredFile | None = None
    person: int = 1
    films: OrderedDict[str, Film] = field(default_factory=OrderedDict)
    subject: PhotoSubject | None = None
    """The person of the photo, once they are found."""
    dressed: OrderedDict[tuple[object, ...], DressedPerson] = field(default_factory=OrderedDict)
    """The last few scenes that the person was prepared for."""

    def add(self, file: StoredFile) -> None:
        """Keep a file. Raises ConfigError where there are too many."""
        if len(self.files) >= _MOST_FILES:
            file.path.unlink(missing_ok=True)
            raise ConfigError("Many files are here already. Reload the page to begin again.")
        self.files[file.token] = file

    def drop(self, file: StoredFile) -> None:
        """Delete a file."""
        self.files.pop(file.token, None)
        file.path.unlink(missing_ok=True)

    def with_person(self, photo: StoredFile, number: int) -> Designer:
        """Return the same session with another photo, or with another person of it, to be tried."""
        return Designer(self.name, self.folder, self.files, photo, number)

    def take_person(self, other: Designer) -> None:
        """Take the person of `with_person`; the photo before is deleted, and what was prepared of it forgotten."""
        if self.photo is not None and self.photo is not other.photo:
            self.drop(self.photo)
        self.photo, self.person, self.subject = other.photo, other.person, other.subject
        self.dressed = other.dressed

    def require_photo(self) -> StoredFile:
        """Return the photo or video of the person. Raises ConfigError where there is none yet."""
        if self.photo is None:
            raise ConfigError("Choose a photo of a person first.")
        return self.photo

    def dress(self, scene: ResolvedScene) -> DressedPerson:
        """Prepare the person for a scene, whatever its colours; the last few scenes are remembered.

        Raises:
            PosegenError: The photo shows no person, or the scene does not fit.
        """
        key = scene.key
        if key not in self.dressed:
            self.dressed[key] = self._prepare(scene)
            while len(self.dressed) > _MOST_PREPARED:
                self.dressed.popitem(last=False)
        self.dressed.move_to_end(key)
        return self.dressed[key]

    def _prepare(self, scene: ResolvedScene) -> DressedPerson:
        photo = self.require_photo()
        subject = self._find_subject(photo, scene.view)
        if scene.has_motion:
            prepared = prepare_person(photo.path, scene.motions, scene.view, scene.request.seed, subject)
        else:
            shown = open_person(photo.path, scene.view, (), subject)
            prepared = PreparedPerson(shown, [], [], shown.findings)
        garments = distinct_garments(prepared.shown.photo.labels)
        return DressedPerson(prepared, Painter(prepared.shown, garments), garments)

    def _find_subject(self, photo: StoredFile, view: PhotoSettings) -> PhotoSubject | None:
        """The person of a photo, found once; None for a video."""
        if photo.kind == "video":
            return None
        if self.subject is None:
            self.subject = find_subject(photo.path, view)
        return self.subject

    def add_film(self, film: Film) -> str:
        """Keep a video under a random token, and forget the oldest of too many."""
        token = secrets.token_urlsafe(16)
        self.films[token] = film
        while len(self.films) > _MOST_FILMS:
            _, oldest = self.films.popitem(last=False)
            oldest.path.unlink(missing_ok=True)
        return token


def outline_garment(labels: np.ndarray, garment: Garment) -> list[list[list[int]]]:
    """Return the outlines of a garment: polygons of x and y in pixels of the labels (H, W)."""
    region = garment_region(labels, garment).astype(np.uint8)
    contours, _ = cv2.findContours(region, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    large = (contour for contour in contours if cv2.contourArea(contour) >= _LEAST_AREA)
    return [cv2.approxPolyDP(contour, 0.8, True)[:, 0].tolist() for contour in large]


def name_garment(labels: np.ndarray, garment: Garment) -> str:
    """Return what a garment is called on the page."""
    region = garment_region(labels, garment)
    if (labels[region] == PersonClass.ONE_PIECE).mean() > 0.5:
        return "Dress or overall"
    return "Top" if garment == "upper" else "Bottom"
