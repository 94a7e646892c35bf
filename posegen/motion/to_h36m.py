"""From the 17 joints of Human3.6M back to SMPL's 24: what they share is taken, what they lack is invented.

The way there is `posegen.motion.to_openpose.h36m_joints`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from posegen.errors import MotionError
from posegen.motion import rotations
from posegen.motion.anatomy import FACE, HEIGHT, REST, body_height, head_axes
from posegen.motion.motion import Motion
from posegen.skeletons import H36M_17, SMPL_24, joint_indices

_NAMES = {"spine": "spine2", "neck_base": "neck"}  # what SMPL calls them
_BETWEEN: dict[str, tuple[str, ...]] = {
    "spine1": ("pelvis", "spine2"),
    "spine3": ("spine2", "neck"),
    "left_collar": ("neck", "spine2", "left_shoulder"),
    "right_collar": ("neck", "spine2", "right_shoulder"),
}
"""Joints that are between others, as at rest."""

INVENTED_JOINTS: tuple[str, ...] = tuple(
    name for name in SMPL_24 if name not in {_NAMES.get(joint, joint) for joint in H36M_17}
)
"""Joints of SMPL-24 that `smpl_joints` makes up: spine1, spine3, feet, collars, head and hands."""


def motion_from_h36m(joints: np.ndarray, fps: float) -> Motion:
    """Return the motion of joints (T, 17, 3) of `H36M_17` in metres; its `meta` lists the joints that are invented.

    Raises MotionError as `smpl_joints` does.
    """
    motion = Motion.from_joints(smpl_joints(joints), fps)
    return replace(motion, meta={"invented_joints": list(INVENTED_JOINTS)})


def smpl_joints(joints: np.ndarray) -> np.ndarray:
    """Return joints (T, 24, 3) of SMPL-24 that go with joints (T, 17, 3) of `H36M_17`, in metres.

    Collar bones and spine lie between their neighbours as at rest, and hands go on from their forearms. Feet are to
    shins as at rest, and turn with the trunk: one that went on from its shin would go through the floor. The head is
    where the nose has it. Invented bones are as long as those of a body of this height.

    Raises:
        MotionError: The shape is another one, or the body has no size.
    """
    if joints.ndim != 3 or joints.shape[1:] != (len(H36M_17), 3) or not len(joints):
        raise MotionError(f"got joints of shape {joints.shape}, expected (T, {len(H36M_17)}, 3)")
    points = {_NAMES.get(name, name): joints[:, index].astype(float) for index, name in enumerate(H36M_17)}
    scale = body_height(joints, H36M_17) / HEIGHT
    for name, neighbors in _BETWEEN.items():
        points[name] = np.einsum("n,ntc->tc", _shares(name, neighbors), [points[near] for near in neighbors])
    shoulders = points["left_shoulder"], points["right_shoulder"]
    axes = head_axes(points["neck"], points["head_top"], *shoulders, points["nose"])
    points["head"] = points["nose"] - scale * (axes @ np.array(FACE["nose"]))
    trunk = head_axes(points["pelvis"], points["neck"], points["left_hip"], points["right_hip"])
    for side in ("left", "right"):
        forearm = points[f"{side}_wrist"] - points[f"{side}_elbow"]
        length = scale * np.linalg.norm(_bone(f"{side}_wrist", f"{side}_hand"))
        along = forearm / np.maximum(np.linalg.norm(forearm, axis=-1, keepdims=True), 1e-9)
        points[f"{side}_hand"] = points[f"{side}_wrist"] + length * along
        shin = points[f"{side}_ankle"] - points[f"{side}_knee"]
        turned = _turn(trunk, _bone(f"{side}_knee", f"{side}_ankle"), shin)
        points[f"{side}_foot"] = points[f"{side}_ankle"] + scale * (turned @ _bone(f"{side}_ankle", f"{side}_foot"))
    return np.stack([points[name] for name in SMPL_24], axis=1).astype(np.float32)


def _turn(axes: np.ndarray, rest: np.ndarray, bone: np.ndarray) -> np.ndarray:
    """Axes (T, 3, 3) turned the shortest way, so that a bone (3,) at rest goes along another (T, 3)."""
    swing = rotations.swing(torch.from_numpy(axes @ rest), torch.from_numpy(bone))
    return swing.numpy() @ axes


def _bone(near: str, far: str) -> np.ndarray:
    """(3,) metres from a joint to another at rest."""
    start, end = REST[joint_indices([near, far], SMPL_24)]
    return end - start


def _shares(name: str, neighbors: Sequence[str]) -> np.ndarray:
    """The weights, which sum to 1, that make of neighbours at rest the point nearest to a joint."""
    first, *others = REST[joint_indices(neighbors, SMPL_24)]
    target = REST[SMPL_24.index(name)] - first
    found = np.linalg.lstsq(np.stack(others, axis=1) - first[:, None], target, rcond=None)[0]
    return np.concatenate([[1 - found.sum()], found])
