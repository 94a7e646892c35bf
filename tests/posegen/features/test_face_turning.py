"""A face that turns within its head."""

from __future__ import annotations

import numpy as np
import pytest

from posegen.features.body_bones import bone_maps, find_bones
from posegen.features.body_pose import BodyPoses
from posegen.features.face_turning import face_turn, facing_of
from posegen.features.layered_person import LayeredPerson
from posegen.skeletons import joint_indices
from tests.support.drawn_person import draw_person, make_pose

FACE = ("nose", "right_eye", "left_eye")


def looking(x: float, y: float) -> BodyPoses:
    """The drawn person, whose nose and eyes are so many pixels beside where they are in the picture."""
    places = make_pose().keypoints
    return make_pose({name: tuple(places[joint_indices([name])[0], :2] + (x, y)) for name in FACE})


def turn(target: BodyPoses, source: BodyPoses | None = None) -> np.ndarray:
    bones, other = find_bones(source or make_pose()), find_bones(target)
    return face_turn(bones, other, bone_maps(bones, other))


def test_the_front_of_a_face_moves_and_the_outline_of_the_head_stays():
    bones = find_bones(make_pose())
    facing = facing_of(bones, np.array([(64.0, 24.7), (58, 26), (46, 26), (82, 26), (64, 46)]))
    assert facing[0] == pytest.approx(1, abs=0.01) and 0.1 < facing[1] < 0.7
    np.testing.assert_allclose(facing[2:], 0)


@pytest.mark.parametrize("way", [(3, 0), (-3, 0), (0, 2)])
def test_a_face_turns_where_nose_and_eyes_go(way):
    moved = turn(looking(*way))
    assert moved @ way > 0.3 * np.hypot(*way) ** 2
    assert np.hypot(*moved) < np.hypot(*way)


def test_no_face_turns_so_far_that_it_folds():
    length = np.hypot(*find_bones(make_pose()).along[2])
    assert np.hypot(*turn(looking(30, 0))) <= 0.25 * length + 1e-6


def test_a_face_that_is_not_seen_does_not_turn():
    keypoints = make_pose().keypoints.copy()
    keypoints[joint_indices(["nose"])] = 0
    hidden = BodyPoses(keypoints, make_pose().depths, make_pose().toes)
    assert not turn(hidden).any() and not turn(looking(3, 0), hidden).any()
    assert not facing_of(find_bones(hidden), np.array([(64.0, 26.0)])).any()


def test_a_mouth_is_drawn_where_the_face_looks():
    person = draw_person()
    image = person.image.copy()
    image[30:33, 62:67] = (120, 0, 60)
    layered = LayeredPerson.take_apart(image, *person[1:])

    def mouth(pose: BodyPoses) -> float:
        return float(np.nonzero((layered.frame(pose)[20:45].astype(int) - (120, 0, 60) < 40).all(axis=-1))[1].mean())

    assert mouth(make_pose()) == pytest.approx(64, abs=0.5)
    assert 65 < mouth(looking(4, 0)) < 68
