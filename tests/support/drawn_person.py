"""A person of simple shapes, of whom everything is known exactly: colours, pose, classes and outline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from posegen.features.body_pose import BodyPoses
from posegen.features.layered_person import LayeredPerson
from posegen.person_classes import PersonClass
from posegen.skeletons import OPENPOSE_18

SIZE = (192, 128)
ROOM = (150, 170, 190)
COLORS = {
    PersonClass.HAIR: (60, 40, 20),
    PersonClass.SKIN: (230, 190, 160),
    PersonClass.UPPER: (200, 30, 40),
    PersonClass.LOWER: (30, 60, 180),
    PersonClass.SHOES: (20, 20, 20),
}
_JOINTS = {
    "nose": (64, 26), "right_eye": (61, 24), "left_eye": (67, 24), "right_ear": (58, 26), "left_ear": (70, 26),
    "neck": (64, 44), "right_shoulder": (51, 44), "left_shoulder": (77, 44), "right_elbow": (36, 60),
    "left_elbow": (92, 60), "right_wrist": (22, 76), "left_wrist": (106, 76), "right_hip": (55, 92),
    "left_hip": (73, 92), "right_knee": (52, 126), "left_knee": (76, 126), "right_ankle": (50, 160),
    "left_ankle": (78, 160),
}  # fmt: skip
"""A pose with arms away from the body: x and y in pixels."""


class DrawnPerson(NamedTuple):
    """A picture of a person and all facts about it."""

    image: np.ndarray
    pose: BodyPoses
    labels: np.ndarray
    matte: np.ndarray
    background: np.ndarray

    def layered(self) -> LayeredPerson:
        """Take the picture apart."""
        return LayeredPerson.take_apart(*self)


def make_pose(moved: dict[str, tuple[float, float]] | None = None) -> BodyPoses:
    """Return the drawn person's pose, with some joints in other places."""
    places = _JOINTS | (moved or {})
    keypoints = np.array([(*places[name], 1.0) for name in OPENPOSE_18], np.float32)
    toes = np.array([(*np.add(places[f"{side}_ankle"], (0, 10)), 1.0) for side in ("right", "left")], np.float32)
    return BodyPoses(keypoints, np.zeros(18, np.float32), toes)


def stack_poses(poses: Sequence[BodyPoses]) -> BodyPoses:
    """Return single poses as a sequence."""
    return BodyPoses(*(np.stack([getattr(pose, name) for pose in poses]) for name in ("keypoints", "depths", "toes")))


def draw_person(skirt: bool = False) -> DrawnPerson:
    """Draw the person, in trousers or in a skirt that reaches below the knees' middle."""
    labels = np.zeros(SIZE, np.uint8)
    pose = make_pose()
    at = dict(zip(OPENPOSE_18, pose.keypoints[:, :2].astype(int).tolist(), strict=True))

    def line(kind: PersonClass, near: str, far: str, width: int) -> None:
        cv2.line(labels, at[near], at[far], int(kind), width)

    for side in ("right", "left"):
        line(PersonClass.SKIN if skirt else PersonClass.LOWER, f"{side}_hip", f"{side}_knee", 15)
        line(PersonClass.SKIN if skirt else PersonClass.LOWER, f"{side}_knee", f"{side}_ankle", 12)
        x, y = at[f"{side}_ankle"]
        cv2.ellipse(labels, (x, y + 6), (6, 7), 0, 0, 360, int(PersonClass.SHOES), -1)
    if skirt:
        corners = np.array([(53, 84), (75, 84), (86, 124), (42, 124)], np.int32)
        cv2.fillConvexPoly(labels, corners, int(PersonClass.LOWER))
    trunk = np.array([at[name] for name in ("right_shoulder", "left_shoulder", "left_hip", "right_hip")], np.int32)
    cv2.polylines(labels, [trunk], True, int(PersonClass.UPPER), 7)
    cv2.fillConvexPoly(labels, trunk, int(PersonClass.UPPER))
    for side in ("right", "left"):
        line(PersonClass.UPPER, f"{side}_shoulder", f"{side}_elbow", 10)
        line(PersonClass.UPPER, f"{side}_elbow", f"{side}_wrist", 8)
        x, y = at[f"{side}_wrist"]
        cv2.circle(labels, (x, y + 4), 5, int(PersonClass.SKIN), -1)
    cv2.ellipse(labels, (64, 24), (13, 16), 0, 0, 360, int(PersonClass.HAIR), -1)
    cv2.ellipse(labels, (64, 28), (9, 11), 0, 0, 360, int(PersonClass.SKIN), -1)
    return paint_person(labels, pose)


def paint_person(labels: np.ndarray, pose: BodyPoses) -> DrawnPerson:
    """Return a person of labels (H, W) uint8 of `PersonClass`, each class in its colour."""
    background = np.full((*labels.shape, 3), ROOM, np.uint8)
    image = background.copy()
    for kind, color in COLORS.items():
        image[labels == kind] = color
    return DrawnPerson(image, pose, labels, (labels > 0).astype(np.float32), background)
