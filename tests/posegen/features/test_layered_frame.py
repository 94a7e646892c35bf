"""Frames of a layered person with where each pixel comes from."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from posegen.features.background import fill_background
from posegen.features.body_pose import BodyPoses
from posegen.features.layered_person import LayeredPerson
from posegen.features.matte import soft_matte
from posegen.synthetic.motions import make_subject, perform
from posegen.synthetic.studio import RenderSettings, StudioPair, render_pair
from posegen.synthetic.studio.pairs import pair_motion
from posegen.synthetic.studio.people import CAST
from posegen.synthetic.studio.retarget import retarget


@pytest.fixture(scope="module")
def pair() -> StudioPair:
    person = CAST["farid"]
    motion = retarget(perform("wave_one_hand", make_subject(0), frames=40), person)
    return render_pair(person, pair_motion(motion, (0, 25), (0.0, 0.0)), RenderSettings(size=(256, 176)))


@pytest.fixture(scope="module")
def person(pair) -> LayeredPerson:
    image, mask = pair.images[0], pair.masks[0]
    background = fill_background(image, mask, pair.poses[0])
    return LayeredPerson.take_apart(image, pair.poses[0], pair.classes[0], soft_matte(image, mask), background)


def test_picture_is_that_of_frame(person, pair):
    found = person.frame_with_map(pair.poses[1])
    np.testing.assert_array_equal(found.image, person.frame(pair.poses[1]))


def test_pixels_come_from_where_it_says(person, pair):
    found = person.frame_with_map(pair.poses[1])
    there = cv2.remap(pair.images[0], found.positions, None, cv2.INTER_LINEAR)
    opaque = found.sure & (found.opacity == 255)
    difference = np.abs(there.astype(int) - found.image).max(axis=-1)[opaque]
    assert opaque.sum() > 0.7 * (found.opacity == 255).sum() and np.quantile(difference, 0.9) <= 4
    both = opaque & pair.visible
    assert np.median(np.linalg.norm(found.positions - pair.source, axis=-1)[both]) < 1.5


def test_maps_go_on_beyond_the_border(person, pair):
    found = person.frame_with_map(pair.poses[1])
    beyond = (found.layers >= 0) & (found.opacity == 0)
    assert 0 < beyond.sum() < (found.opacity > 0).sum()
    assert (found.layers[found.opacity > 127] >= 0).all()
    nobody = found.layers < 0
    ys, xs = np.nonzero(nobody)
    np.testing.assert_array_equal(found.positions[ys, xs], np.stack([xs, ys], axis=1))
    assert not found.sure[nobody].any()


def test_borrowed_limbs_come_from_the_other_side(pair):
    keypoints = pair.poses.keypoints[0].copy()
    keypoints[[6, 7]] = 0  # left elbow and wrist
    pose = replace(pair.poses[0], keypoints=keypoints)
    image = pair.images[0]
    person = LayeredPerson.take_apart(image, pose, pair.classes[0], soft_matte(image, pair.masks[0]), image)
    left_arm = 3
    assert left_arm in person.borrowed
    found = person.frame_with_map(pair.poses[0])
    ys, xs = np.nonzero((found.layers == left_arm) & found.sure & (found.opacity == 255))
    assert len(xs) and (found.positions[ys, xs, 0] < keypoints[1, 0]).mean() > 0.9  # of the right arm, left in it


def test_without_a_trunk_there_is_nobody(person):
    found = person.frame_with_map(BodyPoses.from_keypoints(np.zeros((18, 3), np.float32)))
    np.testing.assert_array_equal(found.image, person.background)
    assert not found.opacity.any() and (found.layers == -1).all()
