"""HumanML3D's features of a motion (Guo et al., 2022): 263 numbers a frame, at 20 frames a second, as ``.npy``.

===== ============ ==============================================================================================
1     root         half of the root's turn about y to the next frame, in radians
2     root         its step to the next frame along x and z, in the next frame's heading, in metres
1     root         its height in metres
63    21 joints    their places in the root's heading, from the point below the root
126   21 joints    the first two columns of the rotation that swings each bone, in the axes of the one above it
66    22 joints    their steps to the next frame, in the root's heading
4     ankles, toes 1 where the left ankle and toe, and the right ones, move less than 45 mm to the next frame
===== ============ ==============================================================================================

Their own code moves all motions to one body first, whose measures are AMASS's; here a body keeps its own.
"""

from __future__ import annotations

import io

import numpy as np

from posegen.datasets.motion_formats.source import as_tensor
from posegen.errors import MotionError
from posegen.io.storage import StorageFolder
from posegen.motion import rotations
from posegen.motion.editing import resample
from posegen.motion.motion import Motion
from posegen.skeletons import SMPL_24, SMPL_24_PARENTS, joint_indices

HUMANML3D_JOINTS = 22
"""SMPL's joints without hands."""
HUMANML3D_FEATURES = 263
"""Numbers of a frame."""
HUMANML3D_FPS = 20.0
"""Frames a second of all its motions."""

_PARENTS = SMPL_24_PARENTS[1:HUMANML3D_JOINTS]
_COLLARS = joint_indices(("left_collar", "right_collar"), SMPL_24)  # the arms' chains begin with the root's turn here
_X, _Y, _Z = np.eye(3)
_ENDS = {"hip": _X, "collar": _X, "spine1": _Y, "spine2": _Y, "spine3": _Y, "neck": _Y, "foot": _Z, "head": _Z}
_HIPS, _SHOULDERS = (joint_indices((f"left_{name}", f"right_{name}"), SMPL_24) for name in ("hip", "shoulder"))
_FEET = joint_indices(("left_ankle", "left_foot", "right_ankle", "right_foot"), SMPL_24)
_SMOOTH = 20  # frames: standard deviation of the filter of headings
_CONTACT = 0.002  # square metres


def write_humanml3d(folder: StorageFolder, name: str, motion: Motion) -> None:
    """Write a motion's features as ``.npy``, at their rate; the last frame, which has no next one, is left out.

    Raises:
        MotionError: The motion is shorter than two frames at that rate.
    """
    content = io.BytesIO()
    np.save(content, humanml3d_features(resample(motion, HUMANML3D_FPS).joints).astype(np.float32))
    folder.write_bytes(name, content.getvalue())


def humanml3d_features(joints: np.ndarray) -> np.ndarray:
    """Return the features (T − 1, 263) of joints (T, 24, 3) or (T, 22, 3) in metres, y up.

    As in the published code, but that a heading which passes straight back does not turn the motion around.
    """
    if len(joints) < 2:
        raise MotionError(f"HumanML3D's features take two frames at {HUMANML3D_FPS:g} a second, got {len(joints)}")
    joints = np.asarray(joints[:, :HUMANML3D_JOINTS], np.float64)
    first = _heading((joints[:1, _HIPS[1]] - joints[:1, _HIPS[0]]) + _right(joints[:1]))
    joints = (joints - joints[0, 0] * (1, 0, 1) - (0, joints[..., 1].min(), 0)) @ _about_y(-first)[0].T
    angles = _heading(_smooth_ahead(joints))  # (T,)
    turn = _about_y(-angles)  # (T, 3, 3) to a body that looks along z
    steps = joints[1:] - joints[:-1]  # (T - 1, 22, 3)
    local = np.einsum("tij,tkj->tki", turn, joints - joints[:, :1] * (1, 0, 1))  # (T, 22, 3)
    root_step = np.einsum("tij,tj->ti", turn[1:], steps[:, 0])
    half = -np.angle(np.exp(1j * np.diff(angles))) / 2
    slow = np.square(steps[:, _FEET]).sum(axis=-1) < _CONTACT  # (T - 1, 4)
    parts = (
        half[:, None],
        root_step[:, (0, 2)],
        local[:-1, 0, 1:2],
        local[:-1, 1:],
        _bone_rotations(joints, turn)[:-1],
        np.einsum("tij,tkj->tki", turn[:-1], steps),
        slow,
    )
    return np.concatenate([np.reshape(part, (len(steps), -1)) for part in parts], axis=1)


