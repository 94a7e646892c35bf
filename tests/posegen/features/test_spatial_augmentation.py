"""Frames that are moved, and that joints stay on what they were on."""

from __future__ import annotations

import numpy as np
import pytest

from posegen.features.spatial_augmentation import AUGMENTATIONS, box_of_pose, crop_to_person
from posegen.skeletons import OPENPOSE_18, joint_indices
from tests.support.reference import load_json

SIZE = (256, 256)


@pytest.fixture(scope="module")
def published(fixtures):
    return load_json(fixtures / "motion", "shape_posture")


@pytest.fixture
def pose(published) -> np.ndarray:
    """A person who stands, (18, 3)."""
    return np.column_stack([published["part_crops"]["keypoints"], np.ones(len(OPENPOSE_18))])


@pytest.fixture
def image(pose) -> np.ndarray:
    """Black, with a white spot on every joint."""
    ys, xs = np.mgrid[: SIZE[0], : SIZE[1]]
    distances = np.hypot(xs - pose[:, 0, None, None], ys - pose[:, 1, None, None]).min(axis=0)
    return np.repeat(np.where(distances < 4, 255, 0).astype(np.uint8)[..., None], 3, axis=2)


def brightness(image: np.ndarray, pose: np.ndarray) -> np.ndarray:
    """At each joint that is seen."""
    xs, ys = pose[pose[:, 2] > 0, :2].round().astype(int).T
    return image[ys.clip(0, 255), xs.clip(0, 255), 0]


def test_box_is_that_of_the_published_code(pose, published):
    left, right, top, bottom = published["square_box"]["inside"]
    assert box_of_pose(pose, SIZE) == (left, top, right, bottom)
    moved = box_of_pose(pose + np.array([90, 0, 0]), SIZE)
    (left, right, top, bottom), (_, beyond, *_) = (published["square_box"][name] for name in ("beside", "beside_pads"))
    # The published box counts what is beyond the frame twice at its right end, where nothing is left to be cut.
    assert moved == (left, top, right - beyond, bottom) and moved.right - SIZE[1] == beyond


def test_box_has_the_proportions_of_the_frame(pose):
    box = box_of_pose(pose, (200, 100))
    assert (box.right - box.left, box.bottom - box.top) == (117, 234)
    wide = box_of_pose(pose[:, [1, 0, 2]], (100, 200))
    assert (wide.right - wide.left, wide.bottom - wide.top) == (234, 117)


def test_joints_that_are_not_seen_do_not_count(pose):
    pose[3] = (900, 900, 0)
    assert box_of_pose(pose, SIZE) == (12, 15, 246, 249)
    with pytest.raises(ValueError, match="no joint is seen"):
        box_of_pose(np.zeros((18, 3)), SIZE)
    with pytest.raises(ValueError, match=r"expected \(18, 3\)"):
        box_of_pose(np.zeros((2, 18, 3)), SIZE)


def test_a_cropped_person_fills_the_frame(image, pose):
    small = pose * np.array([0.5, 0.5, 1]) + np.array([10, 40, 0])
    ys, xs = np.mgrid[: SIZE[0], : SIZE[1]]
    distances = np.hypot(xs - small[:, 0, None, None], ys - small[:, 1, None, None]).min(axis=0)
    frame = np.repeat(np.where(distances < 3, 255, 0).astype(np.uint8)[..., None], 3, axis=2)
    crop, joints = crop_to_person(frame, small)
    assert crop.shape == frame.shape and joints.dtype == small.dtype
    assert (brightness(crop, joints) > 200).all()
    assert 0.8 * SIZE[0] < np.ptp(joints[:, 1]) < SIZE[0]


def test_a_crop_beyond_the_frame_is_mirrored(pose):
    image = np.tile(np.arange(256, dtype=np.uint8)[None, :, None], (256, 1, 3))  # as bright as far to the right
    crop, _ = crop_to_person(image, pose + np.array([90, 0, 0]))
    assert crop.min() > 95
    np.testing.assert_allclose(crop[:, 0].mean(), 102, atol=1)
    np.testing.assert_allclose(crop[:, -1].mean(), 255 - 80, atol=1)


@pytest.mark.parametrize("kind", ["affine", "rotation"])
def test_joints_go_with_the_frame(kind, image, pose):
    for seed in range(10):
        moved, joints = AUGMENTATIONS[kind](image, pose, np.random.default_rng(seed))
        assert moved.shape == image.shape and (joints[:, 2] > 0).any()
        assert (brightness(moved, joints) > 100).all()
        again, _ = AUGMENTATIONS[kind](image, pose, np.random.default_rng(seed))
        np.testing.assert_array_equal(moved, again)


def test_frames_move_as_far_as_published(pose):
    hip, shoulder = joint_indices(["right_hip", "right_shoulder"])
    image = np.full((*SIZE, 3), 200, np.uint8)
    before = np.subtract(*pose[[shoulder, hip], :2])

    def moves(kind):
        for seed in range(300):
            moved, joints = AUGMENTATIONS[kind](image, pose, np.random.default_rng(seed))
            if (joints[[shoulder, hip], 2] > 0).all():
                after = np.subtract(*joints[[shoulder, hip], :2])
                turn = np.angle(complex(*after) / complex(*before), deg=True)
                yield turn, np.linalg.norm(after) / np.linalg.norm(before), moved

    turns, scales, frames = zip(*moves("affine"), strict=True)
    assert -30 <= min(turns) < -27 and 27 < max(turns) <= 30
    assert 0.7 <= min(scales) < 0.72 and 0.98 < max(scales) <= 1 + 1e-9
    assert all((frame == 0).any() for frame in frames)
    turns, scales, frames = zip(*moves("rotation"), strict=True)
    assert -90 <= min(turns) < -85 and 85 < max(turns) <= 90
    np.testing.assert_allclose(scales, 1)
    assert all((frame == 200).all() for frame in frames)


def test_joints_that_leave_the_frame_are_not_seen(image, pose):
    pose[0, :2] = (2, 128)  # at the left edge
    seen = {bool(AUGMENTATIONS["affine"](image, pose, np.random.default_rng(seed))[1][0].any()) for seed in range(20)}
    assert seen == {True, False}


def test_nothing_may_be_done(image, pose):
    frame, joints = AUGMENTATIONS["none"](image, pose, np.random.default_rng(0))
    assert frame is image and joints is pose
