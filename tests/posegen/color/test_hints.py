"""Hints: how many and where in training, and on the body."""

from __future__ import annotations

import numpy as np
import pytest

from posegen.color.garment_segmentation import LOWER, UPPER
from posegen.color.hints import body_hints, garment_points, sample_hints
from posegen.skeletons import OPENPOSE_18

SIZE = (384, 256)
POSE = {
    "nose": (128, 60),
    "neck": (128, 90),
    "right_shoulder": (98, 90),
    "right_elbow": (88, 140),
    "right_wrist": (82, 185),
    "left_shoulder": (158, 90),
    "left_elbow": (168, 140),
    "left_wrist": (174, 185),
    "right_hip": (110, 190),
    "right_knee": (108, 260),
    "right_ankle": (106, 330),
    "left_hip": (146, 190),
    "left_knee": (148, 260),
    "left_ankle": (150, 330),
    "right_eye": (120, 52),
    "left_eye": (136, 52),
}
PURPLE = (40.0, -30.0)


@pytest.fixture
def keypoints() -> np.ndarray:
    return np.array([(*POSE[name], 1) if name in POSE else (0, 0, 0) for name in OPENPOSE_18], np.float32)


@pytest.fixture
def garments() -> np.ndarray:
    """A shirt with sleeves to the elbows' middle, and trousers to the calves."""
    labels = np.zeros(SIZE, np.uint8)
    labels[80:188, 84:173] = UPPER
    labels[125:188, 84:95] = labels[125:188, 162:173] = 0  # bare forearms, elbows included
    labels[188:320, 95:162] = LOWER
    return labels


@pytest.fixture
def ab() -> np.ndarray:
    rows, columns = np.indices(SIZE)
    return np.stack([rows / 10.0, columns / -10.0], axis=-1)


def at(hints: np.ndarray, joint: str) -> np.ndarray:
    x, y = POSE[joint]
    return hints[y, x]


def test_number_of_hints_is_geometric():
    """With p = 1/8 an eighth of the pictures has none, and few have very many."""
    rng = np.random.default_rng(0)
    ab = np.full((64, 48, 2), 20.0)
    empty = [not sample_hints(ab, rng)[..., 2].any() for _ in range(2000)]
    assert np.mean(empty) == pytest.approx(1 / 8, abs=0.03)


def test_hints_lie_about_the_centre():
    rng = np.random.default_rng(0)
    masks = np.stack([sample_hints(np.zeros((64, 48, 2)), rng)[..., 2] for _ in range(1000)])
    often = masks.mean(axis=0)
    assert often[24:40, 16:32].mean() > 2 * often[:6, :6].mean() > 0


def test_a_hint_is_the_mean_of_its_square():
    rng = np.random.default_rng(3)
    ab = rng.normal(0, 30, (64, 48, 2))
    alone = None
    while alone is None:
        hints = sample_hints(ab, rng)
        rows, columns = np.nonzero(hints[..., 2])
        if len(rows) > 1 and len(np.unique(hints[rows, columns], axis=0)) == 1:
            alone = hints
    square = np.s_[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    side = rows.max() - rows.min() + 1
    assert side <= 9 and len(rows) == side**2
    np.testing.assert_allclose(alone[rows[0], columns[0], :2], ab[square].mean(axis=(0, 1)), rtol=1e-5)
    assert alone.dtype == np.float32 and not alone[alone[..., 2] == 0].any()


def test_same_generator_same_hints():
    ab = np.random.default_rng(0).normal(0, 30, (32, 24, 2))
    first, again = (sample_hints(ab, np.random.default_rng(7)) for _ in range(2))
    np.testing.assert_array_equal(first, again)


def test_points_of_the_garments(keypoints):
    upper, lower = garment_points(keypoints, UPPER), garment_points(keypoints, LOWER)
    assert upper.shape == (5 + 2 + 12, 3) and lower.shape == (4 + 4, 3)
    assert [93, 115, 1] in upper.tolist()  # amid the right upper arm
    assert [109, 225, 1] in lower.tolist() and [107, 295, 1] in lower.tolist()  # thigh and calf
    grid = upper[7:].reshape(4, 3, 3)
    np.testing.assert_allclose(grid[:, 1], [[128, 102.5, 1], [128, 127.5, 1], [128, 152.5, 1], [128, 177.5, 1]])
    assert (np.diff(grid[..., 0], axis=1) > 0).all()


def test_colours_are_on_the_garment_and_anchors_beside_it(ab, keypoints, garments):
    hints = body_hints(ab, keypoints, garments, {UPPER: PURPLE, LOWER: None})
    for joint in ("neck", "right_shoulder", "left_shoulder"):
        np.testing.assert_allclose(at(hints, joint), [*PURPLE, 1])
    for joint in ("nose", "left_eye", "right_wrist", "left_ankle", "right_knee", "left_hip"):
        x, y = POSE[joint]
        np.testing.assert_allclose(at(hints, joint), [y / 10, x / -10, 1], rtol=1e-5)
    assert hints[140, 88, 2] == 1 and hints[140, 88, 0] == pytest.approx(14.0)  # an elbow below a short sleeve


def test_a_square_has_seven_pixels(ab, keypoints, garments):
    hints = body_hints(ab, keypoints, garments, {LOWER: PURPLE})
    x, y = POSE["right_knee"]
    assert hints[y - 3 : y + 4, x - 3 : x + 4, 2].all()
    assert not hints[y - 4, x - 4 : x + 5, 2].any() and not hints[y - 4 : y + 5, x + 4, 2].any()


def test_both_garments_have_their_own(ab, keypoints, garments):
    hints = body_hints(ab, keypoints, garments, {UPPER: PURPLE, LOWER: (-50.0, 10.0)})
    np.testing.assert_allclose(at(hints, "neck"), [*PURPLE, 1])
    np.testing.assert_allclose(at(hints, "left_knee"), [-50, 10, 1])


def test_missing_joints_give_no_hints(ab, keypoints, garments):
    keypoints[:, 2] = 0
    assert not body_hints(ab, keypoints, garments, {UPPER: PURPLE}).any()


def test_joints_outside_the_picture_give_no_hints(ab, keypoints, garments):
    keypoints[:, 0] += 256
    assert not body_hints(ab, keypoints, garments, {UPPER: PURPLE}).any()


def test_squares_are_cut_at_the_border(ab, keypoints, garments):
    keypoints[:, :2] = 0
    hints = body_hints(ab, keypoints, garments, {UPPER: PURPLE})
    assert hints[:4, :4, 2].all() and hints[..., 2].sum() == 16
