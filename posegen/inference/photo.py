"""One photo of a person, made ready to be shown in other poses: no run and no training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import cv2
import numpy as np

from posegen.features.background import fill_background
from posegen.features.body_bones import trunk_length
from posegen.features.body_pose import BodyPoses
from posegen.features.class_borders import settle_skin_borders
from posegen.features.layered_person import LayeredPerson
from posegen.features.matte import clear_matte, settle_matte, soft_matte
from posegen.perception.blazepose import Region
from posegen.perception.body import FAINTEST, FoundBody, find_body
from posegen.perception.keypoint_maps import map_keypoints
from posegen.perception.person_parser import parse_person
from posegen.skeletons import joint_indices

_STANDING = 0.84  # share of the frame's height that a person takes
_WIDTH = 0.96  # share of the frame's width that a person and what they do take at most
_BEYOND_JOINTS = 0.3  # lengths of the trunk by which hands and hair reach beyond joints
_BELOW = 0.07  # share of the frame's height that is left below the person
_AT_BORDER = 0.02  # of the picture's height: who comes so near to its lower border is cut by it
_ANKLES = joint_indices(["right_ankle", "left_ankle"])
_LIMB_JOINTS = [joint_indices([f"right_{name}", f"left_{name}"]) for name in ("elbow", "wrist", "knee", "ankle")]
_MASK_THRESHOLD = 127


@dataclass(frozen=True)
class Photo:
    """A person in a picture, and what is where in it."""

    image: np.ndarray
    """(H, W, 3) uint8 RGB."""
    pose: BodyPoses
    """One pose, in pixels of the image."""
    labels: np.ndarray
    """(H, W) uint8 of `PersonClass`."""
    matte: np.ndarray
    """(H, W) float32 in [0, 1]: opacity of the person."""
    background: np.ndarray
    """(H, W, 3) uint8 RGB: the image without the person."""
    others: int = 0
    """Number of other people of comparable size in the image."""

    def layered(self) -> LayeredPerson:
        """Take the person apart. Raises ConfigError where the pose lacks a shoulder or a hip."""
        return LayeredPerson.take_apart(self.image, self.pose, self.labels, self.matte, self.background)


PixelParser = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""Labels the pixels of a picture by its keypoints and mask, see `parse_person`."""


def perceive_photo(
    image: np.ndarray,
    person: int = 1,
    known: np.ndarray | None = None,
    region: Region | None = None,
    parse: PixelParser = parse_person,
) -> Photo:
    """Find the person of a picture, their pose, and the classes of its pixels.

    Args:
        image: (H, W, 3) uint8 RGB.
        person: Which of several people: 1 for the most prominent, 2 for the next.
        known: (H, W) bool, False where the picture ends and what is shown is to be made up. Default: all of it.
        region: The square around the person, where it is known; see `find_body`.
        parse: What labels the pixels; by default the person parser.

    Raises:
        PerceptionError: The picture shows no such person.
    """
    found = find_body(image, person, region)
    if known is not None:
        found.mask[~known] = 0
    labels = settle_skin_borders(image, parse(image, found.pose.keypoints, found.mask))
    covered = np.maximum(found.mask, (labels > 0).astype(np.uint8) * 255)
    background = fill_background(image, covered, found.pose, known)
    if known is not None:
        person_there = covered > _MASK_THRESHOLD
        image = np.where((known | person_there)[..., None], image, background)
    matte = settle_matte(image, soft_matte(image, found.mask), labels)
    matte = clear_matte(image, matte, labels, background)
    return Photo(image, found.pose, labels, matte, background, found.others)


