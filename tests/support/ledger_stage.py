"""A stage that writes down every sample that a step takes: importing this file registers it."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torch.optim import SGD

from posegen.datasets.clips import ClipDataset
from posegen.samples import Batch
from posegen.stages import Stage
from posegen.stages.optimization import Losses, detached

STEPS = 12  # of an epoch


class Numbers:
    """Random numbers, each a function of its epoch and its place there."""

    def plan(self, epoch: int) -> list[tuple[int, int]]:
        return [(epoch, place) for place in range(STEPS * 4)]

    def load(self, sample: tuple[int, int]) -> dict[str, np.ndarray]:
        number = np.random.default_rng(sample).random(1, dtype=np.float32)
        return {"number": number, "sample": np.array(sample)}


class Ledger(Stage):
    """Learns the mean of its samples, and takes as many seconds for each step as a file ``FILE.pace`` says."""

    name = "ledger"

    @dataclass(frozen=True, kw_only=True)
    class Config(Stage.Config):
        """Settings."""

        num_epochs: int = 8
        """Passes over the data."""
        batch_size: int = 4
        """Samples of a step, of all workers together."""
        file: str = ""
        """Where samples are written down."""

    config: Config

    def __init__(self, config: Config):
        super().__init__(config)
        self.mean = nn.Parameter(torch.zeros(1))
        self.optimizers = {"mean": SGD([self.mean], lr=0.05)}

    @classmethod
    def open_samples(cls, config: Config, dataset: ClipDataset, split: str) -> Numbers:
        return Numbers()

    def step(self, batch: Batch) -> Losses:
        shared = dist.is_initialized()
        note = {
            "pid": os.getpid(),
            "rank": dist.get_rank() if shared else 0,
            "workers": dist.get_world_size() if shared else 1,
            "samples": batch["sample"].tolist(),
        }
        if self.config.file:
            with Path(self.config.file).open("a") as file:
                file.write(json.dumps(note) + "\n")
            time.sleep(float(Path(f"{self.config.file}.pace").read_text()))
        loss = (self.mean - batch["number"]).square().mean()
        self.update("mean", loss)
        return detached({"error": loss})

    def evaluate(self, batch: Batch) -> dict[str, float]:
        return {"error": float((self.mean - batch["number"]).abs().mean())}

    def preview(self, batch: Batch) -> dict[str, np.ndarray]:
        return {}


Ledger.presets = {"plain": Ledger.Config()}
