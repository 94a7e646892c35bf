"""Pictures of motion: what is left, near, pale or high is rendered so, and nothing leaves the frame."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from posegen.io.video_reader import read_video
from posegen.motion import rendering
from posegen.motion.anatomy import REST
from posegen.motion.editing import Placement, place, resample
from posegen.motion.motion import Motion
from posegen.motion.rendering import (
    LEFT_LEG,
    RIGHT_LEG,
    GridLayout,
    MotionRenderer,
    fit_camera,
    render_strips,
    render_together,
    write_motion_video,
)
from posegen.synthetic.actions import ACTIONS
from posegen.synthetic.motions import make_subject, perform

SIZE = (128, 96)
STANDING = Motion.from_joints((REST + np.array([0, 0.955, 0]))[None].astype(np.float32), 25.0)


def turned(degrees):
    return place(STANDING, Placement(0.0, 0.0, np.radians(degrees)))


def pixels(frame, color):
    """Where a picture is of about that colour: (N, 2) rows and columns."""
    return np.argwhere(np.abs(frame.astype(int) - color).max(axis=-1) < 60)


def colored(frame):
    """Where limbs are: (N, 2) rows and columns. Floor, shadow, trunk and captions are grey."""
    return np.argwhere(np.ptp(frame.astype(int), axis=-1) > 40)


@pytest.mark.parametrize("view", ["front", "angled"])
def test_the_left_of_a_person_is_blue_and_at_the_right_of_the_picture(view):
    frame = MotionRenderer(STANDING, SIZE, view=view).frame(0)
    assert frame.shape == (*SIZE, 3) and frame.dtype == np.uint8
    left, right = pixels(frame, LEFT_LEG), pixels(frame, RIGHT_LEG)
    assert len(left) > 20 and len(right) > 20
    assert left[:, 1].mean() > right[:, 1].mean() + 2


@pytest.mark.parametrize(("degrees", "near", "far"), [(90, RIGHT_LEG, LEFT_LEG), (-90, LEFT_LEG, RIGHT_LEG)])
def test_the_near_leg_hides_the_far_one(degrees, near, far):
    frame = MotionRenderer(turned(degrees), SIZE, view="front").frame(0)
    assert len(pixels(frame, near)) > 2 * len(pixels(frame, far))


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("view", ["front", "angled"])
def test_the_whole_movement_is_in_the_frame(action, view):
    renderer = MotionRenderer(perform(action, make_subject(1)), SIZE, view=view)
    limbs = np.concatenate([colored(renderer.frame(number)) for number in range(0, len(renderer), 10)])
    assert (limbs >= 2).all() and (limbs < np.array(SIZE) - 2).all()
    assert max(np.ptp(limbs, axis=0) / SIZE) > 0.5  # and fills it


def test_the_camera_is_as_near_as_it_can_be():
    points = np.random.default_rng(0).normal(size=(50, 3))
    camera = fit_camera(points, (200, 100), "angled")
    projected = camera.project(points)
    assert (projected[:, 2] > 0).all()
    share = np.abs(projected[:, :2] - (49.5, 99.5)) / (50, 100)
    assert share.max() == pytest.approx(1 - 2 * 0.06)


def test_frames_that_are_not_valid_are_pale():
    motion = perform("walk", make_subject(1))
    valid = np.arange(len(motion)) != 5
    seen, filled = (MotionRenderer(replace(motion, valid=valid), SIZE).frame(number) for number in (4, 5))
    assert np.ptp(seen.astype(int), axis=-1).max() > 2 * np.ptp(filled.astype(int), axis=-1).max() > 0


def test_junk_in_frames_that_are_not_valid_hurts_nobody():
    motion = perform("wave", make_subject(1))
    joints, valid = motion.joints.copy(), np.arange(len(motion)) > 2
    joints[0], joints[1, 5], joints[2] = 1e4, (0, 1, 9e4), joints[2] + np.float32([2, 1.5, 4])
    junk = MotionRenderer(Motion.from_joints(joints, 25.0), (512, 512))  # valid: the camera goes far away
    filled = MotionRenderer(replace(Motion.from_joints(joints, 25.0), valid=valid), (512, 512))
    assert all(renderer.frame(number).shape == (512, 512, 3) for renderer in (junk, filled) for number in range(3))
    clean = MotionRenderer(Motion.from_joints(motion.joints[3:], 25.0), (512, 512))
    assert np.abs(filled.frame(9).astype(int) - clean.frame(6)).mean() < 1


def test_a_person_upside_down_is_in_the_frame():
    flipped = replace(STANDING, joints=(STANDING.joints * np.float32([-1, -1, 1])))
    renderer = MotionRenderer(flipped, SIZE, view="front")
    dark = np.argwhere((renderer.frame(0) < 150).all(axis=-1))  # head and trunk
    assert dark[:, 0].max() < SIZE[0] - 4 and dark[:, 0].max() > colored(renderer.frame(0))[:, 0].max()


def test_a_jump_leaves_the_shadow_behind():
    """The rows between feet and shadow."""
    motion = perform("jump", make_subject(1))
    renderer = MotionRenderer(motion, (256, 192))
    low, high = (int(pick(motion.joints[:, [10, 11], 1].min(axis=1))) for pick in (np.argmin, np.argmax))
    gaps = []
    for number in (low, high):
        frame = renderer.frame(number)
        shadow = np.argwhere((frame == 208).all(axis=-1))
        gaps.append(shadow[:, 0].mean() - colored(frame)[:, 0].max())
    assert gaps[1] > gaps[0] + 20


def test_a_camera_that_follows_keeps_the_person_in_the_middle():
    motion = perform("run", make_subject(1))
    near, wide = (MotionRenderer(motion, SIZE, view="front", follow=follow) for follow in (True, False))
    heights = []
    for renderer in (near, wide):
        limbs = [colored(renderer.frame(number)) for number in (0, len(motion) - 1)]
        heights.append([np.ptp(rows[:, 0]) for rows in limbs])
    assert min(heights[0]) > 0.6 * SIZE[0] and min(heights[1]) < 0.4 * SIZE[0]
    assert (near.frame(0) != near.frame(6)).any(axis=-1)[-1].any()  # the floor passes below


def test_the_shorter_of_two_motions_stays_or_begins_again():
    long = perform("wave", make_subject(1))
    short = replace(long, joints=long.joints[:4], valid=long.valid[:4], rot6d=long.rot6d[:4])
    long = replace(long, joints=long.joints[:6], valid=long.valid[:6], rot6d=long.rot6d[:6])
    frames = list(render_together([long, short], ["long", ""], GridLayout(size=SIZE)))
    assert [frame.shape for frame in frames] == [(128 + 22, 192, 3)] * 6
    own = MotionRenderer(short, SIZE)
    np.testing.assert_array_equal(frames[5][22:, 96:], own.frame(3))
    again = list(render_together([long, short], (), GridLayout(size=SIZE, loop=True)))
    np.testing.assert_array_equal(again[5][:, 96:], own.frame(1))


def test_many_motions_fill_rows_and_the_last_row_ends_in_white():
    captions = [f"sample {number}" for number in range(3)]
    [frame] = render_together([STANDING] * 3, captions, GridLayout(size=SIZE, columns=2))
    assert frame.shape == (2 * 150, 192, 3)
    assert (frame[150:, 96:] == 255).all()
    assert (frame[:22, :96] < 128).any()  # the caption
    np.testing.assert_array_equal(frame[22:150, :96], frame[172:, :96])


def test_a_caption_that_is_long_is_written_smaller():
    short, long = (
        np.argwhere(next(render_together([STANDING], [text], GridLayout(size=SIZE)))[:22].min(axis=-1) < 200)
        for text in ("größe", "wave, the second of three samples")
    )
    assert np.ptp(long[:, 0]) < np.ptp(short[:, 0])
    assert np.ptp(short[:, 1]) + 20 < np.ptp(long[:, 1]) < 96 - 2 * 6


def test_videos_have_the_highest_of_the_rates(tmp_path):
    motion = place(STANDING, Placement(0.0, 0.0, 0.5))
    motion = replace(motion, joints=motion.joints.repeat(6, axis=0), valid=np.ones(6, bool))
    slow = replace(motion, fps=12.5)
    write_motion_video(tmp_path / "x.mp4", [motion, slow], ["25", "12.5"], GridLayout(size=SIZE))
    footage = read_video(tmp_path / "x.mp4", size=None)
    assert footage.fps == pytest.approx(25) and footage.images.shape == (11, 150, 192, 3)


@pytest.mark.parametrize("fps", [10.0, 25.0, 60.0])
def test_strips_have_ten_pictures_a_second_at_any_rate(fps):
    motion = resample(perform("jump", make_subject(1)), fps)
    strip = render_strips([motion], ["jump"], (64, 48), columns=100)
    pictures = strip.shape[1] // 48
    assert pictures == pytest.approx(10 * len(motion) / fps, abs=1)
    at_half_a_second = MotionRenderer(motion, (64, 48), follow=True).frame(round(0.5 * fps))
    np.testing.assert_array_equal(strip[22:86, 240:288], at_half_a_second)


def test_strips_of_several_motions_go_on_in_rows_of_one_scale():
    motions = [perform(action, make_subject(1)) for action in ("jump", "sit")]
    strips = render_strips(motions, ["jump", "sit"], (64, 48), columns=10)
    rows = [-(-len(np.arange(0, len(motion) - 0.5, 2.5)) // 10) for motion in motions]
    assert strips.shape == (2 * 22 + 64 * sum(rows), 480, 3)


def test_cells_of_one_scale_show_a_metre_equally_large():
    """The one who travels would be small alone, and the other large."""
    wave = perform("wave", make_subject(1))
    far = replace(wave, joints=wave.joints + np.linspace(0, 3, len(wave))[:, None, None] * (1, 0, 0))

    def heights(one_scale: bool) -> list[int]:
        frame = next(
            render_together([far, wave], layout=GridLayout(size=(128, 128), view="front", one_scale=one_scale))
        )
        inks = [(cell.std(axis=2) > 20).any(axis=1) for cell in (frame[:, :128], frame[:, 128:])]
        return [int(np.ptp(np.flatnonzero(ink))) for ink in inks]

    apart, alike = heights(False), heights(True)
    assert apart[1] > 1.4 * apart[0]
    assert alike[0] == apart[0] and alike[1] == pytest.approx(alike[0], abs=1)


def test_what_cannot_be_rendered_is_refused_in_a_line(tmp_path):
    motion = perform("wave", make_subject(1))
    for render in (
        lambda *given: next(render_together(*given)),
        lambda *given: write_motion_video(tmp_path / "x", *given),
    ):
        with pytest.raises(ValueError, match="got 2 motions and 1 captions, expected one each"):
            render([motion, motion], ["one"])
    with pytest.raises(ValueError, match="got 0 motions"):
        render_strips([])
    with pytest.raises(ValueError, match="got every 0 and columns 20, expected more than 0 seconds"):
        render_strips([motion], every=0)
    with pytest.raises(ValueError, match="got columns 0, expected 1 or more"):
        GridLayout(columns=0)
    with pytest.raises(ValueError, match=r"\[12.5, 25.0\] frames per second: resample"):
        next(render_together([motion, replace(motion, fps=12.5)]))


def test_real_people_stand_upright_and_fill_the_frame(shared):
    content = np.load(shared / "data" / "motion" / "humanact12_joints24.npz", allow_pickle=False)
    for clip in np.split(content["joints"], np.cumsum(content["lengths"])[:-1])[::200]:
        renderer = MotionRenderer(Motion.from_joints(clip * np.float32([1, -1, -1]), 20.0), SIZE)
        frame = renderer.frame(0)
        limbs = colored(frame)
        assert np.ptp(limbs[:, 0]) > 0.3 * SIZE[0]
        shadow = np.argwhere((frame == 208).all(axis=-1))
        assert shadow[:, 0].mean() > np.median(limbs[:, 0])


def test_strips_say_how_far_apart_in_time_their_pictures_are(monkeypatch):
    captions = []
    monkeypatch.setattr(rendering, "_captioned", lambda picture, caption: captions.append(caption) or picture)
    render_strips([STANDING], ["stand"], size=SIZE)
    render_strips([replace(STANDING, fps=5.0)], ["stand"], size=SIZE)
    render_strips([STANDING], [], size=SIZE)
    assert captions == ["stand · a picture every 0.1 s", "stand · a picture every 0.2 s", ""]
