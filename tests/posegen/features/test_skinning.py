"""Vertices that follow several bones."""

from __future__ import annotations

import numpy as np
import pytest

from posegen.features.body_bones import SOFT_BONES, bone_maps, find_bones
from posegen.features.skinning import bone_turns, move_vertices
from tests.support.drawn_person import make_pose

CHEST, UPPER_ARM, FOREARM = (SOFT_BONES.index(name) for name in ("chest", "left_upper_arm", "left_forearm"))
ARM_UP = {"left_elbow": (92, 20), "left_wrist": (94, 2)}


def moved(points: np.ndarray, weights: dict[int, float], pivots: np.ndarray, pose) -> np.ndarray:
    source, target = find_bones(make_pose()), find_bones(pose)
    maps = bone_maps(source, target)
    rows = np.zeros((len(points), len(SOFT_BONES)))
    for bone, weight in weights.items():
        rows[:, bone] = weight
    return move_vertices(points, rows, pivots, maps, bone_turns(maps, source, target))


def test_one_bone_moves_its_vertices_as_its_map_does():
    source, target = find_bones(make_pose()), find_bones(make_pose(ARM_UP))
    maps, points = bone_maps(source, target), np.array([[90.0, 50.0], [95.0, 70.0]])
    expected = points @ maps[FOREARM, :, :2].T + maps[FOREARM, :, 2]
    for pivots in (points, np.zeros((2, 2))):
        np.testing.assert_allclose(moved(points, {FOREARM: 1.0}, pivots, make_pose(ARM_UP)), expected, atol=1e-9)


def test_cloth_keeps_its_distance_from_the_joint_where_matrices_would_shrink_it():
    joint = find_bones(make_pose()).origins[UPPER_ARM]
    point, half = joint[None] + np.array([8.0, 0.0]), {CHEST: 0.5, UPPER_ARM: 0.5}
    shoulder = find_bones(make_pose(ARM_UP)).origins[UPPER_ARM]
    bent = np.linalg.norm(moved(point, half, joint[None], make_pose(ARM_UP)) - shoulder)
    blended = np.linalg.norm(moved(point, half, point, make_pose(ARM_UP)) - shoulder)
    assert bent == pytest.approx(8, rel=0.1) and blended < 6.5


def test_raised_arm_goes_past_the_side_of_the_body():
    """Half way, what is between chest and arm points outwards, whichever way is shorter."""
    source = find_bones(make_pose())
    joint = source.origins[UPPER_ARM]
    below = joint[None] + np.array([0.0, 10.0])
    for elbow in ((92, 18), (80, 18), (76, 22)):
        pose = make_pose({"left_elbow": elbow, "left_wrist": (elbow[0] - 2, 2)})
        half_way = moved(below, {CHEST: 0.5, UPPER_ARM: 0.5}, joint[None], pose)[0]
        assert half_way[0] > find_bones(pose).origins[UPPER_ARM][0] + 5, elbow
