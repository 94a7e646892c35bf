"""Percentage of correct keypoints, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from posegen.metrics.pose import measure_pck
from posegen.skeletons import OPENPOSE_18, joint_indices

SIZE = (100, 80)


def asked():
    """Two frames of a person with a torso of 40 pixels."""
    poses = np.zeros((2, 18, 3), np.float32)
    poses[..., 0] = np.linspace(10, 60, 18)
    poses[..., 1], poses[..., 2] = 70, 1
    poses[:, OPENPOSE_18.index("neck"), :2] = 30, 20
    poses[:, joint_indices(["left_hip", "right_hip"]), :2] = [[38, 60], [22, 60]]
    return poses


def test_joints_within_a_tenth_of_the_torso_are_correct():
    found = asked()
    found[0, 3, 0] += 3.9
    found[0, 4, 0] += 4.1
    found[1, 4] = 0  # not found
    accuracy = measure_pck(found, asked(), SIZE)
    assert accuracy.compared == 36 and accuracy.overall == pytest.approx(34 / 36)
    assert accuracy.by_joint[3] == 1 and accuracy.by_joint[4] == 0
    assert measure_pck(found, asked(), SIZE, 0.2).overall == pytest.approx(35 / 36)


def test_what_is_not_asked_for_is_not_compared():
    wanted, found = asked(), asked()
    wanted[:, 0] = 0
    wanted[:, 7, 0] = 90  # outside
    found[:, [0, 7], 0] += 50
    accuracy = measure_pck(found, wanted, SIZE)
    assert accuracy.overall == 1 and accuracy.compared == 32 and np.isnan(accuracy.by_joint[[0, 7]]).all()


def test_mistakes():
    with pytest.raises(ValueError, match=r"got poses of shapes \(1, 18, 3\) and \(2, 18, 3\)"):
        measure_pck(asked()[:1], asked(), SIZE)
    with pytest.raises(ValueError, match="no pose that was asked for shows neck and hips"):
        measure_pck(asked(), np.zeros((2, 18, 3)), SIZE)
