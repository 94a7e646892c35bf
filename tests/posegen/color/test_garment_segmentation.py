"""Garments of people whose clothes are known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from posegen.color.garment_segmentation import LOWER, NONE, UPPER, garment_labels
from posegen.color.lab import rgb_to_lab
from posegen.color.recoloring import RecoloringSettings, plan_clip, recolor_clip
from posegen.synthetic.studio import RenderSettings, StudioClip, render_action

CASES = [  # long and short sleeves, trousers and shorts, patterns, skin like cloth, and poses that hide parts
    ("ada", "jumping_jacks", (96, 64)),
    ("chloe", "boxing_guard", (96, 64)),
    ("farid", "kick", (96, 64)),
    ("bruno", "bow", (96, 64)),
    ("luis", "squat", (192, 128)),
    ("imani", "wave_one_hand", (384, 256)),
]


@pytest.fixture(scope="module", params=CASES, ids=lambda case: case[0])
def clip(request) -> StudioClip:
    person, action, size = request.param
    return render_action(person, action, 8, RenderSettings(size=size))


def intersection_over_union(labels: np.ndarray, truth: np.ndarray, label: int) -> float:
    ours, theirs = labels == label, truth == label
    return (ours & theirs).sum() / (ours | theirs).sum()


def test_garments_are_found(clip):
    labels = garment_labels(clip.images, clip.keypoints, clip.masks)
    assert labels.dtype == np.uint8 and labels.shape == clip.masks.shape
    for label in (UPPER, LOWER):
        assert intersection_over_union(labels, clip.garments, label) > 0.88
    assert (labels[clip.masks == 0] == NONE).all()


def test_a_rough_pose_is_enough(clip):
    noise = np.random.default_rng(0).normal(0, 0.008 * clip.masks.shape[1], (*clip.keypoints.shape[:2], 2))
    keypoints = clip.keypoints.copy()
    keypoints[..., :2] += noise
    labels = garment_labels(clip.images, keypoints, clip.masks)
    for label in (UPPER, LOWER):
        assert intersection_over_union(labels, clip.garments, label) > 0.8


def test_recolored_clips_have_the_designated_colors(clip):
    labels = garment_labels(clip.images, clip.keypoints, clip.masks)
    errors = []
    settings = RecoloringSettings(scope="frame", region="both", num_recolorings=2, seed=0)
    plan = plan_clip(clip.images, labels, settings, clip.person)
    for recoloring in recolor_clip(clip.images, labels, plan):
        own, original = labels[recoloring.frame], clip.images[recoloring.frame]
        before, after = rgb_to_lab(original), rgb_to_lab(recoloring.image)
        for label, designated in ((UPPER, recoloring.upper_ab), (LOWER, recoloring.lower_ab)):
            errors.append(np.abs(after[own == label, 1:].mean(axis=0) - designated).max())
        assert (recoloring.image[own == NONE] == original[own == NONE]).all()
        assert np.abs(after[..., 0] - before[..., 0]).max() < 1
    assert np.median(errors) < 3


@pytest.fixture(scope="module")
def bare() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A drawn person, (1, 200, 120, 3), in a red T-shirt and blue shorts: every colour but skin appears once."""
    joints = {0: (60, 28), 1: (60, 50), 2: (45, 50), 3: (25, 65), 4: (10, 85), 5: (75, 50), 6: (95, 65), 7: (110, 85)}
    joints |= {8: (50, 105), 9: (47, 145), 10: (45, 182), 11: (70, 105), 12: (73, 145), 13: (75, 182)}
    joints |= {14: (56, 25), 15: (64, 25), 16: (51, 27), 17: (69, 27)}
    skin, red, blue, black = (220, 170, 140), (190, 30, 40), (40, 60, 160), (20, 20, 20)
    image, mask = np.full((200, 120, 3), (200, 205, 200), np.uint8), np.zeros((200, 120), np.uint8)

    def line(start: tuple[int, int], end: tuple[int, int], width: int, color: tuple[int, int, int]) -> None:
        cv2.line(image, start, end, color, width)
        cv2.line(mask, start, end, 255, width)

    for shoulder, elbow, wrist in ((2, 3, 4), (5, 6, 7)):
        line(joints[shoulder], joints[elbow], 12, red)
        line(joints[elbow], joints[wrist], 9, skin)
    for hip, knee, ankle in ((8, 9, 10), (11, 12, 13)):
        line(joints[knee], joints[ankle], 11, skin)
        line(joints[hip], joints[knee], 19, blue)
        line(joints[ankle], (joints[ankle][0], 190), 11, black)
    line((60, 40), (60, 50), 9, skin)
    line((60, 28), (60, 30), 26, skin)
    corners = np.array([(43, 46), (77, 46), (76, 100), (44, 100)])
    cv2.fillConvexPoly(image, corners, red)
    cv2.fillConvexPoly(mask, corners, 255)
    keypoints = np.zeros((1, 18, 3), np.float32)
    for index, (x, y) in joints.items():
        keypoints[0, index] = x, y, 1
    return image[None], keypoints, mask[None]


def test_skin_is_no_garment(bare):
    images, keypoints, masks = bare
    labels = garment_labels(images, keypoints, masks)[0]
    skin = (images[0] == (220, 170, 140)).all(axis=-1)
    assert (labels[skin] != NONE).mean() < 0.06  # smoothing crosses sleeve ends by a pixel
    assert (labels[(images[0] == (190, 30, 40)).all(axis=-1)] == UPPER).mean() > 0.94
    assert (labels[(images[0] == (40, 60, 160)).all(axis=-1)] == LOWER).mean() > 0.94


def test_frames_without_a_trunk_are_left_out(bare):
    images, keypoints, masks = (np.repeat(array, 2, axis=0) for array in bare)
    keypoints[1, 8] = 0
    labels = garment_labels(images, keypoints, masks)
    assert labels[0].any() and not labels[1].any()
    assert not garment_labels(images, np.zeros_like(keypoints), masks).any()


def test_missing_limbs_and_faces_are_survived(bare):
    images, keypoints, masks = bare
    trunk_only = np.where(np.isin(np.arange(18), [2, 5, 8, 11])[:, None], keypoints, 0)
    labels = garment_labels(images, trunk_only, masks)[0]
    assert labels[75, 60] == UPPER


def test_shapes_must_fit(bare):
    images, keypoints, masks = bare
    with pytest.raises(ValueError, match="expected \\(T, H, W, 3\\)"):
        garment_labels(images, keypoints, masks[:, ::2])
    with pytest.raises(ValueError, match="expected \\(T, H, W, 3\\)"):
        garment_labels(images, keypoints[:0], masks)
