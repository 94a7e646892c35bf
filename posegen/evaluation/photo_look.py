"""Fidelity of a photo's surfaces, colours and limbs when its person is shown in motion.

Which pixel of the photo a pixel of a frame shows is found by the renderer itself, which writes down where it has its
pixels from. Where it shows colours that were filled in, the same layers are drawn in the same pose with a texture of
coordinates instead of colours. So no renderer gains by what it draws elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import cv2
import numpy as np

from posegen.color.garment_recoloring import GarmentPaint
from posegen.color.garment_regions import Garment, garment_region
from posegen.color.lab import Lab, delta_e_2000, rgb_to_lab
from posegen.evaluation.photo_pipeline import WHOLE_PIPELINE, PhotoPipeline
from posegen.features.body_pose import BodyPoses
from posegen.features.layered_person import LayeredPerson
from posegen.inference.photo import Photo
from posegen.metrics.person import WHOLE_LIMB, ghosts, grow_masks, limb_coverage, smears
from posegen.person_classes import PersonClass

COLORS: tuple[str, ...] = (
    "black", "white", "navy", "#ffd1dc", "#c81e1e", "#2a6fdb", "teal", "#e6b800", "#6b3fa0", "#8b5a2b", "#808080",
    "#ff7f50",
)  # fmt: skip
"""Colours that are asked for: black, white, navy, a pastel, and others all around."""
CHANGED = 2.0
"""CIEDE2000 from which a pixel has changed."""
_SURFACES: dict[str, tuple[PersonClass, ...]] = {
    "garments": (PersonClass.UPPER, PersonClass.LOWER, PersonClass.ONE_PIECE),
    "hair": (PersonClass.HAIR,),
    "skin": (PersonClass.SKIN,),
}
_BARE = _SURFACES["hair"] + _SURFACES["skin"]
_CELL = 1 / 48  # of the height: colours are compared by the means of squares of the photo
_FEWEST = 12  # pixels of a square that is compared
_RIM = 2  # pixels at a class's outline, which are mixtures
_OPAQUE = 250  # of 255
_PLACE = 0.02  # of the height, around a person: what may belong to them


class ShownSurface(NamedTuple):
    """Pixels of a photo that a frame shows."""

    rows: np.ndarray
    """(H, W) int, of the photo."""
    columns: np.ndarray
    """(H, W) int, of the photo."""
    opaque: np.ndarray
    """(H, W) bool: the frame shows the person alone."""
    drawn: np.ndarray
    """(H, W) bool: the frame shows the person, at least in part."""


class SurfaceMap:
    """Finds which pixels of its picture a layered person shows in a pose."""

    def __init__(self, person: LayeredPerson):
        height, width = person.background.shape[:2]
        ys, xs = np.mgrid[:height, :width]
        texture = np.stack([xs * (255 / (width - 1)), ys * (255 / (height - 1)), np.full(xs.shape, 255)], axis=-1)
        recolored = person.recolored(texture.round().astype(np.uint8))
        self._person, self._coordinates = person, replace(recolored, background=np.zeros_like(person.background))
        self._size = height, width

    def of(self, pose: BodyPoses, scale: float = 1.0) -> ShownSurface:
        """Find it in one pose; see `LayeredPerson.frame`."""
        found = self._person.frame_with_map(pose, scale)
        frame = self._coordinates.frame(pose, scale).astype(np.float64)
        share = np.maximum(frame[..., 2], 1)
        columns, rows = (
            # A byte holds coordinates of what was filled in to a pixel or two only.
            np.where(found.sure, found.positions[..., axis], frame[..., axis] / share * (length - 1))
            .round()
            .clip(0, length - 1)
            .astype(int)
            for axis, length in ((0, self._size[1]), (1, self._size[0]))
        )
        return ShownSurface(rows, columns, frame[..., 2] >= _OPAQUE, frame[..., 2] >= 128)


@dataclass(frozen=True)
class ShownPhoto:
    """A photo's person in a sequence of poses."""

    photo: Photo
    poses: BodyPoses
    frames: np.ndarray
    """(T, H, W, 3) uint8, in the photo's own colours."""
    surfaces: list[ShownSurface]
    pipeline: PhotoPipeline = WHOLE_PIPELINE
    """Pipeline that shows the photo."""

    @classmethod
    def of(cls, photo: Photo, poses: BodyPoses, pipeline: PhotoPipeline = WHOLE_PIPELINE) -> ShownPhoto:
        """Show a photo's person. Raises ConfigError where the pose lacks a shoulder or a hip."""
        layered = photo.layered()
        person, surface_map = pipeline.refine(layered), SurfaceMap(layered)
        rows = range(len(poses))
        frames = np.stack([person.frame(poses[row]) for row in rows])
        return cls(photo, poses, frames, [surface_map.of(poses[row]) for row in rows], pipeline)


def own_look(shown: ShownPhoto) -> dict[str, float]:
    """Measure how far colours nobody asked to change are from the photo's: mean CIEDE2000 by kind of surface.

    Compared are the means of squares of the photo, over the pixels that a frame shows of each. A kind that is not shown
    is left out.
    """
    photo, found = rgb_to_lab(shown.photo.image), {}
    for name, classes in _SURFACES.items():
        region = _inner(np.isin(shown.photo.labels, classes))
        distances = [
            _square_distances(photo, frame, surface, region)
            for frame, surface in zip(shown.frames, shown.surfaces, strict=True)
        ]
        every = np.concatenate(distances)
        if len(every):
            found[name] = float(every.mean())
    return found


