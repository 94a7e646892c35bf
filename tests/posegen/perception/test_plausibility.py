"""Joints that nobody's body allows, and people who look like somebody else."""

from __future__ import annotations

import numpy as np

from posegen.perception.blazepose import Region, Sighting, follow_both_ways
from posegen.perception.clothes_look import LIKELY_SAME, SURELY_OTHER, LookMemory, look_of, similarity
from posegen.perception.person_box import grow_box
from posegen.perception.plausibility import drop_implausible, steady_sizes
from posegen.skeletons import joint_indices

WRIST, ELBOW, NECK = joint_indices(["right_wrist", "right_elbow", "neck"])


def standing(num_frames: int) -> np.ndarray:
    """All joints within a tenth of the square around a body."""
    joints = np.random.default_rng(0).uniform(95, 105, (18, 2))
    pose = np.concatenate([joints, np.ones((18, 1))], axis=1)
    return np.repeat(pose[None], num_frames, axis=0)


def test_limbs_across_the_sky_are_dropped():
    keypoints = standing(9)
    keypoints[4, WRIST, :2] = 300, 20
    kept = drop_implausible(keypoints, np.full(9, 100.0))
    assert kept[4, WRIST, 2] == 0 and (kept[..., 2] == 0).sum() == 1
    keypoints[4, WRIST, :2] = keypoints[4, ELBOW, :2] + [20, 0]
    np.testing.assert_array_equal(drop_implausible(keypoints, np.full(9, 100.0)), keypoints)


def test_a_body_does_not_grow_within_a_frame():
    sizes = np.array([100.0] * 4 + [190] + [100] * 4)
    kept = drop_implausible(standing(9), sizes)
    assert (kept[4] == 0).all() and (np.delete(kept, 4, axis=0)[..., 2] > 0).all()
    assert steady_sizes(np.array([0.0, 0, 0, 0, 100, 0])).tolist() == [0, 100, 100, 100, 100, 100]


def colored(color: tuple[int, int, int]) -> np.ndarray:
    return np.full((64, 64, 3), color, np.uint8)


def test_looks_tell_clothes_apart_and_bear_with_the_light():
    mask = np.full((64, 64), 255, np.uint8)
    red, dim_red, blue = (look_of(colored(c), mask) for c in [(180, 40, 40), (171, 38, 38), (40, 40, 180)])
    assert similarity(red, dim_red) >= LIKELY_SAME > SURELY_OTHER > similarity(red, blue)
    assert look_of(colored((1, 2, 3)), np.zeros((64, 64), np.uint8)) is None
    memory = LookMemory()
    assert memory.fits(blue, LIKELY_SAME)  # nobody is known yet
    memory.learn(red)
    assert memory.fits(dim_red, LIKELY_SAME) and memory.fits(None, 1.0) and not memory.fits(blue, SURELY_OTHER)


class Scene:
    """Networks that see, in each frame of colour, whoever stands there: {frame: (x, colour)}."""

    def __init__(self, people: list[float | None]):
        self.people = people

    def detect(self, image: np.ndarray) -> list[Region]:
        x = self.people[image[0, 0, 0]]
        return [] if x is None else [Region(x, 50.0, 40.0, 0.0)]

    def look(self, image: np.ndarray, region: Region) -> Sighting:
        x = self.people[image[0, 0, 0]]
        found = x is not None and abs(x - region.x) < 10
        landmarks = np.zeros((39, 3))
        landmarks[33:35, :2] = [[x, 50], [x, 34]] if found else [[0, 0], [0, 1]]
        mask = np.full((256, 256), 255, np.uint8)
        return Sighting(landmarks, np.zeros((39, 3)), 0.9 if found else 0.1, mask, region)


def play(people: list[float | None], colors: list[tuple[int, int, int]]) -> list[bool]:
    images = np.stack([np.full((100, 100, 3), color, np.uint8) for color in colors])
    images[:, 0, 0, 0] = np.arange(len(people))
    return [one is not None for one in follow_both_ways(Scene(people), list(images))]


RED, BLUE = (180, 40, 40), (40, 40, 180)


def test_nobody_takes_the_place_of_somebody_who_walked_out():
    people = [50.0] * 6 + [None] * 2 + [52.0] * 2
    assert play(people, [RED] * 8 + [BLUE] * 2) == [True] * 6 + [False] * 4
    assert play(people, [RED] * 10) == [True] * 6 + [False] * 2 + [True] * 2  # the same person comes back


def test_a_track_does_not_slide_to_somebody_else():
    assert play([50.0] * 8, [RED] * 5 + [BLUE] * 3) == [True] * 5 + [False] * 3


def test_who_stays_longer_is_followed():
    people = [50.0] * 2 + [None] + [52.0] * 9
    assert play(people, [RED] * 3 + [BLUE] * 9) == [False] * 3 + [True] * 9


def test_boxes_grow_into_the_picture_before_they_leave_it():
    assert grow_box((0, 20, 20, 80), 1.0, (100, 100)) == (0, 20, 60, 80)  # moved in at the left
    assert grow_box((40, 40, 60, 60), 0.5, (100, 100)) == (40, 30, 60, 70)
    x0, _, x1, _ = grow_box((10, 0, 50, 100), 1.5, (100, 100))
    assert (x0, x1) == (-25, 125)  # wider than the picture: as much on both sides
