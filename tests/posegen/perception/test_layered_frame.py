"""A frame taken apart at its own size."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from posegen.errors import ConfigError
from posegen.perception import layered_frame
from posegen.perception.layered_frame import FrameContents, LayeredContent, bytes_of_contents, find_contents
from posegen.person_classes import PersonClass
from tests.support.drawn_person import draw_person, make_pose


@pytest.fixture(scope="module")
def drawn():
    return draw_person()


@pytest.fixture(scope="module")
def contents(drawn):
    """The drawing's own, which is shown enlarged to twice its size."""
    return FrameContents(np.kron(drawn.labels, np.ones((2, 2), np.uint8)), drawn.background)


@pytest.fixture(scope="module")
def frame(drawn, contents):
    return LayeredContent.of(drawn.image, drawn.pose.keypoints, drawn.labels > 0, contents)


def inner(mask: np.ndarray) -> np.ndarray:
    return cv2.erode(mask.astype(np.uint8), np.ones((7, 7), np.uint8)) > 0


def test_in_its_own_pose_it_looks_as_before(drawn, frame):
    shown = frame.show(drawn.pose.keypoints)
    assert shown.shape == drawn.image.shape and shown.dtype == np.uint8
    assert np.abs(shown.astype(int) - drawn.image).mean() < 2


def test_garments_are_where_they_are_shown(drawn, frame):
    moved = make_pose({"right_elbow": (36, 34), "right_wrist": (30, 14)}).keypoints
    for pose in (drawn.pose.keypoints, moved):
        shown, shares = frame.show(pose), frame.show_garments(pose)
        assert shares.shape == (*drawn.image.shape[:2], 2)
        for garment, color in enumerate(((200, 30, 40), (30, 60, 180))):
            worn = np.abs(shown.astype(int) - color).max(axis=-1) < 10
            assert (shares[inner(worn)][:, garment] > 250).all() and inner(worn).sum() > 200
            assert (
                shares[~cv2.dilate(worn.astype(np.uint8), np.ones((9, 9), np.uint8)).astype(bool)][:, garment].max()
                < 60
            )


def test_a_dress_is_the_upper_garment(drawn, contents):
    dress = np.where(np.isin(contents.labels, (PersonClass.UPPER, PersonClass.LOWER)), PersonClass.ONE_PIECE, 0)
    frame = LayeredContent.of(
        drawn.image, drawn.pose.keypoints, drawn.labels > 0, contents._replace(labels=dress.astype(np.uint8))
    )
    upper, lower = np.moveaxis(frame.show_garments(drawn.pose.keypoints), -1, 0)
    assert upper.max() == 255 and lower.max() == 0


def test_other_colors_have_the_same_layers(drawn, frame):
    blue = drawn.image[..., ::-1].copy()
    pose = drawn.pose.keypoints
    np.testing.assert_array_equal(frame.recolored(blue).show_garments(pose), frame.show_garments(pose))
    assert np.abs(frame.recolored(blue).show(pose)[90, 64].astype(int) - (40, 30, 200)).max() < 10


def test_contents_are_those_of_the_frame(drawn):
    mask = 255 * (drawn.labels > 0).astype(np.uint8)
    found = find_contents(drawn.image, drawn.pose.keypoints, mask)
    assert found.labels.shape == (384, 256) and found.labels.max() < len(PersonClass)
    assert np.abs(found.background.astype(int) - drawn.background).mean() < 3
    assert bytes_of_contents(192, 128) == found.labels.nbytes + found.background.nbytes


def test_contents_are_found_where_none_are_given(drawn, contents, monkeypatch):
    monkeypatch.setattr(layered_frame, "find_contents", lambda *frame: contents)
    frame = LayeredContent.of(drawn.image, drawn.pose.keypoints, 255 * (drawn.labels > 0).astype(np.uint8))
    np.testing.assert_array_equal(frame.person.labels, contents.labels)


def test_nobody_is_not_taken_apart(drawn, contents):
    with pytest.raises(ConfigError, match="shoulders and hips are not all seen"):
        LayeredContent.of(drawn.image, np.zeros((18, 3), np.float32), drawn.labels > 0, contents)
