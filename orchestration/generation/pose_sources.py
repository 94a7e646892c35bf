"""Poses that drive a person, from any file: a video, a folder of OpenPose's JSON files, or a motion."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from orchestration.data.video_files import VIDEO_SUFFIXES
from orchestration.generation.animate import read_motion_file
from posegen.errors import ConfigError, PerceptionError
from posegen.features.body_pose import BodyPoses
from posegen.inference.body_measures import BodyMeasures
from posegen.inference.motion_to_pose import face_viewer
from posegen.inference.pose_fitting import fit_motion, fit_poses
from posegen.inference.view_choice import yaw_for
from posegen.motion.editing import resample, with_rotations
from posegen.motion.motion import Motion
from posegen.perception.openpose_json import follow_person, read_people
from posegen.perception.smoothing import smooth

_JSON = "*_keypoints.json"


@dataclass(frozen=True)
class PoseSource:
    """What drives a person."""

    name: str
    """Stem for the files that are made with it."""
    moves: BodyPoses | Motion
    """Poses in pixels of any size, or a motion in three dimensions."""
    fps: float
    times: np.ndarray | None = None
    """(T,) seconds, where the frame rate varies."""

    def fit(
        self, person: BodyPoses, size: tuple[int, int], yaw: float | None = None, measures: BodyMeasures | None = None
    ) -> BodyPoses:
        """Fit the poses to a person, see `posegen.inference.pose_fitting`.

        Args:
            person: One pose, in pixels of the picture.
            size: Height and width of the picture.
            yaw: Degrees by which a motion is turned; by default `yaw_for`. Poses in pixels cannot be turned.
            measures: Of the person; by default measured from their pose.

        Raises:
            ConfigError: A yaw was given for poses in pixels, or the person or poses show no trunk.
        """
        if isinstance(self.moves, BodyPoses):
            if yaw is not None:
                raise ConfigError(f"{self.name} has poses in pixels, which cannot be turned: leave --yaw out")
            return fit_poses(self.moves, person, size, measures)
        facing = face_viewer(self.moves)
        turned = face_viewer(facing, yaw_for(facing, person) if yaw is None else yaw)
        return fit_motion(turned, person, size, measures)


def open_poses(path: Path, fps: float | None = None, seconds: float = 60.0) -> PoseSource:
    """Read the poses of a file or folder: a video, OpenPose's ``*_keypoints.json``, or a motion, .npz, BVH and others.

    Args:
        path: The file or folder.
        fps: Frames per second: OpenPose's files say none, a motion is resampled, and a video keeps its own.
        seconds: Of a video, at most.

    Raises:
        PosegenError: It cannot be read, shows nobody, or does not say its frame rate.
        FileNotFoundError: There is none.
    """
    if path.is_dir() and any(path.glob(_JSON)):
        return _open_json(path, fps)
    if path.suffix.lower() in VIDEO_SUFFIXES:
        from posegen.perception.body_tracking import track_video

        tracked = track_video(path, seconds)
        return PoseSource(path.stem, tracked.poses, tracked.fps, tracked.times)
    motion = read_motion_file(path)
    motion = with_rotations(resample(motion, fps or motion.fps))
    return PoseSource(path.stem, motion, motion.fps)


def _open_json(folder: Path, fps: float | None) -> PoseSource:
    if fps is None:
        raise ConfigError(
            f"{folder}: OpenPose's files say no frame rate, say the frames per second of the video (--fps)"
        )
    people = [read_people(file) for file in sorted(folder.glob(_JSON))]
    seen = [pose[pose[:, 2] > 0, :2] for poses in people for pose in poses]
    corners = np.concatenate(seen) if seen else np.zeros((0, 2))
    if not len(corners):
        raise PerceptionError(f"no person is seen in {folder}")
    width, height = corners.max(axis=0)
    keypoints = smooth(follow_person(people, int(height) + 1, int(width) + 1))
    return PoseSource(folder.name, BodyPoses.from_keypoints(keypoints.astype(np.float32)), fps)
