"""The smallest stage that there is, defined outside the package.

Importing this file registers the stage: tests import it where they need it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import nn
from torch.optim import SGD

from posegen.datasets.clips import ClipDataset
from posegen.samples import Batch, usable_rows
from posegen.stages import Stage
from posegen.stages.optimization import Losses, detached
from posegen.stages.stage import Metrics, Pictures


class Frames:
    """Mean colours of frames."""

    def __init__(self, dataset: ClipDataset, split: str, seed: int):
        self.frames = [(clip, int(row)) for clip in dataset.split(split) for row in usable_rows(clip)]
        self.seed = seed

    def plan(self, epoch: int) -> list[int]:
        return np.random.default_rng([self.seed, epoch]).permutation(len(self.frames)).tolist()

    def load(self, sample: int) -> dict[str, np.ndarray]:
        clip, row = self.frames[sample]
        return {"color": clip.image(row).mean(axis=(0, 1)).astype(np.float32) / 255}


class MeanColor(Stage):
    """Learns the mean colour of all frames: the smallest stage that there is."""

    name = "mean_color"
    objectives: ClassVar = {"error": "val/error"}

    @dataclass(frozen=True, kw_only=True)
    class Config(Stage.Config):
        """Settings of the smallest stage."""

        num_epochs: int = 2
        """Passes over the data."""
        lr: float = 0.1
        """Learning rate."""
        start: float = 0.0
        """The colour to begin with."""

    config: Config

    def __init__(self, config: Config):
        super().__init__(config)
        self.color = nn.Parameter(torch.full((3,), config.start))
        self.optimizers = {"color": SGD([self.color], lr=config.lr)}

    @classmethod
    def open_samples(cls, config, dataset, split):
        return Frames(dataset, split, config.seed)

    def step(self, batch: Batch) -> Losses:
        loss = (self.color - batch["color"]).square().mean()
        self.update("color", loss)
        return detached({"error": loss})

    @torch.no_grad()
    def evaluate(self, batch: Batch) -> Metrics:
        return {"error": (self.color - batch["color"]).abs().mean().item()}

    def validate(self, data, split) -> Metrics:
        return {"clips": float(len(data.split(split)))}

    @torch.no_grad()
    def preview(self, batch: Batch) -> Pictures:
        return {"color": np.rint(np.full((8, 8, 3), self.color.clamp(0, 1).numpy()) * 255).astype(np.uint8)}


MeanColor.presets = {"plain": MeanColor.Config()}
