"""What a worker samples by itself in a step."""

from __future__ import annotations

import itertools

import torch

from orchestration.runtime.worker import seed_step


def noise(seed: int, epoch: int, step: int, rank: int) -> tuple[float, ...]:
    seed_step(seed, epoch, step, rank)
    return tuple(torch.randn(4).tolist())


def test_noise_of_a_step_is_a_function_of_seed_epoch_step_and_rank():
    places = list(itertools.product((0, 1), (0, 1, 2), (0, 1, 2), (0, 1, 2)))
    first = [noise(*place) for place in places]
    torch.manual_seed(99)
    assert [noise(*place) for place in places] == first
    assert len(set(first)) == len(places)  # also of workers that take the same step


def test_each_place_counts_for_itself():
    """Sums and products of them would be equal here."""
    assert len({noise(*place) for place in set(itertools.permutations((0, 1, 2, 3)))}) == 24
