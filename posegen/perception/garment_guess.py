"""Prior of the person parser: a person mask and a first guess of the garments."""

from __future__ import annotations

import cv2
import numpy as np

from posegen.color.garment_segmentation import garment_labels
from posegen.features.parser_inputs import crop_affine, person_region, warp_mask, warp_picture
from posegen.perception.keypoint_maps import map_keypoints
from posegen.perception.selfie import Selfie, clean_mask

_MASK_SIZE = (256, 192)
_GUESS_SIZE = (192, 144)  # the guess takes four times as long at twice the size, and is no better


def person_probability(image: np.ndarray, keypoints: np.ndarray, segmenter: Selfie) -> np.ndarray:
    """Segment a person by the region around the pose, in which bystanders are few and the person is large.

    Args:
        image: (H, W, 3) uint8 RGB.
        keypoints: (18, 3) in pixels.
        segmenter: What segments the region.

    Returns:
        (H, W) uint8, probability × 255; zeros outside the region.
    """
    size = (image.shape[0], image.shape[1])
    affine = crop_affine(person_region(keypoints, size), _MASK_SIZE)
    probability = segmenter.probability(warp_picture(image, affine, _MASK_SIZE))
    return cv2.warpAffine(probability, affine, size[::-1], flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)


def guess_garments(image: np.ndarray, keypoints: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Label upper and lower garment of one picture by `garment_labels`, at a small size.

    Args:
        image: (H, W, 3) uint8 RGB.
        keypoints: (18, 3) in pixels.
        mask: (H, W) uint8, probability × 255 of the person.

    Returns:
        (H, W) uint8: 0 neither, 1 upper, 2 lower garment.
    """
    size = (image.shape[0], image.shape[1])
    affine = crop_affine(person_region(keypoints, size), _GUESS_SIZE)
    crop = warp_picture(image, affine, _GUESS_SIZE)
    person = clean_mask(warp_mask(mask, affine, _GUESS_SIZE))
    labels = garment_labels(crop[None], map_keypoints(keypoints, affine)[None], person[None])[0]
    return cv2.warpAffine(labels, affine, size[::-1], flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP)
