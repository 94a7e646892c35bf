"""HumanML3D's features: what is written is what their published recovery and our reader make the motion of again."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from posegen.datasets.motion_formats import ImportOptions, read
from posegen.datasets.motion_formats.humanml3d import humanml3d_features, write_humanml3d
from posegen.errors import MotionError
from posegen.io.storage import StorageFolder
from posegen.motion.motion import Motion
from posegen.skeletons import SMPL_24_PARENTS
from posegen.synthetic.motions import make_subject, perform

CHAINS = [[0, 2, 5, 8, 11], [0, 1, 4, 7, 10], [0, 3, 6, 9, 12, 15], [9, 14, 17, 19, 21], [9, 13, 16, 18, 20]]
DOWN, FORWARD = [0, -1, 0], [0, 0, 1]
AT_REST = {1: [1, 0, 0], 2: [-1, 0, 0], 3: [0, 1, 0], 6: [0, 1, 0], 9: [0, 1, 0], 12: [0, 1, 0], 13: [1, 0, 0],
           14: [-1, 0, 0], 10: FORWARD, 11: FORWARD, 15: FORWARD}  # fmt: skip


def at_20_fps(action: str, frames: int = 80) -> Motion:
    motion = perform(action, make_subject(2), frames=frames)
    return Motion.from_joints(motion.joints, 20.0)


def turns_of(features: np.ndarray) -> Rotation:
    """The root's turns into its heading, summed up from the first number, which is half of an angle."""
    halves = np.concatenate([[0], np.cumsum(features[:-1, 0])])
    return Rotation.from_quat(np.stack([0 * halves, np.sin(halves), 0 * halves, np.cos(halves)], axis=-1))


def recover_from_ric(features: np.ndarray) -> np.ndarray:
    """Joints (T, 22, 3) as the paper's `recover_from_ric` has them, by quaternions."""
    back = turns_of(features).inv()
    steps = np.zeros((len(features), 3))
    steps[1:, (0, 2)] = features[:-1, 1:3]
    root = np.cumsum(back.apply(steps), axis=0)
    others = features[:, 4:67].reshape(-1, 21, 3)
    joints = np.stack([back.apply(others[:, k]) + root for k in range(21)], axis=1)
    root[:, 1] = features[:, 3]
    return np.concatenate([root[:, None], joints], axis=1)


def aligned(joints: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, Rotation]:
    """Joints turned about y and moved along the floor to where others are, and that turn."""
    a, b = (x.reshape(-1, 3) - x[:, 0].mean(axis=0) for x in (joints, truth))
    plane = a[:, 2] + 1j * a[:, 0], b[:, 2] + 1j * b[:, 0]
    turn = Rotation.from_rotvec([0, np.angle((np.conj(plane[0]) * plane[1]).sum()), 0])
    moved = turn.apply(joints.reshape(-1, 3)).reshape(joints.shape)
    moved[..., (0, 2)] += (truth[:, 0] - moved[:, 0]).mean(axis=0)[[0, 2]]
    return moved, turn


@pytest.mark.parametrize("action", ["walk", "turn", "kick", "dance"])
def test_the_published_recovery_gives_the_motion_again(action):
    motion = at_20_fps(action)
    features = humanml3d_features(motion.joints)
    assert features.shape == (79, 263)
    found = recover_from_ric(features)
    truth = motion.joints[:-1, :22] - (0, motion.joints[:, :22, 1].min(), 0)
    np.testing.assert_allclose(aligned(found, truth)[0], truth, atol=1e-5)


def test_a_body_that_turns_around_and_around_comes_back():
    motion = at_20_fps("walk")
    angles = np.linspace(0, 9, 80)
    joints = np.stack([Rotation.from_rotvec([0, a, 0]).apply(x) for a, x in zip(angles, motion.joints, strict=True)])
    truth = joints[:-1, :22] - (0, joints[:, :22, 1].min(), 0)
    np.testing.assert_allclose(aligned(recover_from_ric(humanml3d_features(joints)), truth)[0], truth, atol=1e-5)


def test_rotations_pose_the_bones():
    """By the published rule: down each chain, each of which begins with the root's turn."""
    motion = at_20_fps("kick")
    features = humanml3d_features(motion.joints)
    ric = recover_from_ric(features)
    truth = motion.joints[:-1, :22].astype(float)
    into_heading = turns_of(features)
    # the recovery begins in the first heading, the rotations in the axes in which the first pose looks along z
    across = (truth[0, 2] - truth[0, 1]) + (truth[0, 17] - truth[0, 16])
    first = Rotation.from_rotvec([0, -np.arctan2(across[2], -across[0]), 0])
    posed = np.stack([first.apply(frame) for frame in truth])
    begin = aligned(ric, posed)[1]
    columns = features[:, 67:193].reshape(-1, 21, 2, 3)
    third = np.cross(columns[:, :, 0], columns[:, :, 1])
    local = np.stack([columns[:, :, 0], columns[:, :, 1], third], axis=-1)
    np.testing.assert_allclose(np.linalg.det(local), 1, atol=1e-6)
    for chain in CHAINS:
        turned = (into_heading * begin.inv()).as_matrix()
        for above, joint in pairwise(chain):
            turned = turned @ local[:, joint - 1]
            bone = posed[:, joint] - posed[:, above]
            length = np.linalg.norm(bone, axis=-1, keepdims=True)
            np.testing.assert_allclose(turned @ np.array(AT_REST.get(joint, DOWN)) * length, bone, atol=1e-5)
            assert SMPL_24_PARENTS[joint] == above


def test_steps_and_contacts():
    motion = at_20_fps("kick")
    features = humanml3d_features(motion.joints)
    steps = np.diff(motion.joints[:, :22], axis=0)
    speeds = np.linalg.norm(features[:, 193:259].reshape(-1, 22, 3), axis=-1)
    np.testing.assert_allclose(speeds, np.linalg.norm(steps, axis=-1), atol=1e-5)
    slow = np.square(steps[:, [7, 10, 8, 11]]).sum(axis=-1) < 0.002
    np.testing.assert_array_equal(features[:, 259:], slow)
    assert 0 < slow.mean() < 1


def test_files_are_read_back_at_their_own_rate(tmp_path):
    motion = perform("walk", make_subject(1), frames=100)  # 25 a second
    write_humanml3d(StorageFolder(tmp_path), "walk.npy", motion)
    [found] = read(tmp_path / "walk.npy", ImportOptions())
    again = found.load()
    assert again.fps == 20 and len(again) == 79
    height = motion.joints[0, 15, 1] - motion.joints[0, :, 1].min()
    assert abs(again.joints[0, 15, 1] - again.joints[0, :, 1].min() - height) < 0.01
    [told] = read(tmp_path / "walk.npy", ImportOptions(fps=30.0))
    assert told.load().fps == 30
    assert "20 frames a second: --fps 30 overrules it" in told.load().notes[-1]


def test_one_frame_is_no_motion(tmp_path):
    with pytest.raises(MotionError, match="take two frames at 20 a second, got 1"):
        write_humanml3d(StorageFolder(tmp_path), "a.npy", Motion.from_joints(at_20_fps("walk").joints[:1], 20.0))
