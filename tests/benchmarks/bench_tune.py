"""What a search costs beside the training of its trials: ``python -m tests.benchmarks.bench_tune``.

A trial against `train` with the same settings and as many workers, from the end of the first epoch to the end of the
last, so without the start of processes, which is printed apart. It takes some minutes.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import replace
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Run

from orchestration.data.colorize import ColorizeSettings, recolor_dataset
from orchestration.runtime.ray_session import start_ray
from orchestration.search.settings import TuneSettings
from orchestration.search.tune import complete, open_search, tune
from orchestration.tracking.queries import find_runs
from orchestration.training.job import TrainSettings
from orchestration.training.train import train
from posegen.io.storage import StorageFolder
from posegen.samples import REGIONS
from tests.benchmarks.bench_train import make_dataset

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


def run_of(folder: StorageFolder | str) -> Run:
    """The MLflow run of a run's folder."""
    return MlflowClient().get_run(find_runs(str(folder))[0].run_id)


def measure(dataset: str, round_: int) -> tuple[float, float]:
    """Seconds of the trial, and of the same training alone."""
    settings = replace(SETTINGS, name=f"search-{round_}")
    stage = run_of(tune("latent_sizes", dataset, settings).trials[0].run)
    trial = MlflowClient().get_run(stage.data.tags["mlflow.parentRunId"])
    encoders = {f"{region}_encoder": trial.data.tags[f"posegen.{region}_encoder"] for region in REGIONS}
    if round_ == 0:  # later ones find their encoders
        first = min(run_of(encoder).info.start_time for encoder in encoders.values())
        print(f"  a trial's process and its first task start in {(first - trial.info.start_time) / 1000:.1f} s")
    first_epoch = MlflowClient().get_metric_history(stage.info.run_id, "time/epoch_seconds")[0].value
    to_steps = epoch_ends(stage)[0] - first_epoch - stage.info.start_time / 1000
    print(f"  its training process starts in {to_steps:.1f} s")
    search = open_search("latent_sizes", complete("latent_sizes", settings))
    config = replace(search.configs(search.starts[0])[search.method], **encoders)
    alone = train(config, dataset, TrainSettings(name=f"alone-{round_}", workers=1, cpus=1))
    return seconds_between(stage), seconds_between(run_of(alone))


def main() -> None:
    """Print the ratio of two rounds."""
    with tempfile.TemporaryDirectory() as name:
        os.chdir(name)
        mlflow.set_tracking_uri(f"sqlite:///{name}/mlflow.db")
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{name}/mlflow.db"
        dataset = make_dataset(Path(name, "data"), (96, 64), 32)
        recolor_dataset(dataset, ColorizeSettings(scope="frame", region="lower", workers=0))
        start_ray()
        for round_ in range(2):
            trial, alone = measure(dataset, round_)
            print(f"trial {trial:.1f} s, the same training alone {alone:.1f} s: {trial / alone:.3f}")


if __name__ == "__main__":
    main()
