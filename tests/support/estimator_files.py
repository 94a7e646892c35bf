"""What an estimator of poses would write of a motion that is known: the truth for importers."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from posegen.datasets.motion_formats.source import CAMERA_TO_WORLD
from posegen.motion import rotations
from posegen.motion.motion import Motion
from posegen.synthetic.motions import make_subject, perform

IMAGE = 540.0
FOCAL = 500.0


def walking(action: str = "walk") -> Motion:
    """A motion with rotations, at 25 frames per second."""
    return perform(action, make_subject(3))


def matrices(motion: Motion) -> np.ndarray:
    """Local rotations (T, 24, 3, 3) in a camera's axes."""
    local = rotations.rot6d_rows_to_matrix(torch.from_numpy(motion.rot6d).double()).numpy()
    return np.concatenate([CAMERA_TO_WORLD @ local[:, :1], local[:, 1:]], axis=1)


def axis_angles(motion: Motion) -> np.ndarray:
    """The same as (T, 24, 3) radians."""
    return rotations.matrix_to_axis_angle(torch.from_numpy(matrices(motion))).numpy()


def seen_joints(motion: Motion) -> np.ndarray:
    """Joints (T, 24, 3) in the camera's axes, about the root."""
    return ((motion.joints - motion.trans[:, None]) @ CAMERA_TO_WORLD).astype(np.float32)


def camera(motion: Motion, depth: float = 4.0, pan: float = 0.0) -> np.ndarray:
    """The weak camera (T, 4) of each frame that sees a motion, from so many metres; it pans by metres per second."""
    place = motion.trans @ CAMERA_TO_WORLD
    scale = FOCAL / (IMAGE / 2 * (place[:, 2] + depth))
    x = place[:, 0] + pan * np.arange(len(motion)) / motion.fps
    return np.stack([scale, scale, x, place[:, 1]], axis=-1)


def vibe(motion: Motion, **changes: Any) -> dict[str, Any]:
    """A track as VIBE writes it, with SMPL's joints; a field that is changed to None is left out."""
    frames = len(motion)
    track = {
        "pose": axis_angles(motion).reshape(frames, 72).astype(np.float32),
        "joints3d": seen_joints(motion),
        "joints2d": None,
        "orig_cam": camera(motion).astype(np.float32),
        "bboxes": np.tile(np.float32([300.0, 200.0, 150.0, 150.0]), (frames, 1)),
        "frame_ids": np.arange(frames),
    }
    return {name: value for name, value in (track | changes).items() if value is not None or name == "joints2d"}
