"""Garments in a clip or picture: by the heuristic of colours and places, or by the person parser.

Codes and metrics of seed-type datasets know two garments, and a pixel is of one of them: there a dress is the upper
garment, whole, since half a dress in another colour would be wrong. Where a colour is asked for, `garment_masks` has a
dress in both, so that whichever garment is asked for recolours it whole.
"""

from __future__ import annotations

import numpy as np

from posegen.color.garment_segmentation import LOWER, NONE, UPPER, GarmentMethod, garment_labels
from posegen.perception.person_parser import parse_person
from posegen.person_classes import PersonClass

_LABELS = np.full(len(PersonClass), NONE, np.uint8)
_LABELS[[PersonClass.UPPER, PersonClass.ONE_PIECE]] = UPPER
_LABELS[PersonClass.LOWER] = LOWER


def label_garments(
    images: np.ndarray, keypoints: np.ndarray, masks: np.ndarray, method: GarmentMethod = "heuristic"
) -> np.ndarray:
    """Label the pixels of the upper and the lower garment of one person over a clip.

    Args:
        images: (T, H, W, 3) uint8 RGB.
        keypoints: (T, 18, 3) OpenPose-18.
        masks: (T, H, W) uint8, positive on the person.
        method: ``heuristic`` for `garment_labels`, or ``parser`` for `parse_person`, frame by frame.

    Returns:
        (T, H, W) uint8: 0 neither, 1 upper garment or dress, 2 lower garment.
    """
    if method == "heuristic":
        return garment_labels(images, keypoints, masks)
    frames = zip(images, keypoints, masks, strict=True)
    return np.stack([garments_of_classes(parse_person(image, pose, mask)) for image, pose, mask in frames])


def garments_of_classes(classes: np.ndarray) -> np.ndarray:
    """Labels (...) of two garments by labels (...) of `parse_person`: a dress is the upper garment."""
    return _LABELS[classes]


def garment_masks(classes: np.ndarray) -> np.ndarray:
    """Masks (2, H, W) bool of upper and lower garment by labels (H, W) of `parse_person`: a dress is in both."""
    one_piece = classes == PersonClass.ONE_PIECE
    return np.stack([one_piece | (classes == kind) for kind in (PersonClass.UPPER, PersonClass.LOWER)])
