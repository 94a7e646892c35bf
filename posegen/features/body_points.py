"""Points of a body in the viewer's axes: OpenPose's 18, mid-hips and the tips of the feet, and the bones between.

The axes are x to the right, y up and z towards the viewer; units are pixels or metres. NaN is unknown.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from posegen.features.body_pose import BodyPoses
from posegen.motion.anatomy import FACE, REST
from posegen.skeletons import OPENPOSE_18, SMPL_24, joint_indices

BODY_21: tuple[str, ...] = (*OPENPOSE_18, "mid_hip", "right_toe", "left_toe")
"""The points in their order."""

NECK, MID_HIP = BODY_21.index("neck"), BODY_21.index("mid_hip")
HIPS, SHOULDERS, ANKLES, TOES = (
    joint_indices([f"right_{name}", f"left_{name}"], BODY_21) for name in ("hip", "shoulder", "ankle", "toe")
)
"""Right before left."""
FACE_POINTS: np.ndarray = joint_indices(list(FACE), BODY_21)
"""Of `posegen.motion.anatomy.FACE`, in its order."""


class Bone(NamedTuple):
    """A bone of the tree that begins at mid-hips."""

    name: str
    """The same for both sides, whose bones are of one length."""
    near: int
    far: int
    """Of `BODY_21`."""


def _two(name: str, near: str, far: str) -> list[Bone]:
    names = [(near.format(side), far.format(side)) for side in ("right", "left")]
    return [Bone(name, BODY_21.index(start), BODY_21.index(end)) for start, end in names]


BODY_BONES: tuple[Bone, ...] = (
    *_two("hip", "mid_hip", "{}_hip"),
    Bone("trunk", MID_HIP, NECK),
    *_two("shoulder", "neck", "{}_shoulder"),
    *_two("upper_arm", "{}_shoulder", "{}_elbow"),
    *_two("forearm", "{}_elbow", "{}_wrist"),
    *_two("thigh", "{}_hip", "{}_knee"),
    *_two("calf", "{}_knee", "{}_ankle"),
    *_two("foot", "{}_ankle", "{}_toe"),
)
"""Parents come before their children. The head is no bone: it moves as one."""

NEAR, FAR = (np.array(ends) for ends in zip(*((bone.near, bone.far) for bone in BODY_BONES), strict=True))


def _rest(name: str) -> np.ndarray:
    return REST[SMPL_24.index(name)]


_NECK_REST = (_rest("left_shoulder") + _rest("right_shoulder")) / 2
_MID_HIP_REST = (_rest("left_hip") + _rest("right_hip")) / 2


def _length(start: str, end: str) -> float:
    return float(np.linalg.norm(_rest(end) - _rest(start)))


USUAL_LENGTHS: dict[str, float] = {
    "hip": _length("left_hip", "right_hip") / 2,
    "trunk": float(np.linalg.norm(_NECK_REST - _MID_HIP_REST)),
    "shoulder": _length("left_shoulder", "right_shoulder") / 2,
    "upper_arm": _length("left_shoulder", "left_elbow"),
    "forearm": _length("left_elbow", "left_wrist"),
    "thigh": _length("left_hip", "left_knee"),
    "calf": _length("left_knee", "left_ankle"),
    "foot": 1.4 * _length("left_ankle", "left_foot"),  # the joint is at the ball, and toes go on
}
"""Metres of each bone of a body of `posegen.motion.anatomy.HEIGHT`."""

USUAL_NECK: float = float(np.linalg.norm(_rest("head") - _NECK_REST))
"""Metres from the neck, between the shoulders, to the head joint of such a body."""


_DOUBT = 0.55
"""Depth of a bone, in relation to its length in the picture, that estimators also see where there is none."""


def points_of_poses(poses: BodyPoses) -> np.ndarray:
    """Return the points (..., 21, 3) of poses, in pixels: x, minus y, and the depth; NaN where it is not known."""
    keypoints, toes = (np.where(x[..., 2:] > 0, x, np.nan).astype(float) for x in (poses.keypoints, poses.toes))
    body = np.stack([keypoints[..., 0], -keypoints[..., 1], poses.depths], axis=-1)  # (..., 18, 3)
    middle = body[..., HIPS, :].mean(axis=-2, keepdims=True)
    feet = np.stack([toes[..., 0], -toes[..., 1], np.full(toes.shape[:-1], np.nan)], axis=-1)
    return np.concatenate([body, middle, feet], axis=-2)


def bone_vectors(points: np.ndarray) -> np.ndarray:
    """Return the vectors (..., B, 2 or 3) along `BODY_BONES` of points (..., 21, 2 or 3), from near to far."""
    return points[..., FAR, :] - points[..., NEAR, :]


def estimated_vectors(points: np.ndarray) -> np.ndarray:
    """Return the vectors (..., B, 3) of points (..., 21, 3) whose depths are estimated, from near to far.

    Estimators bend straight limbs towards the viewer or away. What they say of depth counts in so far as it is more
    than their error: bones that are seldom foreshortened are as long as they are seen.
    """
    vectors = bone_vectors(points)
    flat = (vectors[..., :2] ** 2).sum(axis=-1)
    beyond = np.sqrt(np.maximum(vectors[..., 2] ** 2 - _DOUBT**2 * flat, 0))
    vectors[..., 2] = np.sign(vectors[..., 2]) * beyond
    return vectors
