"""What a photo is good for."""

from __future__ import annotations

import numpy as np
import pytest

from posegen.features.body_bones import swap_sides
from posegen.features.body_pose import BodyPoses
from posegen.inference.action_fit import PhotoBody
from posegen.inference.photo_report import find_garment_doubts, find_hidden_hands, find_weaknesses, warn_of_action
from posegen.person_classes import PersonClass
from posegen.skeletons import joint_indices
from tests.support.drawn_person import SIZE, draw_person, make_pose, stack_poses


def larger(pose: BodyPoses, factor: float = 3.0) -> BodyPoses:
    keypoints, toes = pose.keypoints.copy(), pose.toes.copy()
    keypoints[:, :2] *= factor
    toes[:, :2] *= factor
    return BodyPoses(keypoints, pose.depths * factor, toes)


def without(pose: BodyPoses, *joints: str) -> BodyPoses:
    keypoints = pose.keypoints.copy()
    keypoints[joint_indices(joints)] = 0
    return BodyPoses(keypoints, pose.depths, pose.toes)


def test_nothing_is_wrong_with_a_person_who_stands_with_arms_away():
    assert find_weaknesses(larger(make_pose())) == []


@pytest.mark.parametrize(
    ("pose", "expected"),
    [
        (make_pose(), "about 158 pixels tall"),
        (larger(without(make_pose(), "right_hip")), "shoulders or hips are not seen"),
        (larger(swap_sides(make_pose())), "seen from behind"),
        (larger(without(make_pose(), "left_wrist")), "the left wrist is not seen"),
        (larger(make_pose({"right_elbow": (44, 66), "right_wrist": (66, 70)})), "the right hand lies before the trunk"),
        (
            larger(make_pose({"right_elbow": (44, 66), "right_wrist": (72, 62), "left_elbow": (84, 66),
                              "left_wrist": (56, 62)})),
            "the arms are folded",
        ),
        (larger(make_pose({"right_elbow": (36, 60), "right_wrist": (34, 40)})), "the right arm is bent"),
        (larger(make_pose({"right_ankle": (80, 150), "left_ankle": (48, 150)})), "the legs are crossed"),
        (
            larger(make_pose({"right_knee": (30, 100), "right_ankle": (40, 130), "left_knee": (98, 100),
                              "left_ankle": (88, 130)})),
            "sits or squats",
        ),
    ],
)  # fmt: skip
def test_what_is_hidden_is_said(pose, expected):
    assert any(expected in line for line in find_weaknesses(pose)), find_weaknesses(pose)


def test_hands_in_pockets_are_said():
    person = draw_person()
    assert find_hidden_hands(person.pose, person.labels) == []
    pocket = make_pose({"left_elbow": (92, 66), "left_wrist": (80, 84)})
    labels = np.where(person.labels == PersonClass.SKIN, PersonClass.BACKGROUND, person.labels)
    labels[80:120, 50:90] = PersonClass.LOWER
    labels[person.labels == PersonClass.SKIN] = PersonClass.SKIN
    labels[84:100, 74:90] = PersonClass.LOWER
    assert [line[:24] for line in find_hidden_hands(pocket, labels)] == ["the left hand is not see"]
    both = make_pose({"left_elbow": (92, 66), "left_wrist": (80, 84), "right_elbow": (36, 66), "right_wrist": (50, 84)})
    assert find_hidden_hands(both, labels)[0].startswith("no hand is seen")


def test_several_people_are_mentioned():
    assert any("2 more" in line for line in find_weaknesses(larger(make_pose()), others=2))


@pytest.mark.parametrize(
    ("garments", "expected"),
    [
        ({"UPPER": [(20, 40)], "LOWER": [(40, 80)]}, []),
        ({"UPPER": [(20, 40)], "LOWER": [(40, 79), (81, 84)]}, []),
        (
            {"ONE_PIECE": [(20, 80)], "UPPER": [(20, 22)]},
            ["such as a dress: it counts as both garments, and takes one colour"],
        ),
        (
            {"UPPER": [(20, 60)], "ONE_PIECE": [(60, 80)]},
            ["such as a dress: it counts as the lower garment, and takes the colour of --lower"],
        ),
        ({"ONE_PIECE": [(20, 60)], "LOWER": [(60, 80)]}, ["a one-piece, such as a dress: it counts as the upper"]),
        (
            {"UPPER": [(20, 40)], "ONE_PIECE": [(40, 60)], "LOWER": [(60, 80)]},
            ["it counts as neither garment, and keeps its own"],
        ),
        ({"UPPER": [(20, 40)], "LOWER": [(40, 60), (65, 80)]}, ["the lower garment is seen in several pieces"]),
    ],
)
def test_doubtful_garments_are_told(garments, expected):
    labels = np.zeros((100, 50), np.uint8)
    labels[5:20, 20:30] = PersonClass.SKIN
    for kind, rows in garments.items():
        for top, bottom in rows:
            labels[top:bottom, 15:35] = PersonClass[kind]
    found = find_garment_doubts(labels)
    assert len(found) == len(expected) and all(text in line for text, line in zip(expected, found, strict=True)), found


def test_an_action_that_does_not_suit_is_warned_of_with_what_would_be_better():
    bent = make_pose({"right_elbow": (36, 60), "right_wrist": (34, 40)})
    poses = stack_poses([make_pose()] * 3)
    [line] = warn_of_action("rest", PhotoBody(bent), poses, SIZE)
    assert line.startswith("rest will look poor with this photo: it straightens the right arm from a bend")
    assert "better: a photo with straight arms beside the body" in line
    assert warn_of_action("rest", PhotoBody(make_pose()), poses, SIZE) == []


def test_a_warning_names_actions_that_suit():
    short = stack_poses([make_pose({"right_knee": (52, 112), "left_knee": (76, 112)})] * 3)
    [line] = warn_of_action("squat", PhotoBody(make_pose()), short, SIZE)
    assert "better: an action that suits this photo, such as wave_one_hand or wave_both_hands" in line
