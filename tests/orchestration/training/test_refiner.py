"""The refiner's training: on Ray's workers, continued after a stop, and its pictures in MLflow."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from mlflow import MlflowClient

from orchestration.runtime.progress import ProgressListener
from orchestration.tracking.queries import find_runs
from orchestration.training.job import TrainSettings
from orchestration.training.runs import history
from orchestration.training.train import train
from posegen.checkpoints.checkpoint import find_checkpoint, load_stage
from posegen.io.storage import StorageFolder
from posegen.stages import Refiner
from tests.support.refinement import write_pairs

TINY = replace(Refiner.presets["tiny"], epoch_size=4)
HERE = TrainSettings(name="run", workers=0, track=False)


class StopAfter(ProgressListener):
    """Stops the training after so many steps, in the middle of an epoch."""

    def __init__(self, steps: int):
        self.steps = steps

    def on_step(self, event):
        self.steps -= 1
        if self.steps == 0:
            raise StopIteration


@pytest.fixture(scope="module")
def pairs(tmp_path_factory) -> str:
    return str(write_pairs(tmp_path_factory.mktemp("pairs")).folder)


def weights_of(run: StorageFolder) -> dict[str, torch.Tensor]:
    return load_stage(find_checkpoint(run), Refiner).state_dict()


def test_stopped_in_an_epoch_it_ends_as_if_it_had_never_stopped(pairs, tmp_path):
    settings = replace(HERE, runs=str(tmp_path), checkpoint_steps=1)
    with pytest.raises(StopIteration):
        train(TINY, pairs, replace(settings, name="parts"), listener=StopAfter(3))
    parts, whole = (train(TINY, pairs, replace(settings, name=name)) for name in ("parts", "whole"))
    expected = weights_of(whole)
    for name, tensor in weights_of(parts).items():
        torch.testing.assert_close(tensor, expected[name], rtol=0, atol=0, msg=name)


def test_pictures_and_figures_are_in_mlflow(pairs, tmp_path, new_store, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", new_store(tmp_path))
    monkeypatch.chdir(tmp_path)
    run = train(TINY, pairs, replace(HERE, runs=str(tmp_path), track=True))
    (found,) = find_runs(str(run))
    client = MlflowClient()
    recorded = client.get_metric_history(found.run_id, "val/near_l1")
    assert [metric.value for metric in recorded] == [history(run)[epoch]["val/near_l1"] for epoch in (1, 2)]
    pictures = [artifact.path for artifact in client.list_artifacts(found.run_id, "images")]
    for step in (1, 2):
        assert any("refined" in path and f"+step+{step}+" in path for path in pictures), pictures


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
def test_two_workers_on_ray_train_it_together(pairs, tmp_path):
    """Each worker's losses are means over its own half of a batch, so they are near those of one process, not equal."""
    runs = [
        train(TINY, pairs, replace(HERE, runs=str(tmp_path), name=f"workers-{workers}", workers=workers))
        for workers in (0, 2)
    ]
    alone, together = (history(run)[2] for run in runs)
    for name in ("train/lab", "train/gradient", "val/near_l1"):
        assert together[name] == pytest.approx(alone[name], rel=0.15), name
    assert weights_of(runs[1]).keys() == weights_of(runs[0]).keys()
