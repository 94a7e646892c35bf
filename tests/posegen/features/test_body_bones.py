"""Bones in a picture, and how they map it to another pose."""

from __future__ import annotations

import numpy as np
import pytest

from posegen.features.body_bones import (
    SOFT_BONES,
    bone_maps,
    drop_hidden_faces,
    find_bones,
    foreshortening,
    has_trunk,
    limb_lengths,
    mirror_pose,
    shows_front,
    swap_sides,
    trunk_length,
)
from posegen.features.body_pose import BodyPoses
from posegen.skeletons import joint_indices
from tests.support.drawn_person import make_pose

FOREARM = SOFT_BONES.index("left_forearm")
CHEST = SOFT_BONES.index("chest")


def moved(maps: np.ndarray, bone: int, point: np.ndarray) -> np.ndarray:
    return maps[bone, :, :2] @ point + maps[bone, :, 2]


def with_depths(pose: BodyPoses, **depths: float) -> BodyPoses:
    changed = pose.depths.copy()
    for joint, depth in depths.items():
        changed[joint_indices([joint])[0]] = depth
    return BodyPoses(pose.keypoints, changed, pose.toes)


def test_a_pose_maps_to_itself():
    bones = find_bones(make_pose())
    identity = np.broadcast_to([[1.0, 0, 0], [0, 1, 0]], (len(SOFT_BONES), 2, 3))
    np.testing.assert_allclose(bone_maps(bones, bones), identity, atol=1e-9)


def test_joints_of_a_limb_go_to_its_joints():
    source, target = find_bones(make_pose()), find_bones(make_pose({"left_wrist": (95, 36)}))
    maps = bone_maps(source, target)
    np.testing.assert_allclose(moved(maps, FOREARM, np.array([92, 60])), [92, 60], atol=1e-6)
    np.testing.assert_allclose(moved(maps, FOREARM, np.array([106, 76])), [95, 36], atol=0.5)


def test_a_limb_is_foreshortened_along_itself_and_never_across():
    target = find_bones(make_pose({"left_wrist": (96, 64.6)}))  # a third of its length
    linear = bone_maps(find_bones(make_pose()), target)[FOREARM, :, :2]
    np.testing.assert_allclose(np.sort(np.linalg.svd(linear)[1]), [0.29, 1.0], atol=0.02)


@pytest.mark.parametrize("wrist", [(92.5, 60.5), (200, 183)])
def test_no_limb_is_stretched_beyond_its_bounds(wrist):
    linear = bone_maps(find_bones(make_pose()), find_bones(make_pose({"left_wrist": wrist})))[FOREARM, :, :2]
    singular = np.linalg.svd(linear)[1]
    assert singular.min() > 0.19 and singular.max() < 2.01


def test_a_head_turns_around_its_middle():
    """Nose and eyes of a face that turns move to a side; a head that followed them would hang beside its neck."""
    head, turned = SOFT_BONES.index("head"), {"nose": (72, 26), "right_eye": (67, 24), "left_eye": (73, 24)}
    turned |= {"right_ear": (59, 26), "left_ear": (69, 26)}
    linear = bone_maps(find_bones(make_pose()), find_bones(make_pose(turned)))
    np.testing.assert_allclose(moved(linear, head, np.array([64, 26])), [64, 26], atol=1.5)


def test_an_ear_that_a_profile_hides_is_on_the_other_side_of_the_eyes():
    pose = make_pose()
    keypoints = pose.keypoints.copy()
    keypoints[joint_indices(["left_ear"])] = 0
    hidden = find_bones(BodyPoses(keypoints, pose.depths, pose.toes))
    np.testing.assert_allclose(hidden.face, find_bones(pose).face, atol=1.5)


def with_toes(x: float, y: float) -> BodyPoses:
    pose = make_pose()
    toes = pose.toes.copy()
    toes[:, :2] = pose.keypoints[joint_indices(["right_ankle", "left_ankle"]), :2] + (x, y)
    return BodyPoses(pose.keypoints, pose.depths, toes)


