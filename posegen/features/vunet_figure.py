"""Draws a posture as three coloured layers: what the shape-and-posture network sees of a pose.

Those of the VUNet (Esser et al., 2018, arXiv:1804.04694, published code) as behaviour-driven synthesis has them
(Blattmann et al., 2021, arXiv:2103.04677, published code): the left side in red, the right side in green, the torso in
blue and half green, the head's lines in half red and half green, all a pixel wide and in whole pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import cv2
import numpy as np

from posegen.errors import ConfigError
from posegen.features.stick_figure import require_one_pose
from posegen.skeletons import H36M_17, OPENPOSE_18, joint_indices

Figure = Literal["openpose18", "h36m17"]
"""Skeletons of which figures are drawn."""
_Line = tuple[str, str]
_Mean = dict[str, float]  # joints of OpenPose-18 and their weights, whose sum is 1

_HALF, _FULL = 127, 255
_TORSO = ((1, _HALF), (2, _FULL))  # channels and what is drawn into them
_RIGHT = ((1, _FULL),)
_LEFT = ((0, _FULL),)
_HEAD = ((0, _HALF), (1, _HALF))
_FEWEST_CORNERS = 3


@dataclass(frozen=True)
class FigureLayout:
    """Limbs and points that are drawn for a skeleton."""

    joints: tuple[str, ...]
    torso: tuple[str, ...]
    """Corners, in order around it."""
    right: tuple[_Line, ...]
    left: tuple[_Line, ...]
    head: tuple[_Line, ...] = ()
    face: tuple[_Line, ...] = ()
    """Lines that are drawn where they are shorter than the throat, from the middle of the shoulders to the nose, which
    is drawn with them; none draws no throat."""
    derived: Mapping[str, tuple[_Mean, ...]] = field(default_factory=dict)
    """Substitutes for joints of OpenPose's skeleton: the first of these means whose joints are all seen. All other
    joints have the same name in both skeletons."""


_TOP = 0.7  # from between the ears to the top of the head, as a share of the way there from the neck
H36M_FIGURE = FigureLayout(
    joints=H36M_17,
    torso=("right_hip", "right_shoulder", "neck_base", "left_shoulder", "left_hip"),
    right=(
        ("right_hip", "right_knee"),
        ("right_knee", "right_ankle"),
        ("right_hip", "right_shoulder"),
        ("right_shoulder", "right_elbow"),
        ("right_elbow", "right_wrist"),
    ),
    left=(
        ("left_hip", "left_knee"),
        ("left_knee", "left_ankle"),
        ("left_hip", "left_shoulder"),
        ("left_shoulder", "left_elbow"),
        ("left_elbow", "left_wrist"),
    ),
    head=(("neck_base", "nose"), ("nose", "head_top")),
    derived={
        "pelvis": ({"left_hip": 0.5, "right_hip": 0.5},),
        "spine": ({"left_hip": 0.25, "right_hip": 0.25, "neck": 0.5},),
        "neck_base": ({"neck": 1.0},),
        "nose": ({"nose": 1.0}, {"left_ear": 0.5, "right_ear": 0.5}, {"left_ear": 1.0}, {"right_ear": 1.0}),
        "head_top": (
            {"left_ear": (1 + _TOP) / 2, "right_ear": (1 + _TOP) / 2, "neck": -_TOP},
            {"left_ear": 1 + _TOP, "neck": -_TOP},
            {"right_ear": 1 + _TOP, "neck": -_TOP},
            {"nose": 2.0, "neck": -1.0},
        ),
    },
)
"""Of Human3.6M's 17 joints.

Of OpenPose's, the pelvis is the middle of the hips, the neck's base the neck, and the spine half-way between. A nose
that is hidden, because the person is seen from behind, is where the ears are. The top of the head is beyond the ears,
or the one that is seen, on the line from the neck; where no ear is seen it is as far beyond the nose as the nose is
from the neck, as published for crops of heads.
"""

OPENPOSE_FIGURE = FigureLayout(
    joints=OPENPOSE_18,
    torso=("right_hip", "right_shoulder", "left_shoulder", "left_hip"),
    right=(
        ("right_ankle", "right_knee"),
        ("right_knee", "right_hip"),
        ("right_shoulder", "right_elbow"),
        ("right_elbow", "right_wrist"),
    ),
    left=(
        ("left_ankle", "left_knee"),
        ("left_knee", "left_hip"),
        ("left_shoulder", "left_elbow"),
        ("left_elbow", "left_wrist"),
    ),
    face=(("nose", "right_eye"), ("nose", "left_eye"), ("right_eye", "right_ear"), ("left_eye", "left_ear")),
)
"""Of OpenPose's 18 joints."""

