"""Plans of frames: arrays that read like lists of samples."""

from __future__ import annotations

import time
from types import SimpleNamespace

import numpy as np
import pytest

from posegen.samples.frame_plan import FramePlan, Sample, UsableFrames, sample_different


def usable(*rows: list[int]) -> UsableFrames:
    return UsableFrames([SimpleNamespace(usable_rows=np.array(one, np.int64)) for one in rows])


def test_a_plan_is_a_list_of_samples():
    plan = FramePlan((7, 3), np.array([0, 1]), row=np.array([4, 5]), content=np.array([6, 7]), recoloring=2)
    first = Sample(0, 4, 6, 2, False, (7, 3, 0))
    assert plan[0] == first and plan[-1] == Sample(1, 5, 7, 2, False, (7, 3, 1)) == plan[1:][0]
    assert list(plan) == [plan[0], plan[1]] == plan[:] and len(plan) == 2
    assert type(plan[0].row) is int and type(plan[0].estimate) is bool
    with pytest.raises(IndexError):
        plan[2]


def test_plans_are_equal_where_their_samples_are():
    clips = np.array([0, 1])
    assert FramePlan((0, 1), clips, row=2) == FramePlan((0, 1), clips, row=2)
    assert FramePlan((0, 1), clips, row=2) != FramePlan((0, 2), clips, row=2)
    assert FramePlan((0, 1), clips, row=2) != FramePlan((0, 1), clips, row=3)
    assert len(FramePlan((0, 1), np.empty(0, int), row=2)) == 0


def test_pairs_and_leads_stop_at_gaps_and_at_the_ends_of_clips():
    frames = usable([0, 1, 2, 4, 5], [], [6, 7])
    assert frames.rows[frames.pairs()].tolist() == [0, 1, 4, 6]
    assert frames.clips.tolist() == [0] * 5 + [2] * 2 and frames.counts.tolist() == [5, 0, 2]
    assert frames.leads().tolist() == [0, 1, 2, 0, 1, 0, 1]
    assert frames.at(np.array([0, 2]), np.array([3, 1])).tolist() == [4, 7]
    nothing = usable([], [])
    assert len(nothing) == len(nothing.pairs()) == len(nothing.leads()) == 0


def test_content_is_of_the_same_clip():
    frames, rng = usable([3, 4], [10, 20, 30]), np.random.default_rng(0)
    clips = np.repeat([0, 1], 3000)
    rows = frames.sample_content(clips, rng)
    shares = {row: float((rows == row).sum() / 3000) for row in (3, 4, 10, 20, 30)}
    assert shares == pytest.approx({3: 3 / 4, 4: 1 / 4, 10: 2 / 3, 20: 1 / 6, 30: 1 / 6}, abs=0.03)
    assert set(rows[:3000]) == {3, 4}


def test_different_numbers_are_drawn_alike():
    counts = np.repeat([3, 5], 6000)
    drawn = sample_different(counts, 2, np.random.default_rng(0))
    assert (drawn[:, 0] != drawn[:, 1]).all() and (drawn >= 0).all() and (drawn < counts[:, None]).all()
    for count, part in ((3, drawn[:6000]), (5, drawn[6000:])):
        seen = np.bincount(part[:, 0] * count + part[:, 1], minlength=count**2).reshape(count, count)
        np.testing.assert_allclose(seen / 6000, (1 - np.eye(count)) / (count * (count - 1)), atol=0.02)


def test_three_of_three_are_all():
    drawn = sample_different(np.full(50, 3), 3, np.random.default_rng(0))
    assert (np.sort(drawn, axis=1) == [0, 1, 2]).all() and len({tuple(row) for row in drawn.tolist()}) == 6


def test_a_hundred_thousand_frames_are_planned_at_once():
    """Of clips that are short: a loop over clips, or over samples, takes seconds."""
    frames = usable(*[[0, 1, 2, 3]] * 25_000)
    start = time.process_time()
    clips = frames.clips[np.random.default_rng(0).permutation(len(frames))]
    plan = FramePlan((0, 0), clips, row=frames.sample_content(clips, np.random.default_rng(0)))
    assert frames.leads().max() == 3 and len(plan) == 100_000
    assert time.process_time() - start < 0.5
