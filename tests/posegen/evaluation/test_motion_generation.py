"""The protocol by which generated motions are measured: what is real, noisy, frozen or mislabelled looks like it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from posegen.datasets.motions import MotionDataset
from posegen.evaluation.motion_generation import MOTION_METRICS, MotionProtocol, score_motions
from posegen.inference.action_classifiers import ActionClassifier, load_action_classifier
from posegen.networks.recognition import ActionPrediction
from posegen.samples import MotionCrops, Window, fixed_batch

PROTOCOL = MotionProtocol(seeds=2, batch_size=24)


@pytest.fixture(scope="module")
def recognizer(recognizer_run) -> ActionClassifier:
    return load_action_classifier(str(recognizer_run), torch.device("cpu"))


@pytest.fixture(scope="module")
def samples(corpus) -> MotionCrops:
    return open_samples(corpus)


def open_samples(corpus: MotionDataset, **changes) -> MotionCrops:
    options = {"actions": corpus.info.actions, "window": Window(num_frames=25)} | changes
    return MotionCrops(corpus, "all", **options)


def scores(samples: MotionCrops, recognizer: ActionClassifier, generate=None, protocol: MotionProtocol = PROTOCOL):
    sources = {"generated": generate} if generate else {}
    return score_motions(samples, recognizer, sources, torch.from_numpy(samples.mean_rest), protocol)


class Copies:
    """Generates other windows of the real motions of the actions that are asked for."""

    def __init__(self, samples: MotionCrops):
        batch = fixed_batch(samples, 1000, 1000, epoch=77)[0]
        self.motions = {action: batch["motion"][batch["action"] == action] for action in batch["action"].tolist()}

    def __call__(self, actions: Tensor, lengths: Tensor, generator: torch.Generator) -> Tensor:
        drawn = torch.randint(1000, (len(actions),), generator=generator).tolist()
        motions = [self.motions[a][k % len(self.motions[a])] for a, k in zip(actions.tolist(), drawn, strict=True)]
        return torch.stack(motions)[:, : int(lengths.max())]


def frozen(copies: Copies):
    def generate(actions: Tensor, lengths: Tensor, generator: torch.Generator) -> Tensor:
        return copies(actions, lengths, generator)[:, :1].expand(-1, int(lengths.max()), -1, -1)

    return generate


def noise(actions: Tensor, lengths: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn((len(actions), int(lengths.max()), 25, 6), generator=generator)


def test_real_motions_are_near_to_themselves_and_noise_is_far(samples, recognizer):
    real = scores(samples, recognizer, Copies(samples))
    far = scores(samples, recognizer, noise)["generated"]
    spread = float(np.mean(real["real"]["diversity"])) ** 2
    assert max(real["real"]["fid"]) < 0.1 * spread and max(real["generated"]["fid"]) < 0.1 * spread
    assert min(far["fid"]) > 5 * max(real["generated"]["fid"])
    assert min(real["real"]["accuracy"]) > 0.5 and min(real["generated"]["accuracy"]) > 0.5
    assert max(far["accuracy"]) < 0.25
    assert real["generated"]["amplitude"] == pytest.approx(real["real"]["amplitude"], rel=0.2)
    assert min(far["amplitude"]) > 2 * max(real["real"]["amplitude"])


def test_fid_is_measured_to_the_motions_that_were_generated_for(samples, recognizer):
    """Generated motions that are the real ones, window by window, have none; other windows of the real ones have."""

    def repeat(actions: Tensor, lengths: Tensor, generator: torch.Generator) -> Tensor:
        windows = fixed_batch(samples, PROTOCOL.max_motions, PROTOCOL.batch_size, epoch=2 * generator.initial_seed())
        same = [x for x in windows if torch.equal(x["action"], actions) and torch.equal(x["length"], lengths)]
        assert len(same) == 1
        return same[0]["motion"][:, : int(lengths.max())]

    found = scores(samples, recognizer, repeat)
    assert max(found["generated"]["fid"]) < 1e-3 * min(found["real"]["fid"])
    for name in ("accuracy", "diversity", "multimodality", "amplitude"):
        assert found["generated"][name] == pytest.approx(found["real"][name], rel=1e-3)


def test_people_that_were_learned_from_are_measured_like_generated_motions(corpus, samples, recognizer):
    """Half of the people are farther from all of them than all are from themselves."""
    others = MotionCrops(corpus, "train", actions=samples.actions, window=samples.window)
    rest = torch.from_numpy(samples.mean_rest)
    found = score_motions(samples, recognizer, {"learned": others, "generated": noise}, rest, PROTOCOL)
    assert list(found) == ["real", "learned", "generated"]
    assert max(found["learned"]["fid"]) < min(found["generated"]["fid"])
    assert found["learned"]["fid"] != found["real"]["fid"] and min(found["learned"]["accuracy"]) > 0.5


def test_frozen_motions_have_no_amplitude(samples, recognizer):
    found = scores(samples, recognizer, frozen(Copies(samples)))
    assert found["generated"]["amplitude"] == pytest.approx([0, 0], abs=1e-6)
    assert min(found["real"]["amplitude"]) > 0.01


def test_copies_are_nearer_to_training_motions_than_real_motions_are_to_each_other(corpus, samples, recognizer):
    learned = MotionCrops(corpus, "train", actions=samples.actions, window=samples.window)
    found = scores(samples, recognizer, Copies(learned))
    assert max(found["generated"]["nearest"]) < 0.6 * min(found["real"]["nearest"])
    assert min(found["real"]["nearest"]) > 0.01
    left_out = scores(samples, recognizer, Copies(learned), replace(PROTOCOL, nearest_motions=0))
    assert "nearest" not in left_out["real"] and "jerk" in left_out["real"]


def test_smooth_trembling_and_sliding_motions_are_told(samples, recognizer):
    copies = Copies(samples)

    def shaken(actions: Tensor, lengths: Tensor, generator: torch.Generator) -> Tensor:
        motions = copies(actions, lengths, generator).clone()
        motions[:, :, -1, :3] += 0.02 * torch.randn(motions.shape[0], motions.shape[1], 3, generator=generator)
        return motions

    real, still = scores(samples, recognizer, frozen(copies)).values()
    trembling = scores(samples, recognizer, shaken)["generated"]
    assert max(still["jerk"]) < 1e-6 < 2 * max(real["jerk"]) < min(trembling["jerk"])
    assert max(still["foot_skate"]) < 1e-6 and min(trembling["foot_skate"]) > 2 * max(real["foot_skate"])
    assert max(real["limb_drift"]) < 1e-5


def test_what_leaves_actions_out_covers_less(samples, recognizer):
    copies = Copies(samples)

    def generate(actions: Tensor, lengths: Tensor, generator: torch.Generator) -> Tensor:
        return copies(torch.zeros_like(actions), lengths, generator)

    found = scores(samples, recognizer, generate)
    assert max(found["generated"]["coverage"]) < 0.5 * min(found["real"]["coverage"])


def test_mislabelled_motions_are_found_out(samples, recognizer):
    copies = Copies(samples)

    def generate(actions: Tensor, lengths: Tensor, generator: torch.Generator) -> Tensor:
        return copies((actions + 1) % 12, lengths, generator)

    found = scores(samples, recognizer, generate)["generated"]
    assert max(found["accuracy"]) < 0.3


def test_one_motion_per_action_has_no_variety(samples, recognizer):
    one = Copies(samples)
    one.motions = {action: motions[:1] for action, motions in one.motions.items()}
    found = scores(samples, recognizer, one)
    assert found["generated"]["multimodality"] == pytest.approx([0, 0], abs=1e-5)
    assert min(found["real"]["multimodality"]) > 0.1 and min(found["generated"]["diversity"]) > 0.1


def test_same_seeds_give_the_same_figures_and_others_others(samples, recognizer):
    torch.manual_seed(1)
    first = scores(samples, recognizer, Copies(samples))
    torch.manual_seed(2)
    assert scores(samples, recognizer, Copies(samples)) == first
    assert set(first) == {"real", "generated"}
    for values in first.values():
        assert tuple(values) == MOTION_METRICS and all(len(value) == 2 for value in values.values())
        alike = {"accuracy", "coverage", "limb_drift"}
        assert all(value[0] != value[1] for name, value in values.items() if name not in alike)


def test_size_of_batches_does_not_matter(samples, recognizer):
    whole, parts = (scores(samples, recognizer, protocol=replace(PROTOCOL, batch_size=n))["real"] for n in (60, 7))
    for name in MOTION_METRICS:
        assert parts[name] == pytest.approx(whole[name], rel=1e-3, abs=1e-5)


def test_actions_are_matched_by_name(samples, recognizer):
    """The recogniser tells them in another order, and one more."""
    order = [5, 0, 3, 1, 2, 4, 11, 10, 9, 8, 7, 6]

    def recognize(batch, generator):
        logits, features = recognizer.recognize(batch, generator)
        return ActionPrediction(torch.cat([logits[:, order], logits.new_full((len(logits), 1), 99.0)], dim=1), features)

    names = (*(recognizer.actions[k] for k in order), "fly")
    other = ActionClassifier("other", "", names, 25.0, recognize)
    assert scores(samples, other) == scores(samples, recognizer)


def test_some_actions_are_measured_among_themselves(corpus, recognizer):
    few = open_samples(corpus, actions=("walk", "bend"))
    found = scores(few, recognizer, Copies(few))
    assert min(found["real"]["accuracy"]) > 0.8


def test_actions_that_the_recognizer_does_not_know_are_refused(samples):
    other = ActionClassifier("other", "", ("walk",), 25.0, lambda batch, generator: None)
    with pytest.raises(ValueError, match="the action classifier other does not know"):
        scores(samples, other)


@pytest.mark.parametrize("random_state", [False, True])
def test_random_states_come_from_the_seed(random_state, samples, recognizer):
    seeds = []

    def recognize(batch, generator):
        seeds.append(None if generator is None else generator.initial_seed())
        return recognizer.recognize(batch, generator)

    scores(
        samples, replace(recognizer, recognize=recognize), protocol=MotionProtocol(seeds=2, random_state=random_state)
    )
    assert seeds == ([0, 2, 1, 3] if random_state else [None] * 4)


def test_short_motions_are_filled_to_the_window_whether_real_or_generated(corpus, recognizer):
    samples = open_samples(corpus, window=Window(num_frames=200))  # longer than all
    seen = []

    def recognize(batch, generator):
        seen.append(batch)
        return recognizer.recognize(batch, generator)

    protocol = MotionProtocol(seeds=2, batch_size=8, max_motions=16)
    scores(samples, replace(recognizer, recognize=recognize), noise, protocol)
    for batch in seen:
        assert batch["motion"].shape == (8, 200, 25, 6) and (batch["length"] == 200).all()
        assert torch.equal(batch["motion"][:, 150], batch["motion"][:, 199])
        assert batch["motion"][:, 199, 0].any(dim=-1).all()


@pytest.mark.parametrize("changes", [{"seeds": 1}, {"max_motions": 1}, {"batch_size": 0}])
def test_protocols_that_measure_nothing_are_refused(changes):
    name, value = next(iter(changes.items()))
    with pytest.raises(ValueError, match=f"{name} must be at least {value + 1}, got {value}"):
        MotionProtocol(**changes)


def test_too_few_motions_are_refused(corpus, recognizer):
    one = open_samples(corpus, actions=("walk",))
    one.entries = one.entries[:1]
    with pytest.raises(ValueError, match="at least 2 motions"):
        scores(one, recognizer)
