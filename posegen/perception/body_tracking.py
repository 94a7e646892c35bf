"""Poses with depths and feet of the person in a video, from BlazePose's landmarks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from posegen.errors import VideoError
from posegen.features.body_pose import BodyPoses
from posegen.io.video_reader import iterate_frames
from posegen.perception.body import FAINTEST
from posegen.perception.keypoint_maps import map_keypoints
from posegen.perception.lifting import Landmarks, camera_scales, find_landmarks
from posegen.perception.person_box import fit_networks
from posegen.skeletons import BLAZEPOSE_33, OPENPOSE_18, convert_joints, joint_indices

_TOES = joint_indices(["right_foot_index", "left_foot_index"], BLAZEPOSE_33)
_WINDOW, _DEPTH_WINDOW = 7, 15  # frames of the smoothing polynomials: depths jitter more
_ORDER = 2  # of the polynomials


@dataclass(frozen=True)
class TrackedVideo:
    """The poses of the person in a video."""

    poses: BodyPoses
    """In pixels of the video's frames. Every joint is known in every frame: what is hidden is guessed, and frames that
    show nobody are interpolated."""
    seen: np.ndarray
    """(T,) bool: False in frames that show nobody."""
    fps: float
    times: np.ndarray
    """(T,) seconds."""
    size: tuple[int, int]
    """Height and width of the frames."""


def track_video(path: Path, seconds: float = 60.0) -> TrackedVideo:
    """Follow the most prominent person of a video, or of its first seconds.

    Raises:
        PerceptionError: Nobody is seen in it.
        VideoError: It is not a readable video of at least two frames.
    """
    frames, times = [], []
    size = (0, 0)
    for _, time, frame in iterate_frames(path):
        if time > seconds:
            break
        size = frame.shape[:2]
        frames.append(fit_networks(frame))  # what is seen of large frames fits into memory
        times.append(time)
    if len(frames) < 2:
        count = "one frame" if frames else "no frame"
        raise VideoError(f"{path}: {count} in {seconds:g} s, expected a video of at least two")
    landmarks = find_landmarks(frames, str(path))
    poses = _to_poses(_smooth(landmarks), size)
    return TrackedVideo(poses, landmarks.seen, (len(times) - 1) / times[-1], np.array(times), size)


def _smooth(landmarks: Landmarks) -> Landmarks:
    """Landmarks without jitter."""
    from scipy.signal import savgol_filter  # here, since it takes half as long to import as PyTorch

    def smooth(values: np.ndarray, window: int) -> np.ndarray:
        size = min(window, (len(values) - 1) // 2 * 2 + 1)
        return np.asarray(savgol_filter(values, size, min(_ORDER, size - 1), axis=0))

    world, image = smooth(landmarks.world, _WINDOW), smooth(landmarks.image, _WINDOW)
    world[..., 2] = smooth(landmarks.world[..., 2], _DEPTH_WINDOW)
    image[..., 2] = image[..., 2].clip(0, 1)
    return landmarks._replace(world=world, image=image)


def _to_poses(landmarks: Landmarks, size: tuple[int, int]) -> BodyPoses:
    """Poses in pixels of pictures of another size than the landmarks were found in."""
    scale = size[0] / landmarks.canvas[0], size[1] / landmarks.canvas[1]
    resize = np.array([[scale[1], 0, (scale[1] - 1) / 2], [0, scale[0], (scale[0] - 1) / 2]])
    image = landmarks.image.copy()
    image[..., 2] = np.maximum(image[..., 2], FAINTEST)
    image = map_keypoints(image, resize)
    # The middle of the hips is where depths are 0.
    hips = landmarks.world[:, joint_indices(["left_hip", "right_hip"], BLAZEPOSE_33), 2].mean(axis=1)
    depths = (landmarks.world[..., 2] - hips[:, None]) * (camera_scales(landmarks) * scale[0])[:, None]
    flagged = np.stack([depths, np.zeros_like(depths), np.ones_like(depths)], axis=-1)
    return BodyPoses(
        convert_joints(image, BLAZEPOSE_33, OPENPOSE_18).astype(np.float32),
        convert_joints(flagged, BLAZEPOSE_33, OPENPOSE_18)[..., 0].astype(np.float32),
        image[:, _TOES].astype(np.float32),
    )
