"""Batches of an epoch: the same for any number of workers, from any step on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from posegen.errors import ConfigError, DatasetError
from posegen.samples.epoch_plan import EpochLoader, fixed_batch, share_batch, shuffled


class Numbers:
    """Samples that are their own numbers, in another order each epoch."""

    def plan(self, epoch: int) -> Sequence[int]:
        return shuffled(22, 0, np.random.default_rng(epoch)).tolist()

    def load(self, sample: int) -> dict[str, np.ndarray]:
        return {"number": np.array(sample)}


def numbers(loader: EpochLoader, epoch: int, first_step: int = 0) -> list[list[int]]:
    return [batch["number"].tolist() for batch in loader.epoch(epoch, first_step)]


def test_batches_are_those_of_the_plan_without_a_remainder():
    loader, plan = EpochLoader(Numbers(), 4), Numbers().plan(3)
    assert loader.num_steps == 5
    assert numbers(loader, 3) == [plan[k : k + 4] for k in range(0, 20, 4)]
    assert numbers(loader, 4) != numbers(loader, 3) == numbers(loader, 3)


@pytest.mark.parametrize("processes", [0, 1])
@pytest.mark.parametrize("first_step", [1, 3, 5])
def test_a_resumed_epoch_goes_on_where_it_was(first_step, processes):
    loader = EpochLoader(Numbers(), 4, num_processes=processes)
    assert numbers(loader, 3, first_step) == numbers(EpochLoader(Numbers(), 4), 3)[first_step:]
    assert len(numbers(loader, 4)) == 5  # the next epoch is whole


@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_workers_share_each_batch(world_size):
    loaders = [EpochLoader(Numbers(), 4, rank=rank, world_size=world_size) for rank in range(world_size)]
    shares = [numbers(loader, 3) for loader in loaders]
    together = [[x for part in parts for x in part] for parts in zip(*shares, strict=True)]
    assert together == numbers(EpochLoader(Numbers(), 4), 3)


def test_batches_that_cannot_be_made_are_refused():
    with pytest.raises(ConfigError, match=r"3 workers cannot share a batch of 4: set batch_size to 3 or 6, or workers"):
        EpochLoader(Numbers(), 4, world_size=3)
    with pytest.raises(DatasetError, match="22 usable samples are fewer than one batch of 23"):
        EpochLoader(Numbers(), 23)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ((1, 4), "4 workers cannot share a batch of 1: set batch_size to 4, or workers to 1"),
        ((4, 3), "3 workers cannot share a batch of 4: set batch_size to 3 or 6, or workers to 1 or 2 or 4"),
        ((8, 2, 3), "2 workers cannot share a batch of 8 in 3 parts each: set batch_size to 6 or 12"),
        ((6, 1, 4), "1 worker cannot share a batch of 6 in 4 parts each: set batch_size to 4 or 8"),
        (
            (4, 4, 1, 2),
            "4 workers cannot share a batch of 4, of which 2 samples belong together: set batch_size to 8, "
            "or workers to 1 or 2",
        ),
    ],
)
def test_what_would_fit_is_said(asked, message):
    with pytest.raises(ConfigError) as error:
        share_batch(*asked)
    assert str(error.value) == message


def test_shares_are_equal():
    assert [share_batch(8, *rest) for rest in ((1,), (2,), (2, 2), (2, 2, 2))] == [8, 4, 4, 4]


def test_more_samples_than_there_are_go_through_all_of_them_first():
    order = shuffled(5, 12, np.random.default_rng(0)).tolist()
    assert len(order) == 12 and sorted(order[:5]) == sorted(order[5:10]) == [0, 1, 2, 3, 4]
    assert sorted(shuffled(5, 0, np.random.default_rng(0))) == [0, 1, 2, 3, 4]


def test_fixed_batches_are_the_first_of_an_epoch():
    batches = fixed_batch(Numbers(), 6, 4, epoch=2)
    assert [batch["number"].tolist() for batch in batches] == [Numbers().plan(2)[:4], Numbers().plan(2)[4:6]]
