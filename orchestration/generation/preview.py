"""``posegen preview``: what posegen sees in a photo, and what the photo is good for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from posegen.features.body_layers import LAYERS
from posegen.features.stick_figure import rasterize_stick_figure
from posegen.inference.photo import Photo
from posegen.inference.photo_report import PhotoReport, assess_photo, find_garment_doubts
from posegen.inference.shown_person import ViewSettings, open_person
from posegen.io.images import grid, titled_grid, write_picture
from posegen.io.output_files import KEEP_FILES, PREVIEW, OverwriteSettings, default_file
from posegen.person_classes import CLASS_COLORS, PersonClass
from posegen.synthetic import motions as corpus

_FRAMES = 40  # of each action that is judged
_TINT = 0.6
_CLASS_COLORS = np.array([CLASS_COLORS[kind] for kind in PersonClass], np.uint8)
_LAYER_COLORS = np.array(
    [(240, 200, 60), (214, 60, 60), (70, 170, 90), (60, 150, 214), (190, 80, 200), (80, 200, 200), (150, 110, 60)],
    np.uint8,
)


@dataclass(frozen=True)
class Preview:
    """Analysis of a photo."""

    picture: Path
    """Photo, pose, classes, layers and background side by side."""
    report: PhotoReport
    is_older: bool = False
    """True where the picture was there already, and stays as it is."""


def preview(path: Path, out: Path | None, view: ViewSettings, writing: OverwriteSettings = KEEP_FILES) -> Preview:
    """Draw what is seen in a photo, and judge what it is good for.

    Args:
        path: The photo.
        out: The picture to write, .png; for None PHOTO.preview.png in the current folder, which stays where it is there
            already and may not be replaced.
        view: Size of each of its pictures, and which person.
        writing: Whether the picture may replace another file.

    Raises:
        PosegenError: The photo cannot be read, or shows no person.
    """
    is_named, out = out is not None, out or default_file(path, "preview.png")
    PREVIEW.require(out)
    is_older = not is_named and out.is_file() and not writing.overwrite
    if not is_older:
        writing.require_writable([out], path)
    shown = open_person(path, view)
    subject = corpus.make_subject(0, 0)
    motions = {name: corpus.perform(name, subject, frames=_FRAMES) for name in corpus.ACTIONS}
    findings = [*shown.findings, *find_garment_doubts(shown.photo.labels)]
    report = assess_photo(shown.body, view.height_and_width, motions, findings)
    if not is_older:
        write_picture(out, _draw(shown.photo))
    return Preview(out, report, is_older)


def _draw(photo: Photo) -> np.ndarray:
    """Draw photo, pose, classes, layers and background in a row, each with its title."""
    figure = rasterize_stick_figure(photo.pose.keypoints, photo.image.shape[:2])
    posed = np.where(figure.max(axis=-1, keepdims=True) > 0, figure, photo.image)
    pictures = [photo.image, posed, _tint(photo.image, _CLASS_COLORS[photo.labels], photo.labels > 0)]
    layers = photo.layered().layers
    covered, colors = np.zeros(photo.labels.shape, bool), np.zeros_like(photo.image)
    for index in range(len(LAYERS)):
        if index in layers:
            here = layers[index].opacity > 127
            covered |= here
            colors[here] = _LAYER_COLORS[index]
    pictures += [_tint(photo.image, colors, covered), photo.background]
    titles = ["photo", "pose", "classes", "layers", "background"]
    return grid([[titled_grid([[one]], [title]) for one, title in zip(pictures, titles, strict=True)]])


def _tint(image: np.ndarray, colors: np.ndarray, where: np.ndarray) -> np.ndarray:
    mixed = (1 - _TINT) * image + _TINT * colors
    return np.where(where[..., None], mixed, 0.4 * image).round().astype(np.uint8)
