"""The view of a motion where none is asked for: from the front, or from three quarters where the front hides it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from posegen.features.body_pose import BodyPoses
from posegen.inference.body_measures import facing_yaw
from posegen.motion.motion import Motion
from posegen.skeletons import SMPL_24, joint_indices

THREE_QUARTER = 35.0
"""Degrees by which a person is turned in a three-quarter view."""

_HARD_TO_SEE = 0.75  # share of the movement below which a view hides it
_GAIN = 1.14  # by which a three-quarter view must show more
_SHORT = 0.75  # of a thigh's length that is seen: less is too short
_OFTEN, _SELDOM = 0.1, 0.67  # share of the frames in which thighs are, and how much fewer they must be in another view
_SIDEWAYS = 40.0  # degrees: people who are turned further in a photo stay as they are turned
_EQUAL = 0.03  # shares that differ by less are the same
_NEARER = 0.02  # metres, on average over the ways
_KNEES, _HIPS = (joint_indices([f"left_{name}", f"right_{name}"], SMPL_24) for name in ("knee", "hip"))
_PELVIS = SMPL_24.index("pelvis")
_MOVING = joint_indices(
    [f"{side}_{name}" for side in ("left", "right") for name in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")],
    SMPL_24,
)


class Views(NamedTuple):
    """Share of a motion's movement that is visible from each of three views."""

    front: float
    """Share of the joints' movement that is seen in the picture: 1 where nothing goes to or from the viewer."""
    right: float
    """The same, turned to the person's right."""
    left: float
    """The same, turned to their left."""


def visible_movement(motion: Motion) -> Views:
    """Measure how much of a motion, which faces the viewer, is seen from the front and from both three-quarter views.

    Counted is how far joints of arms and legs go about the pelvis and how far the pelvis goes up and down, the latter
    in any view.
    """
    return Views(*(_visible_share(motion, yaw) for yaw in (0.0, -THREE_QUARTER, THREE_QUARTER)))


def choose_yaw(motion: Motion) -> float:
    """Return by how many degrees a person who does a motion is to be turned, to their left where it is positive.

    0 unless the front shows less than three quarters of the movement and a three-quarter view a seventh more, or the
    front often foreshortens thighs, as in a squat, and a three-quarter view seldom. Of two that show as much, it is the
    one in which what moves is nearer to the viewer, and otherwise to the left.

    Args:
        motion: Faces the viewer.
    """
    front, right, left = visible_movement(motion)
    best = max(right, left)
    is_hidden = front < _HARD_TO_SEE and best >= _GAIN * front
    if not (is_hidden or _front_shortens_thighs(motion)):
        return 0.0
    if abs(right - left) > _EQUAL:
        return THREE_QUARTER if left > right else -THREE_QUARTER
    return (
        -THREE_QUARTER
        if _nearness(motion, -THREE_QUARTER) > _nearness(motion, THREE_QUARTER) + _NEARER
        else THREE_QUARTER
    )


def yaw_for(motion: Motion, person: BodyPoses) -> float:
    """Return `choose_yaw`, or for somebody whom the picture shows from the side or from behind, how they are turned."""
    turned = facing_yaw(person)
    return turned if abs(turned) > _SIDEWAYS else choose_yaw(motion)


def _turned(vectors: np.ndarray, yaw: float) -> np.ndarray:
    """Vectors (..., 3) of somebody who is turned to their left by so many degrees."""
    cos, sin = np.cos(np.radians(yaw)), np.sin(np.radians(yaw))
    x, y, z = np.moveaxis(vectors, -1, 0)
    return np.stack([cos * x + sin * z, y, cos * z - sin * x], axis=-1)


def _front_shortens_thighs(motion: Motion) -> bool:
    """Return whether the front often shows thighs too short, and so a dwarf, and a three-quarter view seldom."""
    front, *turned = (_share_of_short_thighs(motion, yaw) for yaw in (0.0, -THREE_QUARTER, THREE_QUARTER))
    return front > _OFTEN and min(turned) < _SELDOM * front


def _share_of_short_thighs(motion: Motion, yaw: float) -> float:
    """Measure in which share of the frames a thigh is seen too short."""
    thighs = _turned(motion.joints[:, _KNEES] - motion.joints[:, _HIPS], yaw)
    lengths = np.maximum(np.linalg.norm(thighs, axis=-1), 1e-9)
    return float((np.linalg.norm(thighs[..., :2], axis=-1) < _SHORT * lengths).mean())


def _steps(motion: Motion) -> np.ndarray:
    """Measure joint displacements between frames (T - 1, J, 3), in metres; those of limbs are relative to the
    pelvis."""
    about = motion.joints[:, _MOVING] - motion.joints[:, _PELVIS, None] * (1.0, 0.0, 1.0)
    return np.diff(about, axis=0)


def _visible_share(motion: Motion, yaw: float) -> float:
    steps = _turned(_steps(motion), yaw)
    whole = float(np.linalg.norm(steps, axis=-1).sum())
    return float(np.linalg.norm(steps[..., :2], axis=-1).sum()) / whole if whole > 0 else 1.0


def _nearness(motion: Motion, yaw: float) -> float:
    """Measure the distance of moving joints in front of the pelvis, in metres."""
    steps = np.linalg.norm(_steps(motion), axis=-1)
    about = _turned(motion.joints[1:, _MOVING] - motion.joints[1:, _PELVIS, None], yaw)
    return float((steps * about[..., 2]).sum() / max(steps.sum(), 1e-9))