class PhotoFrame(NamedTuple):
    """A part of a picture, shown in a frame."""

    matrix: np.ndarray
    """(2, 3) float64 affine from pixels of the picture to those of the frame."""
    size: tuple[int, int]
    """Height and width of the frame."""

    @property
    def scale(self) -> float:
        """Pixels of the frame for one of the picture."""
        return float(self.matrix[0, 0])

    def cut(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the frame (H, W, 3) uint8, and where the picture reaches in it, (H, W) bool.

        What lies beyond the picture is as its border.
        """
        if (scale := self.matrix[0, 0]) < 1:  # without aliasing
            image = cv2.GaussianBlur(image, (0, 0), 0.4 / scale)
        size = self.size[::-1]
        inside = cv2.warpAffine(np.ones(image.shape[:2], np.uint8), self.matrix, size, flags=cv2.INTER_NEAREST)
        framed = cv2.warpAffine(image, self.matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        return framed, inside > 0

    def move(self, poses: BodyPoses) -> BodyPoses:
        """Return poses in pixels of the picture as poses in those of the frame."""
        scale = self.matrix[0, 0]
        keypoints, toes = (map_keypoints(points, self.matrix) for points in (poses.keypoints, poses.toes))
        return BodyPoses(
            keypoints.astype(np.float32), (scale * poses.depths).astype(np.float32), toes.astype(np.float32)
        )

    def move_region(self, region: Region) -> Region:
        """Return a square in pixels of the picture as one in those of the frame."""
        x, y = self.matrix[:, :2] @ [region.x, region.y] + self.matrix[:, 2]
        return replace(region, x=float(x), y=float(y), size=region.size * float(self.matrix[0, 0]))


def find_frame(
    found: FoundBody, picture: tuple[int, int], size: tuple[int, int], movements: Sequence[BodyPoses] = ()
) -> PhotoFrame:
    """Find the part of a picture that shows a person, and what they do.

    The person stands in the middle and takes most of the height, or less where a movement needs room. Whom the lower
    border of the picture cuts is cut by that of the frame.

    Args:
        found: The person.
        picture: Height and width of the picture.
        size: Height and width of the frame.
        movements: Sequences of poses in pixels of the picture, for which there has to be room.
    """
    ys, xs = (np.flatnonzero((found.mask > _MASK_THRESHOLD).any(axis=axis)) for axis in (1, 0))
    joints = found.pose.keypoints[found.pose.keypoints[:, 2] > 0]
    middle, (height, width) = float(joints[:, 0].mean()), size
    low, high = np.array([xs.min(), ys.min()], float), np.array([xs.max(), ys.max()], float)
    shown = _shown_joints(found.pose)
    cut_off = not (found.pose.keypoints[_ANKLES, 2] > FAINTEST).any() and high[1] >= (1 - _AT_BORDER) * (picture[0] - 1)
    for poses in movements:
        reached = poses.keypoints[(poses.keypoints[..., 2] > 0) & shown][:, :2]
        beyond = _BEYOND_JOINTS * trunk_length(found.pose)
        if len(reached):
            low, high = np.minimum(low, reached.min(axis=0) - beyond), np.maximum(high, reached.max(axis=0) + beyond)
    reach = max(middle - low[0], high[0] - middle, 1.0)
    scale = min(_STANDING * height / max(high[1] - low[1], 1.0), _WIDTH * width / (2 * reach))
    # A picture that covers the frame need not be continued beyond its border.
    left = _cover(width / 2 - scale * middle, scale * picture[1], width)
    if cut_off:
        top = height - (1 - _AT_BORDER) * scale * picture[0]
    else:
        top = _cover((1 - _BELOW) * height - scale * high[1], scale * picture[0], height)
    return PhotoFrame(np.array([[scale, 0, left + (scale - 1) / 2], [0, scale, top + (scale - 1) / 2]]), size)


def _shown_joints(pose: BodyPoses) -> np.ndarray:
    """Return which joints a person who is shown as in one pose has, (18,) bool: of limbs those of either side."""
    shown = np.ones(pose.keypoints.shape[0], bool)
    for limb in _LIMB_JOINTS:
        shown[limb] = (pose.keypoints[limb, 2] > FAINTEST).any()
    return shown


def _cover(start: float, length: float, frame: float) -> float:
    """Return the offset of a picture of a given length in a frame, such that it covers the frame if it is long
    enough."""
    if length < frame:
        return start
    return min(max(start, frame - length), 0.0)
