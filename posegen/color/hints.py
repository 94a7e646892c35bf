"""Colour hints for the colouring network: drawn at random to train it, and placed on the body to steer it.

A hint is a small square of one colour (Zhang et al., 2017, arXiv:1705.02999, Section 3.1). The hints of a picture are
one array (H, W, 3): a, b and the mask, which is 1 in the squares; all three are 0 elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from posegen.color.garment_segmentation import LOWER, UPPER
from posegen.color.recoloring import Ab
from posegen.features.parts import TORSO_JOINTS
from posegen.skeletons import joint_indices

_STOP_PROBABILITY = 1 / 8  # after each hint: seven hints on average
_MAX_SIDE = 9  # pixels

_BODY_SIDE = 7 / 384  # side of a hint on the body, in heights of the picture
_MIN_BODY_SIDE = 3
_TORSO_GRID = (4, 3)  # down and across

_JOINTS = {
    UPPER: joint_indices(["neck", "right_shoulder", "right_elbow", "left_shoulder", "left_elbow"]),
    LOWER: joint_indices(["right_hip", "right_knee", "left_hip", "left_knee"]),
}
_BARE_JOINTS = joint_indices(
    ["nose", "right_eye", "left_eye", "right_wrist", "left_wrist", "right_ankle", "left_ankle"]
)
_BONES = {
    UPPER: [("right_shoulder", "right_elbow"), ("left_shoulder", "left_elbow")],
    LOWER: [
        ("right_hip", "right_knee"),
        ("right_knee", "right_ankle"),
        ("left_hip", "left_knee"),
        ("left_knee", "left_ankle"),
    ],
}


def sample_hints(ab: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Reveal a few squares of a picture's colours, as the network's training does (Section 3.1).

    Their number is geometric with p = 1/8, from none on. Each lies about the centre, normally distributed with a
    quarter of the picture's size, is 1 to 9 pixels wide, and shows the mean colour of what it covers.

    Args:
        ab: (H, W, 2), a and b of all pixels.
        generator: Decides everything else.

    Returns:
        (H, W, 3) float32.
    """
    hints = np.zeros((*ab.shape[:2], 3), np.float32)
    size = np.array(ab.shape[:2])
    for _ in range(generator.geometric(_STOP_PROBABILITY) - 1):
        side = min(int(generator.integers(1, _MAX_SIDE + 1)), *ab.shape[:2])
        free = size - side
        row, column = np.clip(np.rint(generator.normal(free / 2, size / 4)), 0, free).astype(int)
        square = np.s_[row : row + side, column : column + side]
        _reveal(hints, square, ab[square].mean(axis=(0, 1)))
    return hints


def body_hints(
    ab: np.ndarray, keypoints: np.ndarray, garments: np.ndarray, colors: Mapping[int, Ab | None]
) -> np.ndarray:
    """Place designated colours on the garments, and original ones on what is to stay as it is.

    The paper controls "the color of body joints" (Yang et al., 2020, Section 3.1). Besides the joints, the upper
    garment has hints amid the upper arms and on a grid over the torso, the lower amid thighs and calves. Squares of
    the original colour at face, wrists, ankles and the joints of the other garment stop the colours from spreading
    to them. A point counts by what the picture shows there: an elbow below a short sleeve keeps the colour of skin.

    Args:
        ab: (H, W, 2), a and b of the original picture.
        keypoints: (18, 3) OpenPose-18.
        garments: (H, W), labels as from `posegen.color.garment_segmentation.garment_labels`.
        colors: Designated a, b by label; None, or no entry, for a garment that keeps its own.

    Returns:
        (H, W, 3) float32.
    """
    designated = {label: color for label, color in colors.items() if color is not None}
    hints = np.zeros((*ab.shape[:2], 3), np.float32)
    everywhere = [keypoints[_BARE_JOINTS], *(garment_points(keypoints, label) for label in (UPPER, LOWER))]
    squares = [(square, label) for points in everywhere for square, label in _squares(points, garments)]
    for square, label in squares:
        if label not in designated:
            _reveal(hints, square, ab[square].mean(axis=(0, 1)))
    for square, label in squares:  # later, so that they win where squares meet
        if label in designated:
            _reveal(hints, square, np.array(designated[label]))
    return hints


def garment_points(keypoints: np.ndarray, label: int) -> np.ndarray:
    """Places of a pose (18, 3) that `UPPER` or `LOWER` covers, were it long: (N, 3), x, y and confidence."""
    middles = [keypoints[joint_indices(bone)] for bone in _BONES[label]]
    points = [keypoints[_JOINTS[label]], np.stack([_middle(ends) for ends in middles])]
    if label == UPPER:
        points.append(_torso_grid(keypoints[TORSO_JOINTS]))
    return np.concatenate(points)


def _middle(ends: np.ndarray) -> np.ndarray:
    """The point amid joints (K, 3), as sure as the least sure of them."""
    return np.array([*ends[:, :2].mean(axis=0), ends[:, 2].min()])


def _torso_grid(corners: np.ndarray) -> np.ndarray:
    """Points (12, 3) inside the torso of right and left shoulder, left and right hip (4, 3), off its outline."""
    down, across = ((np.arange(count) + 0.5) / count for count in _TORSO_GRID)
    right_shoulder, left_shoulder, left_hip, right_hip = corners[:, None, None, :2]
    t, s = down[:, None, None], across[None, :, None]
    grid = (1 - t) * ((1 - s) * right_shoulder + s * left_shoulder) + t * ((1 - s) * right_hip + s * left_hip)
    confidence = np.full((grid.shape[0] * grid.shape[1], 1), corners[:, 2].min())
    return np.hstack([grid.reshape(-1, 2), confidence])


def _squares(points: np.ndarray, garments: np.ndarray) -> list[tuple[tuple[slice, slice], int]]:
    """Squares about those points (N, 3) that are seen and inside the picture, and the label at the centre of each."""
    height, width = garments.shape
    # Seven pixels at the paper's 384 rows, and never larger than what the network was trained on.
    reach = int(np.clip(_BODY_SIDE * height, _MIN_BODY_SIDE, _MAX_SIDE)) // 2
    squares = []
    for x, y, confidence in points:
        column, row = round(float(x)), round(float(y))
        if confidence > 0 and 0 <= column < width and 0 <= row < height:
            square = np.s_[max(row - reach, 0) : row + reach + 1, max(column - reach, 0) : column + reach + 1]
            squares.append((square, int(garments[row, column])))
    return squares


def _reveal(hints: np.ndarray, square: tuple[slice, slice], color: np.ndarray) -> None:
    hints[square] = *color, 1
