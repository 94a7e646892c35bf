"""The pose of the person in one picture, with depths and feet, by BlazePose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import cv2
import numpy as np

from posegen.errors import PerceptionError
from posegen.features.body_pose import BodyPoses
from posegen.perception.blazepose import (
    MIN_VISIBILITY,
    BlazeposeNetworks,
    Region,
    Sighting,
    count_others,
    is_person,
)
from posegen.perception.keypoint_maps import drop_outside, prominence
from posegen.perception.person_box import fit_networks
from posegen.skeletons import BLAZEPOSE_33, convert_joints, joint_indices

_TOES = joint_indices(["right_foot_index", "left_foot_index"], BLAZEPOSE_33)
_SHOULDERS = joint_indices(["right_shoulder", "left_shoulder"])
_TRUNK = [*_SHOULDERS, *joint_indices(["right_hip", "left_hip"])]
_LEGS = [joint_indices([f"right_{name}", f"left_{name}"]) for name in ("knee", "ankle")]
_NECK = joint_indices(["neck"])
FAINTEST = 0.01
"""Confidence of a joint that is hidden: its place is a guess."""
_LOOKS = 2  # the second begins with the square that the first one found, which fits better than the detector's


@dataclass(frozen=True)
class FoundBody:
    """Pose and mask of a person that BlazePose found in a picture."""

    pose: BodyPoses
    """One pose, in pixels of the picture; joints outside it, or hardly visible, are missing."""
    mask: np.ndarray
    """(H, W) uint8 probability × 255 of the person's pixels."""
    others: int
    """Number of other people of comparable size in the picture."""
    region: Region
    """The square around the person, in pixels of the picture."""


def find_body(image: np.ndarray, person: int = 1, region: Region | None = None) -> FoundBody:
    """Find a person in a picture (H, W, 3) uint8 RGB.

    Shoulders and hips that are hidden, or lie beyond the picture, and legs of which no side is seen, are guessed where
    enough of the trunk is seen, with a confidence of `FAINTEST`.

    Args:
        image: The picture.
        person: Which of several people: 1 for the most prominent, 2 for the next.
        region: The square around the person in pixels of the picture, where it is known: nobody is searched then,
            and nobody else is counted.

    Raises:
        PerceptionError: The picture shows no such person.
    """
    networks = _shared_networks()
    resized = fit_networks(image)
    scale = image.shape[1] / resized.shape[1]
    regions = networks.detect(resized) if region is None else []
    if region is None:
        sighting = _look(networks, resized, _choose(regions, person, resized.shape[:2]))
    else:
        sighting = networks.look(resized, _scaled(region, 1 / scale))
    if not is_person(sighting):
        raise PerceptionError(
            "no person is found in the picture: choose one that shows a person at least from head to hips"
        )
    pose = body_of_landmarks(sighting.landmarks, sighting.world, scale, image.shape[:2])
    return FoundBody(
        _with_guesses(pose, sighting.landmarks, scale),
        cv2.resize(sighting.mask_in_frame(*resized.shape[:2]), image.shape[1::-1], interpolation=cv2.INTER_CUBIC),
        count_others(sighting.next_region(), regions),
        _scaled(sighting.next_region(), scale),
    )


@cache
def _shared_networks() -> BlazeposeNetworks:
    return BlazeposeNetworks()


def _choose(regions: Sequence[Region], person: int, size: tuple[int, int]) -> Region:
    """Return the square around one of several people in a picture of a size, 1 for the most prominent."""
    if not regions:
        raise PerceptionError(
            "no person is found in the picture: choose one that shows a person at least from head to hips"
        )
    if len(regions) < person:
        seen = "one person is" if len(regions) == 1 else f"{len(regions)} people are"
        raise PerceptionError(f"{seen} seen in the picture, expected {person}: give a smaller --person")
    ordered = sorted(regions, key=lambda one: -prominence(np.array([one.x, one.y]), one.size, *size))
    return ordered[person - 1]


def _scaled(region: Region, scale: float) -> Region:
    """Return the square in a picture that is resized; centres of pixels stay where they are."""
    x, y = ((place + 0.5) * scale - 0.5 for place in (region.x, region.y))
    return replace(region, x=x, y=y, size=region.size * scale)


def body_of_landmarks(landmarks: np.ndarray, world: np.ndarray, scale: float, size: tuple[int, int]) -> BodyPoses:
    """Return the pose of BlazePose's landmarks.

    Args:
        landmarks: (33 or more, 3) x and y in pixels of the picture that the network saw, visibility.
        world: (33 or more, 3) metres from the middle of the hips, x right, y down, z away.
        scale: Pixels of the picture per pixel of `landmarks`.
        size: Height and width of the picture.
    """
    count = len(BLAZEPOSE_33)
    points = landmarks[:count].copy()
    points[:, :2] = (points[:, :2] + 0.5) * scale - 0.5
    depths = -world[:count, 2] * _pixels_per_metre(points, world[:count])
    with_depths = np.column_stack([points[:, :2], points[:, 2]])
    points[points[:, 2] < MIN_VISIBILITY] = 0
    keypoints = drop_outside(convert_joints(points, BLAZEPOSE_33)[None], *size)[0]
    depth_joints = convert_joints(np.column_stack([depths, depths, np.maximum(with_depths[:, 2], 1e-6)]), BLAZEPOSE_33)
    return BodyPoses(
        keypoints.astype(np.float32),
        depth_joints[:, 0].astype(np.float32),
        drop_outside(points[None, _TOES], *size)[0].astype(np.float32),
    )


def _with_guesses(pose: BodyPoses, landmarks: np.ndarray, scale: float) -> BodyPoses:
    """A pose in which trunk and legs are whole where half of the trunk, and a shoulder, are seen.

    So cloth below the waist is known to hang from legs, though the picture ends there.
    """
    seen = pose.keypoints[:, 2] > 0
    if not seen[_SHOULDERS].any() or seen[_TRUNK].sum() < len(_TRUNK) // 2:
        return pose
    # A knee or an ankle that is hidden alone is where the other side's tells.
    legs = [joint for pair in _LEGS if not seen[pair].any() for joint in pair]
    missing = [joint for joint in (*_TRUNK, *_NECK, *legs) if not seen[joint]]
    points = landmarks[: len(BLAZEPOSE_33)].copy()
    points[:, :2] = (points[:, :2] + 0.5) * scale - 0.5
    points[:, 2] = FAINTEST
    guessed = convert_joints(points[None], BLAZEPOSE_33)[0]
    keypoints = pose.keypoints.copy()
    keypoints[missing] = guessed[missing]
    keypoints[missing, 2] = FAINTEST
    return BodyPoses(keypoints, pose.depths, pose.toes)


def _look(networks: BlazeposeNetworks, image: np.ndarray, region: Region) -> Sighting:
    for _ in range(_LOOKS - 1):
        first = networks.look(image, region)
        if is_person(first):
            region = first.next_region()
    return networks.look(image, region)


def _pixels_per_metre(points: np.ndarray, world: np.ndarray) -> float:
    """Fit the scale of a weak camera, landmarks (33, 3) weighted by their visibility."""
    weights = points[:, 2:] / max(points[:, 2].sum(), 1e-9)
    about = world[:, :2] - (weights * world[:, :2]).sum(axis=0)
    seen = points[:, :2] - (weights * points[:, :2]).sum(axis=0)
    return float((weights * about * seen).sum() / max((weights * about**2).sum(), 1e-12))
