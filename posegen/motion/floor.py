"""Estimate the floor from the feet."""

from __future__ import annotations

import numpy as np

from posegen.skeletons import SMPL_24, joint_indices

FEET: np.ndarray = joint_indices(["left_foot", "right_foot"], SMPL_24)
"""The joints of SMPL-24 at the balls of the feet."""


def floor_height(joints: np.ndarray) -> float:
    """Return the height y in metres at which the lower foot usually is, from SMPL-24 joints (T, 24, 3).

    One frame in twenty may be lower, so that an estimator's slips do not count; jumps are higher.
    """
    return float(np.quantile(joints[:, FEET, 1].min(axis=1), 0.05))
