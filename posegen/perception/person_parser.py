"""Parses a picture of a person into hair, skin, garments, shoes and carried things."""

from __future__ import annotations

import cv2
import numpy as np

from posegen.color.garment_segmentation import LOWER, UPPER, garment_labels
from posegen.features.parts import HEAD, part_distances
from posegen.features.stick_figure import require_one_pose
from posegen.perception.selfie import Selfie, clean_mask
from posegen.person_classes import PersonClass


def parse_person(image: np.ndarray, keypoints: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
    """Label every pixel of a picture by what it shows of a person.

    The person's pixels are those with a positive label.

    Args:
        image: (H, W, 3) uint8 RGB.
        keypoints: (18, 3) OpenPose-18 in pixels of the image; missing joints have confidence 0.
        mask: (H, W) uint8, probability × 255 of the person; by default found in the image.

    Returns:
        (H, W) uint8, values of `PersonClass`.

    Raises:
        ConfigError: The keypoints have another shape.
    """
    require_one_pose(keypoints)
    if mask is None:
        mask = Selfie().probability(image)
    mask = clean_mask(mask)
    garments = garment_labels(image[None], keypoints[None], mask[None])[0]
    labels = np.where(mask > 0, PersonClass.SKIN, PersonClass.BACKGROUND).astype(np.uint8)
    distances = part_distances(keypoints, image.shape[:2])
    head = (distances.argmin(axis=0) == HEAD) & np.isfinite(distances[HEAD])
    dark = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) < 90
    labels[(mask > 0) & head & dark] = PersonClass.HAIR
    labels[garments == UPPER] = PersonClass.UPPER
    labels[garments == LOWER] = PersonClass.LOWER
    return labels
