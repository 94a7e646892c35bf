"""A stage that somebody defines is trained, continued, searched, evaluated and compared without a change elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from optuna.distributions import FloatDistribution
from torch import nn
from torch.optim import SGD

import search_spaces
from orchestration.cli import main as cli
from orchestration.search.settings import TuneSettings
from orchestration.search.tune import tune
from orchestration.training.job import TrainSettings
from orchestration.training.runs import history
from orchestration.training.train import train
from posegen.checkpoints.checkpoint import find_checkpoint, load_stage
from posegen.datasets.clips import ClipDataset
from posegen.samples import Batch, usable_rows
from posegen.stages import STAGES, Stage
from posegen.stages.optimization import Losses, detached
from posegen.stages.stage import Metrics, Pictures
from search_spaces.space import Space


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


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("POSEGEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    return tmp_path


def test_a_stage_is_known_from_its_definition_on():
    assert STAGES["mean_color"] is MeanColor and MeanColor.Config.stage is MeanColor


def test_two_stages_of_one_name_are_refused():
    with pytest.raises(TypeError, match="two stages have the name 'mean_color'"):

        class Other(MeanColor):
            name = "mean_color"


def test_it_is_trained_by_command_continued_evaluated_and_compared(noise_clips, place, capsys):
    line = f"train mean_color {noise_clips} --workers 0 --name run --batch-size 4"
    cli.main(f"{line} --num-epochs 1".split())
    cli.main(f"{line} --num-epochs 3 --name whole".split())
    cli.main(f"{line} --num-epochs 3".split())  # goes on
    parts, whole = (load_stage(find_checkpoint(f"runs/{name}"), MeanColor) for name in ("run", "whole"))
    assert torch.equal(parts.color, whole.color) and parts.color.abs().max() > 0
    metrics = history(train_folder("run"))
    assert list(metrics) == [1, 2, 3]
    assert {"train/error", "val/error", "val/clips"} <= metrics[3].keys()
    assert Path("runs/run/previews/epoch-0003/color.png").exists()

    cli.main(f"train mean_color {noise_clips} --workers 0 --name worse --batch-size 4 --start 9".split())
    capsys.readouterr()
    for name in ("run", "worse"):
        cli.main(["evaluate", f"runs/{name}"])
    assert "error" in capsys.readouterr().out
    cli.main(["compare", "posegen", "--metric", "test/error"])
    printed = capsys.readouterr().out
    assert printed.index("run ") < printed.index("worse")


def train_folder(name: str):
    from posegen.io.storage import StorageFolder

    return StorageFolder(f"runs/{name}")


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
def test_it_is_trained_on_ray_and_searched(noise_clips, place, monkeypatch):
    how = TrainSettings(name="on-ray", track=False)
    run = train(MeanColor.Config(batch_size=4), noise_clips, how)
    assert load_stage(find_checkpoint(run), MeanColor).color.abs().max() > 0

    space = Space(
        summary="for tests", stage="mean_color", parameters={"mean_color.lr": FloatDistribution(1e-3, 0.5, log=True)}
    )
    monkeypatch.setattr(search_spaces, "names", lambda: ["colors"])
    monkeypatch.setattr(search_spaces, "load", lambda name: space)
    settings = TuneSettings(trials=2, workers=0, set=("mean_color.batch_size=4",), pruning="none")
    found = tune("colors", noise_clips, settings)
    assert [trial.state for trial in found.trials] == ["complete", "complete"], [trial.reason for trial in found.trials]
    assert found.best[0].values["error"] == min(trial.values["error"] for trial in found.trials)
