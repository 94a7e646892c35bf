"""The person to render: one frame with its pose, edges and mask, and the colours of the garments in it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from posegen.color.garment_segmentation import GarmentMethod
from posegen.color.lab import rgb_to_lab
from posegen.datasets.clip_files import ClipFile
from posegen.errors import ConfigError, DatasetError
from posegen.features.body_pose import BodyPoses
from posegen.perception.garments import label_garments
from posegen.samples import REGIONS, usable_rows
from posegen.skeletons import joint_indices

_TRUNK = ("neck", "left_shoulder", "right_shoulder", "left_hip", "right_hip")


@dataclass(frozen=True)
class Person:
    """The input of every renderer: the content image, and what the perception backends found in it."""

    image: np.ndarray
    """(H, W, 3) uint8 RGB."""
    keypoints: np.ndarray
    """(18, 3) float32 OpenPose-18: x and y in pixels, confidence."""
    edges: np.ndarray
    """(H, W) uint8, P(edge) × 255."""
    mask: np.ndarray
    """(H, W) uint8, 255 on the person."""
    garments: GarmentMethod = "heuristic"
    """Method that finds the garments."""

    @property
    def body(self) -> BodyPoses:
        """The pose, to which others are fitted; neither depths nor feet are known."""
        return BodyPoses.from_keypoints(self.keypoints)


def person_of_clip(clip: ClipFile, garments: GarmentMethod = "heuristic") -> Person:
    """Read the first frame of a clip that has a usable pose. Raises DatasetError if none has."""
    rows = usable_rows(clip)
    if not len(rows):
        raise DatasetError(f"clip {clip.clip_id} has no frame with both hips and both shoulders")
    row = int(rows[0])
    return Person(clip.image(row), clip.keypoints[row], clip.edges(row), clip.mask(row), garments)


def body_with_trunk(person: Person) -> BodyPoses:
    """Return the person's pose. Raises ConfigError where the picture does not show neck, shoulders and hips."""
    missing = [name for name in _TRUNK if person.keypoints[joint_indices([name])[0], 2] <= 0]
    if missing:
        raise ConfigError(
            f"the person in the content image shows no {', '.join(missing)}: "
            "choose an image that shows neck, shoulders and hips"
        )
    return person.body


def garments_of(person: Person) -> np.ndarray:
    """Label the garments in a person's image: (H, W) uint8 as from `label_garments`."""
    return label_garments(person.image[None], person.keypoints[None], person.mask[None], person.garments)[0]


def worn_color(person: Person, region: str) -> tuple[float, float, float]:
    """Return mean L, a, b of a person's ``upper`` or ``lower`` garment. Raises ConfigError if it is not visible."""
    pixels = person.image[garments_of(person) == REGIONS.index(region) + 1]
    if not len(pixels):
        raise ConfigError(f"no {region} garment is seen in the content image: choose an image that shows it")
    lightness, a, b = rgb_to_lab(pixels).mean(axis=0).tolist()
    return lightness, a, b
