"""Directions of bones: bodies come back from them, in their place, with limbs of a length that is given."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from posegen.metrics.behavior import limb_drift
from posegen.motion.editing import posture_placement
from posegen.motion.to_openpose import h36m_joints
from posegen.networks.bone_directions import bone_sizes, find_facing, from_directions, mirror, to_directions
from posegen.skeletons import H36M_17
from posegen.synthetic.motions import make_subject, perform


@pytest.fixture(scope="module")
def joints() -> Tensor:
    """Two people who walk and who turn, (2, 20, 17, 3)."""
    motions = [
        h36m_joints(perform(action, make_subject(number)))[:20] for number, action in enumerate(("walk", "turn"))
    ]
    return torch.from_numpy(np.stack(motions)).float()


def test_bodies_come_back_from_their_directions(joints):
    front = find_facing(joints[:, 0]).to_front(joints)
    back = from_directions(to_directions(front), bone_sizes(front[:, 0]))
    torch.testing.assert_close(back[:, 0], front[:, 0], atol=1e-5, rtol=0)
    assert (back - front).norm(dim=-1).mean() < 0.02  # bones of the trunk are not of one length in real bodies


def test_limbs_are_as_long_as_they_shall_be_whatever_the_directions(joints):
    lengths = bone_sizes(joints[:, 0])
    made = from_directions(torch.randn(2, 9, 51, generator=torch.Generator().manual_seed(0)), lengths)
    torch.testing.assert_close(bone_sizes(made), lengths[:, None].expand(-1, 9, -1), atol=1e-5, rtol=0)
    assert limb_drift(made.numpy()) < 1e-5


def test_the_front_is_where_placements_have_it(joints):
    place = find_facing(joints[:, 0])
    for number, motion in enumerate(joints.numpy()):
        expected = posture_placement(motion[0], H36M_17).to_canonical(motion)
        np.testing.assert_allclose(place.to_front(joints)[number], expected, atol=1e-5)
    torch.testing.assert_close(place.to_world(place.to_front(joints)), joints, atol=1e-5, rtol=0)


def test_a_mirror_swaps_sides_and_twice_changes_nothing(joints):
    seen = mirror(joints)
    left, right = H36M_17.index("left_wrist"), H36M_17.index("right_wrist")
    torch.testing.assert_close(seen[..., left, :], joints[..., right, :] * torch.tensor([-1.0, 1, 1]))
    torch.testing.assert_close(mirror(seen), joints)
