"""What a search costs beside the training of its trials: ``python tests/benchmarks/bench_tune.py``.

A trial against `train` with the same settings and as many workers, from the end of the first epoch to the end of the
last, so without the start of processes, which is printed apart. It takes some minutes.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import replace
from pathlib import Path

import mlflow
from bench_train import make_dataset
from mlflow import MlflowClient
from mlflow.entities import Run

from orchestration.ray_session import start_ray
from orchestration.search_settings import TuneSettings
from orchestration.train import TrainSettings, train
from orchestration.tune import open_search, tune

NUM_EPOCHS = 6
SETTINGS = TuneSettings(
    preset="tiny",
    trials=1,
    objectives=("l1",),
    set=(
        "color_encoder.num_epochs=1",
        "color_encoder.epoch_size=16",
        f"video_generator.num_epochs={NUM_EPOCHS}",
        "video_generator.epoch_size=256",
    ),
)


def epoch_ends(run: Run) -> list[float]:
    """When each epoch's metrics were there, in seconds."""
    history = MlflowClient().get_metric_history(run.info.run_id, "time/epoch_seconds")
    return [metric.timestamp / 1000 for metric in sorted(history, key=lambda metric: metric.step)]


def seconds_between(run: Run) -> float:
    """Seconds from the end of the first epoch to the end of the last."""
    ends = epoch_ends(run)
    assert len(ends) == NUM_EPOCHS
    return ends[-1] - ends[0]


def newest(name: str) -> Run:
    """The run that was recorded last under a name."""
    experiments = [experiment.experiment_id for experiment in MlflowClient().search_experiments()]
    return MlflowClient().search_runs(experiments, f"attributes.run_name = '{name}'")[0]


def children(run: Run) -> list[Run]:
    """The runs under one, in the order in which they began."""
    query = f"tags.mlflow.parentRunId = '{run.info.run_id}'"
    found = MlflowClient().search_runs([run.info.experiment_id], query)
    return sorted(found, key=lambda one: one.info.start_time)


def measure(dataset: str, round_: int) -> tuple[float, float]:
    """Seconds of the trial, and of the same training alone."""
    settings = replace(SETTINGS, name=f"search-{round_}")
    tune("latent_sizes", dataset, settings)
    (trial,) = children(newest(settings.name))
    stages = children(trial)
    stage = stages[-1]
    first_epoch = MlflowClient().get_metric_history(stage.info.run_id, "time/epoch_seconds")[0].value
    to_first = (stages[0].info.start_time - trial.info.start_time) / 1000
    to_steps = epoch_ends(stage)[0] - first_epoch - stage.info.start_time / 1000
    print(f"  trial's process and its first task {to_first:.1f} s, its training process {to_steps:.1f} s to start")
    search = open_search("latent_sizes", settings)
    config = search.configs(search.starts[0])[search.method]
    runs = {f"{region}_encoder": trial.data.tags[f"posegen.{region}_encoder"] for region in ("upper", "lower")}
    alone = TrainSettings(name=f"alone-{round_}", workers=1, cpus=1)
    train("video_generator", replace(config, **runs), dataset, alone)
    return seconds_between(stage), seconds_between(newest(alone.name))


def main() -> None:
    """Print the ratio of two rounds."""
    with tempfile.TemporaryDirectory() as name:
        os.chdir(name)
        mlflow.set_tracking_uri(f"sqlite:///{name}/mlflow.db")
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{name}/mlflow.db"
        dataset = make_dataset(Path(name, "data"), (96, 64), 32)
        start_ray()
        for round_ in range(2):
            trial, alone = measure(dataset, round_)
            print(f"trial {trial:.1f} s, the same training alone {alone:.1f} s: {trial / alone:.3f}")


if __name__ == "__main__":
    main()
