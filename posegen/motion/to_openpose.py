"""From a motion to what OpenPose would see of it: 18 joints in pixels, faces only where they can be seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from posegen.motion.anatomy import FACE, HEAD_TOP, HEIGHT, body_height, face_points, head_axes
from posegen.motion.cameras import Camera
from posegen.motion.editing import find_rotations
from posegen.motion.kinematics import global_rotations
from posegen.motion.motion import Motion
from posegen.motion.rotations import rot6d_rows_to_matrix
from posegen.skeletons import H36M_17, OPENPOSE_18, SMPL_24

FACE_LIMIT = np.radians(100.0)
"""A head that looks further than this away from the camera shows neither nose nor eyes."""

PROFILE = np.radians(45.0)
"""A head that is no further than this from showing its side hides the ear behind it."""

_MARGIN = 1.0  # canvases beyond each border: a joint farther out is missing


class OpenPoseBody(NamedTuple):
    """The joints of OpenPose-18 in the world."""

    joints: np.ndarray
    """(T, 18, 3) metres."""
    axes: np.ndarray
    """(T, 3, 3): the head's axes as columns, left, up, forward."""


def smpl_head_axes(motion: Motion) -> np.ndarray:
    """Return the head's axes (T, 3, 3) as columns, left, up, forward, from rotations; from joints if there are none."""
    rot6d = find_rotations(motion).motion.rot6d if motion.rot6d is None else motion.rot6d
    local = rot6d_rows_to_matrix(torch.as_tensor(rot6d))
    return global_rotations(local)[:, SMPL_24.index("head")].numpy()


def openpose_body(joints: np.ndarray, skeleton: Sequence[str], axes: np.ndarray | None = None) -> OpenPoseBody:
    """Find the joints of OpenPose-18 on another skeleton.

    Joints of the same name are taken as they are, but the neck is the middle of the shoulders, whatever the skeleton
    calls a neck. What is missing of the face is where it is on a head like `posegen.motion.anatomy.FACE`.

    Args:
        joints: (T, J, 3) metres in the world.
        skeleton: `SMPL_24`, `H36M_17` or another order of it, `A2M_18` or `VIBE_49`.
        axes: (T, 3, 3) the head's axes. SMPL-24 needs them, the others have a nose and a top of the head instead.
    """
    points = {name: joints[:, index] for index, name in enumerate(skeleton)}
    points["neck"] = (points["left_shoulder"] + points["right_shoulder"]) / 2
    scale = body_height(joints, skeleton) / HEIGHT
    if axes is None:
        shoulders = points["left_shoulder"], points["right_shoulder"]
        axes = head_axes(points["neck"], points["head_top"], *shoulders, points["nose"])
    head = points["head"] if "head" in points else points["nose"] - scale * (axes @ np.array(FACE["nose"]))
    points = face_points(head, axes, scale) | points
    return OpenPoseBody(np.stack([points[name] for name in OPENPOSE_18], axis=1), axes)


def h36m_joints(motion: Motion) -> np.ndarray:
    """Return the joints (T, 17, 3) of `H36M_17` that are nearest to a motion's, in metres."""
    points = {name: motion.joints[:, index] for index, name in enumerate(SMPL_24)}
    axes, scale = smpl_head_axes(motion), body_height(motion.joints) / HEIGHT
    points["spine"], points["neck_base"] = points["spine2"], points["neck"]
    points["nose"] = face_points(points["head"], axes, scale)["nose"]
    points["head_top"] = points["head"] + scale * HEAD_TOP * axes[..., 1]
    return np.stack([points[name] for name in H36M_17], axis=1)


def project_body(body: OpenPoseBody, camera: Camera) -> np.ndarray:
    """Return OpenPose keypoints (T, 18, 3) float32: x and y in pixels and a confidence of 1, or (0, 0, 0).

    Missing are nose and eyes of a head that looks away, the ear that a profile hides, what is behind the camera, and
    what is more than a canvas' size outside of the canvas.
    """
    projected = camera.project(body.joints)  # (T, 18, 3)
    x, y, depth = np.moveaxis(projected, -1, 0)
    seen = is_near_canvas(projected[..., :2], camera.canvas)
    if camera.kind == "pinhole":
        seen &= depth > 0
    nose = body.joints[:, OPENPOSE_18.index("nose")]
    towards = np.einsum("tij,ti->tj", body.axes, camera.rays(nose))  # (T, 3): cosines with left, up and forward
    faces = towards[:, 2] >= np.cos(FACE_LIMIT)
    for name in ("nose", "left_eye", "right_eye"):
        seen[:, OPENPOSE_18.index(name)] &= faces
    seen[:, OPENPOSE_18.index("left_ear")] &= towards[:, 0] > -np.cos(PROFILE)
    seen[:, OPENPOSE_18.index("right_ear")] &= towards[:, 0] < np.cos(PROFILE)
    return np.where(seen[..., None], np.stack([x, y, np.ones_like(x)], axis=-1), 0).astype(np.float32)


def is_near_canvas(points: np.ndarray, canvas: tuple[int, int]) -> np.ndarray:
    """Return True for points (..., 2) in pixels on a canvas, or at most its height or width beyond a border: (...)
    bool."""
    size = np.array(canvas[::-1])
    return np.asarray((np.abs(points - (size - 1) / 2) <= (0.5 + _MARGIN) * size).all(axis=-1))


def project_motion(motion: Motion, camera: Camera) -> np.ndarray:
    """Return OpenPose keypoints (T, 18, 3) float32 of a motion, as `project_body`; none where it is not valid."""
    keypoints = project_body(openpose_body(motion.joints, SMPL_24, smpl_head_axes(motion)), camera)
    keypoints[~motion.valid] = 0
    return keypoints
