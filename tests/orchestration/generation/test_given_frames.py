"""Frames that are kept and a path of the root, as a user gives them."""

from __future__ import annotations

import numpy as np
import pytest

from orchestration.generation.given_frames import given_frames
from posegen.errors import PosegenError
from posegen.io.storage import StorageFolder
from posegen.motion.motion import write_motion
from posegen.synthetic.motions import make_subject, perform


@pytest.fixture(scope="module")
def walk(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("kept")
    write_motion(StorageFolder(folder), "walk.npz", perform("walk", make_subject(1), frames=50))
    return str(folder / "walk.npz")


def test_nothing_is_given_where_nothing_is_asked_for():
    assert given_frames("", (), (), 40, 25.0) is None


def test_kept_frames_weigh_and_others_are_free(walk):
    given = given_frames(walk, ("0:5", "30:40"), (), 40, 25.0)
    assert given is not None and given.weights.shape == given.values.shape == (40, 216)
    held = given.weights.numpy().all(axis=1)
    assert held[:5].all() and held[30:].all() and not given.weights[5:30].any()
    assert given_frames(walk, (), (), 60, 25.0).weights.any(dim=1).sum() == 50  # all that there are


def test_a_path_is_passed_at_one_speed_by_the_root_alone():
    given = given_frames("", (), ("1,1", "1,3", "3,3"), 41, 20.0)
    np.testing.assert_allclose(given.values[:, 0], np.clip(np.linspace(-2, 2, 41), 0, 2), atol=1e-5)
    np.testing.assert_allclose(given.values[:, 2], np.clip(np.linspace(0, 4, 41), 0, 2), atol=1e-5)
    assert given.weights[:, (0, 2)].all() and given.weights.count_nonzero() == 82


@pytest.mark.parametrize(
    ("keep", "frames", "path", "message"),
    [
        ("nowhere.npz", (), (), "there is no motion"),
        ("", (), ("0,0",), "expected at least two points"),
        ("", (), ("0,0", "a,b"), "expected at least two points"),
        ("", (), ("0,0", "0,99"), "faster than a person can move; take at least 249 frames"),
        ("walk", ("9:3",), (), "'9:3' are no frames to keep, expected START:END with START < END ≤ 40"),
        ("walk", ("0:41",), (), "of 50 frames kept from and 40 generated"),
        ("walk", (), ("0,0", "9,0"), "contradict each other"),
    ],
)
def test_what_cannot_be_given_is_told(keep, frames, path, message, walk, tmp_path):
    name = walk if keep == "walk" else keep and str(tmp_path / keep)
    with pytest.raises(PosegenError, match=message):
        given_frames(name, frames, path, 40, 25.0)
