"""The person that is rendered: one frame, its pose, edges and mask, and the colours of the garments in it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from posegen.color.garment_segmentation import garment_labels
from posegen.color.lab import rgb_to_lab
from posegen.datasets.clip_files import ClipFile
from posegen.errors import ConfigError, DatasetError
from posegen.samples import REGIONS, usable_rows


@dataclass(frozen=True)
class Person:
    """The person that is drawn: one frame and what is seen in it."""

    image: np.ndarray
    """(H, W, 3) uint8 RGB."""
    keypoints: np.ndarray
    """(18, 3) float32 in pixels."""
    edges: np.ndarray
    """(H, W) uint8 P(edge) × 255."""
    mask: np.ndarray
    """(H, W) uint8, 255 on the person."""


def person_of_clip(clip: ClipFile) -> Person:
    """The first frame of a clip that has a usable pose. Raises DatasetError if none has."""
    rows = usable_rows(clip)
    if not len(rows):
        raise DatasetError(f"clip {clip.clip_id} has no frame with both hips and both shoulders")
    row = int(rows[0])
    return Person(clip.image(row), clip.keypoints[row], clip.edges(row), clip.mask(row))


def garments_of(content: Person) -> np.ndarray:
    """Label the garments that the content image shows: (H, W) uint8 as from `garment_labels`."""
    return garment_labels(content.image[None], content.keypoints[None], content.mask[None])[0]


def worn_color(content: Person, region: str) -> tuple[float, float, float]:
    """Mean L, a, b of the ``upper`` or ``lower`` garment that a person wears. Raises ConfigError if it is not seen."""
    pixels = content.image[garments_of(content) == REGIONS.index(region) + 1]
    if not len(pixels):
        raise ConfigError(f"no {region} garment is seen in the content image, choose one that shows it")
    lightness, a, b = rgb_to_lab(pixels).mean(axis=0).tolist()
    return lightness, a, b
