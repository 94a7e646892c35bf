"""Poses of SMPL in the shapes that estimators write, told apart by shape and by what rotations must be."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from posegen.datasets.motion_formats.source import as_tensor, check_numbers, to_array
from posegen.errors import MotionError, counted
from posegen.motion import rotations
from posegen.motion.anatomy import REST, bone_lengths
from posegen.motion.motion import MAX_FRAMES
from posegen.skeletons import SMPL_24, joint_indices

POSE_SHAPES = "(n, 72), (n, 24, 3), (n, 24, 3, 3) or (n, 24, 6)"
"""Accepted shapes of a pose: axis-angles, matrices, or two rows or columns of them."""

_LARGEST_ANGLE = 2 * np.pi + 0.01  # radians
_FULL_TURNS = 0.05  # share of angles beyond it: those of a root that turns on and on, or of a joint that was fitted so
_FARTHEST_TURN = 12 * np.pi
_OFF = 0.02  # how far matrices, which filters may have averaged, are from orthonormal
_LIMBS = (
    joint_indices(
        [f"{side}_{end}" for end in ("knee", "ankle", "elbow", "wrist") for side in ("left", "right")], SMPL_24
    )
    - 1
)


def read_pose(value: object, place: str, field: str) -> np.ndarray:
    """Return local rotations (n, 24, 3, 3) of a pose in any of the shapes of `POSE_SHAPES`.

    Six numbers are rows where the first three and the last three are orthonormal (PyTorch3D), and columns where the
    even and the odd ones are (SPIN, VIBE): they cannot be both.

    Raises:
        MotionError: It has another shape, is empty, not finite, or its numbers are no rotations: degrees or positions.
    """
    pose = to_array(value, place, field)
    if pose.ndim and len(pose) > MAX_FRAMES:
        raise MotionError(f"{place}: {field} has {counted(len(pose), 'frame')}, expected at most {MAX_FRAMES:,}")
    if pose.shape[1:] not in _READERS:
        raise MotionError(f"{place}: {field} has shape {pose.shape}, expected {POSE_SHAPES}")
    return _READERS[pose.shape[1:]](check_numbers(pose, (None, *pose.shape[1:]), place, field), place, field)


def _from_axis_angles(value: np.ndarray, place: str, field: str) -> np.ndarray:
    angles = value.reshape(-1, 24, 3)
    lengths = np.linalg.norm(angles, axis=-1)
    largest = lengths.max()
    if largest > _FARTHEST_TURN or (lengths > _LARGEST_ANGLE).mean() > _FULL_TURNS:
        raise MotionError(
            f"{place}: {field} has an axis-angle of length {largest:.4g}, expected radians, at most 2π: in degrees?"
        )
    if _is_body(angles):
        raise MotionError(
            f"{place}: {field} holds places of joints, whose bones keep their lengths, expected axis-angles in radians"
        )
    return rotations.axis_angle_to_matrix(as_tensor(angles)).numpy()


def _is_body(points: np.ndarray) -> bool:
    """Return True if (n, 24, 3) are joints: limbs keep their lengths, are alike on both sides and in a body's
    proportions."""
    lengths = bone_lengths(points)[:, _LIMBS]  # (n, 8)
    typical = np.median(lengths, axis=0)
    if not typical.all():
        return False
    left, right = typical[::2], typical[1::2]
    share = typical / bone_lengths(REST)[_LIMBS]
    return bool(
        (lengths.std(axis=0) < 0.1 * typical).all()
        and (np.abs(left - right) < 0.15 * np.maximum(left, right)).all()
        and (np.abs(share / np.median(share) - 1) < 0.4).all()
    )


def _from_six(value: np.ndarray, place: str, field: str) -> np.ndarray:
    rows, columns = value.reshape(-1, 24, 2, 3), value.reshape(-1, 24, 3, 2).swapaxes(-1, -2)
    if _distance(rows) <= _OFF:
        return rotations.rot6d_rows_to_matrix(as_tensor(value)).numpy()
    if _distance(columns) <= _OFF:
        transposed = rotations.rot6d_rows_to_matrix(as_tensor(columns.reshape(-1, 24, 6))).numpy()
        return transposed.swapaxes(-1, -2)
    raise MotionError(
        f"{place}: {field} holds six numbers a joint that are neither two rows nor two columns of rotations"
    )


def _orthonormal(matrices: np.ndarray, place: str, field: str) -> np.ndarray:
    off = _distance(matrices)
    if off > _OFF:
        raise MotionError(
            f"{place}: {field} is off by {off:.3g} from orthonormal matrices, expected rotations (at most {_OFF})"
        )
    if (np.linalg.det(matrices) < 0).any():
        raise MotionError(f"{place}: {field} has matrices that mirror, expected rotations")
    return rotations.rot6d_rows_to_matrix(as_tensor(matrices[..., :2, :].reshape(*matrices.shape[:-2], 6))).numpy()


_READERS: dict[tuple[int, ...], Callable[[np.ndarray, str, str], np.ndarray]] = {
    (72,): _from_axis_angles,
    (24, 3): _from_axis_angles,
    (24, 3, 3): _orthonormal,
    (24, 6): _from_six,
}


def _distance(rows: np.ndarray) -> float:
    """Measure the distance of vectors (..., K, 3) from orthonormal ones."""
    return float(np.abs(rows @ rows.swapaxes(-1, -2) - np.eye(rows.shape[-2])).max())
