"""Windows of behaviour: what a sample holds, and from where its scale comes."""

from __future__ import annotations

import numpy as np
import pytest

from posegen.datasets.motions import MotionDataset
from posegen.errors import DatasetError
from posegen.motion.editing import posture_placement
from posegen.motion.to_openpose import h36m_joints
from posegen.samples import BehaviorWindows, EpochLoader, EpochSettings, WindowSettings, fixed_batch
from posegen.samples.behavior_windows import back_and_forth
from posegen.skeletons import H36M_17
from tests.support.samples import make_samples as collect

FRAMES = 20


def windows(dataset: MotionDataset, **changes) -> BehaviorWindows:
    settings = {
        name: changes.pop(name) for name in ("num_frames", "least_frames", "even", "canonical") if name in changes
    }
    options = {"actions": ("walk", "sit", "turn"), "windows": WindowSettings(**({"num_frames": FRAMES} | settings))}
    return collect(BehaviorWindows, EpochSettings, dataset, changes.pop("split", "train"), **(options | changes))


def test_every_window_of_every_motion_is_taken_once(corpus):
    samples = windows(corpus)
    plan = samples.plan(0)
    assert sorted(sample.window for sample in plan) == list(range(len(plan)))
    assert len(plan) == sum(entry.num_frames - FRAMES for entry in samples.entries)
    first, last = samples.entries[0], samples.entries[-1]
    numbers = {0: (first, 0), first.num_frames - FRAMES - 1: (first, first.num_frames - FRAMES - 1)}
    numbers[len(plan) - 1] = (last, last.num_frames - FRAMES - 1)
    for number, (entry, start) in numbers.items():
        seen = windows(corpus, canonical=False).window(number)
        np.testing.assert_allclose(seen, h36m_joints(corpus.read(entry))[start : start + FRAMES + 1], atol=1e-6)


def test_windows_are_located_in_their_motions(corpus):
    samples = windows(corpus)
    first = samples.entries[0].num_frames - FRAMES
    motions, starts = samples.locate(np.array([0, first - 1, first, len(samples.labels) - 1]))
    assert motions.tolist() == [0, 0, 1, len(samples.entries) - 1]
    assert starts.tolist() == [0, first - 1, 0, samples.entries[-1].num_frames - FRAMES - 1]
    motions, _ = samples.locate(np.arange(len(samples.labels)))
    people = {entry.person: set(samples.people[motions == n]) for n, entry in enumerate(samples.entries)}
    assert len(people) == 4 and set.union(*people.values()) == set(range(4))
    assert [samples.actions[label] for label in samples.labels] == [samples.entries[n].action for n in motions]


def test_plan_follows_seed_and_epoch_alone(corpus):
    assert windows(corpus).plan(3) == windows(corpus).plan(3)
    assert windows(corpus).plan(3) != windows(corpus).plan(4)
    assert windows(corpus).plan(3) != windows(corpus, seed=1).plan(3)
    assert len(windows(corpus, epoch_size=7).plan(0)) == 7


def test_companions_are_of_the_same_action_and_of_another(corpus):
    samples = windows(corpus, epoch_size=200)
    labels = samples._labels
    plan = samples.plan(0)
    assert {labels[sample.window] for sample in plan} == {0, 1, 2}
    for sample in plan:
        assert labels[sample.matched] == labels[sample.window] != labels[sample.paired]
    assert len({sample.matched for sample in plan}) > 100 and len({sample.paired for sample in plan}) > 100
    alone = windows(corpus, actions=("walk",), epoch_size=5)
    assert {alone._labels[sample.paired] for sample in alone.plan(0)} == {0}  # there is no other


def test_canonical_windows_start_at_the_origin_and_face_the_front(corpus):
    plain, canonical = windows(corpus, canonical=False), windows(corpus)
    for number in (0, 40, 95):
        place = posture_placement(canonical.window(number)[0], H36M_17)
        np.testing.assert_allclose((place.x, place.z, place.yaw), 0, atol=1e-5)
        moved = posture_placement(plain.window(number)[0], H36M_17).to_canonical(plain.window(number))
        np.testing.assert_allclose(canonical.window(number), moved, atol=1e-5)
        np.testing.assert_allclose(canonical.window(number)[..., 1], plain.window(number)[..., 1], atol=1e-5)


