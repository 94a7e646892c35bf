"""Find the vertical axis of a file of motions, from the body: from hips to head with the feet below."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from posegen.motion.motion import Motion
from posegen.skeletons import SMPL_24, joint_indices

UpAxis = Literal["", "x", "y", "z"]
"""An axis of a file, whose sign the body tells; nothing where the body tells the axis, too."""

TO_Y_UP: dict[str, np.ndarray] = {
    "y": np.eye(3),
    "z": np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]]),
    "x": np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]),
    "-y": np.diag((1.0, -1.0, -1.0)),
    "-z": np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]]),
    "-x": np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]),
}
"""Rotations (3, 3) to the world's axes, y up, by the axis that is up in a file."""

_NAMES = tuple(TO_Y_UP)
_AXES = np.stack([TO_Y_UP[name].T @ (0.0, 1.0, 0.0) for name in _NAMES])  # (6, 3): what is up, in the file's axes
_CLEAR = np.cos(np.radians(25))  # of the trunk with an axis: people sit and walk with less lean
_BELOW = 0.3  # cosine: of the legs; knees may be bent
_HIPS, _ANKLES = (joint_indices([f"left_{name}", f"right_{name}"], SMPL_24) for name in ("hip", "ankle"))
_FEET = joint_indices([f"{side}_{name}" for side in ("left", "right") for name in ("ankle", "foot")], SMPL_24)
_HEAD = SMPL_24.index("head")
_ON_FLOOR = 0.1  # of the body's height: how far the feet are from the height 0 of a file whose floor is there
_LYING = 0.3  # of the body's height: how far the pelvis of who lies is above it


@dataclass(frozen=True)
class Up:
    """Vertical axis of a file."""

    axis: str
    """One of `TO_Y_UP`."""
    reason: str
    """Reason for the choice, in a few words."""
    note: str = ""
    """Remark for the user, in one line; empty in the usual case."""


def tell_up(joints: np.ndarray, usual: str, asked: UpAxis = "", rest: np.ndarray | None = None) -> Up:
    """Tell which axis is up.

    A body that lies for the whole motion looks like one that stands in other axes. Then the skeleton at rest decides,
    and what is on the floor.

    Args:
        joints: (T, 24, 3) of SMPL-24, in the file's axes and any unit.
        usual: What such files have.
        asked: What the user says; the sign is the body's.
        rest: (24, 3) the skeleton at rest, where the file has one of its own.
    """
    trunk, legs = _cosines(joints)
    if asked:
        signed = max((asked, f"-{asked}"), key=lambda name: trunk[_NAMES.index(name)])
        return Up(signed, "--up says so")
    at_rest = None if rest is None else _clear(*_cosines(rest[None]))
    found = _clear(trunk, legs)
    if at_rest not in (None, usual) and (found is None or (found == usual and _lies(joints, str(at_rest)))):
        found = at_rest
    if found == usual:
        return Up(usual, "as the body stands")
    if found is None:
        note = f"the body stands along no axis: {usual} is taken for up, as is usual; --up says another"
        return Up(usual, "as is usual", note if trunk[_NAMES.index(usual)] < _BELOW else "")
    told = f"{found} is up, as the body stands, and not {usual} as is usual: turned; --up says another"
    stands = found == at_rest or (_feet_on_floor(joints, found) if at_rest else not _lies(joints, usual))
    if stands:
        return Up(found, "as the body stands", told)
    return Up(
        usual, "as is usual", f"the body lies along {found} for the whole motion, or {found} is up: --up {found[-1]}"
    )


def _cosines(joints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of trunk and legs with each axis (6,), in the median frame."""
    hips = joints[:, _HIPS].mean(axis=1)
    found = []
    for bone in (joints[:, _HEAD] - hips, hips - joints[:, _ANKLES].mean(axis=1)):
        unit = bone / np.maximum(np.linalg.norm(bone, axis=-1, keepdims=True), 1e-9)
        middle = np.median(unit, axis=0)
        found.append(_AXES @ middle / max(float(np.linalg.norm(middle)), 1e-9))
    return found[0], found[1]


def _clear(trunk: np.ndarray, legs: np.ndarray) -> str | None:
    best = int(trunk.argmax())
    return _NAMES[best] if trunk[best] > _CLEAR and legs[best] > _BELOW else None


def _heights(joints: np.ndarray, axis: str) -> np.ndarray:
    """Heights (T, 24) along an axis, in body heights."""
    size = np.median(np.linalg.norm(joints[:, _HEAD] - joints[:, _ANKLES].mean(axis=1), axis=-1))
    return joints @ _AXES[_NAMES.index(axis)] / max(float(size), 1e-9)


def _feet_on_floor(joints: np.ndarray, axis: str) -> bool:
    """Return True if feet are the lowest joints, at the height 0."""
    heights = _heights(joints, axis)
    lowest = np.isin(heights.argmin(axis=1), _FEET).mean() > 0.8
    return bool(lowest) and abs(np.quantile(heights[:, _FEET].min(axis=1), 0.05)) < _ON_FLOOR


def _lies(joints: np.ndarray, axis: str) -> bool:
    """Return True if a body lies on the height 0."""
    heights = _heights(joints, axis)
    return abs(np.median(heights.min(axis=1))) < _ON_FLOOR and 0 < np.median(heights[:, 0]) < _LYING


def turn_motion(motion: Motion, matrix: np.ndarray) -> Motion:
    """Turn a whole motion by a rotation (3, 3) about the origin."""
    if motion.rot6d is None:
        return replace(motion, joints=(motion.joints @ matrix.T).astype(np.float32))
    first, second = motion.rot6d[:, 0, :3], motion.rot6d[:, 0, 3:]
    root = matrix @ np.stack([first, second, np.cross(first, second)], axis=1)  # (T, 3, 3)
    rows = np.concatenate([root[:, None, :2].reshape(-1, 1, 6), motion.rot6d[:, 1:]], axis=1)
    return replace(motion, joints=(motion.joints @ matrix.T).astype(np.float32), rot6d=rows.astype(np.float32))


def set_upright(motion: Motion, usual: str, asked: UpAxis = "") -> Motion:
    """Turn a motion in a file's axes so that y is up; its `meta` says which axis was, its `notes` what is unusual."""
    up = tell_up(motion.joints, usual, asked)
    notes = (*motion.notes, *([f"up: {up.note}"] if up.note else []))
    turned = turn_motion(motion, TO_Y_UP[up.axis])
    return replace(turned, meta=turned.meta | {"up": f"{up.axis}, {up.reason}"}, notes=notes)
