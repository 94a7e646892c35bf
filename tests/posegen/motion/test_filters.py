"""Filters take jitter away and leave the motion: measured on a motion to which noise was added."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from posegen.motion import rotations
from posegen.motion.filters import FILTERS, one_euro, savitzky_golay
from posegen.motion.motion import Motion
from posegen.motion.quality import measure_quality
from tests.support.estimator_files import walking


def noisy(motion, radians=0.03):
    turns = radians * torch.randn(len(motion), 24, 3, generator=torch.Generator().manual_seed(0))
    local = rotations.rot6d_rows_to_matrix(torch.from_numpy(motion.rot6d)) @ rotations.axis_angle_to_matrix(turns)
    return Motion.from_rotations(rotations.matrix_to_rot6d_rows(local).numpy(), motion.trans, motion.rest, motion.fps)


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("has_rotations", [True, False])
def test_jitter_goes_and_the_motion_stays(name, has_rotations):
    truth = walking("squat")
    seen = noisy(truth)
    if not has_rotations:
        seen = replace(seen, rot6d=None, rest=None)
    smooth = FILTERS[name](seen)
    assert measure_quality(smooth).jitter < 0.5 * measure_quality(seen).jitter
    error, before = (np.linalg.norm(one.joints - truth.joints, axis=-1).mean() for one in (smooth, seen))
    assert error < (before if name == "savitzky-golay" else 0.12)  # One-Euro lags
    assert (smooth.rot6d is None) is not has_rotations


def test_what_rests_stays_where_it_is():
    still = replace(walking(), joints=np.repeat(walking().joints[:1], 20, axis=0), valid=np.ones(20, bool), rot6d=None)
    for smooth in FILTERS.values():
        np.testing.assert_allclose(smooth(still).joints, still.joints, atol=1e-5)


def test_one_euro_follows_known_values():
    """By hand: a step of 1 from rest, min_cutoff 1, beta 0: α = 2π / (2π + 1)."""
    joints = np.zeros((3, 24, 3), np.float32)
    joints[1:] = 1
    share = 2 * np.pi / (2 * np.pi + 1)
    smooth = one_euro(Motion.from_joints(joints, 30), min_cutoff=1.0, beta=0.0).joints[:, 0, 0]
    np.testing.assert_allclose(smooth, [0, share, share + (1 - share) * share], rtol=1e-5)


@pytest.mark.parametrize("frames", [1, 2, 3, 8])
def test_short_motions_are_filtered_too(frames):
    motion = Motion.from_joints(walking().joints[:frames], 25)
    for smooth in (one_euro, savitzky_golay):
        assert smooth(motion).joints.shape == (frames, 24, 3)
