"""Skeletons of motion: that their tables agree with one another and with the published orders."""

from __future__ import annotations

import json

import pytest

from posegen.skeletons import (
    A2M_18,
    H36M_17,
    H36M_17_BONES,
    H36M_17_INDICES,
    SMPL_24,
    SMPL_24_PARENTS,
    VIBE_49,
    swap_left_right,
)

SKELETONS = {
    "smpl": SMPL_24,
    "h36m": H36M_17,
    "vibe": VIBE_49,
    "a2m": A2M_18,
}


@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=SKELETONS)
def test_joints_have_names_of_their_own_and_a_mirror(skeleton):
    assert len(set(skeleton)) == len(skeleton)
    assert {swap_left_right(name) for name in skeleton} == set(skeleton)


def test_smpl_is_a_tree_with_two_equal_sides():
    assert all(parent < joint for joint, parent in enumerate(SMPL_24_PARENTS))
    for name, parent in zip(SMPL_24[1:], SMPL_24_PARENTS[1:], strict=True):
        mirrored = SMPL_24_PARENTS[SMPL_24.index(swap_left_right(name))]
        assert SMPL_24[mirrored] == swap_left_right(SMPL_24[parent])


def test_human36m_is_in_the_order_of_the_published_code(fixtures):
    published = json.loads((fixtures / "motion" / "kinematics.json").read_text())["projection"]["joint_names"]
    renamed = {"thorax": "spine", "neck": "neck_base", "head": "head_top", "foot": "ankle"}
    sides = {"r": "right_", "l": "left_", "": ""}
    for name, theirs in zip(H36M_17, published, strict=True):
        side, _, joint = theirs.rpartition("_")
        assert name == sides[side] + renamed.get(joint, joint)
    assert len(H36M_17_INDICES) == 17


def test_bones_of_human36m_are_those_of_the_published_code():
    pairs = "0,1 1,2 3,4 4,5 3,6 0,6 6,7 7,8 8,9 9,10 8,11 8,14 11,12 12,13 14,15 15,16"
    assert [f"{H36M_17.index(near)},{H36M_17.index(far)}" for near, far in H36M_17_BONES] == pairs.split()


def test_action2motion_selects_from_vibe():
    indices = (8, 1, 2, 3, 4, 5, 6, 7, 0, 9, 10, 11, 12, 13, 14, 21, 24, 38)
    assert tuple(VIBE_49[index] for index in indices) == A2M_18
    assert VIBE_49[37:44] == (
        "neck_lsp", "head_top", "pelvis_mpii", "thorax_mpii", "spine_h36m", "jaw_h36m", "head_h36m",
    )  # fmt: skip
