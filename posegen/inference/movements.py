"""Movements read from any file: poses of a video or of JSON files, or a motion."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from posegen.errors import ConfigError, PerceptionError, counted
from posegen.features.body_pose import BodyPoses
from posegen.inference.body_measures import BodyMeasures
from posegen.inference.pose_fitting import fit_motion, fit_poses
from posegen.io.media import is_picture_file, is_video_source
from posegen.motion.motion import Motion
from posegen.perception.body_tracking import track_video
from posegen.perception.openpose_json import follow_person
from posegen.perception.pose_files import people_of_frames, read_pose_files, to_pixels
from posegen.perception.smoothing import smooth


@dataclass(frozen=True)
class Movement:
    """Movement that a person is to perform, from any source."""

    name: str
    """Stem for the files that are made of it."""
    source: Motion | BodyPoses
    """A motion as it is to be seen, or poses in pixels of any size."""
    fps: float
    times: np.ndarray | None = None
    """(T,) seconds, where the frame rate varies."""
    notes: tuple[str, ...] = ()
    """Changes and guesses made while reading it, one line each."""

    def beginning(self, num_frames: int | None) -> Movement:
        """Return the first frames of poses; all of them for None. Raises ConfigError where there are fewer."""
        if num_frames is None or not isinstance(self.source, BodyPoses):
            return self
        if len(self.source) < num_frames:
            raise ConfigError(f"{self.name} has {counted(len(self.source), 'frame')}, got --frames {num_frames}")
        times = self.times[:num_frames] if self.times is not None else None
        return replace(self, source=self.source[:num_frames], times=times)

    def fit(self, person: BodyPoses, size: tuple[int, int], measures: BodyMeasures | None = None) -> BodyPoses:
        """Fit it to a person (one pose) in a picture of a size."""
        if isinstance(self.source, Motion):
            return fit_motion(self.source, person, size, measures)
        return fit_poses(self.source, person, size, measures)


def has_poses(name: str) -> bool:
    """Return whether a name is that of a video, or of JSON files with poses, and so not of a clip."""
    path = Path(name)
    return is_video_source(path) or any(path.glob("*.json")) or (path.suffix.lower() == ".json" and path.is_file())


def open_poses(path: Path, fps: float | None = None) -> Movement:
    """Read the poses of a video's person, or of JSON files as `posegen.perception.pose_files` reads them.

    Args:
        path: The video, which may be a folder of numbered pictures; a folder with a JSON file a frame; or one JSON
            file.
        fps: Frames per second of the video that the files are of; they do not say it. A video keeps its own.

    Raises:
        PosegenError: It is neither, cannot be read, shows nobody, or the frame rate is not known.
    """
    if path.suffix.lower() == ".json" or (path.is_dir() and not is_video_source(path)):
        return _open_json(path, fps)
    if path.suffix.lower() in {".npz", ".bvh"}:
        raise ConfigError(f"{path} is a motion: give it with --motion")
    if path.is_file() and is_picture_file(path):
        raise ConfigError(f"{path} is a photo, and --poses takes a video")
    tracked = track_video(path)
    return Movement(path.stem, tracked.poses, tracked.fps, tracked.times)


def _open_json(path: Path, fps: float | None) -> Movement:
    files = read_pose_files(path)
    if fps is None:
        raise ConfigError(f"{path}: OpenPose's files say no frame rate, say the video's frames per second (--fps)")
    first = min(files.people)
    frames, gaps = people_of_frames(files, max(files.people) - first + 1, str(path), first)
    people, scaled = to_pixels(frames, files, None)
    seen = [pose[pose[:, 2] > 0, :2] for poses in people for pose in poses]
    corners = np.concatenate(seen) if seen else np.zeros((0, 2))
    if not len(corners):
        raise PerceptionError(f"no person is found in {path}")
    width, height = corners.max(axis=0)
    keypoints = smooth(follow_person(people, int(height) + 1, int(width) + 1))
    poses = BodyPoses.from_keypoints(keypoints.astype(np.float32))
    return Movement(path.stem, poses, fps, notes=(*gaps, *scaled))
