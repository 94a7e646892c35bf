"""Human3.6M's 17 joints as SMPL's 24, there and back."""

from __future__ import annotations

import numpy as np
import pytest

from posegen.motion.anatomy import REST
from posegen.motion.editing import Placement
from posegen.motion.motion import Motion
from posegen.motion.to_h36m import INVENTED_JOINTS, motion_from_h36m, smpl_joints
from posegen.motion.to_openpose import h36m_joints
from posegen.skeletons import H36M_17, SMPL_24, joint_indices
from posegen.synthetic.motions import make_subject, perform

SHARED = [name for name in SMPL_24 if name not in INVENTED_JOINTS]
ACTIONS = ("walk", "kick", "squat", "wave", "bend")


@pytest.fixture(scope="module", params=ACTIONS)
def motion(request) -> Motion:
    """An action of the corpus."""
    return perform(request.param, make_subject(2))


def of(joints: np.ndarray, *names: str) -> np.ndarray:
    return joints[:, joint_indices(names, SMPL_24)]


def test_fifteen_joints_are_shared():
    assert len(SHARED) == 15
    assert INVENTED_JOINTS == (
        "spine1", "spine3", "left_foot", "right_foot", "left_collar", "right_collar", "head", "left_hand", "right_hand",
    )  # fmt: skip


def test_shared_joints_come_back_exactly_and_the_others_nearly(motion):
    back = smpl_joints(h36m_joints(motion))
    assert back.dtype == np.float32 and back.shape == motion.joints.shape
    np.testing.assert_allclose(of(back, *SHARED), of(motion.joints, *SHARED), atol=1e-6)
    error = np.linalg.norm(of(back, *INVENTED_JOINTS) - of(motion.joints, *INVENTED_JOINTS), axis=-1)
    assert error.mean() < 0.025 and error.max() < 0.15


def test_there_and_back_again_is_the_same(motion):
    joints = h36m_joints(motion)
    again = h36m_joints(Motion.from_joints(smpl_joints(joints), motion.fps))
    body = joint_indices([name for name in H36M_17 if name not in ("nose", "head_top")], H36M_17)
    np.testing.assert_allclose(again[:, body], joints[:, body], atol=1e-5)
    assert np.linalg.norm(again - joints, axis=-1).max() < 0.06


def test_body_at_rest_has_feet_on_the_floor_and_hands_before_the_wrists():
    resting = Motion.from_joints(np.repeat(REST[None], 3, axis=0).astype(np.float32), 25.0)
    back = smpl_joints(h36m_joints(resting))
    for name in ("left_foot", "right_foot", "left_hand", "right_hand"):
        assert np.linalg.norm(of(back, name) - of(resting.joints, name), axis=-1).max() < 0.03, name
    assert of(back, "left_foot")[0, 0, 2] > of(back, "left_ankle")[0, 0, 2] + 0.1


def test_invented_joints_move_and_grow_with_the_body(motion):
    joints = h36m_joints(motion)
    where = Placement(2.0, -1.0, 2.5)
    np.testing.assert_allclose(smpl_joints(where.to_world(joints)), where.to_world(smpl_joints(joints)), atol=1e-4)
    np.testing.assert_allclose(smpl_joints(1.5 * joints), 1.5 * smpl_joints(joints), atol=1e-4)


def test_left_is_right_in_the_mirror(motion):
    mirror = np.array([-1.0, 1.0, 1.0], np.float32)

    def mirrored(joints, skeleton):
        swapped = [n.replace("left", "*").replace("right", "left").replace("*", "right") for n in skeleton]
        return (joints * mirror)[:, joint_indices(swapped, skeleton)]

    joints = h36m_joints(motion)
    np.testing.assert_allclose(
        smpl_joints(mirrored(joints, H36M_17)), mirrored(smpl_joints(joints), SMPL_24), atol=1e-5
    )


@pytest.mark.parametrize("shape", [(5, 24, 3), (17, 3), (0, 17, 3)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match=r"expected \(T, 17, 3\)"):
        smpl_joints(np.zeros(shape, np.float32))


def test_body_without_size_is_refused():
    with pytest.raises(ValueError, match="the body has no size"):
        smpl_joints(np.zeros((2, 17, 3), np.float32))


def test_motions_list_their_invented_joints():
    joints = h36m_joints(perform("walk", make_subject(0)))
    motion = motion_from_h36m(joints, 25.0)
    np.testing.assert_array_equal(motion.joints, smpl_joints(joints))
    assert motion.fps == 25.0 and motion.meta == {"invented_joints": list(INVENTED_JOINTS)}
