"""What people see at a glance in rendered frames is measured: colours of clothes, limbs, second persons."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from posegen.color.garment_segmentation import garment_labels
from posegen.datasets.clip_files import Clip, ClipInfo
from posegen.evaluation.frame_look import score_look
from posegen.skeletons import OPENPOSE_18
from posegen.synthetic.studio import RenderSettings, render_action


@pytest.fixture(scope="module")
def clip() -> Clip:
    shown = render_action("grace", "wave_one_hand", 5, RenderSettings(size=(96, 64)))
    info = ClipInfo(
        clip_id="grace-wave", person="grace", action="wave", fps=25.0,
        source="grace.mp4", source_sha256="", num_frames=5, size=(96, 64),
    )  # fmt: skip
    return Clip(info, np.arange(5), np.arange(5) / 25, shown.images, shown.keypoints, shown.edges, shown.masks)


@pytest.fixture(scope="module")
def labels(clip) -> np.ndarray:
    return garment_labels(clip.images, clip.keypoints, clip.masks)


def test_the_real_frames_are_as_they_should_be(clip, labels):
    assert score_look(clip, clip.images, labels) == {
        "own_color_upper": 0, "own_color_lower": 0, "whole_limbs": 1, "ghosts": 0,
    }  # fmt: skip


def test_a_garment_of_another_colour_is_seen(clip, labels):
    tinted = clip.images.copy()
    tinted[labels == 1] = (20, 90, 220)
    found, real = score_look(clip, tinted, labels), score_look(clip, clip.images, labels)
    assert found["own_color_upper"] > 15 and found["own_color_lower"] == found["ghosts"] == 0
    assert real["own_color_upper"] == 0


def test_a_limb_that_is_missing_is_seen(clip, labels):
    """The shins are painted over with what is beside them."""
    cut = clip.images.copy()
    for row, pose in enumerate(clip.keypoints):
        for side in ("left", "right"):
            knee, ankle = (pose[OPENPOSE_18.index(f"{side}_{joint}"), :2] for joint in ("knee", "ankle"))
            line = np.zeros(clip.masks.shape[1:], np.uint8)
            cv2.line(line, knee.round().astype(int).tolist(), ankle.round().astype(int).tolist(), 255, 9)
            cut[row][(line > 0) & (clip.masks[row] > 0)] = cut[row, int(knee[1]), 2]
    found = score_look(clip, cut, labels)
    assert 0.4 < found["whole_limbs"] < 0.9 and found["ghosts"] == 0


def test_a_second_person_is_seen(clip, labels):
    twice = clip.images.copy()
    body = np.argwhere(clip.masks[0] > 127)
    moved = body - (0, body[:, 1].min())
    twice[:, moved[:, 0], moved[:, 1]] = clip.images[0][body[:, 0], body[:, 1]]
    assert score_look(clip, twice, labels)["ghosts"] > 0.2


def test_what_is_never_shown_has_no_figure(clip, labels):
    found = score_look(clip, clip.images, np.where(labels == 2, 0, labels))
    assert np.isnan(found["own_color_lower"]) and found["own_color_upper"] == 0
