"""Poses that OpenPose wrote: a folder of JSON files, one a frame (``--write_json``)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from posegen.errors import PerceptionError
from posegen.io.video_reader import Footage
from posegen.perception import Poses
from posegen.perception.keypoint_maps import drop_outside, map_keypoints, prominence
from posegen.perception.smoothing import smooth
from posegen.skeletons import OPENPOSE_18, OPENPOSE_25, convert_joints

_SKELETONS = {len(skeleton): skeleton for skeleton in (OPENPOSE_18, OPENPOSE_25)}
_KEYS = ("pose_keypoints_2d", "pose_keypoints")  # since OpenPose 1.3, and before
_SUFFIX = "_keypoints.json"
_FARTHEST = 1e5  # no picture has so many pixels in a row


class OpenposeJson:
    """Pose estimator that reads OpenPose's files, of the COCO (18 joints) and the BODY_25 model.

    The files lie in ``STEM_json/`` or ``STEM/`` beside the video ``STEM.mp4``, or in `folder` (itself, or such a
    folder inside it), one for every frame of the video, with coordinates in its pixels. Of several people the
    largest and most central one is followed.
    """

    def __init__(self, folder: Path | None = None):
        self._folder = folder

    def __call__(self, footage: Footage) -> Poses:
        """Return the poses. Raises PosegenError where files are missing, too few or not OpenPose's."""
        files = self._find_files(footage)
        people = [map_keypoints(read_people(files[index]), footage.transform) for index in footage.indices.tolist()]
        height, width = footage.images.shape[1:3]
        keypoints = follow_person(people, height, width)
        seen = keypoints[..., 2] > 0
        scores = keypoints[..., 2].sum(axis=1) / np.maximum(seen.sum(axis=1), 1)
        keypoints = smooth(drop_outside(keypoints, height, width))
        return Poses(keypoints.astype(np.float32), scores.astype(np.float32))

    def _find_files(self, footage: Footage) -> list[Path]:
        source = footage.source
        parent = self._folder or source.parent
        candidates = [parent / f"{source.stem}_json", parent / source.stem]
        if self._folder is not None:
            candidates.append(self._folder)
        for folder in candidates:
            files = sorted(folder.glob(f"*{_SUFFIX}"))
            if files:
                break
        else:
            names = " or ".join(str(folder) for folder in candidates)
            raise PerceptionError(f"no OpenPose files for {source}: expected *{_SUFFIX} in {names}")
        needed = int(footage.indices.max()) + 1
        if len(files) < needed:
            raise PerceptionError(
                f"{folder} has {len(files)} OpenPose files, expected one for each frame of {source}, "
                f"which has at least {needed}"
            )
        return files


def read_people(file: Path) -> np.ndarray:
    """Return the keypoints (P, 18, 3) of all people in one of OpenPose's files, P = 0 where it found nobody.

    Raises PerceptionError for a file that holds something else.
    """
    try:
        people = json.loads(file.read_text())["people"]
        flat = [next(person[key] for key in _KEYS if key in person) for person in people]
        poses = [np.array(numbers, np.float64).reshape(-1, 3) for numbers in flat]
    except (ValueError, KeyError, TypeError, StopIteration, OverflowError, RecursionError) as error:
        raise PerceptionError(f"{file} is not a file of OpenPose's people: {error!r}") from error
    for pose in poses:
        if not (np.abs(pose) <= _FARTHEST).all():  # nor is NaN
            raise PerceptionError(f"{file} is not a file of OpenPose's people: it has joints that lie in no picture")
        if len(pose) not in _SKELETONS:
            raise PerceptionError(f"{file} has {len(pose)} joints a person, expected one of {sorted(_SKELETONS)}")
    poses = [convert_joints(pose, _SKELETONS[len(pose)]) for pose in poses]
    return np.stack(poses) if poses else np.zeros((0, len(OPENPOSE_18), 3))


def follow_person(people: list[np.ndarray], height: int, width: int) -> np.ndarray:
    """Pick one person's keypoints (T, 18, 3) out of those of everyone, T times (P, 18, 3).

    It is the most prominent person of the first frame that shows anyone, and then whoever is nearest to where
    it was seen last, unless that is further than its own size.
    """
    followed = np.zeros((len(people), len(OPENPOSE_18), 3))
    center, size = np.zeros(2), np.inf
    for frame, poses in enumerate(people):
        extents = [(pose, *_extent(pose)) for pose in poses if (pose[:, 2] > 0).any()]
        if np.isinf(size):
            extents.sort(key=lambda extent: -prominence(extent[1], extent[2], height, width))
        else:
            extents = [extent for extent in extents if np.linalg.norm(extent[1] - center) <= size]
            extents.sort(key=lambda extent: float(np.linalg.norm(extent[1] - center)))
        if extents:
            followed[frame], center, size = extents[0]
    return followed


def _extent(pose: np.ndarray) -> tuple[np.ndarray, float]:
    """Centre (x, y) and diagonal of the box around the joints that were seen."""
    seen = pose[pose[:, 2] > 0, :2]
    low, high = seen.min(axis=0), seen.max(axis=0)
    return (low + high) / 2, float(np.linalg.norm(high - low))
