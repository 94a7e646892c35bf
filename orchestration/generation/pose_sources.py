"""What a person is to do, from any file: poses of a video or of OpenPose's JSON files, or a motion."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from posegen.errors import ConfigError, PerceptionError
from posegen.features.body_pose import BodyPoses
from posegen.inference.body_measures import BodyMeasures
from posegen.inference.pose_fitting import fit_motion, fit_poses
from posegen.io.media import is_video_source
from posegen.motion.motion import Motion
from posegen.perception.body_tracking import track_video
from posegen.perception.openpose_json import follow_person, read_people
from posegen.perception.smoothing import smooth

_JSON = "*_keypoints.json"


@dataclass(frozen=True)
class Movement:
    """What the person is to do, from whatever source."""

    name: str
    """Stem for the files that are made of it."""
    source: Motion | BodyPoses
    """A motion as it is to be seen, or poses in pixels of any size."""
    fps: float
    times: np.ndarray | None = None
    """(T,) seconds, where the frame rate varies."""

    def fit(self, person: BodyPoses, size: tuple[int, int], measures: BodyMeasures | None = None) -> BodyPoses:
        """Fit it to a person (one pose) in a picture of a size."""
        if isinstance(self.source, Motion):
            return fit_motion(self.source, person, size, measures)
        return fit_poses(self.source, person, size, measures)


def has_poses(name: str) -> bool:
    """Return whether a name is that of a video file, or of a folder of OpenPose's JSON files, and so not of a clip."""
    path = Path(name)
    return any(path.glob(_JSON)) if path.is_dir() else is_video_source(path)


def open_poses(path: Path, fps: float | None = None) -> Movement:
    """Read the poses of a video's person, or of a folder with OpenPose's ``*_keypoints.json``, one a frame.

    Args:
        path: The video, which is also a folder of numbered pictures, or the folder.
        fps: Frames per second of the video that OpenPose saw; its files do not say it. A video keeps its own.

    Raises:
        PosegenError: It is neither, cannot be read, shows nobody, or the frame rate is not known.
    """
    if path.is_dir() and not is_video_source(path):
        return _open_json(path, fps)
    if path.suffix.lower() in {".npz", ".bvh"}:
        raise ConfigError(f"{path} is a motion: give it with --motion")
    tracked = track_video(path)
    return Movement(path.stem, tracked.poses, tracked.fps, tracked.times)


def _open_json(folder: Path, fps: float | None) -> Movement:
    files = sorted(folder.glob(_JSON))
    if not files:
        raise PerceptionError(f"{folder} has no files of OpenPose, expected {_JSON}")
    if fps is None:
        raise ConfigError(f"{folder}: OpenPose's files say no frame rate, say the video's frames per second (--fps)")
    people = [read_people(file) for file in files]
    seen = [pose[pose[:, 2] > 0, :2] for poses in people for pose in poses]
    corners = np.concatenate(seen) if seen else np.zeros((0, 2))
    if not len(corners):
        raise PerceptionError(f"no person is seen in {folder}")
    width, height = corners.max(axis=0)
    keypoints = smooth(follow_person(people, int(height) + 1, int(width) + 1))
    return Movement(folder.name, BodyPoses.from_keypoints(keypoints.astype(np.float32)), fps)
