"""Motions at other rates, in other places, and with rotations where only joints are known."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch

from posegen.errors import MotionError
from posegen.motion import rotations
from posegen.motion.cameras import WeakCamera
from posegen.motion.floor import floor_height
from posegen.motion.kinematics import inverse_kinematics, rest_from_joints
from posegen.motion.motion import MAX_FRAMES, Motion
from posegen.skeletons import SMPL_24, joint_indices

JOIN_SECONDS = 0.4
"""Seconds over which two motions in a row are blended."""


class FoundRotations(NamedTuple):
    """Rotations that inverse kinematics found for a motion."""

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


def with_rotations(motion: Motion) -> Motion:
    """Return a motion with rotations, those of `find_rotations` where it has none; its joints stay as they are.

    There is no rest skeleton beside rotations that were found: joints as they are need not keep bone lengths.
    """
    return motion if motion.rot6d is not None else replace(motion, rot6d=find_rotations(motion).motion.rot6d)


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
    from scipy.interpolate import CubicSpline  # here, since it takes a third as long to import as PyTorch

    return CubicSpline(np.arange(len(values)), values)(times).astype(np.float32)


def _slerp_frames(rot6d: np.ndarray, times: np.ndarray) -> np.ndarray:
    matrices = rotations.rot6d_rows_to_matrix(torch.from_numpy(rot6d))
    before = times.astype(int)
    after = np.minimum(before + 1, len(rot6d) - 1)
    share = torch.from_numpy((times - before).astype(np.float32))[:, None]
    return rotations.matrix_to_rot6d_rows(rotations.slerp(matrices[before], matrices[after], share)).numpy()


def join(motions: Sequence[Motion], seconds: float = JOIN_SECONDS) -> Motion:
    """Return motions in a row as one, each begun where the one before ends on the ground.

    The end of each and the beginning of the next are blended: rotations by slerp, the rest linearly.

    Args:
        motions: At least one; of one rate, and with rotations.
        seconds: How long two motions are blended; half of the shorter one at most.

    Raises:
        MotionError: There is none, rates differ, or one has no rotations.
    """
    if not motions:
        raise MotionError("there are no motions to join, expected at least one")
    joined = motions[0]
    for motion in motions[1:]:
        if motion.fps != joined.fps:
            raise MotionError(f"motions to join have {joined.fps:g} and {motion.fps:g} frames per second")
        joined = _blend(joined, motion, seconds)
    return joined


def _blend(before: Motion, after: Motion, seconds: float) -> Motion:
    if before.rot6d is None or after.rot6d is None:
        raise MotionError("motions to join must have rotations")
    count = min(int(seconds * before.fps), len(before) // 2, len(after) // 2)
    middle = before.joints[len(before) - 1 - count // 2, 0] - after.joints[count // 2, 0]
    moved = after.joints + np.array((middle[0], 0.0, middle[2]), np.float32)
    start = len(before) - count
    ease = np.arange(1, count + 1, dtype=np.float32) / (count + 1)
    share = (ease * ease * (3 - 2 * ease))[:, None, None]
    joints = (1 - share) * before.joints[start:] + share * moved[:count]
    turned = rotations.slerp(
        rotations.rot6d_rows_to_matrix(torch.from_numpy(before.rot6d[start:])),
        rotations.rot6d_rows_to_matrix(torch.from_numpy(after.rot6d[:count])),
        torch.from_numpy(share[..., 0]),
    )
    blended = rotations.matrix_to_rot6d_rows(turned).numpy()
    rest = before.rest if before.rest is not None and after.rest is not None else None
    if rest is not None and count:
        joints = Motion.from_rotations(blended, joints[:, 0], rest, before.fps).joints
    return replace(
        before,
        joints=np.concatenate([before.joints[:start], joints, moved[count:]]),
        valid=np.concatenate([before.valid[:start], before.valid[start:] | after.valid[:count], after.valid[count:]]),
        rot6d=np.concatenate([before.rot6d[:start], blended, after.rot6d[count:]]),
        rest=rest,
        label=None,
        label_name=None,
        camera=None,
    )


def first_frames(motion: Motion, count: int) -> Motion:
    """Return the beginning of a motion: so many frames, or all where it has fewer."""
    rot6d = None if motion.rot6d is None else motion.rot6d[:count]
    return replace(motion, joints=motion.joints[:count], valid=motion.valid[:count], rot6d=rot6d)


@dataclass(frozen=True)
class Placement:
    """Position and heading on the ground of a canonical motion in the world."""

    x: float
    z: float
    """Metres."""
    yaw: float
    """Radians about y from +z towards +x."""

    @property
    def turn(self) -> np.ndarray:
        """(3, 3): the rotation about y from canonical axes to the world's."""
        cos, sin = math.cos(self.yaw), math.sin(self.yaw)
        return np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])

    def to_canonical(self, points: np.ndarray) -> np.ndarray:
        """Points (..., 3) of the world, float32, as they are about the origin and with the hips to +z."""
        return ((points - (self.x, 0.0, self.z)) @ self.turn).astype(np.float32)

    def to_world(self, points: np.ndarray) -> np.ndarray:
        """Return the inverse of `to_canonical`."""
        return (points @ self.turn.T + (self.x, 0.0, self.z)).astype(np.float32)


