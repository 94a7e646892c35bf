"""The procedural corpus: bodies that keep their limbs, stand on the floor and do what their label says."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from posegen.motion.anatomy import body_height
from posegen.motion.editing import find_rotations, placement
from posegen.motion.motion import Motion
from posegen.motion.quality import measure_quality
from posegen.motion.rotations import matrix_to_axis_angle, rot6d_rows_to_matrix
from posegen.skeletons import SMPL_24
from posegen.synthetic.actions import ACTIONS
from posegen.synthetic.motions import generate_corpus, make_subject, perform

HEAD, WRISTS = SMPL_24.index("head"), [SMPL_24.index(f"{side}_wrist") for side in ("left", "right")]


@pytest.fixture(scope="module")
def corpus():
    return list(generate_corpus(subjects=8, takes=2))


def of(corpus, action):
    return [motion for motion in corpus if motion.label_name == action]


def test_the_corpus_has_every_action_of_everyone(corpus):
    assert len(ACTIONS) == 30
    assert len(corpus) == 30 * 8 * 2
    assert {(motion.meta["subject"], motion.label) for motion in corpus} == {
        (subject, label) for subject in range(8) for label in range(30)
    }
    assert all(3 * 25 - 1 <= len(motion) <= 6 * 25 and motion.fps == 25 for motion in corpus)


def test_the_same_seed_makes_the_same_motion():
    first, again = (perform("walk", make_subject(3, seed=1), 2, seed=1) for _ in range(2))
    np.testing.assert_array_equal(first.joints, again.joints)
    assert len(first) != len(perform("walk", make_subject(3, seed=1), 3, seed=1))
    assert not np.array_equal(make_subject(3).rest, make_subject(4).rest)


def test_bodies_are_as_bodies_are(corpus):
    heights = [body_height(motion.joints) for motion in corpus]
    assert 1.45 < min(heights) < 1.7 < max(heights) < 1.95
    for motion in corpus:
        quality = measure_quality(motion)
        assert quality.limb_drift < 1e-5
        assert quality.jitter < {"run": 90, "jumping_jacks": 40}.get(motion.label_name, 20)
        low = motion.label_name in ("walk", "jumping_jacks")  # feet pass low where they do not stand
        assert quality.foot_skate < (0.6 if low else 0.25), motion.label_name
        assert motion.joints[..., 1].min() > -0.001
        start = placement(motion)
        assert abs(start.x) + abs(start.z) < 1e-6
        assert abs(start.yaw) < 0.25


def test_actions_are_what_they_are_called(corpus):
    for motion in of(corpus, "walk"):
        assert motion.trans[-1, 2] / motion.duration > 0.4  # metres per second, ahead
    slow = np.mean([motion.trans[-1, 2] / motion.duration for motion in of(corpus, "walk")])
    fast = np.mean([motion.trans[-1, 2] / motion.duration for motion in of(corpus, "run")])
    assert fast > 1.5 * slow
    for motion in of(corpus, "jump"):
        assert motion.joints[:, [7, 8], 1].min(axis=1).max() > 0.25
    for motion in of(corpus, "wave"):
        assert (motion.joints[:, WRISTS, 1].max(axis=1) > motion.joints[:, HEAD, 1]).mean() > 0.5
    for motion in of(corpus, "raise_arms"):
        assert (motion.joints[:, WRISTS, 1].min(axis=1) - motion.joints[:, HEAD, 1]).max() > 0.1
    for motion in of(corpus, "squat") + of(corpus, "sit"):
        assert np.ptp(motion.trans[:, 1]) > 0.2
    for motion in of(corpus, "turn"):
        assert abs(placement(motion).yaw) < 0.25
    for motion in of(corpus, "idle"):
        assert np.ptp(motion.joints, axis=0).max() < 0.5


@pytest.mark.parametrize("action", [action for action in ACTIONS if action not in ("walk", "run", "turn", "idle")])
def test_actions_begin_and_end_at_rest(action):
    subject = make_subject(3)
    motion = perform(action, subject, seconds=(4.0, 4.0))
    assert len(motion) == 100
    around = motion.joints - motion.trans[:, None]
    still = (around - around[0])[-1]
    assert np.abs(still).max() < 0.2  # a frame before the end, and noise
    if action not in ("punch", "boxing_guard"):  # whose rest is a guard
        assert (motion.joints[0, WRISTS, 1] < motion.joints[0, HEAD, 1] - 0.4).all()


def test_takes_last_as_long_as_asked_for():
    lengths = [len(perform("bow", make_subject(3), take, seconds=(2.0, 3.0))) for take in range(12)]
    assert 50 <= min(lengths) < 60 < max(lengths) <= 75
    for seconds in ((3.0, 2.0), (0.0, 2.0), (1.0, np.inf), (np.nan, 2.0)):
        with pytest.raises(ValueError, match="expected the shortest first"):
            perform("bow", make_subject(3), seconds=seconds)


def test_actions_can_be_told_apart_across_people(corpus):
    """The nearest motion of somebody else, by how joints lie and move, nearly always has the same label."""
    features = []
    for motion in corpus:
        around = motion.joints - motion.trans[:, None]
        parts = (around.mean(axis=0), around.std(axis=0), motion.trans.std(axis=0))
        features.append(np.concatenate([part.ravel() for part in parts]))
    subject = np.array([motion.meta["subject"] for motion in corpus])
    label = np.array([motion.label for motion in corpus])
    distance = cdist(features, features)
    distance[subject[:, None] == subject] = np.inf
    assert (label[distance.argmin(axis=1)] == label).mean() > 0.9


def test_rotations_are_found_from_the_joints_of_people_who_move(corpus):
    """Joints do not tell all of a rotation, but of arms, legs and trunk in natural poses they tell most."""
    off = []
    for motion in corpus[::5]:
        found, errors = find_rotations(Motion.from_joints(motion.joints, motion.fps))
        assert errors.max() < 1e-5
        truth, guess = (rot6d_rows_to_matrix(torch.from_numpy(made.rot6d)) for made in (motion, found))
        off.append(matrix_to_axis_angle(truth.mT @ guess).norm(dim=-1).rad2deg())
    degrees = torch.cat(off)
    assert degrees.median() < 2
    assert degrees.mean(dim=0).max() < 10


@pytest.mark.parametrize("action", ACTIONS)
def test_motions_are_as_long_as_asked_for(action):
    short, long = (perform(action, make_subject(3), frames=frames) for frames in (30, 200))
    assert (len(short), len(long), len(perform(action, make_subject(3), frames=1))) == (30, 200, 1)
    np.testing.assert_allclose(long.joints[:30], short.joints, atol=1e-5)


def test_what_cannot_be_performed_is_an_error():
    with pytest.raises(ValueError, match="unknown action 'fly', expected one of"):
        perform("fly", make_subject(0))
    with pytest.raises(
        ValueError, match=r"unknown action 'wvae' \(did you mean wave\?\), expected one of wave_one_hand, "
    ):
        perform("wvae", make_subject(0))
    with pytest.raises(ValueError, match="at least 1 frame, got 0"):
        perform("walk", make_subject(0), frames=0)
