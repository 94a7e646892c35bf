"""Motions at other rates, in other places, and with rotations where only joints are known."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from scipy.interpolate import CubicSpline

from posegen.motion import rotations
from posegen.motion.kinematics import inverse_kinematics, rest_from_joints
from posegen.motion.motion import MAX_FRAMES, Motion, MotionError
from posegen.skeletons import SMPL_24

_LEFT_HIP, _RIGHT_HIP = SMPL_24.index("left_hip"), SMPL_24.index("right_hip")


class FoundRotations(NamedTuple):
    """What inverse kinematics makes of a motion."""

    motion: Motion
    """With rotations, the rest skeleton, and the joints that they pose."""
    errors: np.ndarray
    """(T, 24) metres between these joints and those of the motion given."""


def find_rotations(motion: Motion) -> FoundRotations:
    """Give a motion of joints alone rotations and a rest skeleton, see `posegen.motion.kinematics.inverse_kinematics`.

    The body's bones are as long as in the frames that are valid, or in all where none is.
    """
    joints = torch.from_numpy(motion.joints)
    rest = rest_from_joints(joints[motion.valid] if motion.valid.any() else joints).joints
    found = inverse_kinematics(joints, rest)
    rows = rotations.matrix_to_rot6d_rows(found.rotations).numpy()
    posed = Motion.from_rotations(rows, motion.trans, rest.numpy(), motion.fps)
    changed = replace(motion, joints=posed.joints, rot6d=posed.rot6d, rest=posed.rest)
    return FoundRotations(changed, found.errors.numpy())


def resample(motion: Motion, fps: float) -> Motion:
    """Return a motion at another rate, from its first frame to the last that its duration has.

    Positions are interpolated by cubic splines, rotations by slerp, and whether a frame is valid by the nearest.
    Where rotations and a rest skeleton are known, joints are posed by them again, so that bones keep their lengths.

    Raises:
        MotionError: The rate is not positive, or the motion too long for it.
    """
    if not (math.isfinite(fps) and fps > 0):
        raise MotionError(f"fps is {fps}, expected a positive number of frames per second")
    if fps == motion.fps:
        return motion
    count = int(min(motion.duration * fps, MAX_FRAMES) + 1e-6) + 1
    if count > MAX_FRAMES:
        raise MotionError(
            f"{motion.duration:,.0f} s at {fps:g} fps are more than the {MAX_FRAMES:,} frames of a motion"
        )
    times = np.minimum(np.arange(count) * (motion.fps / fps), len(motion) - 1)  # in frames of the motion
    valid = motion.valid[np.minimum((times + 0.5).astype(int), len(motion) - 1)]
    joints = _interpolate(motion.joints, times)
    rot6d = None if motion.rot6d is None else _slerp_frames(motion.rot6d, times)
    if rot6d is None or motion.rest is None:
        return replace(motion, joints=joints, valid=valid, fps=fps, rot6d=rot6d)
    posed = Motion.from_rotations(rot6d, joints[:, 0], motion.rest, fps)
    return replace(motion, joints=posed.joints, valid=valid, fps=fps, rot6d=posed.rot6d)


def _interpolate(values: np.ndarray, times: np.ndarray) -> np.ndarray:
    if len(values) == 1:
        return values[np.zeros(len(times), int)]
    return CubicSpline(np.arange(len(values)), values)(times).astype(np.float32)


def _slerp_frames(rot6d: np.ndarray, times: np.ndarray) -> np.ndarray:
    matrices = rotations.rot6d_rows_to_matrix(torch.from_numpy(rot6d))
    before = times.astype(int)
    after = np.minimum(before + 1, len(rot6d) - 1)
    share = torch.from_numpy((times - before).astype(np.float32))[:, None]
    return rotations.matrix_to_rot6d_rows(rotations.slerp(matrices[before], matrices[after], share)).numpy()


def first_frames(motion: Motion, count: int) -> Motion:
    """Return the beginning of a motion: so many frames, or all where it has fewer."""
    rot6d = None if motion.rot6d is None else motion.rot6d[:count]
    return replace(motion, joints=motion.joints[:count], valid=motion.valid[:count], rot6d=rot6d)


@dataclass(frozen=True)
class Placement:
    """Where on the ground a canonical motion stands in the world, and where it looks."""

    x: float
    z: float
    """Metres."""
    yaw: float
    """Radians about y from +z towards +x."""


def placement(motion: Motion) -> Placement:
    """Return where the pelvis stands in the first frame, and where the hips face; +z where they are upright above."""
    x, _, z = motion.trans[0].astype(float)
    left_x, _, left_z = (motion.joints[0, _LEFT_HIP] - motion.joints[0, _RIGHT_HIP]).astype(float)
    return Placement(float(x), float(z), math.atan2(-left_z, left_x))  # forward is left × up


def canonicalize(motion: Motion) -> tuple[Motion, Placement]:
    """Move a motion so that its pelvis starts above the origin and its hips face +z; heights stay.

    Returns:
        The canonical motion, and what `place` takes to undo it.
    """
    found = placement(motion)
    return _transform(motion, -found.yaw, (-found.x, -found.z), turn_first=False), found


def place(motion: Motion, where: Placement) -> Motion:
    """Put a canonical motion somewhere in the world: the inverse of `canonicalize`."""
    return _transform(motion, where.yaw, (where.x, where.z), turn_first=True)


def _transform(motion: Motion, yaw: float, shift: tuple[float, float], *, turn_first: bool) -> Motion:
    """Turn a motion about y and move it along the ground. The camera that it came from no longer fits."""
    turn = np.array([[math.cos(yaw), 0, math.sin(yaw)], [0, 1, 0], [-math.sin(yaw), 0, math.cos(yaw)]])
    move = np.array([shift[0], 0.0, shift[1]])
    joints = motion.joints @ turn.T + move if turn_first else (motion.joints + move) @ turn.T
    rot6d = motion.rot6d
    if rot6d is not None:
        root = turn @ rotations.rot6d_rows_to_matrix(torch.from_numpy(rot6d[:, 0])).numpy()
        rot6d = np.concatenate([root[:, None, :2].reshape(-1, 1, 6), rot6d[:, 1:]], axis=1).astype(np.float32)
    return replace(motion, joints=joints.astype(np.float32), rot6d=rot6d, camera=None)
