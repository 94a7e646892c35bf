"""Parts of a body, each upright in its window."""

from __future__ import annotations

import numpy as np
import pytest

from posegen.features.part_crops import CROPPED_PARTS, crop_body_parts, crop_homographies
from posegen.skeletons import H36M_17, OPENPOSE_18, PARTS, joint_indices
from tests.support.reference import load_json

SIZE, WINDOW = (256, 256), (64, 64)


@pytest.fixture(scope="module")
def published(fixtures):
    return load_json(fixtures / "motion", "shape_posture")["part_crops"]


@pytest.fixture
def pose(published) -> np.ndarray:
    """A person who stands, (18, 3)."""
    return np.column_stack([published["keypoints"], np.ones(len(OPENPOSE_18))])


@pytest.fixture
def image() -> np.ndarray:
    """Red grows to the right, green downwards."""
    ys, xs = np.mgrid[: SIZE[0], : SIZE[1]]
    return np.dstack([xs, ys, np.full(SIZE, 7)]).astype(np.uint8)


def apply(homography: np.ndarray, point) -> np.ndarray:
    x, y, w = homography @ [*point, 1]
    return np.array([x, y]) / w


def test_parts_are_the_ten_of_the_body():
    assert sorted(CROPPED_PARTS) == sorted(PARTS)


def test_homographies_are_those_of_the_published_code(pose, published):
    homographies, seen = crop_homographies(pose, SIZE, tuple(published["window"]))
    assert seen.all()
    expected = [values for name, values in published["homographies"].items() if name != "h36m_body_t5p"]
    np.testing.assert_allclose(homographies, np.array(expected).reshape(-1, 3, 3), rtol=1e-5, atol=1e-9)


def test_a_torso_up_to_the_neck_is_that_of_the_published_code(fixtures, published):
    figure = load_json(fixtures / "motion", "shape_posture")["stick_figure"]
    places = dict(zip(H36M_17, 0.256 * np.array(figure["image_xy_1000px"]), strict=True))
    pose = np.zeros((18, 3))
    for joint in ("right_hip", "right_shoulder", "neck", "left_shoulder", "left_hip"):
        pose[joint_indices([joint])] = [*places["neck_base" if joint == "neck" else joint], 1]
    homographies, _ = crop_homographies(pose, SIZE, WINDOW, "neck")
    expected = np.reshape(published["homographies"]["h36m_body_t5p"], (3, 3))
    np.testing.assert_allclose(homographies[0], expected, rtol=1e-4, atol=1e-6)


def test_a_torso_up_to_the_neck_stands_upright(pose, without):
    def corners(pose):
        torso = crop_homographies(pose, SIZE, (64, 32), "neck")[0][0]
        joints = joint_indices(["right_shoulder", "left_shoulder", "left_hip", "right_hip"])
        return np.stack([apply(torso, pose[joint, :2]) for joint in joints])

    pose[joint_indices(["neck"]), 1] -= 10
    np.testing.assert_allclose(corners(pose)[2:], [(32, 64), (0, 64)], atol=1e-3)
    assert (corners(pose)[:2, 1] > 1).all()
    unseen = corners(without(pose, "neck"))
    np.testing.assert_allclose(unseen, [(0, 0), (32, 0), (32, 64), (0, 64)], atol=1e-3)


def test_a_torso_without_height_has_no_neck_to_reach(pose):
    shoulder = joint_indices(["right_shoulder", "left_shoulder"])
    pose[shoulder, 1] = 64
    pose[joint_indices(["right_hip"])] = [60, 64, 1]
    assert not crop_homographies(pose, SIZE, WINDOW, "neck")[1][0]


def test_a_limb_lies_along_the_rows_of_its_window(pose):
    homographies, _ = crop_homographies(pose, SIZE, (32, 64))
    shoulder, elbow = pose[joint_indices(["right_shoulder", "right_elbow"]), :2]
    limb = homographies[CROPPED_PARTS.index("right_upper_arm")]
    np.testing.assert_allclose(apply(limb, shoulder), [-1, 15], atol=1e-4)
    np.testing.assert_allclose(apply(limb, elbow), [63, 15], atol=1e-4)


