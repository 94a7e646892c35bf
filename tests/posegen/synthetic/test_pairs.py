"""Pairs of the studio: what is true of one picture is found in the other."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from posegen.errors import ConfigError
from posegen.motion.motion import Motion
from posegen.person_classes import PersonClass
from posegen.synthetic.motions import make_subject, perform
from posegen.synthetic.studio import RenderSettings, StudioPair, render_pair, vary_person
from posegen.synthetic.studio.pairs import facing, pair_motion
from posegen.synthetic.studio.people import CAST, StudioPerson
from posegen.synthetic.studio.retarget import retarget

PLAIN = replace(CAST["grace"], upper_pattern="plain", lower_pattern="plain")
SETTINGS = RenderSettings(size=(256, 176), seed=2)


def motion_of(person: StudioPerson, action: str = "walk") -> Motion:
    return retarget(perform(action, make_subject(1), frames=40), person)


@pytest.fixture(scope="module")
def pair() -> StudioPair:
    """A walk, seen from two sides."""
    return render_pair(PLAIN, pair_motion(motion_of(PLAIN), (0, 14), (-20.0, 25.0)), SETTINGS)


def test_albedo_of_one_picture_is_found_in_the_other(pair):
    warped = cv2.remap(pair.albedo[0], np.nan_to_num(pair.source, nan=-9), None, cv2.INTER_LINEAR)
    difference = np.abs(warped.astype(int) - pair.albedo[1]).max(axis=-1)
    assert np.median(difference[pair.visible]) <= 2
    assert 0.5 < pair.visible.sum() / np.isfinite(pair.source[..., 0]).sum() < 0.95  # from another side


def test_classes_and_depths_are_those_of_the_surface(pair):
    ys, xs = np.nonzero(pair.visible)
    x, y = pair.source[ys, xs].round().astype(int).T
    assert (pair.classes[0][y, x] == pair.classes[1][ys, xs]).all()
    assert set(np.unique(pair.classes)) == {
        PersonClass.BACKGROUND, PersonClass.HAIR, PersonClass.SKIN, PersonClass.UPPER, PersonClass.LOWER,
        PersonClass.SHOES,
    }  # fmt: skip
    assert (np.isfinite(pair.depths) == (pair.classes > 0)).all()
    assert ((pair.classes > 0) == (pair.masks > 0)).mean() > 0.98  # centres of pixels, and halves


def test_a_picture_lies_on_itself():
    pair = render_pair(PLAIN, pair_motion(motion_of(PLAIN), (5, 5), (10.0, 10.0)), SETTINGS)
    person = np.isfinite(pair.source[..., 0])
    ys, xs = np.nonzero(person)
    np.testing.assert_allclose(pair.source[ys, xs], np.stack([xs, ys], axis=1), atol=0.01)
    assert pair.visible[person].all()
    np.testing.assert_array_equal(pair.images[0], pair.images[1])


def test_poses_have_depths_feet_and_hidden_faces():
    pair = render_pair(PLAIN, pair_motion(motion_of(PLAIN, "wave_one_hand"), (0, 10), (0.0, 180.0)), SETTINGS)
    assert (pair.poses.keypoints[0, :, 2] > 0).all() and pair.poses.keypoints[1, 0, 2] == 0  # no nose from behind
    assert np.isfinite(pair.poses.depths).all() and (pair.poses.toes[..., 2] > 0).all()
    assert (pair.poses.toes[:, :, 1] > pair.poses.keypoints[:, [8, 11], 1]).all()


def test_equal_arguments_give_equal_pairs(pair):
    again = render_pair(PLAIN, pair_motion(motion_of(PLAIN), (0, 14), (-20.0, 25.0)), SETTINGS)
    np.testing.assert_array_equal(again.images, pair.images)
    np.testing.assert_array_equal(again.source, pair.source)


def test_a_pair_has_two_frames():
    with pytest.raises(ConfigError, match="2 frames"):
        render_pair(PLAIN, motion_of(PLAIN), SETTINGS)


def test_views_turn_the_person():
    motion = pair_motion(motion_of(PLAIN), (0, 0), (30.0, -40.0))
    turned = facing(motion)
    assert turned[0] - turned[1] == pytest.approx(70, abs=1)


def test_people_vary():
    people = [vary_person(np.random.default_rng(seed)) for seed in range(8)]
    assert len({person.upper for person in people}) == 8 and len({person.hair_style for person in people}) > 3
    assert vary_person(np.random.default_rng(3)) == people[3]
