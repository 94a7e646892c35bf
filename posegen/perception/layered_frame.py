"""A frame of a clip as a layered person: shown in other poses, at the frame's own size."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import cv2
import numpy as np

from posegen.features.background import fill_background
from posegen.features.body_pose import BodyPoses
from posegen.features.layered_person import LayeredPerson
from posegen.perception.garments import garments_of_classes
from posegen.perception.person_parser import parse_person

_LEAST_HEIGHT = 384  # pixels: smaller frames are enlarged, since soft borders and seams are pixels wide
_NUM_GARMENTS = 2


class FrameContents(NamedTuple):
    """Pose, classes and matte of a frame: slow to compute, and small enough to cache."""

    labels: np.ndarray
    """(kH, kW) uint8 of `posegen.person_classes.PersonClass`, of the frame enlarged k times."""
    background: np.ndarray
    """(H, W, 3) uint8 without the person."""


def find_contents(image: np.ndarray, keypoints: np.ndarray, mask: np.ndarray) -> FrameContents:
    """Parse a frame, and fill the background behind its person.

    Args:
        image: (H, W, 3) uint8 RGB.
        keypoints: (18, 3) OpenPose-18 in pixels.
        mask: (H, W) uint8, P(person) × 255.
    """
    factor = _enlargement(len(image))
    covered, pose = _as_probability(mask), BodyPoses.from_keypoints(keypoints)
    labels = parse_person(_enlarge(image, factor), _enlarge_pose(keypoints, factor), _enlarge(covered, factor))
    return FrameContents(labels, fill_background(image, covered, pose))


def bytes_of_contents(height: int, width: int) -> int:
    """Return how much memory the contents of a frame of this size take."""
    return height * width * (_enlargement(height) ** 2 + 3)


@dataclass(frozen=True)
class LayeredContent:
    """A frame of a person in layers; each target pose costs one warp of them."""

    person: LayeredPerson
    """Of the frame enlarged `factor` times."""
    garments: LayeredPerson
    """The same in red where it shows the upper garment, in green where the lower, and black elsewhere."""
    factor: int

    @classmethod
    def of(
        cls, image: np.ndarray, keypoints: np.ndarray, mask: np.ndarray, contents: FrameContents | None = None
    ) -> LayeredContent:
        """Take a frame apart.

        Args:
            image: (H, W, 3) uint8 RGB.
            keypoints: (18, 3) OpenPose-18 in pixels.
            mask: (H, W) uint8, P(person) × 255.
            contents: What `find_contents` found in it; by default it is found now.

        Raises:
            ConfigError: The pose lacks a shoulder or a hip.
        """
        labels, background = contents or find_contents(image, keypoints, mask)
        factor = _enlargement(len(image))
        person = LayeredPerson.take_apart(
            _enlarge(image, factor),
            BodyPoses.from_keypoints(_enlarge_pose(keypoints, factor)),
            labels,
            _enlarge(_as_probability(mask), factor).astype(np.float32) / 255,
            _enlarge(background, factor),
        )
        shares = np.zeros((*labels.shape, 3), np.uint8)
        for channel in range(_NUM_GARMENTS):
            shares[..., channel] = 255 * (garments_of_classes(labels) == channel + 1)
        garments = replace(person.recolored(shares), background=np.zeros_like(shares))
        return cls(person, garments, factor)

    def recolored(self, image: np.ndarray) -> LayeredContent:
        """Return the same layers of the frame with other colours, (H, W, 3) uint8."""
        return replace(self, person=self.person.recolored(_enlarge(image, self.factor)))

    def show(self, keypoints: np.ndarray) -> np.ndarray:
        """Show the person in another pose (18, 3) in pixels: (H, W, 3) uint8."""
        return self._frame(self.person, keypoints)

    def show_garments(self, keypoints: np.ndarray) -> np.ndarray:
        """Return the shares × 255 of each pixel that show the upper and the lower garment in another pose.

        (H, W, 2) uint8; a dress is the upper garment.
        """
        return np.ascontiguousarray(self._frame(self.garments, keypoints)[..., :_NUM_GARMENTS])

    def _frame(self, person: LayeredPerson, keypoints: np.ndarray) -> np.ndarray:
        large = person.frame(BodyPoses.from_keypoints(_enlarge_pose(keypoints, self.factor)))
        if self.factor == 1:
            return large
        size = (large.shape[1] // self.factor, large.shape[0] // self.factor)
        return cv2.resize(large, size, interpolation=cv2.INTER_AREA)


def _enlargement(height: int) -> int:
    """Return how many times frames of this height are enlarged."""
    return -(-_LEAST_HEIGHT // height)


def _enlarge(image: np.ndarray, factor: int) -> np.ndarray:
    if factor == 1:
        return image
    return cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)


def _enlarge_pose(keypoints: np.ndarray, factor: int) -> np.ndarray:
    """Return keypoints (18, 3) in pixels of the enlarged frame; the centre of the first pixel is at 0."""
    enlarged = np.array(keypoints, np.float32)
    enlarged[:, :2] = np.where(enlarged[:, 2:] > 0, (enlarged[:, :2] + 0.5) * factor - 0.5, 0)
    return enlarged


def _as_probability(mask: np.ndarray) -> np.ndarray:
    """Return a mask (H, W) uint8, or bool, as uint8 probability × 255."""
    return mask.astype(np.uint8) * 255 if mask.dtype == bool else mask