def joints_of_features(features: np.ndarray) -> np.ndarray:
    """Return joints (T, 22, 3) in metres from features (T, 263), y up, the root's first place above the origin."""
    angle = 2 * np.concatenate([[0], np.cumsum(features[:-1, 0])])  # (T,) the quaternion has half of it
    turn = _about_y(-angle)
    steps = np.zeros((len(features), 3))
    steps[1:, 0], steps[1:, 2] = features[:-1, 1], features[:-1, 2]
    root = np.cumsum((turn @ steps[..., None])[..., 0], axis=0)
    others = features[:, 4 : 4 + 3 * (HUMANML3D_JOINTS - 1)].reshape(len(features), -1, 3)
    others = np.einsum("tij,tkj->tki", turn, others) + root[:, None]
    root[:, 1] = features[:, 3]
    return np.concatenate([root[:, None], others], axis=1)


def _right(joints: np.ndarray) -> np.ndarray:
    """The way (T, 3) from the left shoulder to the right one."""
    return joints[:, _SHOULDERS[1]] - joints[:, _SHOULDERS[0]]


def _smooth_ahead(joints: np.ndarray) -> np.ndarray:
    """Smoothed ways to the right (T, 3), as the published code has them: shoulders less hips, which it swaps."""
    from scipy.ndimage import gaussian_filter1d  # SciPy takes long to import

    across = _right(joints) - (joints[:, _HIPS[1]] - joints[:, _HIPS[0]])
    across /= np.linalg.norm(across, axis=-1, keepdims=True)
    return gaussian_filter1d(across, _SMOOTH, axis=0, mode="nearest")


def _heading(right: np.ndarray) -> np.ndarray:
    """Angles (T,) about y from z to where a body looks whose right is there (T, 3)."""
    return np.arctan2(right[:, 2], -right[:, 0])


def _about_y(angles: np.ndarray) -> np.ndarray:
    """Rotations (T, 3, 3) about y that turn z by angles (T,) towards x."""
    cos, sin, zero, one = np.cos(angles), np.sin(angles), np.zeros_like(angles), np.ones_like(angles)
    return np.stack([cos, zero, sin, zero, one, zero, -sin, zero, cos], axis=-1).reshape(-1, 3, 3)


def _bone_rotations(joints: np.ndarray, turn: np.ndarray) -> np.ndarray:
    """The first two columns (T, 21, 6) of each bone's rotation, in the axes of the bone above or of the root's turn."""
    bones = joints[:, 1:] - joints[:, _PARENTS]  # (T, 21, 3)
    rest = np.stack([_direction_at_rest(name) for name in SMPL_24[1:HUMANML3D_JOINTS]])
    world = rotations.swing(as_tensor(np.broadcast_to(rest, bones.shape).copy()), as_tensor(bones)).numpy()
    world = np.concatenate([turn[:, None], world], axis=1)  # (T, 22, 3, 3)
    above = [0 if joint in _COLLARS else parent for joint, parent in enumerate(_PARENTS, start=1)]
    local = np.swapaxes(world[:, above], -1, -2) @ world[:, 1:]
    return np.concatenate([local[..., 0], local[..., 1]], axis=-1)


def _direction_at_rest(joint: str) -> np.ndarray:
    """Direction (3,) of the bone that ends in a joint, in HumanML3D's pose at rest: arms and legs down."""
    side, _, end = joint.rpartition("_")
    return _ENDS.get(end, -_Y) * (-1 if side == "right" and end in ("hip", "collar") else 1)
