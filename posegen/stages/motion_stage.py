"""Common parts of all stages that learn from motions."""

from __future__ import annotations

from dataclasses import dataclass, replace

from posegen.datasets.dataset import Dataset
from posegen.datasets.motions import MotionDataset
from posegen.stages.stage import Stage


class MotionStage(Stage):
    """A stage that learns from a dataset of motions: some of its actions, at its rate."""

    reads = MotionDataset

    @dataclass(frozen=True, kw_only=True)
    class Config(Stage.Config):
        """Settings that are taken from the data unless they are set."""

        actions: tuple[str, ...] = ()
        """Actions to learn; by default all that the dataset has."""
        fps: float = 0.0
        """Frames per second of what is learned; by default the dataset's."""

    @classmethod
    def adapt(cls, config: Stage.Config, dataset: Dataset) -> Stage.Config:
        assert isinstance(config, cls.Config) and isinstance(dataset, MotionDataset)
        return replace(config, actions=dataset.actions(config.actions), fps=dataset.rate(config.fps))
