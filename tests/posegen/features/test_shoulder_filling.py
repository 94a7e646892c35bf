"""Notches between a trunk and a raised arm."""

from __future__ import annotations

import numpy as np
import pytest

from posegen.features.body_bones import SOFT_BONES, find_bones
from posegen.features.body_layers import BodyLayer
from posegen.features.shoulder_filling import DrawnPart, Shoulders
from tests.support.drawn_person import make_pose

SIZE, TRUNK = (100, 100), 50.0
CLOTH = (200, 30, 40)
SHOULDER = (60.0, 50.0)
NOTCH = (slice(44, 48), slice(60, 62))  # three pixels wide, between the trunk and an arm that goes straight up


def drawn(rows: slice, columns: slice) -> DrawnPart:
    part = np.zeros((*SIZE, 4), np.uint8)
    part[rows, columns] = (*CLOTH, 255)
    return DrawnPart(part[10:, 20:], (20, 10))


def shoulders(degrees: float) -> Shoulders:
    """A trunk with a neck, and an arm that is raised beside it by an angle."""
    found = Shoulders(TRUNK)
    bones = find_bones(make_pose())
    arm = SOFT_BONES.index("left_upper_arm")
    bones.origins[arm] = SHOULDER
    raised = np.zeros(len(SOFT_BONES))
    raised[arm] = np.radians(degrees)
    found.add(BodyLayer.TORSO, drawn(slice(40, 90), slice(30, 60)), bones, raised)
    found.add(BodyLayer.LEFT_ARM, drawn(slice(12, 60), slice(62, 70)), bones, raised)
    return found


def filled(found: Shoulders) -> np.ndarray:
    """Opacity (H, W) and colours of what is filled, (H, W, 4)."""
    canvas = np.zeros((*SIZE, 4), np.uint8)
    for fill in found.fill_beside(BodyLayer.LEFT_ARM, SIZE):
        assert fill.arm == BodyLayer.LEFT_ARM
        canvas[fill.rows, fill.columns] = fill.part
    return canvas


def test_a_notch_beside_a_raised_arm_has_the_colour_of_the_cloth():
    canvas = filled(shoulders(150))
    assert (canvas[NOTCH][..., 3] == 255).all()
    np.testing.assert_allclose(canvas[NOTCH][..., :3], np.broadcast_to(CLOTH, (4, 2, 3)), atol=2)


@pytest.mark.parametrize("degrees", [0, 25])
def test_an_arm_that_is_hardly_raised_has_no_notch(degrees):
    assert not filled(shoulders(degrees)).any()


def test_gaps_far_from_the_shoulder_stay():
    canvas = filled(shoulders(150))
    assert not canvas[:30, :, 3].any() and not canvas[70:, :, 3].any()


def test_hair_before_the_shoulder_stays():
    found = shoulders(150)
    bones = find_bones(make_pose())
    found.add(BodyLayer.HEAD, drawn(*NOTCH), bones, np.zeros(len(SOFT_BONES)))
    assert not filled(found)[NOTCH][..., 3].any()


def test_soft_borders_in_a_notch_become_opaque():
    found = shoulders(150)
    soft = drawn(slice(40, 90), slice(30, 60)).part
    soft[NOTCH[0].start - 10 : NOTCH[0].stop - 10, 60 - 20] = (*CLOTH, 128)
    bones = find_bones(make_pose())
    found.add(BodyLayer.TORSO, DrawnPart(soft, (20, 10)), bones, np.zeros(len(SOFT_BONES)))
    over = filled(found)[NOTCH][..., 3].astype(float) / 255
    assert (1 - (1 - over[:, 0]) * (1 - 128 / 255) > 0.99).all()


def test_without_a_trunk_or_in_a_corner_nothing_is_filled():
    found = Shoulders(TRUNK)
    bones = find_bones(make_pose())
    bones.origins[SOFT_BONES.index("left_upper_arm")] = (-80.0, 300.0)
    raised = np.full(len(SOFT_BONES), 2.0)
    found.add(BodyLayer.LEFT_ARM, drawn(slice(12, 60), slice(62, 70)), bones, raised)
    assert not filled(found).any()
    found.add(BodyLayer.TORSO, drawn(slice(40, 90), slice(30, 60)), bones, raised)
    assert not filled(found).any()
