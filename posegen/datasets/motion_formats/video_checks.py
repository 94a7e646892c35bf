"""Check a video by an estimator's tracks: a single person in view, and a still camera."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from posegen.datasets.motion_formats.estimators import find_rest
from posegen.datasets.motion_formats.source import as_tensor
from posegen.datasets.motion_formats.tracks import FilledTrack, Track, join_tracks, overlap
from posegen.motion.kinematics import forward_kinematics
from posegen.skeletons import SMPL_24, joint_indices

_ENDS = joint_indices(["left_foot", "right_foot", "left_hand", "right_hand"], SMPL_24)
_SPAN = 0.2  # seconds: over less, the jitter of boxes looks like speed


@dataclass(frozen=True, kw_only=True)
class VideoChecks:
    """Figures of a video, of which one person's motion is wanted."""

    frames: int
    """From the first in which the person was seen to the last."""
    coverage: float
    """Share of these in which they were seen."""
    together: float
    """Share of the frames with anybody that show more than one."""
    camera_speed: float | None
    """Metres per second at which the whole picture moves, see `camera_speed`; None where it cannot be told."""
    height: float | None
    """Pixels: the median height of the person's box; None where there are none."""


def check_video(tracks: Sequence[Track], fps: float, place: str) -> VideoChecks:
    """Return the figures of a video. Raises MotionError where its tracks span too many frames."""
    filled = join_tracks(tracks, place)
    seen = len(np.unique(np.concatenate([track.frames for track in tracks])))
    boxes = filled.track.others.get("bboxes")
    return VideoChecks(
        frames=len(filled.valid),
        coverage=float(filled.valid.mean()),
        together=overlap(tracks) / seen,
        camera_speed=camera_speed(filled, fps),
        height=None if boxes is None else float(np.median(boxes[:, 3])),
    )


def camera_speed(filled: FilledTrack, fps: float) -> float | None:
    """Return how fast the camera pans, in metres per second where the person is: that of what should stand still.

    Whoever moves on the ground stands on a foot or a hand, which a camera that stands still sees at one place. So of
    feet and hands in the image the slowest counts, in the median frame; jumps are shorter. A camera that follows a
    person moves them all. The weak camera of each frame (``orig_cam``) is what an estimator knows of the image.
    """
    track = filled.track
    span = max(round(_SPAN * fps), 1)
    if "orig_cam" not in track.others or len(track.frames) <= span:
        return None
    scale = track.others["orig_cam"][:, None, :2]  # (n, 1, 2)
    move = track.others["orig_cam"][:, None, 2:]
    rest, _ = find_rest(track.rotations, track.others.get("joints3d"), filled.valid)
    nowhere = as_tensor(np.zeros((len(track.frames), 3)))
    body = forward_kinematics(as_tensor(track.rotations), as_tensor(rest), nowhere).joints.numpy()
    seen = (body[:, _ENDS, :2] + move) * (scale / np.median(scale, axis=0))  # metres, as if nobody came nearer
    speed = np.linalg.norm(seen[span:] - seen[:-span], axis=-1) * (fps / span)
    both = filled.valid[span:] & filled.valid[:-span]
    return float(np.median(speed.min(axis=1)[both])) if both.any() else None
