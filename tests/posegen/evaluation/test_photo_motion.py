"""Frames of a studio clip from its first one, and what scores say of perfect and of copied ones."""

from __future__ import annotations

import numpy as np
import pytest

from posegen.errors import VideoError
from posegen.evaluation.photo_motion import (
    FRAMES,
    RealClip,
    copy_frames,
    part_frames,
    relative_size,
    score_motion,
    seen_background,
    side_by_side,
)
from posegen.evaluation.reconstruction import structural_measures
from posegen.features.body_pose import BodyPoses
from posegen.perception.body_footage import BodyFootage
from posegen.synthetic.studio import RenderSettings, render_action

SIZE = (96, 64)
NUM_FRAMES = 18


@pytest.fixture(scope="module")
def clip() -> RealClip:
    rendered = render_action("grace", "jumping_jacks", NUM_FRAMES, RenderSettings(size=SIZE))
    keypoints = rendered.keypoints.astype(np.float32)
    keypoints[0] = 0  # nobody is found in the first frame
    masks = np.where(rendered.masks > 127, 255, 0).astype(np.uint8)
    footage = BodyFootage(BodyPoses.from_keypoints(keypoints), masks, np.arange(NUM_FRAMES) > 0)
    return RealClip("jacks", rendered.images, footage, 25.0)


def test_the_photo_is_the_first_usable_frame(clip):
    assert clip.source == 1
    assert len(clip.rows) == FRAMES and clip.rows[-1] == NUM_FRAMES - 1 and clip.rows[0] > clip.source


def test_a_clip_of_nobody_is_refused(clip):
    nobody = BodyFootage(
        BodyPoses.from_keypoints(np.zeros((NUM_FRAMES, 18, 3), np.float32)), clip.footage.masks, clip.footage.seen
    )
    with pytest.raises(VideoError, match=r"^jacks: 0 frames show shoulders and hips"):
        _ = RealClip("jacks", clip.images, nobody, 25.0).source


def test_the_truth_is_perfect_and_a_copy_is_not(clip):
    measures = structural_measures(SIZE)
    perfect = score_motion(clip, clip.images[clip.rows], measures)
    copied = score_motion(clip, copy_frames(clip), measures)
    assert perfect["ssim"] == pytest.approx(1) and (perfect["wrong_inside"] == 0).all()
    assert copied["ssim"].mean() < 0.98 and copied["wrong_inside"].mean() > 0.05
    assert copied["wrong_outside"].mean() > perfect["wrong_outside"].mean()


def test_parts_are_ahead_of_a_copy(clip):
    measures = structural_measures(SIZE)
    parts = score_motion(clip, part_frames(clip), measures)
    assert parts["ssim"].mean() > score_motion(clip, copy_frames(clip), measures)["ssim"].mean()


def test_sizes_are_compared_by_trunks(clip):
    poses = clip.footage.poses
    larger = BodyPoses.from_keypoints(poses.keypoints * np.array([2, 2, 1], np.float32))
    assert relative_size(larger, poses[1]) == pytest.approx(2 * relative_size(poses, poses[1]))


def test_the_background_is_what_the_clip_shows_of_it(clip):
    otherwise = np.full_like(clip.images[0], 7)
    found = seen_background(clip, clip.rows, otherwise)
    assert (found != 7).any()
    empty = ~(clip.footage.masks > 0).any(axis=0)
    assert np.abs(found[empty].astype(int) - clip.images[1][empty]).mean() < 5


def test_pictures_have_a_row_for_each_frame(clip):
    picture = side_by_side(clip, {"copy": copy_frames(clip)})
    assert picture.shape == (FRAMES * SIZE[0], 3 * SIZE[1], 3)
