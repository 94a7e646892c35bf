"""Person masks without a pose, and their clean-up."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from posegen.io.video_reader import read_video
from posegen.perception import Poses
from posegen.perception.blazepose import BlazeposeMasks
from posegen.perception.selfie import Selfie, clean_mask


def no_poses(footage) -> Poses:
    num_frames, height, width = footage.images.shape[:3]
    masks = np.zeros((num_frames, height, width), np.uint8)
    return Poses(np.zeros((num_frames, 18, 3), np.float32), np.zeros(num_frames, np.float32), masks)


def test_clean_mask_keeps_the_largest_component_and_closes_cracks():
    probability = np.zeros((40, 40), np.uint8)
    probability[5:25, 5:25] = 200
    probability[14, 5:25] = 50  # a crack
    probability[30:34, 30:34] = 255  # somebody else
    mask = clean_mask(probability)
    assert set(np.unique(mask)) == {0, 255}
    assert mask[5:25, 5:25].all()
    assert (mask > 0).sum() == 400


def test_clean_mask_of_nothing_is_empty():
    assert not clean_mask(np.full((8, 8), 127, np.uint8)).any()


@pytest.mark.usefixtures("real_weights")
def test_networks_start_without_a_word():
    """In a process of its own: LiteRT announces its kernels once, past Python's standard error."""
    code = "import sys; from posegen.perception.selfie import Selfie; Selfie(); print('after', file=sys.stderr)"
    started = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (started.stdout, started.stderr) == ("", "after\n")


@pytest.mark.usefixtures("real_weights")
def test_selfie_finds_a_person(shared):
    footage = read_video(shared / "data" / "weizmann" / "person4_wave2.mp4", crop="none", size=(96, 96))
    mask = Selfie()(footage, no_poses(footage))[0]
    assert mask.shape == (96, 96) and set(np.unique(mask)) == {0, 255}
    assert mask[50:90, 42:46].mean() > 200  # trunk and legs
    assert mask[:20].max() == 0 and mask[:, :10].max() == 0  # wall


@pytest.mark.usefixtures("real_weights")
def test_blazepose_masks_fall_back_to_selfie_where_nobody_was_found(shared):
    footage = read_video(shared / "data" / "weizmann" / "person4_wave2.mp4", crop="none", size=(96, 96))
    poses = no_poses(footage)
    poses.scores[1] = 0.9
    poses.masks[1, 10:20, 10:20] = 255
    masks = BlazeposeMasks()(footage, poses)
    np.testing.assert_array_equal(masks[0], Selfie()(footage, poses)[0])
    np.testing.assert_array_equal(masks[1], poses.masks[1])


@pytest.mark.usefixtures("real_weights")
def test_blazepose_masks_need_masks(make_footage):
    footage = make_footage(np.zeros((1, 32, 32, 3), np.uint8))
    poses = Poses(np.zeros((1, 18, 3), np.float32), np.ones(1, np.float32))
    with pytest.raises(ValueError, match="poses without masks"):
        BlazeposeMasks()(footage, poses)
