"""Distance of the poses seen in a video from the requested ones."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from posegen.errors import ConfigError
from posegen.skeletons import OPENPOSE_18, joint_indices

PCK_THRESHOLD = 0.1
"""Of the torso's length: a joint that is nearer is correct."""

_NECK = OPENPOSE_18.index("neck")
_HIPS = joint_indices(["left_hip", "right_hip"])


class PoseAccuracy(NamedTuple):
    """Percentage of correct keypoints (Yang and Ramanan, 2013), as a share."""

    overall: float
    """Over all joints; NaN where there is none to compare."""
    by_joint: np.ndarray
    """(18,) of each; NaN where it is never compared."""
    compared: int
    """Joints, over all frames, that were asked for inside of the picture."""


def measure_pck(
    found: np.ndarray, asked: np.ndarray, size: tuple[int, int], threshold: float = PCK_THRESHOLD
) -> PoseAccuracy:
    """Compare poses that an estimator found in a video with those that it was to show.

    A joint is correct if it is no further off than so much of the torso, which is from the neck to mid-hips and as long
    as the sequence shows it at most: a torso that bends to the viewer is as long as ever. A joint that is not found is
    wrong. Not compared are joints that are missing in what was asked for, or outside of the picture.

    Args:
        found: (T, 18, 3) OpenPose keypoints that were found, in pixels; (0, 0, 0) is missing.
        asked: (T, 18, 3) that were asked for.
        size: Height and width of the picture.
        threshold: As a share of the torso.

    Raises:
        ConfigError: Shapes differ, or no frame that was asked for shows a torso.
    """
    if found.shape != asked.shape or found.shape[1:] != (len(OPENPOSE_18), 3):
        raise ConfigError(f"got poses of shapes {found.shape} and {asked.shape}, expected (T, 18, 3) twice")
    inside = ((asked[..., :2] >= -0.5) & (asked[..., :2] <= np.array(size[::-1]) - 0.5)).all(axis=-1)
    compared = (asked[..., 2] > 0) & inside
    off = np.linalg.norm(found[..., :2].astype(float) - asked[..., :2], axis=-1)
    correct = compared & (found[..., 2] > 0) & (off <= threshold * _torso(asked))
    counts = compared.sum(axis=0)
    by_joint = np.where(counts > 0, correct.sum(axis=0) / np.maximum(counts, 1), np.nan)
    total = int(counts.sum())
    return PoseAccuracy(float(correct.sum() / total) if total else float("nan"), by_joint, total)


def _torso(poses: np.ndarray) -> float:
    """Length of the torso in pixels."""
    whole = (poses[:, [_NECK, *_HIPS], 2] > 0).all(axis=1)
    middle = poses[whole][:, _HIPS, :2].mean(axis=1)
    lengths = np.linalg.norm(poses[whole, _NECK, :2] - middle, axis=-1)
    if not (lengths > 0).any():
        raise ConfigError("no pose that was asked for shows neck and hips")
    return float(np.quantile(lengths, 0.95))