@pytest.mark.parametrize(("toes", "stands"), [((8, 10), True), ((-9, 9), True), ((10, 0), False), ((-6, -8), False)])
def test_feet_that_stand_keep_their_soles_level_and_others_turn(toes, stands):
    foot = SOFT_BONES.index("left_foot")
    linear = bone_maps(find_bones(with_toes(0, 10)), find_bones(with_toes(*toes)))[foot, :, :2]
    if stands:
        assert linear[1, 0] == 0 and linear[0, 0] > 0
        assert np.sign((linear @ [0, 10])[0]) == np.sign(toes[0])
    else:
        np.testing.assert_allclose(linear @ [0, 10], toes, atol=1e-6)


def test_a_trunk_from_the_side_is_as_wide_as_it_is_deep():
    turned = make_pose(
        {"right_shoulder": (63, 44), "left_shoulder": (65, 44), "right_hip": (63, 92), "left_hip": (65, 92)}
    )
    turned = with_depths(turned, right_shoulder=-13, left_shoulder=13, right_hip=-9, left_hip=9)
    width = np.linalg.norm(bone_maps(find_bones(make_pose()), find_bones(turned))[CHEST, :, :2] @ [1, 0])
    assert 0.5 < width < 0.75


def test_a_person_from_behind_is_not_mirrored():
    behind = swap_sides(make_pose())
    assert shows_front(make_pose()) and not shows_front(behind)
    linear = bone_maps(find_bones(make_pose()), find_bones(swap_sides(behind)))[:, :, :2]
    assert (np.linalg.det(linear) > 0).all()


def test_mirroring_twice_changes_nothing():
    pose = make_pose({"left_wrist": (95, 36)})
    again = mirror_pose(mirror_pose(pose, 128), 128)
    np.testing.assert_allclose(again.keypoints, pose.keypoints)
    assert shows_front(mirror_pose(pose, 128))


def test_what_is_not_to_be_seen_goes_along_with_what_it_hangs_from():
    keypoints = make_pose({"left_elbow": (92, 30)}).keypoints.copy()
    keypoints[joint_indices(["left_wrist"])] = 0
    maps = bone_maps(find_bones(make_pose()), find_bones(BodyPoses.from_keypoints(keypoints)))
    np.testing.assert_allclose(maps[FOREARM], maps[FOREARM - 1])


def test_lengths_and_foreshortening():
    pose = make_pose()
    assert trunk_length(pose) == pytest.approx(48)
    assert foreshortening(pose, "left_forearm") == 1
    deep = with_depths(pose, left_wrist=21.26)
    assert foreshortening(deep, "left_forearm") == pytest.approx(1 / np.sqrt(2), abs=0.01)
    np.testing.assert_allclose(limb_lengths(pose)["left_leg"], [34.1, 34.1], atol=0.1)


def test_without_a_hip_there_is_no_trunk():
    keypoints = make_pose().keypoints.copy()
    keypoints[8] = 0
    assert has_trunk(make_pose()) and not has_trunk(BodyPoses.from_keypoints(keypoints))


def test_eyes_and_noses_are_dropped_from_behind_and_ears_stay():
    """An estimator guesses a face on the back of a head, behind the ears; one frame among others is no turn."""
    front = with_depths(make_pose(), nose=9, right_eye=8, left_eye=8, right_ear=1, left_ear=1)
    behind = swap_sides(with_depths(make_pose(), nose=-9, right_eye=-8, left_eye=-8, right_ear=-1, left_ear=-1))
    sequence = [front] * 4 + [behind] + [front] * 4 + [behind] * 6
    poses = BodyPoses(*(np.stack([getattr(one, name) for one in sequence]) for name in ("keypoints", "depths", "toes")))
    found = drop_hidden_faces(poses)[..., 2] > 0
    seen = {name: found[:, joint_indices([name])[0]].tolist() for name in ("nose", "left_eye", "right_eye", "left_ear")}
    assert seen["nose"] == seen["left_eye"] == seen["right_eye"] == [True] * 9 + [False] * 6
    assert seen["left_ear"] == [True] * 15
    assert (found[:, 1:14] == (poses.keypoints[:, 1:14, 2] > 0)).all()
