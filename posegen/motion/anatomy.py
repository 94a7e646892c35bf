"""Anatomy without anyone's data: a rest skeleton, the points of a face, and a body's height."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from posegen.errors import MotionError
from posegen.skeletons import SMPL_24, SMPL_24_PARENTS, joint_indices

HEIGHT = 1.70
"""Metres: of the body that the numbers here describe."""

_MIDDLE = {
    "pelvis": (0.0, 0.955, -0.01),
    "spine1": (0.0, 1.060, -0.03),
    "spine2": (0.0, 1.190, -0.02),
    "spine3": (0.0, 1.250, -0.01),
    "neck": (0.0, 1.445, -0.03),
    "head": (0.0, 1.530, 0.01),
}
_LEFT = {
    "hip": (0.080, 0.885, 0.0),
    "knee": (0.090, 0.485, 0.0),
    "ankle": (0.090, 0.066, -0.03),
    "foot": (0.110, 0.015, 0.09),
    "collar": (0.075, 1.370, -0.02),
    "shoulder": (0.174, 1.390, -0.02),
    "elbow": (0.456, 1.390, -0.03),
    "wrist": (0.702, 1.390, -0.02),
    "hand": (0.785, 1.385, -0.01),
}


def _place(name: str) -> tuple[float, float, float]:
    side, _, joint = name.rpartition("_")
    x, y, z = _LEFT[joint] if side else _MIDDLE[name]
    return (-x if side == "right" else x, y, z)


REST: np.ndarray = np.array([_place(name) for name in SMPL_24]) - np.array(_MIDDLE["pelvis"])
"""(24, 3) metres: the joints of SMPL-24 in a T-pose, the pelvis at the origin, of a body of `HEIGHT`.

Made by hand from segment lengths as fractions of stature (Drillis and Contini, 1966), not from SMPL's data.
"""

FACE: dict[str, tuple[float, float, float]] = {
    "nose": (0.0, 0.04, 0.11),
    "right_eye": (-0.032, 0.075, 0.085),
    "left_eye": (0.032, 0.075, 0.085),
    "right_ear": (-0.075, 0.05, 0.0),
    "left_ear": (0.075, 0.05, 0.0),
}
"""Metres from the head joint, in the head's axes (x left, y up, z forward), of a body of `HEIGHT`."""

HEAD_TOP = 0.18
"""Metres from the head joint up to the top of the head, of a body of `HEIGHT`."""

_FAR = np.arange(1, len(SMPL_24))
_NEAR = np.array(SMPL_24_PARENTS[1:])


def bone_lengths(joints: np.ndarray) -> np.ndarray:
    """Return the lengths (..., 23) of the bones that end in joints 1 … 23 of SMPL-24 joints (..., 24, 3)."""
    return np.linalg.norm(joints[..., _FAR, :] - joints[..., _NEAR, :], axis=-1)


def body_height(joints: np.ndarray, skeleton: Sequence[str] = SMPL_24) -> float:
    """Return the height in metres at which a body stands, from joints (T, J, 3) in any poses.

    Of all bodies of one build the length of legs and trunk tells the height; it is taken in the median frame.

    Args:
        joints: Metres in the world.
        skeleton: Their names; it has shoulders, hips, knees and ankles.

    Raises:
        MotionError: All joints are in one place.
    """
    length = float(np.median(_reach(joints, skeleton)))
    if not length > 0:
        raise MotionError("the body has no size: hips, knees, ankles and shoulders are in one place")
    return HEIGHT * length / float(_reach(REST, SMPL_24))


def _reach(joints: np.ndarray, skeleton: Sequence[str]) -> np.ndarray:
    """The length (...) of the trunk and, on average, a leg."""
    points = {
        joint: joints[..., joint_indices([f"left_{joint}", f"right_{joint}"], skeleton), :]
        for joint in ("shoulder", "hip", "knee", "ankle")
    }
    trunk = np.linalg.norm(points["shoulder"].mean(axis=-2) - points["hip"].mean(axis=-2), axis=-1)
    thigh, shin = (
        np.linalg.norm(points[near] - points[far], axis=-1).mean(axis=-1)
        for near, far in (("hip", "knee"), ("knee", "ankle"))
    )
    return trunk + thigh + shin


def face_points(head: np.ndarray, axes: np.ndarray, scale: float) -> dict[str, np.ndarray]:
    """Return the points (..., 3) of `FACE` by name.

    Args:
        head: (..., 3) the head joint in the world.
        axes: (..., 3, 3) the head's axes in the world as columns: left, up, forward.
        scale: Height of the body in relation to `HEIGHT`.
    """
    return {name: head + scale * (axes @ np.array(offset)) for name, offset in FACE.items()}


def head_axes(
    neck: np.ndarray,
    top: np.ndarray,
    left_shoulder: np.ndarray,
    right_shoulder: np.ndarray,
    nose: np.ndarray | None = None,
) -> np.ndarray:
    """Return the head's axes (..., 3, 3) in the world as columns, left, up, forward, from points (..., 3) alone.

    The head looks where the chest does, or where the nose is, if it is known and not above or below the neck.
    """
    up = _normalize(top - neck)
    left = _normalize(_reject(left_shoulder - right_shoulder, up))
    forward = np.cross(left, up)
    if nose is not None:
        seen = _reject(nose - neck, up)
        forward = np.where(np.linalg.norm(seen, axis=-1, keepdims=True) > 0.01, _normalize(seen), forward)
    return np.stack([np.cross(up, forward), up, forward], axis=-1)


def _reject(vector: np.ndarray, axis: np.ndarray) -> np.ndarray:
    """The part of vectors that is orthogonal to unit axes."""
    return vector - (vector * axis).sum(axis=-1, keepdims=True) * axis


def _normalize(vector: np.ndarray) -> np.ndarray:
    return vector / np.maximum(np.linalg.norm(vector, axis=-1, keepdims=True), 1e-9)
