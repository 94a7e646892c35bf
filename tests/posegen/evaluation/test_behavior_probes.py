"""Judges of behaviour: they tell what can be told, on what they have not seen, and nothing else."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from posegen.evaluation.behavior_probes import (
    ActionWindows,
    evaluate_posture_probe,
    measure_realism,
    predict_actions,
    train_action_classifier,
    train_discriminator,
    train_posture_probe,
)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def swings(count: int, seed: int = 0) -> Tensor:
    """Postures (count, 12, 6) that swing, each from another phase and by another amplitude."""
    phase, amplitude = noise(count, 1, 6, seed=seed), 1 + 0.3 * noise(count, 1, 1, seed=seed + 1)
    return amplitude * torch.sin(0.8 * torch.arange(12)[:, None] + phase)


def test_two_actions_are_told_apart():
    def example(seed: int) -> Tensor:
        return torch.cat([swings(50, seed), 0.3 * noise(50, 1, 6, seed=seed).expand(-1, 12, -1)])

    labels = torch.arange(2).repeat_interleave(50)
    lengths = torch.full((100,), 12)
    classifier = train_action_classifier(
        ActionWindows(example(0), lengths, labels), 2, hidden_dim=32, steps=100, seed=0
    )
    assert (predict_actions(classifier, example(10), lengths) == labels).float().mean() > 0.97


def test_frames_that_are_filled_up_do_not_count():
    postures, labels = swings(100), torch.arange(2).repeat_interleave(50)
    postures[50:, 6:] += 3.0  # only behind the end tells them apart
    lengths = torch.full((100,), 6)
    classifier = train_action_classifier(ActionWindows(postures, lengths, labels), 2, hidden_dim=16, steps=60, seed=0)
    changed = postures.clone()
    changed[:, 6:] = noise(100, 6, 6, seed=3)
    assert torch.equal(predict_actions(classifier, changed, lengths), predict_actions(classifier, postures, lengths))


def test_what_was_learned_by_heart_is_not_known_of_others():
    postures, labels = noise(40, 5, 6), torch.randint(4, (40,), generator=torch.Generator().manual_seed(0))
    lengths = torch.full((400,), 5)
    windows = ActionWindows(postures, lengths[:40], labels)
    classifier = train_action_classifier(windows, 4, hidden_dim=64, steps=300, seed=0)
    assert (predict_actions(classifier, postures, lengths[:40]) == labels).float().mean() > 0.95
    others, other_labels = noise(400, 5, 6, seed=1), torch.arange(4).repeat_interleave(100)
    assert (predict_actions(classifier, others, lengths) == other_labels).float().mean() < 0.4


def test_real_motions_look_half_real_beside_others_and_noise_does_not():
    same = measure_realism(
        train_discriminator(swings(300), swings(300, 10), hidden_dim=16, steps=100, seed=0),
        swings(200, 20),
        swings(200, 30),
    )
    assert same.generated == pytest.approx(0.5, abs=0.1) == same.real
    assert same.accuracy == pytest.approx(0.5, abs=0.1)
    far = measure_realism(
        train_discriminator(swings(300), noise(300, 12, 6), hidden_dim=32, steps=250, seed=0),
        swings(200, 20),
        noise(200, 12, 6, seed=1),
    )
    assert far.generated < 0.1 and far.real > 0.9 and far.accuracy > 0.95


def test_postures_are_read_where_codes_hold_them():
    codes, others = noise(400, 8), noise(200, 8, seed=1)
    told = train_posture_probe(codes, codes[:, :3].sin(), steps=300, seed=0)
    read = evaluate_posture_probe(told, others, others[:, :3].sin(), codes[:, :3].sin().mean(dim=0))
    assert read.r2 > 0.9 and read.error < 0.3 * read.constant_error
    postures, asked = noise(400, 3, seed=2), noise(200, 3, seed=3)
    reader = train_posture_probe(codes, postures, steps=30, seed=0)
    guessed = evaluate_posture_probe(reader, others, asked, postures.mean(dim=0))
    assert guessed.r2 < 0.02 and guessed.error == pytest.approx(guessed.constant_error, rel=0.1)
    assert guessed.constant_error == pytest.approx(1.6, abs=0.1)  # the mean length of three of N(0, 1) is 1.596


def test_judges_follow_the_seed_alone():
    def learn(seed: int) -> Tensor:
        torch.rand(3)  # whatever else was drawn
        return train_discriminator(swings(20), noise(20, 12, 6), hidden_dim=4, steps=3, seed=seed).rnn.weight_hh_l0

    state = torch.get_rng_state()
    first = learn(0)
    assert torch.equal(first, learn(0)) and not torch.equal(first, learn(1))
    torch.set_rng_state(state)
    drawn = torch.rand(3), torch.rand(3)
    torch.set_rng_state(state)
    learn(0)
    assert torch.equal(torch.rand(3), drawn[1])  # they draw nothing that others miss
