"""A stage that somebody defines is trained, continued, searched, evaluated and compared without a change elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from optuna.distributions import FloatDistribution

import search_spaces
from orchestration.cli import main as cli
from orchestration.search.settings import TuneSettings
from orchestration.search.tune import tune
from orchestration.training.job import TrainSettings
from orchestration.training.runs import history
from orchestration.training.train import train
from posegen.checkpoints.checkpoint import find_checkpoint, load_stage
from posegen.errors import RunError
from posegen.io.storage import StorageFolder
from posegen.stages import STAGES, Stage
from search_spaces.space import Space


@pytest.fixture(scope="module", autouse=True)
def stage() -> Iterator[type[Stage]]:
    """`MeanColor`, which only the tests of this file have among the stages."""
    from tests.support.mean_color import MeanColor

    STAGES[MeanColor.name] = MeanColor
    yield MeanColor
    del STAGES[MeanColor.name]


@pytest.fixture
def place(new_store, tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("POSEGEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", new_store(tmp_path))
    return tmp_path


def test_two_stages_of_one_name_are_refused(stage):
    with pytest.raises(TypeError, match="two stages have the name 'mean_color'"):

        class Other(stage):
            name = "mean_color"


def test_it_is_trained_by_command_continued_evaluated_and_compared(noise_clips, place, stage, capsys):
    line = f"train mean_color {noise_clips} --workers 0 --name run --batch-size 4"
    cli.main(f"{line} --num-epochs 1".split())
    cli.main(f"{line} --num-epochs 3 --name whole".split())
    cli.main(f"{line} --num-epochs 3".split())  # goes on
    parts, whole = (load_stage(find_checkpoint(f"runs/{name}"), stage) for name in ("run", "whole"))
    assert torch.equal(parts.color, whole.color) and parts.color.abs().max() > 0
    metrics = history(StorageFolder("runs/run"))
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


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
def test_a_worker_on_ray_that_cannot_go_on_says_why_in_one_line(noise_clips, place, stage):
    how = TrainSettings(name="on-ray", workers=1, max_failures=0, track=False)
    with pytest.raises(RunError, match=r"run on-ray failed: .*not finite in epoch 1: lower lr"):
        train(stage.Config(batch_size=4, lr=1e6), noise_clips, how)
    assert history(StorageFolder("runs/on-ray")).keys() == {1}  # trained, measured and saved


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
def test_it_is_searched_past_a_trial_that_fails_and_further_with_workers(noise_clips, place, monkeypatch):
    space = Space(
        summary="for tests",
        stage="mean_color",
        parameters={"mean_color.lr": FloatDistribution(1e-3, 1e30, log=True)},
        starts=tuple({"mean_color.lr": lr} for lr in (1e30, 0.5, 0.2)),  # after the preset's 0.1
    )
    monkeypatch.setattr(search_spaces, "names", lambda: ["colors"])
    monkeypatch.setattr(search_spaces, "load", lambda name: space)
    settings = TuneSettings(trials=3, workers=0, concurrency=1, pruning="none", set=("mean_color.batch_size=4",))
    found = tune("colors", noise_clips, settings)
    assert [trial.state for trial in found.trials] == ["complete", "failed", "complete"], found.trials
    assert "is not finite in epoch 0: lower lr" in found.trials[1].reason
    errors = {trial.number: trial.values["error"] for trial in found.trials if trial.state == "complete"}
    assert found.best[0].values["error"] == min(errors.values()) and len(set(errors.values())) == 2
    more = tune("colors", noise_clips, replace(settings, trials=4, workers=1))
    assert more.trials[:3] == found.trials and more.trials[3].state == "complete"
