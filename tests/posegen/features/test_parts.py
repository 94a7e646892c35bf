"""Body parts."""

from __future__ import annotations

import numpy as np
import pytest

from posegen.features.parts import (
    HEAD,
    TORSO,
    is_usable,
    limb_quads,
    part_distances,
    part_labels,
    part_shapes,
    torso_size,
)
from posegen.skeletons import PARTS, joint_indices, swap_left_right

SIZE = (256, 128)


def box(shape: np.ndarray) -> list[int]:
    """Top, bottom, left and right of the set pixels."""
    (top, left), (bottom, right) = np.argwhere(shape).min(axis=0), np.argwhere(shape).max(axis=0)
    return [top, bottom, left, right]


def test_torso_size_equals_the_reference(pose_gan, source, target):
    sizes = torso_size(np.stack([source, target]))
    np.testing.assert_allclose(sizes, [pose_gan["st_source"], pose_gan["st_target"]], rtol=1e-12)


def test_torso_size_of_one_side_and_of_none(source, without):
    right = np.hypot(*(source[8] - source[2])[:2])
    assert torso_size(without(source, "left_hip")) == pytest.approx(right)
    assert torso_size(without(source, "left_hip", "right_shoulder")) == 0


def test_shapes_equal_the_reference(pose_gan, target):
    shapes = part_shapes(target, SIZE, torso="full")
    assert shapes.shape == (10, *SIZE) and shapes.dtype == bool
    assert shapes.sum(axis=(1, 2)).tolist() == pose_gan["mask_areas"]
    assert [box(shape) for shape in shapes] == pose_gan["mask_bbox"]


def test_limb_quads_equal_the_reference(pose_gan, target):
    quads, present = limb_quads(target, torso_size(target))
    assert present.all()
    right_upper_arm = PARTS.index("right_upper_arm") - 2
    np.testing.assert_allclose(quads[right_upper_arm], pose_gan["polygon_Rsho_Relb_target"], atol=1e-6)


def test_torso_grows_by_a_tenth_of_its_length():
    keypoints = np.zeros((18, 3))
    keypoints[[2, 5, 11, 8]] = [(40, 50, 1), (80, 50, 1), (80, 150, 1), (40, 150, 1)]
    torso = part_shapes(keypoints, SIZE)[TORSO]
    assert box(torso) == [40, 160, 30, 90]
    assert not torso[41, 31]  # corners are round
    keypoints[[8, 11]] = keypoints[[11, 8]]  # hips turned against shoulders
    assert part_shapes(keypoints, SIZE)[TORSO, 50:151, 40:81].all()


def test_torso_seen_from_the_side_is_a_band():
    keypoints = np.zeros((18, 3))
    keypoints[[2, 5, 11, 8]] = [(60, 50, 1), (60, 50, 1), (60, 150, 1), (60, 150, 1)]
    assert box(part_shapes(keypoints, SIZE)[TORSO]) == [40, 160, 50, 70]


def test_head_needs_one_joint_of_the_face(target, without):
    nose_only = without(target, "right_eye", "left_eye", "right_ear", "left_ear")
    half = int(0.4 * torso_size(target))
    x, y = target[0, :2].astype(int)
    assert box(part_shapes(nose_only, SIZE)[HEAD]) == [y - half, y + half - 1, x - half, x + half - 1]
    assert not part_shapes(without(nose_only, "nose"), SIZE)[HEAD].any()


def test_missing_joints_leave_their_parts_empty(target, without):
    shapes = part_shapes(without(target, "right_knee", "left_hip"), SIZE)
    empty = {part for part, shape in zip(PARTS, shapes, strict=True) if not shape.any()}
    assert empty == {"torso", "right_thigh", "right_calf", "left_thigh"}
    assert not part_shapes(np.zeros((18, 3)), SIZE).any()


def test_a_limb_seen_end_on_is_three_pixels_square(target):
    target[4] = target[3]
    forearm = part_shapes(target, SIZE)[PARTS.index("right_forearm")]
    x, y = target[3, :2].astype(int)
    assert forearm.sum() == 9 and box(forearm) == [y - 1, y + 1, x - 1, x + 1]


def test_parts_outside_the_image_are_clipped(target):
    shifted = part_shapes(target - [40, 60, 0], SIZE)
    expected = part_shapes(target, SIZE)[:, 60:, 40:]
    assert (shifted[:, :196, :88] != expected).sum(axis=(1, 2)).max() <= 19  # pixels exactly on a border
    assert not shifted[:, 196:].any()


def test_labels_stay_inside_the_mask(target):
    mask = np.zeros(SIZE, np.uint8)
    mask[:, :64] = 255
    labels = part_labels(target, mask)
    assert not labels[:, :, 64:].any()
    np.testing.assert_array_equal(labels[:, :, :64], part_shapes(target, SIZE)[:, :, :64])
    with pytest.raises(ValueError, match=r"expected \(H, W\)"):
        part_labels(target, np.zeros((*SIZE, 1), bool))


def test_flipping_the_image_and_swapping_sides_commutes_with_shapes(target, mirror):
    mirrored = part_shapes(mirror(target, 128), SIZE)[[PARTS.index(swap_left_right(part)) for part in PARTS], :, ::-1]
    differs = mirrored != part_shapes(target, SIZE)
    differs[HEAD] = False  # whose place is in whole pixels, from the left
    assert differs.sum(axis=(1, 2)).max() <= 19  # pixels exactly on a border


def test_usable_poses_have_shoulders_and_hips(source, without):
    poses = [
        source,
        without(source, "nose", "left_knee"),
        without(source, "left_hip"),
        without(source, "right_shoulder"),
    ]
    assert is_usable(np.stack(poses)).tolist() == [True, True, False, False]


def test_distances_grow_from_the_axes_of_limbs_and_are_even_within_the_torso(source):
    distances = part_distances(source, SIZE)
    length = torso_size(source)
    right_elbow, right_wrist = (source[joint_indices([name])[0], :2] for name in ("right_elbow", "right_wrist"))
    x, y = ((right_elbow + right_wrist) / 2).round().astype(int)
    forearm = distances[PARTS.index("right_forearm")]
    assert forearm[y, x] * 0.09 * length < 1.5  # pixels
    across = forearm[y, x - 20 : x - 5]
    np.testing.assert_allclose(np.diff(across), -1 / (0.09 * length), rtol=0.2)
    torso = distances[PARTS.index("torso")]
    inside = torso == torso.min()
    hull = part_shapes(source, SIZE)[PARTS.index("torso")]
    assert inside.sum() > 0.5 * hull.sum() and not (inside & ~hull).any()


def test_parts_that_are_not_seen_are_infinitely_far(source, without):
    distances = part_distances(without(source, "right_wrist"), SIZE)
    missing = np.isinf(distances).all(axis=(1, 2))
    assert [part for part, gone in zip(PARTS, missing, strict=True) if gone] == ["right_forearm"]
    assert np.isinf(part_distances(without(source, "left_hip"), SIZE)).all()