def test_crops_show_what_is_there(image, pose):
    crops = crop_body_parts(image, pose, WINDOW)
    assert crops.shape == (*WINDOW, 30) and crops.dtype == np.uint8
    homographies, _ = crop_homographies(pose, SIZE, WINDOW)
    for part, homography in enumerate(homographies):
        x, y = apply(np.linalg.inv(homography), (20, 40))
        np.testing.assert_allclose(crops[40, 20, 3 * part : 3 * part + 3], [x, y, 7], atol=1.5)


def test_crops_do_not_depend_on_where_a_person_stands(image, pose):
    moved = np.roll(image, (10, 20), axis=(0, 1))
    crops, others = crop_body_parts(image, pose, WINDOW), crop_body_parts(moved, pose + np.array([20, 10, 0]), WINDOW)
    assert np.mean(np.abs(crops.astype(int) - others) > 2) < 0.01


@pytest.mark.parametrize(
    ("missing", "parts"),
    [
        (["right_hip"], ["torso"]),
        (["left_shoulder"], ["torso", "head"]),
        (["right_knee", "right_ankle"], ["right_calf"]),
        (["nose"], []),
        (["left_wrist"], []),
    ],
)
def test_parts_that_are_not_seen_are_black(missing, parts, image, pose, without):
    pose = without(pose, *missing)
    _, seen = crop_homographies(pose, SIZE, WINDOW)
    assert [part for part, there in zip(CROPPED_PARTS, seen, strict=True) if not there] == parts
    crops = crop_body_parts(image, pose, WINDOW)
    assert [bool(crops[..., 3 * part : 3 * part + 3].any()) for part in range(10)] == seen.tolist()


def test_a_limb_with_one_joint_hangs_down(pose, without):
    homographies, _ = crop_homographies(without(pose, "right_wrist"), SIZE, WINDOW)
    forearm = homographies[CROPPED_PARTS.index("right_forearm")]
    elbow = pose[joint_indices(["right_elbow"])[0], :2]
    np.testing.assert_allclose(apply(forearm, elbow), [-1, 31], atol=1e-3)
    np.testing.assert_allclose(apply(forearm, (elbow[0], 255)), [63, 31], atol=1e-3)


def test_a_head_without_nose_stands_on_the_shoulders(pose, without):
    homographies, _ = crop_homographies(without(pose, "nose"), SIZE, WINDOW)
    head = homographies[CROPPED_PARTS.index("head")]
    shoulders = pose[joint_indices(["right_shoulder", "left_shoulder"]), :2]
    bottom = [apply(head, place) for place in shoulders]
    np.testing.assert_allclose(sorted(bottom, key=lambda place: place[0]), [[0, 64], [64, 64]], atol=1e-3)
    top = apply(head, shoulders.mean(axis=0) - [0, 46])
    np.testing.assert_allclose(top, [32, 0], atol=1e-3)


@pytest.mark.parametrize("spoil", ["point", "line"])
def test_parts_without_an_inside_are_not_seen(spoil, image, pose):
    pose[:, :2] = [100, 100]
    if spoil == "line":
        pose[:, 0] = np.arange(len(pose)) * 5
    _, seen = crop_homographies(pose, SIZE, WINDOW)
    assert not seen[CROPPED_PARTS.index("torso")]
    assert np.isfinite(crop_body_parts(image, pose, WINDOW)).all()


def test_joints_far_outside_do_no_harm(image, pose):
    rng = np.random.default_rng(0)
    for _ in range(20):
        wild = np.column_stack([rng.uniform(-1e5, 1e5, (18, 2)), np.ones(18)])
        for torso in ("corners", "neck"):
            assert crop_body_parts(image, wild, (16, 16), torso).shape == (16, 16, 30)


def test_rejects_a_batch_of_poses(image):
    with pytest.raises(ValueError, match=r"expected \(18, 3\)"):
        crop_body_parts(image, np.zeros((2, 18, 3)), WINDOW)
