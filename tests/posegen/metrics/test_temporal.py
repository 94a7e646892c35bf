"""Videos whose motion and flicker are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from posegen.metrics.temporal import implied_flow, tlpips, warp_error
from posegen.skeletons import joint_indices
from posegen.synthetic.studio import RenderSettings, render_action

SIZE = (48, 40)
GRAY, SQUARE = 100, 220
STEP = 3  # pixels to the right, every frame


def moved_square(num_frames: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Frames (T, H, W, 3) of a bright square that moves over gray, and where it is, (T, H, W)."""
    frames, masks = np.full((num_frames, *SIZE, 3), GRAY, np.uint8), np.zeros((num_frames, *SIZE), bool)
    for t in range(num_frames):
        masks[t, 10:20, 5 + STEP * t : 15 + STEP * t] = True
    frames[masks] = SQUARE
    return frames, masks


def constant_flow(masks: np.ndarray, dx: float) -> np.ndarray:
    flows = np.zeros((len(masks) - 1, *SIZE, 2), np.float32)
    flows[masks[1:], 0] = dx
    return flows


def distance(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return (a - b).abs().mean(dim=(1, 2, 3))


class TestWarpError:
    def test_true_motion_leaves_nothing(self):
        frames, masks = moved_square()
        seen = np.ones_like(masks[1:])
        seen[masks[:-1] & ~masks[1:]] = False  # what the square uncovers was not there before
        assert warp_error(frames, constant_flow(masks, -STEP), seen) == 0

    def test_without_motion_the_edges_of_the_square_are_left(self):
        frames, masks = moved_square()
        changed = 2 * STEP * 10  # pixels at both sides of the square
        expected = changed / (SIZE[0] * SIZE[1]) * (SQUARE - GRAY) / 255
        assert warp_error(frames, constant_flow(masks, 0), np.ones_like(masks[1:])) == pytest.approx(expected)

    def test_flicker_is_found_and_only_where_it_counts(self):
        frames, masks = moved_square()
        frames[1::2, 30:] += 51  # a fifth of the range, below the square
        flow, everywhere = constant_flow(masks, 0), np.zeros_like(masks[1:])
        everywhere[:, 30:] = True
        assert warp_error(frames, flow, everywhere) == pytest.approx(0.2)
        above = np.zeros_like(everywhere)
        above[:, :10] = True
        assert warp_error(frames, flow, above) == 0

    def test_half_a_pixel_is_interpolated(self):
        ramp = np.broadcast_to(np.arange(0, 80, 2, dtype=np.uint8)[None, None, :, None], (2, *SIZE, 3))
        flow = np.zeros((1, *SIZE, 2), np.float32)
        flow[..., 0] = 0.5
        inside = np.ones((1, *SIZE), bool)
        inside[..., -1] = False  # half a pixel beyond the frame
        assert warp_error(ramp, flow, inside) == pytest.approx(1 / 255)

    def test_pairs_count_alike_and_empty_ones_not(self):
        frames = np.zeros((4, *SIZE, 3), np.uint8)
        frames[1:] = 51
        valid = np.ones((3, *SIZE), bool)
        valid[0, 1:] = False  # few pixels, all of which changed
        valid[2] = False
        assert warp_error(frames, np.zeros((3, *SIZE, 2), np.float32), valid) == pytest.approx(0.1)


class TestImpliedFlow:
    def test_a_person_who_slides_is_explained(self):
        """Every joint moves alike, so every part does, and the background stands still."""
        clip = render_action("grace", "salute", 1, RenderSettings(size=(96, 64)))
        shift = np.array([[4, 2, 0]] * 18, np.float32) * (clip.keypoints[0, :, 2:] > 0)
        keypoints = np.stack([clip.keypoints[0], clip.keypoints[0] + shift])
        masks = np.stack([clip.masks[0], np.roll(clip.masks[0], (2, 4), axis=(0, 1))]) > 0
        flow = implied_flow(keypoints, masks)
        on_person = flow.valid[0] & masks[1]
        assert on_person.sum() > 0.9 * masks[1].sum()
        np.testing.assert_allclose(
            flow.offsets[0][on_person], np.broadcast_to([-4, -2], (on_person.sum(), 2)), atol=1e-3
        )
        assert not flow.offsets[0][~masks[1]].any()

    def test_the_flow_explains_a_rendered_motion(self):
        """Without it the moving arm would count as flicker."""
        clip = render_action("grace", "salute", 6, RenderSettings(size=(96, 64)))
        flow = implied_flow(clip.keypoints, clip.masks)
        person = flow.valid & (clip.masks[1:] > 0)
        steady = warp_error(clip.images, flow.offsets, person)
        assert steady < 0.7 * warp_error(clip.images, np.zeros_like(flow.offsets), person)

    def test_what_was_uncovered_is_not_valid(self):
        pose = np.zeros((2, 18, 3), np.float32)
        _, masks = moved_square(2)
        valid = implied_flow(pose, masks).valid[0]
        assert not valid[masks[0] | masks[1]].any()  # no pose explains the square
        assert valid[~(masks[0] | masks[1])].all()

    def test_a_part_that_is_not_seen_before_has_no_flow(self):
        clip = render_action("grace", "salute", 2, RenderSettings(size=(96, 64)))
        hidden = clip.keypoints.copy()
        hidden[0, joint_indices(["right_knee", "right_ankle", "left_knee", "left_ankle"])] = 0
        assert implied_flow(hidden, clip.masks).valid.sum() < implied_flow(clip.keypoints, clip.masks).valid.sum()


class TestTLPIPS:
    def test_equal_videos_change_alike(self):
        video = torch.rand(20, 3, 8, 8, generator=torch.Generator().manual_seed(0))
        assert tlpips(distance, video, video) == 0
        assert tlpips(distance, video, 1 - video) == pytest.approx(0, abs=1e-7)  # other pictures, same pace

    def test_a_video_that_stands_still_is_as_wrong_as_the_real_one_is_fast(self):
        levels = torch.arange(20) % 2 * 0.25
        real = levels.view(20, 1, 1, 1).expand(20, 3, 8, 8)
        assert tlpips(distance, real, torch.zeros_like(real)) == pytest.approx(0.25)
        assert tlpips(distance, torch.zeros_like(real), real) == pytest.approx(0.25)


def video(num_frames: int) -> np.ndarray:
    return np.zeros((num_frames, *SIZE, 3), np.uint8)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: warp_error(video(2) / 255, np.zeros((1, *SIZE, 2)), np.ones((1, *SIZE), bool)), "got float64 frames"),
        (lambda: warp_error(video(2), np.zeros((2, *SIZE, 2)), np.ones((1, *SIZE), bool)), r"flows of shape \(2, 48"),
        (lambda: warp_error(video(2), np.zeros((1, *SIZE, 2)), np.zeros((1, *SIZE), bool)), "none of 1 pairs"),
        (lambda: implied_flow(np.zeros((1, 18, 3)), np.zeros((1, *SIZE))), "at least 2 frames"),
        (lambda: implied_flow(np.zeros((2, 18, 3)), np.zeros((3, *SIZE))), r"masks of shape \(3, 48, 40\)"),
        (lambda: tlpips(distance, torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 8)), "at least 2 frames"),
        (lambda: tlpips(distance, torch.zeros(3, 3, 8, 8), torch.zeros(2, 3, 8, 8)), r"\(3, 3, 8, 8\) and \(2, 3"),
    ],
)
def test_what_cannot_be_measured_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
