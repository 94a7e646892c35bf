"""Gap filling, median filter and left-right repair of estimated poses."""

from __future__ import annotations

import numpy as np
import pytest

from posegen.perception.smoothing import fill_gaps, median_filter, smooth, untangle_sides
from posegen.skeletons import OPENPOSE_18, joint_indices, swap_left_right

MIRROR = joint_indices([swap_left_right(name) for name in OPENPOSE_18])


def walk(num_frames: int) -> np.ndarray:
    """A body of 18 joints that drifts to the right, a pixel a frame."""
    body = np.random.default_rng(0).uniform(20, 80, (18, 2))
    xy = body[None] + np.arange(num_frames)[:, None, None] * [1.0, 0.0]
    return np.concatenate([xy, np.full((num_frames, 18, 1), 0.9)], axis=2)


@pytest.mark.parametrize("gap", [1, 3, 5])
def test_short_gaps_are_interpolated(gap):
    keypoints = walk(12)
    broken = keypoints.copy()
    broken[4 : 4 + gap, 3] = 0
    np.testing.assert_allclose(fill_gaps(broken), keypoints, atol=1e-12)


def test_long_gaps_and_open_ends_stay_missing():
    keypoints = walk(14)
    keypoints[4:10, 3] = 0  # six frames
    keypoints[:2, 5] = 0
    keypoints[-1, 6] = 0
    np.testing.assert_array_equal(fill_gaps(keypoints), keypoints)
    assert not fill_gaps(np.zeros((4, 18, 3))).any()


def test_median_removes_a_jump_and_keeps_a_uniform_motion():
    keypoints = walk(9)
    jumped = keypoints.copy()
    jumped[4, 7, :2] += 50
    filtered = median_filter(jumped)
    np.testing.assert_allclose(filtered[2:-2, :7], keypoints[2:-2, :7])
    assert abs(filtered[4, 7, 0] - keypoints[4, 7, 0]) <= 1


def test_median_never_mixes_in_missing_joints():
    keypoints = np.zeros((5, 1, 3))
    keypoints[[1, 2, 4], 0] = [[10, 20, 0.5], [12, 22, 0.6], [14, 24, 0.7]]
    filtered = median_filter(keypoints)
    np.testing.assert_array_equal(filtered[[0, 3]], 0)
    np.testing.assert_allclose(filtered[2, 0], [12, 22, 0.6])
    np.testing.assert_allclose(filtered[1, 0, :2], [11, 21])  # of its own frame and the next: the last is out of reach
    assert np.isfinite(filtered).all()


@pytest.mark.parametrize("window", [0, 4, -1])
def test_median_rejects_even_windows(window):
    with pytest.raises(ValueError, match="odd"):
        median_filter(walk(5), window)


@pytest.mark.parametrize("swapped", [[5], [5, 6, 7], [0], [3, 9, 10]])
def test_swapped_sides_are_put_right(swapped):
    keypoints = walk(20)
    tangled = keypoints.copy()
    tangled[swapped] = keypoints[swapped][:, MIRROR]
    np.testing.assert_array_equal(untangle_sides(tangled), keypoints)


def test_sides_after_a_gap_are_the_estimators():
    keypoints = walk(20)
    keypoints[8:12] = 0
    keypoints[12:] = keypoints[12:][:, MIRROR]  # nothing tells that this is the same person seen from the same side
    np.testing.assert_array_equal(untangle_sides(keypoints), keypoints)


def test_smooth_takes_short_and_empty_clips_and_changes_no_input():
    for keypoints in (walk(1), walk(2), np.zeros((7, 18, 3))):
        before = keypoints.copy()
        assert smooth(keypoints).shape == keypoints.shape
        np.testing.assert_array_equal(keypoints, before)
