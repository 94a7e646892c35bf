"""Shadows of feet."""

from __future__ import annotations

import cv2
import numpy as np

from posegen.features.body_pose import BodyPoses
from posegen.features.floor_shadow import FloorShadow
from posegen.features.layered_person import LayeredPerson
from tests.support.drawn_person import ROOM, DrawnPerson, draw_person, make_pose

SOLE = 174  # row below the drawn shoes


def draw_shaded(strength: float = 0.4) -> DrawnPerson:
    """The person with a soft shadow around both shoes."""
    person = draw_person()
    shade = np.zeros(person.matte.shape, np.float32)
    for x in (50, 78):
        cv2.ellipse(shade, (x, SOLE - 2), (8, 4), 0, 0, 360, 1.0, -1)
    shade = strength * cv2.GaussianBlur(shade, (0, 0), 2) * (person.matte == 0)
    return person._replace(image=(person.image * (1 - shade[..., None])).round().astype(np.uint8))


def find(person: DrawnPerson) -> FloorShadow:
    return FloorShadow.find(person.image, person.background, person.matte, person.pose)


def darkness(frame: np.ndarray, x: int, y: int) -> float:
    """Share of the floor's light that is lost below a shoe."""
    return float(1 - frame[y + 1 : y + 3, x - 3 : x + 4].mean() / np.mean(ROOM))


def test_a_shadow_is_measured():
    weak, strong = (find(draw_shaded(strength)).strength for strength in (0.15, 0.3))
    assert 0.1 < weak < 0.3 and abs(strong - 2 * weak) < 0.05


def test_without_a_shadow_nothing_is_darkened():
    person = draw_person()
    assert find(person).strength == 0
    frame = person.layered().frame(person.pose)
    np.testing.assert_array_equal(frame[SOLE + 3 :], person.background[SOLE + 3 :])


def test_a_shadow_goes_along_with_the_feet():
    person = draw_shaded()
    layered = LayeredPerson.take_apart(*person)
    keypoints, toes = (np.add(one, (20, 0, 0)) for one in (person.pose.keypoints, person.pose.toes))
    moved = BodyPoses(keypoints, person.pose.depths, toes)
    frame, background = layered.frame(moved), draw_person().background
    assert darkness(frame, 70, SOLE) > 0.08 and darkness(frame, 98, SOLE) > 0.08
    np.testing.assert_array_equal(frame[SOLE:, :45], background[SOLE:, :45])
    np.testing.assert_array_equal(frame, layered.frame_with_map(moved).image)


def test_a_lifted_foot_casts_none():
    layered = LayeredPerson.take_apart(*draw_shaded())
    pose = make_pose({"right_ankle": (50, 130), "right_knee": (52, 110)})
    canvas = draw_person().background.copy()
    layered.shadow.cast(canvas, pose)
    assert (canvas[:, :62] == ROOM).all() and (canvas[:, 70:86] < np.array(ROOM) - 10).any()


def test_feet_that_are_not_seen_cast_none():
    person = draw_shaded()
    pose = BodyPoses(person.pose.keypoints, person.pose.depths, np.zeros_like(person.pose.toes))
    assert find(person._replace(pose=pose)).strength == 0
    canvas = person.background.copy()
    FloorShadow(0.5, 0.05).cast(canvas, pose)
    np.testing.assert_array_equal(canvas, person.background)
