"""Feature maps."""

from __future__ import annotations

import numpy as np
import pytest

from posegen.features.feature_map import ContentFeatures, feature_map, find_holes, target_regions
from posegen.features.parts import part_shapes
from posegen.features.stick_figure import rasterize_stick_figure
from posegen.features.warp import estimate_affines
from posegen.skeletons import LOWER_PARTS, PARTS, UPPER_PARTS
from tests.support.features import estimate, warp_parts

SIZE = (256, 128)


@pytest.fixture
def edges() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, SIZE, np.uint8)


@pytest.fixture
def mask(source) -> np.ndarray:
    mask = part_shapes(source, SIZE).any(axis=0)
    mask[:, :50] = False
    return mask.astype(np.uint8) * 255


def test_feature_map_is_stick_figure_and_edges(source, edges):
    features = feature_map(source, edges)
    assert features.shape == (*SIZE, 4) and features.dtype == np.uint8
    np.testing.assert_array_equal(features[..., :3], rasterize_stick_figure(source, SIZE))
    np.testing.assert_array_equal(features[..., 3], edges)


def test_estimate_for_the_contents_own_pose_keeps_the_persons_edges(source, edges, mask):
    estimated = estimate(ContentFeatures(source, edges, mask), source).features
    np.testing.assert_array_equal(estimated, feature_map(source, edges * (mask > 0)))


def test_estimate_draws_the_target_and_warps_the_edges(source, target, edges, mask):
    estimated = estimate(ContentFeatures(source, edges, mask), target).features
    np.testing.assert_array_equal(estimated[..., :3], rasterize_stick_figure(target, SIZE))
    labels = part_shapes(source, SIZE) & (mask > 0)
    expected = warp_parts(edges[..., None], labels, estimate_affines(source, target))
    np.testing.assert_array_equal(estimated[..., 3:], expected)
    assert expected.any()


def test_content_features_serve_many_targets(source, target, edges, mask):
    content = ContentFeatures(source, edges, mask)
    first = estimate(content, target)
    estimate(content, source)
    np.testing.assert_array_equal(estimate(content, target).features, first.features)


def test_a_target_that_shows_nobody_has_no_features(source, edges, mask):
    assert not estimate(ContentFeatures(source, edges, mask), np.zeros((18, 3))).features.any()


def test_regions_are_the_garments_parts(target):
    regions = target_regions(target, SIZE)
    assert regions.shape == (*SIZE, 2) and set(np.unique(regions)) == {0, 255}
    shapes = dict(zip(PARTS, part_shapes(target, SIZE), strict=True))
    for channel, parts in enumerate((UPPER_PARTS, LOWER_PARTS)):
        np.testing.assert_array_equal(regions[..., channel] > 0, np.any([shapes[part] for part in parts], axis=0))


def test_rejects_a_content_pose_without_hips(source, edges, mask, without):
    with pytest.raises(ValueError, match="lacks a shoulder or a hip, choose a frame"):
        ContentFeatures(without(source, "left_hip"), edges, mask)


def test_rejects_arrays_that_do_not_fit(source, edges, mask):
    with pytest.raises(ValueError, match=r"mask has shape \(100, 128\), expected that of the edges"):
        ContentFeatures(source, edges, mask[:100])
    with pytest.raises(ValueError, match="float64, expected"):
        feature_map(source, edges / 255)
    with pytest.raises(ValueError, match=r"shape \(1, 18, 3\)"):
        ContentFeatures(source[None], edges, mask)


def test_support_is_where_the_masks_of_the_parts_land(source, target, edges, mask):
    estimated, support = estimate(ContentFeatures(source, edges, mask), target)
    assert support.shape == SIZE and support.dtype == np.uint8 and set(np.unique(support)) == {0, 255}
    labels = part_shapes(source, SIZE) & (mask > 0)
    warped = warp_parts(np.full((*SIZE, 1), 255, np.uint8), labels, estimate_affines(source, target))
    np.testing.assert_array_equal(support > 0, warped[..., 0] > 0)
    assert not estimated[support == 0, 3].any()


def test_support_of_the_contents_own_pose_is_the_person(source, edges, mask):
    _, support = estimate(ContentFeatures(source, edges, mask), source)
    np.testing.assert_array_equal(support > 0, mask > 0)


def test_disturbed_parts_move_together_with_their_support(source, edges, mask):
    """Maps that sample two pixels further left move the map two pixels to the right."""
    content = ContentFeatures(source, edges, mask)
    affines = estimate_affines(source, source)
    shifted = affines.matrices.copy()
    shifted[..., 0, 2] -= 2
    estimated, support = content.merge(source, affines._replace(matrices=shifted))
    own, own_support = estimate(content, source)
    np.testing.assert_array_equal(estimated[:, 2:, 3], own[:, :-2, 3])
    np.testing.assert_array_equal(support[:, 2:], own_support[:, :-2])


def test_holes_are_shapes_without_support_and_the_rim_of_it(target):
    body = part_shapes(target, SIZE).any(axis=0)
    support = np.zeros(SIZE, np.uint8)
    np.testing.assert_array_equal(find_holes(target, support) > 0, body)
    support[:, :64] = 255
    body[:, :63] = False
    np.testing.assert_array_equal(find_holes(target, support) > 0, body)
    assert body[:, 63].any() and not find_holes(target, np.full(SIZE, 255, np.uint8)).any()
