"""Warp the body parts of one frame of a person, in their colours, to other poses, without the background."""

from __future__ import annotations

import cv2
import numpy as np

from posegen.features.parts import part_distances
from posegen.features.warp import PartAffines, crop_parts, warp_crops

_RIM = np.ones((3, 3), np.uint8)
_INPAINTING_RADIUS = 3
_SEAM = 0.5  # half widths


class Appearance:
    """A frame of a person, whose parts can be moved to other poses.

    The frame is taken apart once, then each target pose costs one warp of its parts.

    Args:
        image: (H, W, 3) uint8 RGB.
        keypoints: (18, 3).
        mask: (H, W) bool, or uint8 with 0 outside the person.
    """

    def __init__(self, image: np.ndarray, keypoints: np.ndarray, mask: np.ndarray):
        person = (mask > 0).astype(np.uint8)
        opaque = np.full_like(person, 255)
        self._crops = crop_parts(np.dstack([image, opaque]), _whole_parts(keypoints, person))
        # The rim of a mask has the person's colours, too.
        self._background = cv2.inpaint(image, cv2.dilate(person, _RIM), _INPAINTING_RADIUS, cv2.INPAINT_NS)

    def warp(self, affines: PartAffines) -> np.ndarray:
        """Move the parts by maps to another pose: (H, W, 3) uint8.

        Later parts hide earlier ones in the order of `PARTS`: arms lie over the torso.
        """
        return warp_crops(self._crops, affines, self._background)


def _whole_parts(keypoints: np.ndarray, person: np.ndarray) -> np.ndarray:
    """Divide the pixels of a person among the body parts, (10, H, W) bool.

    A pixel goes with the part whose axis is nearest, in half widths, whether a shape covers it (hair and wide clothes
    lie outside all of them) or several do (a hanging arm's takes in much of the body). Parts share a seam, so that no
    gap opens where they turn.
    """
    distances = part_distances(keypoints, person.shape)
    return (distances <= distances.min(axis=0) + _SEAM) & np.isfinite(distances) & (person > 0)
