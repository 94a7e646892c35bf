"""A search whose driver, trial or node is killed with SIGKILL ends as one that was left alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import optuna
import psutil
import pytest

from tests.support.ray_cluster import start_cluster

TRIALS = 4
COMMAND = (
    "tune latent_sizes DATA --name NAME --preset tiny --trials 4 --concurrency 1 --objectives l1 --grace 1 --set "
    "color_encoder.num_epochs=1 color_encoder.epoch_size=8 video_generator.num_epochs=3 "
    "video_generator.epoch_size=64 video_generator.decay_epochs=1"
)
BIN = Path(sys.executable).parent
PATIENCE = 580.0  # seconds until something that must happen has happened


def start(name: str, dataset: str, place: Path, **environment: str) -> subprocess.Popen[bytes]:
    """The search in a process of its own, as a user starts it."""
    words = COMMAND.replace("NAME", name).replace("DATA", dataset).split()
    known = {"MLFLOW_TRACKING_URI": f"sqlite:///{place}/mlflow.db", **environment}
    with (place / f"{name}.log").open("ab") as log:
        return subprocess.Popen(
            [BIN / "posegen", *words],
            cwd=place,
            env={**os.environ, **known},
            stdout=log,
            stderr=log,
        )


def finish(name: str, dataset: str, place: Path, **environment: str) -> None:
    process = start(name, dataset, place, **environment)
    assert process.wait(PATIENCE) == 0, (place / f"{name}.log").read_text()


def outcome(name: str, place: Path) -> list[tuple[object, ...]]:
    """Number, end, point, and what every epoch gave, of all trials."""
    study = optuna.load_study(study_name=name, storage=f"sqlite:///{place}/runs/{name}/study.db")
    return [(t.number, t.state.name, t.params, t.intermediate_values) for t in study.get_trials()]


def wait_for(happened: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < deadline, f"{what} never happened"
        time.sleep(0.05)


def in_the_middle(name: str, trial: int, place: Path) -> Callable[[], bool]:
    """Whether a trial has its first epoch behind it."""
    return lambda: (place / f"runs/{name}/trial-{trial:04d}/checkpoints/epoch-0001").exists()


def processes_of(search: subprocess.Popen[bytes], words: str) -> list[psutil.Process]:
    """Those of a search, and of the Ray that it started, whose command line has these words."""
    family = psutil.Process(search.pid).children(recursive=True)
    return [process for process in family if words in " ".join(process.cmdline())]


def kill(process: psutil.Process | subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait(30)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("survival")


@pytest.fixture(scope="module")
def calm(dataset, place) -> list[tuple[object, ...]]:
    """What a search gives that nobody disturbs."""
    finish("calm", dataset, place)
    found = outcome("calm", place)
    assert len(found) == TRIALS and {state for _, state, *_ in found} <= {"COMPLETE", "PRUNED"}
    return found


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(1800)
def test_a_driver_is_killed(calm, dataset, place):
    for trial in (0, 2):
        process = start("driver", dataset, place)
        wait_for(in_the_middle("driver", trial, place), f"trial {trial}")
        kill(process)
    finish("driver", dataset, place)
    assert outcome("driver", place) == calm


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(1800)
def test_processes_of_a_trial_are_killed(calm, dataset, place):
    """First the process of a trial, then one that trains for another trial."""
    process = start("trial", dataset, place)
    for trial, kind in ((0, "ray::ImplicitFunc"), (1, "ray::RayTrainWorker")):
        wait_for(in_the_middle("trial", trial, place), f"trial {trial}")
        victims = processes_of(process, kind)
        assert victims
        kill(victims[0])
    assert process.wait(PATIENCE) == 0, (place / "trial.log").read_text()
    assert outcome("trial", place) == calm


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(1800)
def test_a_node_is_killed(calm, dataset, place, tmp_path):
    """The node on which everything runs but the driver; another one comes in its place."""
    with start_cluster(tmp_path) as cluster:
        node = cluster.add_node(cpus=2)
        process = start("node", dataset, place, **cluster.environment)
        wait_for(in_the_middle("node", 1, place), "trial 1")
        cluster.kill_node(node)
        cluster.add_node(cpus=2)
        assert process.wait(PATIENCE) == 0, (place / "node.log").read_text()
    assert outcome("node", place) == calm