def _square_distances(photo: np.ndarray, frame: np.ndarray, surface: ShownSurface, region: np.ndarray) -> np.ndarray:
    """CIEDE2000 (K,) between a photo (H, W, 3) LAB and a frame uint8, in each square of the photo that is shown."""
    height, width = region.shape
    side = max(round(_CELL * height), 2)
    shown = surface.opaque & region[surface.rows, surface.columns]
    rows, columns = surface.rows[shown], surface.columns[shown]
    squares = rows // side * (width // side + 1) + columns // side
    counts = np.bincount(squares)
    used = np.flatnonzero(counts >= _FEWEST)
    means = [
        np.stack([np.bincount(squares, colors[:, axis])[used] / counts[used] for axis in range(3)], axis=-1)
        for colors in (photo[rows, columns], rgb_to_lab(frame[shown]))
    ]
    return np.asarray(delta_e_2000(*means)).reshape(-1)


def _inner(region: np.ndarray, rim: int = _RIM) -> np.ndarray:
    return cv2.erode(region.astype(np.uint8), np.ones((2 * rim + 1,) * 2, np.uint8)) > 0


class ColorScores(NamedTuple):
    """Accuracy of a garment's requested colour."""

    distances: np.ndarray
    """(T,) CIEDE2000 of the garment's median L, a and b in each frame; NaN where it is not seen."""
    leak: float
    """Share of the pixels of skin and hair that change with it; NaN where none are seen."""


def score_color(shown: ShownPhoto, garment: Garment, color: Lab, labels: np.ndarray | None = None) -> ColorScores:
    """Give a garment a colour, and measure it in every frame.

    Args:
        shown: The photo's person in motion.
        garment: Which.
        color: L, a, b.
        labels: (H, W) uint8 of `PersonClass`, what is truly where in the photo; by default what was perceived.

    Raises:
        ColorError: The garment is not seen.
    """
    photo, truth = shown.photo, shown.photo.labels if labels is None else labels
    image = GarmentPaint(photo.image, photo.labels, garment).apply(color)
    person = shown.pipeline.refine(photo.layered()).recolored(image)
    cloth, bare = _inner(garment_region(truth, garment)), _inner(np.isin(truth, _BARE), 1)
    distances, changed, seen = [], 0, 0
    for index, surface in enumerate(shown.surfaces):
        frame = person.frame(shown.poses[index])
        of_cloth, of_bare = (surface.opaque & region[surface.rows, surface.columns] for region in (cloth, bare))
        lab = np.median(rgb_to_lab(frame[of_cloth]), axis=0) if of_cloth.sum() >= _FEWEST else np.full(3, np.nan)
        distances.append(float(delta_e_2000(lab, np.array(color))))
        change = delta_e_2000(rgb_to_lab(frame[of_bare]), rgb_to_lab(shown.frames[index][of_bare]))
        changed, seen = changed + int((change > CHANGED).sum()), seen + int(of_bare.sum())
    return ColorScores(np.array(distances), changed / seen if seen else float("nan"))


class WholenessScores(NamedTuple):
    """Scores of completeness: whether a person is drawn once, and whole."""

    ghosts: float
    """Pixels of the person that are left in the photo's own place where nobody is drawn, as a share of the person's."""
    smears: float
    """Pixels of that place, where nobody is drawn, that show a filled background as such; the same share."""
    whole_limbs: float
    """Share of the limbs that are drawn over `WHOLE_LIMB` of their length at least; NaN where none was asked for."""


def score_wholeness(shown: ShownPhoto, person: np.ndarray | None = None) -> WholenessScores:
    """Measure what is left of the person in the photo's own place, and which limbs are severed.

    Args:
        shown: The photo's person in motion.
        person: (H, W) bool, where the person truly is in the photo; by default the perceived mask, grown by hands,
            hair and shoes that it misses.
    """
    photo = shown.photo
    if person is None:
        person = grow_masks((photo.labels > 0)[None], _PLACE)[0]
    left = ghosts(photo.background, photo.image, person)
    smeared = smears(photo.background, person)
    shares = [
        [(wrong & ~surface.drawn).sum() / max(person.sum(), 1) for surface in shown.surfaces]
        for wrong in (left, smeared)
    ]
    limbs = np.concatenate(
        [limb_coverage(shown.poses.keypoints[row], surface.drawn) for row, surface in enumerate(shown.surfaces)]
    )
    limbs = limbs[np.isfinite(limbs)]
    whole = float((limbs >= WHOLE_LIMB).mean()) if len(limbs) else float("nan")
    return WholenessScores(float(np.mean(shares[0])), float(np.mean(shares[1])), whole)


def evenly(poses: BodyPoses, count: int) -> BodyPoses:
    """Return so many poses of a sequence, spread evenly."""
    rows: Sequence[int] = np.unique(np.linspace(0, len(poses) - 1, count).round().astype(int)).tolist()
    return BodyPoses(*(getattr(poses, name)[rows] for name in ("keypoints", "depths", "toes")))
