"""Affine maps of body parts, and warping by them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from posegen.features.parts import FACE_JOINTS, HEAD, TORSO, part_labels, part_shapes
from posegen.features.warp import (
    PartAffines,
    crop_parts,
    estimate_affines,
    fit_affines,
    merge_crops,
)
from posegen.skeletons import OPENPOSE_18, PARTS
from tests.support.features import warp_parts

SIZE = (256, 128)
REGRESSED = [TORSO, HEAD]  # more points than unknowns; the reference fits these by total least squares


def expected_matrices(transforms: list[list[float]]) -> np.ndarray:
    return np.array(transforms)[:, :6].reshape(10, 2, 3)


def full_frame_warp(feature: np.ndarray, labels: np.ndarray, affines: PartAffines) -> np.ndarray:
    """Equation 1 as it is written."""
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    merged = np.zeros_like(feature)
    for matrix, valid, source in zip(*affines, strict=True):
        if valid:
            part = feature * labels[source][..., None]
            merged = np.maximum(merged, cv2.warpAffine(part, matrix, feature.shape[1::-1], flags=flags))
    return merged


@pytest.fixture
def feature() -> np.ndarray:
    return np.random.default_rng(0).random((*SIZE, 4), np.float32)


@pytest.fixture
def labels(source) -> np.ndarray:
    return part_shapes(source, SIZE)


def test_affines_equal_the_reference(pose_gan, source, target):
    matrices, valid, sources = estimate_affines(source, target)
    expected = expected_matrices(pose_gan["transforms"])
    assert valid.all() and sources.tolist() == list(range(10))
    np.testing.assert_allclose(matrices[2:], expected[2:], atol=1e-6)  # the fixture has six decimals
    np.testing.assert_allclose(matrices[REGRESSED, :, :2], expected[REGRESSED, :, :2], atol=2e-3)
    np.testing.assert_allclose(matrices[REGRESSED, :, 2], expected[REGRESSED, :, 2], atol=0.1)
    assert matrices[TORSO, 0, [0, 2]].tolist() == pytest.approx([1.006895, -6.9655], abs=1e-4)


def test_a_limb_missing_in_the_source_comes_from_the_other_side(pose_gan, source, target, without):
    matrices, valid, sources = estimate_affines(without(source, "right_wrist", "right_knee"), target)
    expected = expected_matrices(pose_gan["transforms_source_missing_Rwri_Rkne"])
    np.testing.assert_allclose(matrices[2:], expected[2:], atol=1e-6)
    assert valid.all()
    assert [PARTS[part] for part in sources[[2, 4, 8]]] == ["left_thigh", "left_calf", "left_forearm"]


def test_a_limb_missing_in_the_target_or_on_both_sides_is_invalid(source, target, without):
    valid = estimate_affines(source, without(target, "left_ankle")).valid
    assert [part for part, ok in zip(PARTS, valid, strict=True) if not ok] == ["left_calf"]
    affines = estimate_affines(without(source, "left_wrist", "right_wrist"), target)
    assert [part for part, ok in zip(PARTS, affines.valid, strict=True) if not ok] == ["right_forearm", "left_forearm"]
    assert not affines.matrices[~affines.valid].any()


def test_head_needs_a_common_joint_of_the_face_and_both_shoulders(source, target, without):
    nose, ears = ["nose"], ["right_ear", "left_ear", "right_eye", "left_eye"]
    assert not estimate_affines(without(source, *nose), without(target, *ears)).valid[HEAD]
    assert estimate_affines(source, without(target, *ears)).valid[HEAD]
    assert not estimate_affines(source, without(target, "left_shoulder")).valid[HEAD]


def test_one_common_joint_of_the_face_is_met_exactly(source, target, without):
    hidden = [OPENPOSE_18[joint] for joint in FACE_JOINTS[1:]]
    head = estimate_affines(source, without(target, *hidden)).matrices[HEAD]
    joints = [0, 2, 5]  # nose and shoulders
    np.testing.assert_allclose(head @ np.c_[target[joints, :2], np.ones(3)].T, source[joints, :2].T, atol=1e-9)


def test_degenerate_limbs_are_invalid(source, target):
    forearm = PARTS.index("left_forearm")
    for pose in (source, target):
        folded = pose.copy()
        folded[7] = folded[6]
        poses = (folded, target) if pose is source else (source, folded)
        assert not estimate_affines(*poses).valid[forearm]


def test_a_torso_on_a_line_is_invalid(source, target):
    aside = target.copy()
    aside[[2, 5, 8, 11], 0] = 60
    assert not estimate_affines(source, aside).valid[TORSO]
    assert not estimate_affines(aside, target).valid[TORSO]


def test_a_target_without_torso_is_measured_by_the_source(source, without):
    affines = estimate_affines(source, without(source, "left_hip", "right_hip"))
    arms = [index for index, part in enumerate(PARTS) if part.endswith("arm")]
    assert affines.valid[arms].all()
    np.testing.assert_allclose(affines.matrices[arms], np.broadcast_to(np.eye(2, 3), (4, 2, 3)), atol=1e-9)


def test_batches_equal_a_loop_and_broadcast(source, target):
    rng = np.random.default_rng(1)
    targets = target + rng.normal(0, 4, (3, 2, 18, 3)) * [1, 1, 0]
    targets[0, 0, [3, 9, 14]] = 0
    batch = estimate_affines(source, targets)
    assert batch.matrices.shape == (3, 2, 10, 2, 3)
    for index in np.ndindex(3, 2):
        single = estimate_affines(source, targets[index])
        for got, expected in zip(batch, single, strict=True):
            np.testing.assert_allclose(got[index], expected, atol=1e-10)


def test_fit_equals_lstsq():
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(2, 50, 7, 2))
    weights = (rng.random((50, 7)) < 0.8).astype(float)
    weights[:, :4] = 1
    matrices, valid = fit_affines(x, y, weights)
    assert valid.all()
    for k in range(50):
        used = weights[k] > 0
        design = np.c_[x[k][used], np.ones(used.sum())]
        np.testing.assert_allclose(matrices[k], np.linalg.lstsq(design, y[k][used])[0].T, atol=1e-9)


def test_identity_pose_is_an_identity_warp(source, feature, labels):
    warped = warp_parts(feature, labels, estimate_affines(source, source))
    np.testing.assert_allclose(warped, feature * labels.any(axis=0)[..., None], atol=1e-6)


def test_merging_is_idempotent(source, feature, labels):
    identity = estimate_affines(source, source)
    once = warp_parts(feature, labels, identity)
    np.testing.assert_allclose(warp_parts(once, labels, identity), once, atol=1e-6)


def test_translation_moves_pixels(source, feature, labels):
    warped = warp_parts(feature, labels, estimate_affines(source, np.add(source, [7, -5, 0])))
    expected = (feature * labels.any(axis=0)[..., None])[5:, :-7]
    np.testing.assert_allclose(warped[:-5, 7:], expected, atol=1e-4)


def test_regions_of_interest_change_nothing(source, target, feature, labels):
    for pose in (target, np.add(target, [60, -90, 0]), target * [2, 2, 1], target * [0.2, 0.2, 1]):
        affines = estimate_affines(source, pose)
        expected = full_frame_warp(feature, labels, affines)
        np.testing.assert_allclose(warp_parts(feature, labels, affines), expected, atol=1e-3)


def test_uint8_rounds_to_the_nearest_level(source, target, feature, labels):
    affines = estimate_affines(source, target)
    levels = np.rint(feature * 255)
    warped = warp_parts(levels.astype(np.uint8), labels, affines)
    assert warped.dtype == np.uint8
    np.testing.assert_allclose(warped, warp_parts(levels, labels, affines), atol=0.51)


def test_any_number_of_channels(source, target, feature, labels):
    affines = estimate_affines(source, target)
    many = np.concatenate([feature, feature[..., :2]], axis=2)
    expected = warp_parts(feature, labels, affines)
    np.testing.assert_allclose(warp_parts(many, labels, affines)[..., :4], expected, atol=1e-4)


def test_a_part_from_the_other_side_brings_its_label(source, target, feature, without):
    hidden = without(source, "right_knee")
    labels = part_labels(hidden, np.ones(SIZE, bool))
    thigh = PARTS.index("right_thigh")
    assert not labels[thigh].any()
    affines = estimate_affines(hidden, target)
    only_thigh = affines._replace(valid=np.arange(10) == thigh)
    assert (warp_parts(feature, labels, only_thigh).any(axis=-1) & part_shapes(target, SIZE)[thigh]).sum() > 1000


def test_poses_that_miss_parts_are_warped_as_over_the_whole_frame(source, target, feature, without):
    targets = np.stack([target, without(target, "right_ankle"), target * [0.5, 1.3, 1]])
    sources = np.stack([source, without(source, "left_knee"), np.add(source, [5, 3, 0])])
    labels = np.stack([part_shapes(pose, SIZE) for pose in sources])
    affines = estimate_affines(sources, targets)
    for k in range(3):
        single = PartAffines(*(array[k] for array in affines))
        warped = warp_parts(feature, labels[k], single)
        np.testing.assert_allclose(warped, full_frame_warp(feature, labels[k], single), atol=1e-3)


def test_crops_serve_many_targets(source, target, feature, labels):
    crops = crop_parts(feature, labels)
    for pose in (source, target):
        affines = estimate_affines(source, pose)
        np.testing.assert_array_equal(merge_crops(crops, affines, SIZE), warp_parts(feature, labels, affines))


def test_rejects_labels_that_do_not_fit(feature, labels):
    with pytest.raises(ValueError, match=r"bool labels of shape \(10, 100, 128\), expected"):
        crop_parts(feature, labels[:, :100])
    with pytest.raises(ValueError, match="uint8 labels"):
        crop_parts(feature, labels.astype(np.uint8))
