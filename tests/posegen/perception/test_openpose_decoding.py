"""Decoding of confidence maps and part affinity fields that known people would give."""

from __future__ import annotations

import numpy as np
import pytest

from posegen.perception.openpose_decoding import (
    FIELD_LIMBS,
    MIN_HEAT,
    brightest_person,
    decode_people,
    find_peaks,
    match_limbs,
    score_limbs,
)
from posegen.skeletons import LIMBS, OPENPOSE_18, joint_indices

HEIGHT, WIDTH = 184, 240
STANDING = np.array(
    [
        [0, -62],
        [0, -45],
        [-16, -44],
        [-24, -20],
        [-28, 4],
        [16, -44],
        [24, -20],
        [28, 4],
        [-9, 2],
        [-10, 36],
        [-11, 70],
        [9, 2],
        [10, 36],
        [11, 70],
        [-6, -68],
        [6, -68],
        [-12, -65],
        [12, -65],
    ],
    float,
)
"""A person of 140 pixels who faces the camera, in the joints' order."""


def person(x: float, y: float = 90.3, scale: float = 1.0) -> np.ndarray:
    return STANDING * scale + [x, y]


def draw(*people: np.ndarray, sigma: float = 3.0, width: float = 3.0) -> tuple[np.ndarray, np.ndarray]:
    """The maps that a perfect network would give; a joint that is not a number is not there."""
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(float)
    heat, fields = np.zeros((HEIGHT, WIDTH, 18)), np.zeros((HEIGHT, WIDTH, 38))
    for points in people:
        for joint, (px, py) in enumerate(points):
            if np.isfinite(px):
                distance = ((x - px) ** 2 + (y - py) ** 2) / (2 * sigma**2)
                heat[..., joint] = np.maximum(heat[..., joint], np.exp(-distance))
        for limb, (a, b) in enumerate(joint_indices(names) for names in FIELD_LIMBS):
            delta = points[b] - points[a]
            length = np.linalg.norm(delta)
            if np.isfinite(length) and length > 0:
                unit = delta / length
                along = (x - points[a, 0]) * unit[0] + (y - points[a, 1]) * unit[1]
                across = abs((x - points[a, 0]) * unit[1] - (y - points[a, 1]) * unit[0])
                on = (along > -width) & (along < length + width) & (across < width)
                fields[on, 2 * limb : 2 * limb + 2] = unit
    return heat, fields


def test_fields_cover_the_limbs_in_the_published_channels():
    assert len(FIELD_LIMBS) == 19 and set(LIMBS) < set(FIELD_LIMBS)
    channels = {limb: 2 * index for index, limb in enumerate(FIELD_LIMBS)}
    names = OPENPOSE_18
    published = {(1, 2): 12, (1, 5): 20, (2, 3): 14, (3, 4): 16, (5, 6): 22, (6, 7): 24, (1, 8): 0, (8, 9): 2}
    published |= {(9, 10): 4, (1, 11): 6, (11, 12): 8, (12, 13): 10, (1, 0): 28, (0, 14): 30, (14, 16): 34}
    published |= {(0, 15): 32, (15, 17): 36, (2, 16): 18, (5, 17): 26}
    assert {(names[a], names[b]): channel for (a, b), channel in published.items()} == channels


def test_one_person_is_found_to_a_fraction_of_a_pixel():
    truth = person(100.4)
    people = decode_people(*draw(truth))
    assert people.keypoints.shape == (1, 18, 3)
    np.testing.assert_allclose(people.keypoints[0, :, :2], truth, atol=0.55)
    assert (people.keypoints[..., 2] > 0.9).all()  # the maps' own confidence, not that of the smoothed ones
    assert 18 + 15 < people.scores[0] <= 18 + 17  # all joints, and a tree of 17 limbs between them


def test_two_people_keep_their_own_joints():
    left, right = person(60), person(150, scale=0.8)
    people = decode_people(*draw(left, right))
    assert len(people.scores) == 2
    found = people.keypoints[people.keypoints[:, 1, 0].argsort()]
    np.testing.assert_allclose(found[0, :, :2], left, atol=0.6)
    np.testing.assert_allclose(found[1, :, :2], right, atol=0.6)


def test_people_who_overlap_are_told_apart_by_the_fields():
    left, right = person(100), person(122)  # the arm of one lies over the body of the other
    people = decode_people(*draw(left, right, sigma=2.0, width=1.5))
    assert len(people.scores) == 2
    found = people.keypoints[people.keypoints[:, 1, 0].argsort()]
    for pose, truth in zip(found, (left, right), strict=True):
        seen = pose[:, 2] > 0
        assert seen.sum() >= 15
        np.testing.assert_allclose(pose[seen, :2], truth[seen], atol=1.5)