FIGURES: dict[Figure, FigureLayout] = {"openpose18": OPENPOSE_FIGURE, "h36m17": H36M_FIGURE}
"""Figure layouts by skeleton."""


def find_joints(keypoints: np.ndarray, layout: FigureLayout) -> np.ndarray:
    """Find the joints of a figure on OpenPose's skeleton.

    Args:
        keypoints: (18, 3) x, y and confidence.
        layout: What is to be drawn.

    Returns:
        (K, 3) of the layout's joints: a derived one with the lowest confidence of what it is derived from, one that
        cannot be derived (0, 0, 0).

    Raises:
        PosegenError: The keypoints have another shape.
    """
    require_one_pose(keypoints)
    joints = np.zeros((len(layout.joints), 3), keypoints.dtype)
    for index, name in enumerate(layout.joints):
        for mean in layout.derived.get(name, ({name: 1.0},)):
            parts = keypoints[joint_indices([*mean])]  # (P, 3)
            if (parts[:, 2] > 0).all():
                joints[index] = (*(np.array([*mean.values()]) @ parts[:, :2]), parts[:, 2].min())
                break
    return joints


def rasterize_posture(
    keypoints: np.ndarray, size: tuple[int, int], layout: FigureLayout = OPENPOSE_FIGURE
) -> np.ndarray:
    """Draw a posture on black.

    Args:
        keypoints: (K, 3) x, y and confidence of the layout's joints. A line with a missing end is left out, and a
            torso of which fewer than three corners are seen.
        size: (H, W) of the drawing.
        layout: What is drawn.

    Returns:
        (H, W, 3) uint8.

    Raises:
        ConfigError: The keypoints have another shape.
    """
    if keypoints.shape != (len(layout.joints), 3):
        raise ConfigError(f"keypoints have shape {keypoints.shape}, expected ({len(layout.joints)}, 3) of one posture")
    channels = [np.zeros(size, np.uint8) for _ in range(3)]
    present = keypoints[:, 2] > 0
    torso = joint_indices(layout.torso, layout.joints)
    corners = keypoints[torso[present[torso]], :2]
    if len(corners) >= _FEWEST_CORNERS:
        for channel, value in _TORSO:
            cv2.fillPoly(channels[channel], [corners.astype(np.int32)], value)
    for lines, color in ((layout.right, _RIGHT), (layout.left, _LEFT), (layout.head, _HEAD)):
        _rasterize(channels, [_ends(keypoints, line, layout) for line in lines], color)
    if layout.face:
        _rasterize(channels, _face(keypoints, layout), _HEAD)
    return np.dstack(channels)


def _ends(keypoints: np.ndarray, line: _Line, layout: FigureLayout) -> np.ndarray | None:
    """Both ends (2, 2) of a line, None where one is missing."""
    ends = keypoints[joint_indices(line, layout.joints)]
    return ends[:, :2] if (ends[:, 2] > 0).all() else None


def _face(keypoints: np.ndarray, layout: FigureLayout) -> list[np.ndarray | None]:
    """The throat, and the lines of the face that are shorter."""
    *shoulders, nose = keypoints[joint_indices(("right_shoulder", "left_shoulder", "nose"), layout.joints)]
    if min(shoulders[0][2], shoulders[1][2], nose[2]) <= 0:
        return []
    throat = np.stack([(shoulders[0] + shoulders[1])[:2] / 2, nose[:2]])
    lines = [_ends(keypoints, line, layout) for line in layout.face]
    return [throat, *(line for line in lines if line is not None and _length(line) < _length(throat))]


def _length(line: np.ndarray) -> float:
    return float(np.linalg.norm(line[1] - line[0]))


def _rasterize(channels: list[np.ndarray], lines: list[np.ndarray | None], color: tuple[tuple[int, int], ...]) -> None:
    for line in lines:
        if line is not None:
            start, end = line.astype(int).tolist()
            for channel, value in color:
                cv2.line(channels[channel], start, end, value)