def test_batches_have_what_the_stages_take(corpus):
    samples = windows(corpus)
    batch = fixed_batch(samples, 4, 4)[0]
    assert batch.keys() == {"motion", "length", "matched", "matched_length", "paired", "action"}
    for name in ("motion", "matched", "paired"):
        assert batch[name].shape == (4, FRAMES + 1, 17, 3) and str(batch[name].dtype) == "torch.float32"
    assert batch["action"].tolist() == [samples._labels[sample.window] for sample in samples.plan(0)[:4]]
    assert next(EpochLoader(samples, 4).epoch(0))["motion"].equal(batch["motion"])


@pytest.mark.parametrize("canonical", [False, True])
def test_scale_is_that_of_the_training_data(canonical, corpus):
    samples = windows(corpus, canonical=canonical)
    scale = samples.scale()
    assert scale.mean.shape == scale.std.shape == (17, 3)
    everything = np.concatenate([samples.window(sample.window) for sample in samples.plan(0)])
    np.testing.assert_allclose(scale.mean, everything.mean(axis=0), atol=0.1)
    np.testing.assert_allclose(scale.std, everything.std(axis=0), rtol=0.5, atol=0.02)
    assert not np.allclose(scale.mean, windows(corpus, split="test", canonical=canonical).scale().mean, atol=1e-4)


def test_coordinates_that_stand_still_keep_their_scale(corpus):
    samples = windows(corpus)
    posture = samples.window(0)[:1]
    samples._read = {index: np.repeat(posture, entry.num_frames, axis=0) for index, entry in enumerate(samples.entries)}
    assert (samples.scale().std == 1).all()


def test_motions_that_are_too_short_are_left_out_and_refused_where_none_is_left(corpus):
    lengths = sorted(entry.num_frames for entry in windows(corpus).entries)
    middle = lengths[len(lengths) // 2]
    assert all(entry.num_frames > middle for entry in windows(corpus, num_frames=middle).entries)
    some = windows(corpus, num_frames=middle, actions=("walk", "sit", "turn", "fly"))
    kept = {action: sum(entry.action == action for entry in some.entries) for action in some.actions}
    assert some.present == [action for action, count in kept.items() if count] and "fly" not in some.present
    short = [action for action in ("walk", "sit", "turn") if kept[action] < 4]
    assert some.describe_left_out() == ", ".join(f"{4 - kept[action]} of 4 {action}" for action in short) != ""
    assert windows(corpus).describe_left_out() == ""
    with pytest.raises(DatasetError, match=f"with the {lengths[-1] + 1} frames .* longest has {lengths[-1]}: lower"):
        windows(corpus, num_frames=lengths[-1])


def test_any_length_of_window(corpus):
    assert windows(corpus, num_frames=1).window(5).shape == (2, 17, 3)


def test_short_motions_go_back_and_forth_and_are_told_by_their_length(corpus):
    lengths = sorted(entry.num_frames for entry in windows(corpus).entries)
    longer = lengths[-1] + 10
    samples = windows(corpus, num_frames=longer, least_frames=8)
    assert len(samples.entries) == len(samples.labels) == len(lengths) and samples.describe_left_out() == ""
    assert sorted(samples.lengths.tolist()) == lengths
    window, length = samples.window(0), int(samples.lengths[0])
    assert window.shape == (longer + 1, 17, 3) and samples.load(samples.plan(0)[0])["length"] <= lengths[-1]
    np.testing.assert_array_equal(window[length : length + 5], window[length - 2 : length - 7 : -1])
    assert np.isfinite(samples.scale().std).all()
    assert back_and_forth(3, 8).tolist() == [0, 1, 2, 1, 0, 1, 2, 1] and back_and_forth(1, 3).tolist() == [0, 0, 0]


def test_actions_are_drawn_as_often_as_each_other_and_pairs_are_by_two_people(corpus):
    samples = windows(corpus, even=True, epoch_size=300)
    plan = samples.plan(1)
    counts = np.bincount(samples.labels[[sample.window for sample in plan]])
    assert counts.tolist() == [100, 100, 100] and plan == samples.plan(1) != samples.plan(2)
    for sample in plan:
        assert samples.labels[sample.matched] == samples.labels[sample.window] != samples.labels[sample.paired]
        assert samples.people[sample.matched] != samples.people[sample.window]
