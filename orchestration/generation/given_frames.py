"""User-given parts of a motion to generate: frames that are kept, and a path of the root."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import numpy as np
import torch

from posegen.errors import ConfigError, MotionError
from posegen.io.storage import StorageFolder
from posegen.motion.editing import find_rotations, resample
from posegen.motion.motion import Motion, read_motion
from posegen.motion.pose_features import motion_features, rest_of
from posegen.motion.world_features import flat_world, world_features
from posegen.stages.motion_generator import GivenFrames

_KEPT, _PATH = 0.005, 0.02  # metres that kept frames and a path may be off
_FASTEST = 10.0  # metres a second that anybody runs
_APART = 0.5  # metres by which a path and kept frames contradict each other


def given_frames(
    keep: str, keep_frames: Sequence[str], path: Sequence[str], count: int, fps: float
) -> GivenFrames | None:
    """Read what is given of a motion of so many frames; None where nothing is.

    Args:
        keep: File of a motion, or nothing.
        keep_frames: Ranges of its frames, START:END.
        path: Points X,Z in metres, or none.
        count: Frames of the motion that is generated.
        fps: Frames per second of it.

    Raises:
        PosegenError: A file, range or point is none, the path is too fast, or it contradicts the kept frames.
    """
    if not keep and not path:
        return None
    weights, values = torch.zeros(count, 216), torch.zeros(count, 216)
    if keep:
        kept = _kept_numbers(keep, fps)
        rows = _kept_rows(keep_frames, len(kept), count)
        weights[rows], values[rows] = 1 / _KEPT, kept[rows]
    if path:
        way = _way(path, count, fps)  # (count, 2)
        held = weights[:, 0] > 0
        apart = (values[held][:, (0, 2)] - way[held]).norm(dim=1)
        if held.any() and apart.max() > _APART:
            row = int(held.nonzero()[apart.argmax(), 0])
            raise ConfigError(
                f"the path and the kept frames contradict each other: {apart.max():.2f} m apart in frame {row}"
            )
        for column, axis in ((0, 0), (2, 1)):
            free = weights[:, column] == 0
            weights[free, column], values[free, column] = 1 / _PATH, way[free, axis]
    return GivenFrames(weights, values)


def _kept_numbers(keep: str, fps: float) -> torch.Tensor:
    """A motion's numbers (T, 216) at a rate, see `posegen.motion.world_features.flat_world`."""
    folder, _, name = keep.rpartition("/")
    try:
        motion = resample(read_motion(StorageFolder(folder or "."), name), fps)
    except FileNotFoundError:
        raise MotionError(f"there is no motion {keep}") from None
    posed: Motion = motion if motion.rot6d is not None and motion.rest is not None else find_rotations(motion).motion
    features, rest = (torch.from_numpy(np.asarray(x(posed), np.float32))[None] for x in (motion_features, rest_of))
    return flat_world(world_features(features, rest))[0]


def _kept_rows(ranges: Sequence[str], length: int, count: int) -> list[int]:
    """The frames that ranges name. Raises ConfigError where one is none, or lies behind the end of either motion."""
    most = min(length, count)
    if not ranges:
        return list(range(most))
    rows: list[int] = []
    for text in ranges:
        match = re.fullmatch(r"(\d+):(\d+)", text)
        if not match or not int(match[1]) < int(match[2]) <= most:
            raise ConfigError(
                f"{text!r} are no frames to keep, expected START:END with START < END ≤ {most}, "
                f"of {length} frames kept from and {count} generated"
            )
        rows += range(int(match[1]), int(match[2]))
    return sorted(set(rows))


def _way(points: Sequence[str], count: int, fps: float) -> torch.Tensor:
    """Compute root positions on the ground (count, 2) relative to the first, at constant speed along points."""
    try:
        corners = np.array([[float(x) for x in point.split(",")] for point in points])
    except ValueError:
        corners = np.zeros(0)
    if corners.ndim != 2 or corners.shape[1] != 2 or len(corners) < 2 or not np.isfinite(corners).all():
        raise ConfigError(f"got the path {' '.join(points)}, expected at least two points X,Z in metres: 0,0 0,2")
    steps = np.linalg.norm(np.diff(corners, axis=0), axis=1)
    passed = np.concatenate([[0], steps.cumsum()])
    seconds = (count - 1) / fps
    if passed[-1] > _FASTEST * seconds:
        least = math.ceil(passed[-1] / _FASTEST * fps) + 1
        raise ConfigError(
            f"the path is {passed[-1]:.1f} m long and the motion {seconds:.1f} s: faster than a person can move; "
            f"take at least {least} frames"
        )
    at = np.linspace(0, passed[-1], count)
    way = np.stack([np.interp(at, passed, corners[:, axis] - corners[0, axis]) for axis in (0, 1)], axis=1)
    return torch.from_numpy(way.astype(np.float32))
