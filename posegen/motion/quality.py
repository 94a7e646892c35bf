"""Artefacts of a motion: jitter, sliding feet, and limbs that change their length."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from posegen.motion.anatomy import bone_lengths
from posegen.motion.floor import FEET, floor_height
from posegen.motion.motion import Motion

CONTACT = 0.04
"""Metres above the floor below which a foot stands on it."""


@dataclass(frozen=True, kw_only=True)
class Quality:
    """Figures of one motion, over frames that are valid. NaN where there are too few."""

    jitter: float
    """Metres per second squared: mean acceleration of all joints. Real motion has some, estimators add to it."""
    foot_skate: float
    """Metres per second: mean speed along the ground of a foot while it stands on the floor."""
    limb_drift: float
    """Mean over the bones of how much their length varies (standard deviation / mean)."""
    coverage: float
    """Share of the frames that are valid."""


def measure_quality(motion: Motion) -> Quality:
    """Measure a motion. What spans a gap counts for nothing."""
    joints, valid = motion.joints.astype(float), motion.valid
    thrice = valid[2:] & valid[1:-1] & valid[:-2]
    acceleration = np.linalg.norm(np.diff(joints, n=2, axis=0), axis=-1)[thrice] * motion.fps**2
    return Quality(
        jitter=_mean(acceleration),
        foot_skate=skate(joints, valid, motion.fps),
        limb_drift=bone_drift(joints[valid]),
        coverage=float(valid.mean()),
    )


def skate(joints: np.ndarray, valid: np.ndarray, fps: float) -> float:
    """Metres per second that feet of SMPL-24 joints (T, 24, 3) slide while they stand, see `Quality.foot_skate`.

    NaN where no foot stands for two frames that are valid, (T,) bool.
    """
    if not valid.any():
        return float("nan")
    feet = joints[:, FEET]  # (T, 2, 3)
    stands = (feet[..., 1] < floor_height(joints[valid]) + CONTACT) & valid[:, None]
    speed = np.linalg.norm(np.diff(feet[..., (0, 2)], axis=0), axis=-1) * fps
    return _mean(speed[stands[1:] & stands[:-1]])


def bone_drift(joints: np.ndarray) -> float:
    """Measure length changes of the bones of joints (T, 24, 3), see `Quality.limb_drift`; NaN without a frame."""
    if not len(joints):
        return float("nan")
    lengths = bone_lengths(joints)
    return _mean(lengths.std(axis=0) / np.maximum(lengths.mean(axis=0), 1e-9))


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if values.size else float("nan")
