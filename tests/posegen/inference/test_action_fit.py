"""Which actions suit a photo."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from posegen.features.body_bones import swap_sides
from posegen.features.body_pose import BodyPoses
from posegen.inference.action_fit import PhotoBody, hidden_hands, judge_action
from posegen.person_classes import PersonClass
from posegen.skeletons import joint_indices
from tests.support.drawn_person import draw_person, make_pose, stack_poses

STANDING = stack_poses([make_pose()] * 4)
BENT = {"right_elbow": (36, 60), "right_wrist": (34, 40)}
FOLDED = {"right_elbow": (36, 60), "right_wrist": (48, 46)}
ON_TRUNK = {"left_elbow": (80, 66), "left_wrist": (66, 78)}
WAVE = stack_poses([make_pose(), make_pose({"left_elbow": (92, 30), "left_wrist": (98, 12)}), make_pose()])


def doing(moved: dict[str, tuple[float, float]]) -> BodyPoses:
    return stack_poses([make_pose(moved)] * 4)


def without(pose: BodyPoses, *joints: str) -> BodyPoses:
    keypoints = pose.keypoints.copy()
    keypoints[joint_indices(joints)] = 0
    return BodyPoses(keypoints, pose.depths, pose.toes)


@pytest.mark.parametrize(
    ("photo", "poses", "suitability", "reason"),
    [
        ({}, STANDING, "good", ""),
        ({}, WAVE, "good", ""),
        (BENT, STANDING, "poor", "it straightens the right arm from a bend"),
        (BENT, doing(BENT), "good", ""),
        (BENT | {"left_elbow": (92, 60), "left_wrist": (94, 40)}, STANDING, "poor", "it straightens both arms"),
        ({}, doing(FOLDED), "good", ""),
        (FOLDED, doing(FOLDED), "good", ""),
        (ON_TRUNK, WAVE, "poor", "it takes the left arm away from the trunk"),
        (ON_TRUNK, doing(ON_TRUNK), "good", ""),
        ({"left_elbow": (80, 46), "left_wrist": (84, 50)}, STANDING, "fair", "it stretches the left arm"),
        ({}, doing({"right_knee": (52, 112), "left_knee": (76, 112)}), "fair", "thighs that point to the viewer"),
        ({"right_ankle": (80, 150), "left_ankle": (48, 150)}, STANDING, "fair", "the photo shows the legs crossed"),
        ({"right_knee": (25, 100), "right_ankle": (40, 112)}, STANDING, "poor", "it straightens the right leg"),
        ({}, doing({"nose": (64, 44), "right_eye": (61, 42), "left_eye": (67, 42), "right_ear": (58, 44),
                    "left_ear": (70, 44)}), "fair", "it bends the head before the trunk"),
    ],
)  # fmt: skip
def test_an_action_is_judged_by_what_drawing_has_to_do_for_it(photo, poses, suitability, reason):
    fit = judge_action(PhotoBody(make_pose(photo)), poses)
    assert (fit.suitability, fit.reason[: len(reason)]) == (suitability, reason)
    assert bool(fit.reason) == (suitability != "good")


def test_photos_from_the_side_suit_no_action():
    pose = make_pose(
        {"right_shoulder": (62, 44), "left_shoulder": (66, 44), "right_hip": (63, 92), "left_hip": (65, 92)}
    )
    turned = pose.depths.copy()
    turned[[2, 8]], turned[[5, 11]] = -13, 13  # the left side is nearer
    fit = judge_action(PhotoBody(replace(pose, depths=turned)), STANDING)
    assert fit.suitability == "poor" and "from the side" in fit.reason and fit.better == "a photo from the front"


def test_limbs_that_the_photo_does_not_show_are_needed():
    no_legs = without(make_pose(), "right_knee", "left_knee", "right_ankle", "left_ankle")
    kick = stack_poses([make_pose(), make_pose({"right_knee": (30, 110), "right_ankle": (10, 100)})])
    assert judge_action(PhotoBody(no_legs), WAVE).suitability == "good"
    assert judge_action(PhotoBody(no_legs), kick).suitability == "poor"
    assert "needs legs" in judge_action(PhotoBody(make_pose(), seen=no_legs), kick).reason


def test_the_other_side_of_the_person_is_not_shown():
    away = stack_poses([make_pose(), swap_sides(make_pose())])
    assert judge_action(PhotoBody(make_pose()), away).suitability == "poor"


def test_one_whole_arm_is_enough_and_none_is_not():
    both = doing({"left_elbow": (92, 30), "left_wrist": (98, 12), "right_elbow": (36, 30), "right_wrist": (30, 12)})
    assert judge_action(PhotoBody(make_pose(), ("left",)), WAVE).suitability == "good"  # the right one is mirrored
    assert judge_action(PhotoBody(make_pose(), ("left", "right")), both).suitability == "poor"
    assert judge_action(PhotoBody(make_pose(), ("left", "right")), STANDING).suitability == "fair"
    assert PhotoBody(make_pose(), ("left",)).drawn_arms == {"left": "right", "right": "right"}


def test_hidden_hands_are_found_in_the_classes():
    person = draw_person()
    labels = np.where(person.labels == PersonClass.SKIN, PersonClass.LOWER, person.labels)
    assert hidden_hands(person.pose, person.labels) == []
    assert PhotoBody.of(person.pose, labels).hidden == tuple(hidden_hands(person.pose, labels))


def test_frames_without_a_trunk_are_not_judged():
    assert judge_action(PhotoBody(make_pose()), stack_poses([without(make_pose(), "left_hip")])).suitability == "good"
