"""Windows of motions: which frames are taken, and what a sample of them holds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from posegen.datasets.motion_build import NamedMotion, write_motions
from posegen.datasets.motions import MotionDataset
from posegen.errors import DatasetError
from posegen.io.storage import StorageFolder
from posegen.motion.motion import Motion
from posegen.motion.pose_features import pose_features
from posegen.samples import EpochLoader, MotionCrops, PosedCrops, Window, fixed_batch
from posegen.synthetic.motions import make_subject, perform

LENGTH = 23


def drawn(window: Window, length: int = LENGTH, count: int = 400) -> list[np.ndarray]:
    """The frames of many windows."""
    rng = np.random.default_rng(0)
    return [window.sample_frames(length, rng) for _ in range(count)]


def crops(dataset: MotionDataset, window: Window | None = None, **changes) -> MotionCrops:
    options = {"actions": dataset.info.actions, "window": window or Window(num_frames=20)}
    return MotionCrops(dataset, changes.pop("split", "train"), **(options | changes))


@pytest.mark.parametrize(("skip", "last"), [(False, LENGTH - 10), (True, LENGTH - 11)])
def test_windows_start_anywhere_or_as_published_not_at_the_last_place(skip, last):
    rows = drawn(Window(num_frames=10, skip_last_start=skip))
    assert {int(row[0]) for row in rows} == set(range(last + 1))
    assert all((np.diff(row) == 1).all() and len(row) == 10 for row in rows)


def test_the_only_start_is_drawn_also_where_the_last_one_is_skipped():
    assert {int(row[0]) for row in drawn(Window(num_frames=LENGTH - 1, skip_last_start=True))} == {0}
    assert {int(row[0]) for row in drawn(Window(num_frames=LENGTH - 1))} == {0, 1}
    np.testing.assert_array_equal(drawn(Window(num_frames=LENGTH, skip_last_start=True))[0], np.arange(LENGTH))


@pytest.mark.parametrize("choice", ["consecutive", "random_step", "random"])
def test_short_motions_are_as_long_as_they_are_or_repeat_their_last_frame(choice):
    masked, repeated = (drawn(Window(num_frames=6, choice=choice, repeat_last=r), 4, 1)[0] for r in (False, True))
    np.testing.assert_array_equal(masked, [0, 1, 2, 3])
    np.testing.assert_array_equal(repeated, [0, 1, 2, 3, 3, 3])


def test_random_steps_are_all_that_fit_and_reach_the_last_frame():
    rows = drawn(Window(num_frames=5, choice="random_step"))
    steps = [set(np.diff(row).tolist()) for row in rows]
    assert all(len(step) == 1 for step in steps)
    assert set().union(*steps) == set(range(1, (LENGTH - 1) // 4 + 1))
    assert min(row[0] for row in rows) == 0 and max(row[-1] for row in rows) == LENGTH - 1
    assert {len(row) for row in drawn(Window(num_frames=1, choice="random_step"))} == {1}


def test_random_frames_are_in_order_and_none_is_taken_twice():
    rows = drawn(Window(num_frames=5, choice="random"))
    assert all((np.diff(row) > 0).all() for row in rows)
    assert set(np.concatenate(rows).tolist()) == set(range(LENGTH))


@pytest.mark.parametrize(("repeat_last", "shortest"), [(False, 4), (True, 6)])
def test_varying_windows_have_every_length_that_the_motion_has(repeat_last, shortest):
    window = Window(num_frames=0, min_frames=6, max_frames=9, repeat_last=repeat_last)
    assert {len(row) for row in drawn(window)} == {6, 7, 8, 9}
    assert {len(row) for row in drawn(window, 8)} == {6, 7, 8}
    assert {len(row) for row in drawn(window, 4)} == {shortest}  # published: its last frame up to the least length
    assert window.most_frames == 9


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_frames": -1}, "num_frames must be 0 or more, got -1"),
        ({"min_frames": 0}, "got min_frames 0"),
        ({"min_frames": 9, "max_frames": 8}, "min_frames 9 and max_frames 8, expected 1 ≤ min ≤ max"),
    ],
)
def test_impossible_windows_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Window(**settings)


def test_samples_are_frames_of_their_motions(corpus):
    samples = crops(corpus, actions=("walk", "jump"))
    for crop in samples.plan(0):
        arrays, entry = samples.load(crop), samples.entries[crop.motion]
        motion = corpus.read(entry)
        assert samples.actions[arrays["action"]] == entry.action
        np.testing.assert_array_equal(arrays["motion"][:, :-1], motion.rot6d[crop.rows])
        way = motion.trans[crop.rows] - motion.trans[crop.rows[0]]
        np.testing.assert_allclose(arrays["motion"][:, -1, :3], way, atol=1e-6)
        assert not arrays["motion"][0, -1].any() and not arrays["motion"][:, -1, 3:].any()
        np.testing.assert_array_equal(arrays["rest"], motion.rest)


def test_batches_have_their_keys_shapes_and_zeros_behind_the_last_frame(corpus):
    samples = crops(corpus, Window(num_frames=120), split="all")
    batch = fixed_batch(samples, 60, 60)[0]
    shapes = {name: (tuple(tensor.shape), str(tensor.dtype)) for name, tensor in batch.items()}
    assert shapes == {
        "motion": ((60, 120, 25, 6), "torch.float32"),
        "length": ((60,), "torch.int64"),
        "action": ((60,), "torch.int64"),
        "rest": ((60, 24, 3), "torch.float32"),
    }
    assert batch["length"].min() < 120 == batch["length"].max()
    for motion, length in zip(batch["motion"], batch["length"], strict=True):
        assert not motion[length:].any() and motion[:length, 0].any(dim=-1).all()


def test_bodies_are_posed_once_and_cropped(corpus):
    samples = PosedCrops(corpus, "train", actions=("walk",), window=Window(num_frames=200), seed=1)
    batch = fixed_batch(samples, 4, 4)[0]
    posed = pose_features(batch["motion"], batch["rest"], translate=False)
    for surface, joints, length in zip(batch["surface"], posed.joints, batch["length"], strict=True):
        torch.testing.assert_close(surface[:length, :24], joints[:length], atol=1e-5, rtol=0)
        assert surface.shape[1] == 96 and not surface[length:].any()


def test_windows_are_a_function_of_seed_and_epoch(corpus):
    def plan(epoch: int, **changes) -> list[tuple]:
        return [(crop.motion, *crop.rows.tolist()) for crop in crops(corpus, **changes).plan(epoch)]

    assert plan(3) == plan(3)
    assert plan(3) != plan(4) and plan(3) != plan(3, seed=1)
    assert sorted(motion for motion, *_ in plan(0)) == list(range(48))  # every motion once
    assert len(plan(0, epoch_size=100)) == 100 and len({motion for motion, *_ in plan(0, epoch_size=100)}) == 48


def test_workers_share_a_batch(corpus):
    samples = crops(corpus)
    whole = next(EpochLoader(samples, 4).epoch(0))
    for rank in (0, 1):
        part = next(EpochLoader(samples, 4, rank=rank, world_size=2).epoch(0))
        assert all((part[name] == whole[name][2 * rank : 2 * rank + 2]).all() for name in whole)


def test_mean_body_is_that_of_all_motions(corpus):
    samples = crops(corpus, actions=("walk",))
    bodies = [corpus.read(entry).rest for entry in corpus.split("train") if entry.action == "walk"]
    np.testing.assert_allclose(samples.mean_rest, np.mean(bodies, axis=0), atol=1e-6)
    assert samples.mean_rest.dtype == np.float32


def test_actions_without_motions_are_refused(corpus):
    with pytest.raises(DatasetError, match="has no motion of fly in the split 'train'"):
        crops(corpus, actions=("fly",))


@pytest.mark.parametrize(
    ("strip", "message"),
    [
        (lambda motion: Motion.from_joints(motion.joints, motion.fps), "rot6d is missing: .* find rotations"),
        (lambda motion: replace(motion, rest=None), "rest is missing"),
    ],
)
def test_motions_without_rotations_or_bodies_are_named(strip, message, tmp_path):
    motion = strip(perform("walk", make_subject(0)))
    write_motions(StorageFolder(tmp_path), [NamedMotion(motion, "s0", "walk", "corpus")], settings={})
    samples = crops(MotionDataset(str(tmp_path)))
    with pytest.raises(DatasetError, match=rf"motions/s0-walk-\w+\.npz: {message}"):
        samples.load(samples.plan(0)[0])
