"""What a frame shows of a person in other poses."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from posegen.features.appearance import Appearance
from posegen.features.parts import part_distances, part_labels, part_shapes
from posegen.features.warp import PartAffines, PartCrop, crop_parts, estimate_affines, warp_crops
from posegen.skeletons import PARTS

SIZE = (256, 128)


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(5).integers(1, 256, (*SIZE, 3)).astype(np.uint8)


@pytest.fixture
def mask(source) -> np.ndarray:
    mask = part_shapes(source, SIZE).any(axis=0)
    mask[:, :50] = False
    return mask.astype(np.uint8) * 255


def full_frame_painting(image: np.ndarray, labels: np.ndarray, affines: PartAffines, background: np.ndarray):
    """Each part resampled over the whole frame and laid over what is there, in floating point."""
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    painted = background.astype(np.float64)
    for matrix, valid, source in zip(*affines, strict=True):
        if valid:
            part = np.dstack([image, np.full(SIZE, 255)]) * labels[source][..., None] / 255.0
            part = cv2.warpAffine(part, matrix, SIZE[::-1], flags=flags)
            painted = 255 * part[..., :3] + (1 - part[..., 3:]) * painted
    return painted


def test_parts_are_laid_over_each_other_in_their_order(source, target, image, mask):
    labels, affines = part_labels(source, mask), estimate_affines(source, target)
    painted = warp_crops(crop_parts(np.dstack([image, np.full(SIZE, 255, np.uint8)]), labels), affines, image)
    assert painted.dtype == np.uint8 and painted.shape == (*SIZE, 3) and (painted != image).any()
    # OpenCV resamples 8-bit pictures at positions rounded to 1/32 of a pixel, and this picture is noise.
    assert np.abs(painted - full_frame_painting(image, labels, affines, image)).mean() < 1.5


def test_in_its_own_pose_the_frame_is_as_it_was(source, image, mask):
    mask = mask.copy()
    mask[:8, 60:70] = 255  # hair, which no part's shape covers
    shown = Appearance(image, source, mask).warp(estimate_affines(source, source))
    rim = (cv2.dilate(mask, np.ones((3, 3), np.uint8)) > 0) & (mask == 0)
    assert not part_shapes(source, SIZE)[:, :8, 60:70].any()
    np.testing.assert_allclose(shown[~rim], image[~rim], atol=1)


def test_the_room_is_seen_where_the_person_was(source, mask):
    """Also without a pose to put the person in."""
    image = np.full((*SIZE, 3), 90, np.uint8)
    image[cv2.dilate(mask, np.ones((3, 3), np.uint8)) > 0] = 250
    nowhere = np.zeros_like(source)
    assert (Appearance(image, source, mask).warp(estimate_affines(source, nowhere)) == 90).all()


def test_arms_hide_the_torso(source, image, mask):
    """A forearm laid over the chest is seen, though it is darker."""
    forearm, torso = PARTS.index("right_forearm"), PARTS.index("torso")
    crops = [PartCrop(np.zeros((0, 0, 4), np.uint8), 0, 0) for _ in PARTS]
    crops[torso] = PartCrop(np.full((40, 40, 4), 255, np.uint8), 10, 10)
    crops[forearm] = PartCrop(np.dstack([np.full((10, 30, 3), 20, np.uint8), np.full((10, 30), 255, np.uint8)]), 15, 20)
    same = estimate_affines(source, source)
    painted = warp_crops(crops, same, np.zeros((*SIZE, 3), np.uint8))
    assert (painted[22:28, 17:43] == 20).all() and (painted[12:18, 12:48] == 255).all() and not painted[60:].any()


def test_parts_divide_the_person(source, mask):
    """Each pixel goes with its nearest part, and with another one only near the seam between the two."""
    mask = mask.copy()
    mask[:8, 60:70] = 255  # hair, which no part's shape covers
    opaque = np.full((*SIZE, 3), 255, np.uint8)
    crops = Appearance(opaque, source, mask)._crops
    parts = np.zeros((len(PARTS), *SIZE), bool)
    for part, crop in zip(parts, crops, strict=True):
        height, width = crop.image.shape[:2]
        part[crop.top : crop.top + height, crop.left : crop.left + width] = crop.image[..., 3] > 0
    np.testing.assert_array_equal(parts.any(axis=0), mask > 0)
    distances = np.sort(part_distances(source, SIZE), axis=0)
    np.testing.assert_array_equal(parts.sum(axis=0)[mask > 0] > 1, (distances[1] - distances[0])[mask > 0] <= 0.5)
