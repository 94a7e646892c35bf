"""Means over batches: every sample counts once, in a fixed order, whatever the batches are."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from posegen.evaluation.batches import MAX_BATCH, score_batches

CPU = torch.device("cpu")


class Numbers:
    """Samples that are numbers."""

    def __init__(self, count: int):
        self.count = count

    def plan(self, epoch):
        assert epoch == 0
        return range(self.count)

    def load(self, k):
        return {"x": np.float32(k)}


class Mean:
    """Stands in for a stage."""

    def __init__(self):
        self.sizes: list[int] = []

    def evaluate(self, batch):
        self.sizes.append(len(batch["x"]))
        assert not torch.is_grad_enabled()
        return {"mean": batch["x"].mean().item(), "noise": torch.rand(()).item(), "bad": float("nan")}


@pytest.mark.parametrize("count", [1, MAX_BATCH, MAX_BATCH + 1, 3 * MAX_BATCH + 5])
def test_every_sample_counts_once(count):
    stage, heard = Mean(), []
    scores = score_batches(stage, Numbers(count), CPU, on_progress=lambda done, total: heard.append((done, total)))
    assert scores["mean"] == pytest.approx((count - 1) / 2) and np.isnan(scores["bad"])
    assert sum(stage.sizes) == count and max(stage.sizes) <= MAX_BATCH
    assert max(stage.sizes) - min(stage.sizes) <= 1  # no batch of a single sample is left over
    assert heard[0] == (0, count) and heard[-1] == (count, count)


def test_measuring_again_gives_the_same_and_disturbs_nobody():
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    first = score_batches(Mean(), Numbers(20), CPU)
    assert torch.equal(torch.rand(2), expected)
    assert score_batches(Mean(), Numbers(20), CPU)["noise"] == first["noise"]


def test_nothing_is_measured_where_there_are_no_samples():
    assert score_batches(Mean(), Numbers(0), CPU) == {}
