"""The poses of one person in all frames of a clip, with depths and feet, and where the person is, by BlazePose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from posegen.errors import PerceptionError
from posegen.features.body_pose import BodyPoses
from posegen.perception.blazepose import BlazeposeNetworks, follow_both_ways
from posegen.perception.body import body_of_landmarks
from posegen.perception.selfie import clean_mask
from posegen.perception.smoothing import fill_gaps, median_filter, swapped_frames
from posegen.skeletons import OPENPOSE_18, joint_indices, swap_left_right

_MIRROR = joint_indices([swap_left_right(name) for name in OPENPOSE_18])
_WINDOW = 3  # frames of the median


@dataclass(frozen=True)
class BodyFootage:
    """BlazePose's results for the frames of a clip."""

    poses: BodyPoses
    """Of T frames, without single frames that jump; joints that are hardly visible are missing."""
    masks: np.ndarray
    """(T, H, W) uint8, 255 on the person; 0 in frames that show nobody."""
    seen: np.ndarray
    """(T,) bool: the person is found in the frame itself."""


def perceive_footage(images: Sequence[np.ndarray] | np.ndarray) -> BodyFootage:
    """Follow the most prominent person through frames (H, W, 3) uint8 RGB of one size.

    Raises PerceptionError where no frame shows a person.
    """
    sightings = follow_both_ways(BlazeposeNetworks(), list(images))
    height, width = images[0].shape[:2]
    keypoints = np.zeros((len(images), 18, 3), np.float32)
    depths = np.full((len(images), 18), np.nan, np.float32)
    toes = np.zeros((len(images), 2, 3), np.float32)
    masks = np.zeros((len(images), height, width), np.uint8)
    for frame, sighting in enumerate(sightings):
        if sighting is not None:
            pose = body_of_landmarks(sighting.landmarks, sighting.world, 1.0, (height, width))
            keypoints[frame], depths[frame], toes[frame] = pose.keypoints, pose.depths, pose.toes
            masks[frame] = clean_mask(sighting.mask_in_frame(height, width))
    seen = np.array([sighting is not None for sighting in sightings])
    if not seen.any():
        raise PerceptionError("no person is found in any frame")
    swapped = swapped_frames(keypoints)
    keypoints[swapped], toes[swapped] = keypoints[swapped][:, _MIRROR], toes[swapped][:, ::-1]
    depths[swapped] = depths[swapped][:, _MIRROR]
    poses = BodyPoses(_steady(keypoints), _steady_depths(depths), _steady(toes))
    return BodyFootage(poses, masks, seen)


def _steady(points: np.ndarray) -> np.ndarray:
    """Bridge short gaps of points (T, J, 3), and remove single frames that jump."""
    return median_filter(fill_gaps(points), window=_WINDOW).astype(np.float32)


def _steady_depths(depths: np.ndarray) -> np.ndarray:
    """Do with depths (T, J), NaN where they are not known, as with points."""
    known = np.isfinite(depths)
    points = np.stack([np.where(known, depths, 0), np.zeros_like(depths), known.astype(np.float32)], axis=-1)
    steady = _steady(points)
    return np.where(steady[..., 2] > 0, steady[..., 0], np.nan).astype(np.float32)