def placement(motion: Motion) -> Placement:
    """Return where the pelvis stands in the first frame, and where the hips face; +z where they are upright above."""
    return posture_placement(motion.joints[0], SMPL_24)


def posture_placement(joints: np.ndarray, skeleton: Sequence[str]) -> Placement:
    """Return where a posture (J, 3) stands and where its hips face; the skeleton names pelvis and hips among others."""
    pelvis, left, right = joints[joint_indices(["pelvis", "left_hip", "right_hip"], skeleton)].astype(float)
    across = left - right
    return Placement(float(pelvis[0]), float(pelvis[2]), math.atan2(-across[2], across[0]))  # forward is left × up


def canonicalize(motion: Motion) -> tuple[Motion, Placement]:
    """Move a motion so that its pelvis starts above the origin and its hips face +z; heights stay.

    Returns:
        The canonical motion, and what `place` takes to undo it.
    """
    found = placement(motion)
    return _moved(motion, found.to_canonical(motion.joints), found.turn.T), found


def place(motion: Motion, where: Placement) -> Motion:
    """Put a canonical motion somewhere in the world: the inverse of `canonicalize`."""
    return _moved(motion, where.to_world(motion.joints), where.turn)


def stand_at(motion: Motion, ground: float) -> Motion:
    """Move a motion up or down so that the floor, as `floor_height` finds it, is at a height of so many metres.

    A weak camera goes along; another one that the motion came from no longer fits.
    """
    raised = ground - floor_height(motion.joints)
    camera = motion.camera
    seen = None if not isinstance(camera, WeakCamera) else replace(camera, ty=camera.ty + camera.scale * raised)
    return replace(motion, joints=motion.joints + np.array((0.0, raised, 0.0), np.float32), camera=seen)


def shorten_travel(motion: Motion, share: float) -> Motion:
    """Let a motion go a share of its way over the ground, in [0, 1]; postures, turns and heights stay.

    The camera that it came from no longer fits. Feet slide where less than all is gone.
    """
    if not 0 <= share <= 1:
        raise MotionError(f"got the share {share} of a way, expected 0 to 1")
    way = (motion.trans - motion.trans[0]) * np.array((1.0, 0.0, 1.0), np.float32)  # (T, 3)
    return replace(motion, joints=motion.joints - (1 - share) * way[:, None], camera=None)


def _moved(motion: Motion, joints: np.ndarray, turn: np.ndarray) -> Motion:
    """The motion with its joints elsewhere, which was turned. The camera that it came from no longer fits."""
    rot6d = motion.rot6d
    if rot6d is not None:
        root = turn @ rotations.rot6d_rows_to_matrix(torch.from_numpy(rot6d[:, 0])).numpy()
        rot6d = np.concatenate([root[:, None, :2].reshape(-1, 1, 6), rot6d[:, 1:]], axis=1).astype(np.float32)
    return replace(motion, joints=joints, rot6d=rot6d, camera=None)
