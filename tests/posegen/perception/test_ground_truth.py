"""Backends that read what the studio knows."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from posegen.io.video_reader import read_video
from posegen.perception import Poses
from posegen.perception import ground_truth as truth_module
from posegen.perception.ground_truth import TruthEdges, TruthMasks, TruthPoses
from posegen.perception.keypoint_maps import drop_outside
from posegen.synthetic.actions import ACTIONS
from posegen.synthetic.studio import PEOPLE, RenderSettings, render_action, truth_path, write_studio_clip


@pytest.fixture
def footage(tmp_path, make_footage, monkeypatch):
    """Every second of six frames of 40 × 30 pixels, doubled in size and shifted by (4, 2)."""
    keypoints = np.random.default_rng(0).uniform(2, 18, (6, 18, 3))
    keypoints[..., 2] = 1
    keypoints[2, 0] = 0
    keypoints[2, 1, :2] = 39  # outside the footage
    masks = np.zeros((6, 40, 30), np.uint8)
    for frame in range(6):
        masks[frame, 4:12, 3 + frame : 9 + frame] = 255
    known = SimpleNamespace(keypoints=keypoints, masks=masks, edges=masks // 2)
    video = tmp_path / "clip.mp4"
    truth_path(video).touch()
    monkeypatch.setattr(truth_module, "read_truth", lambda file: known)
    footage = make_footage(np.zeros((3, 48, 64, 3), np.uint8), video, np.array([[2.0, 0, 4], [0, 2, 2]]))
    footage.indices[:] = [0, 2, 4]
    return footage, known


def test_keypoints_are_mapped_into_the_footage(footage):
    footage, known = footage
    poses = TruthPoses()(footage)
    np.testing.assert_allclose(poses.keypoints[2, :, :2], known.keypoints[4, :, :2] * 2 + [4, 2], rtol=1e-6)
    np.testing.assert_array_equal(poses.keypoints[1, :2], 0)  # unseen, and outside
    assert poses.keypoints.dtype == np.float32
    np.testing.assert_array_equal(poses.scores, 1)


def test_masks_and_edges_are_warped_into_the_footage(footage):
    footage, _ = footage
    poses = Poses(np.zeros((3, 18, 3)), np.zeros(3))
    masks, edges = TruthMasks()(footage, poses), TruthEdges()(footage)
    assert masks.shape == edges.shape == (3, 48, 64)
    assert set(np.unique(masks)) == {0, 255}
    rows, columns = np.nonzero(masks[1])
    # Columns 5 to 10 of the source are 14 to 24 of the footage, and half a source pixel on both sides.
    assert (columns.min(), columns.max(), rows.min(), rows.max()) == (13, 25, 9, 25)
    assert edges[1].max() == 127 and edges[1, 16, 20] == 127


def test_a_studio_clip_goes_through_unchanged(tmp_path):
    clip = render_action(next(iter(PEOPLE)), next(iter(ACTIONS)), 3, RenderSettings(size=(96, 64)))
    footage = read_video(write_studio_clip(clip, tmp_path), size=(96, 64))
    np.testing.assert_allclose(TruthPoses()(footage).keypoints, drop_outside(clip.keypoints, 96, 64), atol=1e-3)
    np.testing.assert_array_equal(TruthMasks()(footage, TruthPoses()(footage)), clip.masks)
    np.testing.assert_array_equal(TruthEdges()(footage), clip.edges)


def test_a_video_without_truth_is_an_error(tmp_path, make_footage):
    footage = make_footage(np.zeros((2, 32, 32, 3), np.uint8), tmp_path / "film.mp4")
    with pytest.raises(ValueError, match=r"film.*truth\.parquet is missing"):
        TruthPoses()(footage)


def test_truth_of_another_video_is_an_error(footage):
    footage, _ = footage
    footage.indices[-1] = 6
    with pytest.raises(ValueError, match="do not belong together"):
        TruthEdges()(footage)
