"""Poses that another program wrote beside a video, as files of `posegen.perception.pose_files`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from posegen.errors import PerceptionError
from posegen.io.video_reader import Footage
from posegen.perception import Poses
from posegen.perception.keypoint_maps import drop_outside, map_keypoints, prominence
from posegen.perception.pose_files import find_pose_files, people_of_frames, read_pose_files, to_pixels
from posegen.perception.smoothing import smooth
from posegen.skeletons import OPENPOSE_18


class OpenposeJson:
    """Pose estimator that reads JSON files of OpenPose and others, see `posegen.perception.pose_files`.

    They lie in ``STEM_json/`` or ``STEM/`` beside the video ``STEM.mp4``, or in `folder` (itself, or such a folder
    inside it), one for every frame of the video; or all in one file, ``STEM.json``. Of several people the largest and
    most central one is followed.
    """

    def __init__(self, folder: Path | None = None):
        self._folder = folder

    def __call__(self, footage: Footage) -> Poses:
        """Return the poses. Raises PosegenError where files are missing, too few or too many, or of nothing known."""
        files = read_pose_files(self._find(footage))
        frames, gaps = people_of_frames(files, int(footage.indices.max()) + 1, str(footage.source))
        frames, scaled = to_pixels(frames, files, footage.source_size)
        people = [map_keypoints(frames[index], footage.transform) for index in footage.indices.tolist()]
        height, width = footage.images.shape[1:3]
        keypoints = follow_person(people, height, width)
        seen = keypoints[..., 2] > 0
        scores = keypoints[..., 2].sum(axis=1) / np.maximum(seen.sum(axis=1), 1)
        keypoints = smooth(drop_outside(keypoints, height, width))
        return Poses(keypoints.astype(np.float32), scores.astype(np.float32), notes=(*gaps, *scaled))

    def _find(self, footage: Footage) -> Path:
        source = footage.source
        parent = self._folder or source.parent
        candidates = [parent / f"{source.stem}_json", parent / source.stem, parent / f"{source.stem}.json"]
        if self._folder is not None:
            candidates.append(self._folder)
        found = find_pose_files(candidates)
        if found is None:
            names = " or ".join(map(str, candidates))
            raise PerceptionError(f"no OpenPose files for {source}: expected *_keypoints.json in {names}")
        return found


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