def test_missing_joints_are_zero_and_the_rest_is_found():
    truth = person(100)
    gone = [OPENPOSE_18.index(name) for name in ("left_wrist", "right_ankle", "right_ear")]
    truth[gone] = np.nan
    (pose,) = decode_people(*draw(truth)).keypoints
    assert not pose[gone].any()
    kept = np.setdiff1d(np.arange(18), gone)
    np.testing.assert_allclose(pose[kept, :2], truth[kept], atol=0.55)


def test_joints_in_one_place_do_not_divide_by_zero():
    truth = person(100)
    wrist, elbow = (OPENPOSE_18.index(f"left_{name}") for name in ("wrist", "elbow"))
    truth[wrist] = truth[elbow]
    maps = draw(truth)
    with np.errstate(divide="raise", invalid="raise"):
        (pose,) = decode_people(*maps).keypoints
    assert pose[elbow, 2] > 0 and not pose[wrist].any()  # no direction, no limb


def test_few_or_faint_joints_are_nobody():
    truth = person(100)
    truth[[*range(3), *range(4, 18)]] = np.nan
    assert decode_people(*draw(truth)).scores.shape == (0,)  # an elbow alone
    heat, fields = draw(person(100))
    assert len(decode_people(heat * 0.14, fields * 0.12).scores) == 0  # above MIN_HEAT, but below 0.4 a joint
    assert decode_people(np.zeros_like(heat), fields).keypoints.shape == (0, 18, 3)


def test_maps_of_other_shapes_are_refused():
    with pytest.raises(ValueError, match=r"got maps \(8, 8, 19\) and \(8, 8, 38\), expected \(H, W, 18\)"):
        decode_people(np.zeros((8, 8, 19)), np.zeros((8, 8, 38)))


@pytest.mark.parametrize("x", [40.0, 40.25, 40.5, 3.0, 0.0])
def test_a_maximum_is_one_peak_wherever_it_lies(x):
    """Half way between two pixels both are equally high."""
    heat, _ = draw(np.vstack([[x, 50.5], np.full((17, 2), np.nan)]))
    peaks = find_peaks(heat)
    assert peaks.joints.tolist() == [0]
    np.testing.assert_allclose(peaks.points[0], [x, 50.5], atol=0.55 if x > 9 else 1.1)
    np.testing.assert_allclose(peaks.scores, heat.max(), rtol=0.1)


def test_plateaus_and_low_maxima_give_no_more_peaks_than_they_should():
    heat = np.zeros((60, 60, 2))
    heat[20:22, 30:32, 0] = 5  # smoothed it stays below 1
    heat[..., 1] = 0.9 * MIN_HEAT
    peaks = find_peaks(heat)
    np.testing.assert_allclose(peaks.points, [[30.5, 20.5]], atol=0.55)
    assert peaks.scores[0] == 1  # the confidence is cut off there


def test_limbs_need_a_field_that_points_along_them():
    field = np.zeros((100, 100, 2))
    field[50, :, 0] = 0.8
    starts, ends = np.array([[20.0, 50], [40, 50]]), np.array([[40.0, 50], [20, 50], [20, 90]])
    scores = score_limbs(field, starts, ends)
    np.testing.assert_allclose(scores, [[0.8, 0, 0], [0, 0, 0]], atol=1e-6)


def test_limbs_need_support_all_the_way_and_long_ones_cost():
    field = np.zeros((100, 300, 2))
    field[..., 0] = 1
    start = np.array([[10.0, 50]])
    np.testing.assert_allclose(score_limbs(field, start, np.array([[90.0, 50]])), 50 / 80)
    np.testing.assert_allclose(score_limbs(field, start, np.array([[50.0, 50]])), 1)
    field[:, 14:24] = 0  # two of ten samples
    assert score_limbs(field, start, np.array([[50.0, 50]])) == 0
    field[:, 18:24] = 1  # one of ten
    np.testing.assert_allclose(score_limbs(field, start, np.array([[50.0, 50]])), 0.9)


def test_matching_takes_the_best_first_and_each_once():
    scores = np.array([[0.9, 0.8, 0.0], [0.85, 0.1, 0.0], [0.0, 0.0, 0.0]])
    assert match_limbs(scores) == [(0, 0), (1, 1)]
    assert match_limbs(np.zeros((0, 4))) == []


def test_brightest_joints_are_one_person_without_limbs():
    heat, fields = draw(person(60), person(150, scale=0.8))
    dimmed, _ = draw(person(150, scale=0.8))
    heat = heat - 0.4 * dimmed
    assert len(decode_people(heat, np.zeros_like(fields)).scores) == 0
    people = brightest_person(heat)
    assert people.keypoints.shape == (1, 18, 3)
    np.testing.assert_allclose(people.keypoints[0, :, :2], person(60), atol=0.6)
    np.testing.assert_allclose(people.scores, people.keypoints[..., 2].sum())
    assert brightest_person(heat[..., :3]).scores.shape == (0,)  # too few
