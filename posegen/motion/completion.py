"""SMPL-24's joints of bodies that lack some of them: spine, neck, head, collar bones, hands and feet are invented."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from posegen.errors import MotionError
from posegen.motion.anatomy import REST, body_height
from posegen.skeletons import SMPL_24

_AT_REST = dict(zip(SMPL_24, REST, strict=True))
_SPINE = ("pelvis", "spine1", "spine2", "spine3", "neck")
_NEEDED = (
    "pelvis",
    *(
        f"{side}_{name}"
        for side in ("left", "right")
        for name in ("hip", "knee", "ankle", "shoulder", "elbow", "wrist")
    ),
)


def complete_body(found: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return joints (T, 24, 3) of SMPL-24 from those that are known, (T, 3) by name, in any unit.

    The spine and collar bones lie between their neighbours as at rest, hands go on from their forearms, and feet point
    to where the body faces. Invented bones are as long as those of a body of this height.

    Raises:
        MotionError: Joints are missing that cannot be invented, or the body has no size.
    """
    missing = [name for name in _NEEDED if name not in found]
    if missing:
        raise MotionError(f"{', '.join(missing)} missing, which cannot be invented")
    known = {name: np.asarray(places, np.float64) for name, places in found.items()}
    shoulders = (known["left_shoulder"] + known["right_shoulder"]) / 2
    hips = (known["left_hip"] + known["right_hip"]) / 2
    names = [name for name in SMPL_24 if name in known and name not in ("spine1", "spine2", "spine3", "neck", "head")]
    scale = body_height(np.stack([known[name] for name in names], axis=1), names) / body_height(REST[None])
    up = _unit(shoulders - hips)
    left = _unit(_reject(known["left_hip"] - known["right_hip"], up))
    axes = np.stack([left, up, np.cross(left, up)], axis=-1)  # (T, 3, 3)
    if "neck" not in known:
        usual = _AT_REST["neck"] - (_AT_REST["left_shoulder"] + _AT_REST["right_shoulder"]) / 2
        known["neck"] = shoulders + scale * (axes @ usual)
    if "head" not in known:
        known["head"] = known["neck"] + scale * (axes @ (_AT_REST["head"] - _AT_REST["neck"]))
    _fill_spine(known)
    for side in ("left", "right"):
        _fill_limbs(known, side, scale, axes)
    return np.stack([known[name] for name in SMPL_24], axis=1)


def _fill_spine(known: dict[str, np.ndarray]) -> None:
    """Put missing joints of the spine between the nearest that are known, by their heights at rest."""
    heights = {name: _AT_REST[name][1] for name in _SPINE}
    there = [name for name in _SPINE if name in known]
    for name in _SPINE:
        if name not in known:
            below = max((one for one in there if heights[one] < heights[name]), key=heights.__getitem__)
            above = min((one for one in there if heights[one] > heights[name]), key=heights.__getitem__)
            share = (heights[name] - heights[below]) / (heights[above] - heights[below])
            known[name] = (1 - share) * known[below] + share * known[above]


def _fill_limbs(known: dict[str, np.ndarray], side: str, scale: float, axes: np.ndarray) -> None:
    if f"{side}_collar" not in known:
        share = _AT_REST["left_collar"][0] / _AT_REST["left_shoulder"][0]
        base = (known["neck"] + known["spine3"]) / 2
        known[f"{side}_collar"] = (1 - share) * base + share * known[f"{side}_shoulder"]
    if f"{side}_hand" not in known:
        length = np.linalg.norm(_AT_REST["left_hand"] - _AT_REST["left_wrist"])
        along = _unit(known[f"{side}_wrist"] - known[f"{side}_elbow"])
        known[f"{side}_hand"] = known[f"{side}_wrist"] + scale * length * along
    if f"{side}_foot" not in known:
        down = _unit(known[f"{side}_ankle"] - known[f"{side}_knee"])
        forward = _unit(_reject(axes[..., 2], down))
        usual = _AT_REST["left_foot"] - _AT_REST["left_ankle"]
        known[f"{side}_foot"] = known[f"{side}_ankle"] + scale * (usual[2] * forward - usual[1] * down)


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.maximum(np.linalg.norm(vector, axis=-1, keepdims=True), 1e-9)


def _reject(vector: np.ndarray, axis: np.ndarray) -> np.ndarray:
    """The part of vectors that is orthogonal to unit axes."""
    return vector - (vector * axis).sum(axis=-1, keepdims=True) * axis
