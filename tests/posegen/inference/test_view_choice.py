"""Views in which motions are seen."""

from __future__ import annotations

import pytest

from posegen.inference.motion_to_pose import face_viewer
from posegen.inference.view_choice import THREE_QUARTER, choose_yaw, visible_movement
from posegen.motion.motion import Motion
from posegen.synthetic.motions import make_subject, perform

FRONT = (
    "wave",
    "wave_one_hand",
    "wave_both_hands",
    "jumping_jacks",
    "side_step",
    "raise_arms",
    "clap",
    "point",
    "jump",
)
HIDDEN = ("bow", "bend", "kick", "punch", "sit", "march_in_place", "walk", "run")


def facing(action, subject=0):
    return face_viewer(perform(action, make_subject(subject), frames=100))


@pytest.mark.parametrize("subject", [0, 1])
@pytest.mark.parametrize("action", FRONT)
def test_what_goes_to_the_sides_or_up_is_seen_from_the_front(action, subject):
    assert choose_yaw(facing(action, subject)) == 0


@pytest.mark.parametrize("subject", [0, 1])
@pytest.mark.parametrize("action", HIDDEN)
def test_what_goes_to_the_viewer_is_seen_from_three_quarters(action, subject):
    assert abs(choose_yaw(facing(action, subject))) == THREE_QUARTER


@pytest.mark.parametrize("subject", range(4))
@pytest.mark.parametrize("action", ["squat", "lunge"])
def test_thighs_that_the_front_shortens_are_seen_from_three_quarters(action, subject):
    """Whoever goes up and down is seen to move from the front, but as a dwarf."""
    assert abs(choose_yaw(facing(action, subject))) == THREE_QUARTER


def test_a_still_motion_is_seen_whole():
    still = Motion.from_joints(facing("bow").joints[:1].repeat(5, axis=0), 25.0)
    assert visible_movement(still) == (1, 1, 1) and choose_yaw(still) == 0
    assert choose_yaw(Motion.from_joints(still.joints[:1], 25.0)) == 0
