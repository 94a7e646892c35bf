"""How many workers there are, what each has, and what a batch must be for them."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace

import pytest
import ray

from orchestration.cli import main as cli
from orchestration.option_types import WorkerCount, format_workers, parse_workers
from orchestration.training import ray_trainer
from orchestration.training.job import TrainSettings
from orchestration.training.preflight import check
from orchestration.training.ray_trainer import _reason, find_scaling
from posegen.datasets.clips import ClipDataset
from posegen.errors import ConfigError
from tests.support.narrow import CONFIG

MACHINES = [{"CPU": 16.0, "GPU": 4.0, "accelerator_type:L4": 1.0}, {"CPU": 32.0}]


@pytest.fixture
def machines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(ray_trainer, "is_ray_running", lambda: True)
    monkeypatch.setattr(ray_trainer, "start_ray", lambda: None)
    monkeypatch.setattr(ray, "nodes", lambda: [{"Alive": True, "Resources": one} for one in MACHINES])
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 48.0, "GPU": 4.0})


def test_a_range_of_workers_is_its_least_number_until_it_is_asked():
    workers = parse_workers("2:8")
    assert workers == 2 and workers.most == 8 and format_workers(workers) == "2:8"
    again = pickle.loads(pickle.dumps(TrainSettings(workers=workers)))
    assert again.most_workers == 8 and json.dumps(workers) == "2"
    assert TrainSettings(workers=parse_workers("3")).most_workers == 3 and format_workers(3) == "3"
    assert parse_workers("4:4").most == 4 and format_workers(WorkerCount(4, 4)) == "4"


@pytest.mark.parametrize("text", ["8:2", "0:2", "-1:2", "two", "2:", "2:3:4", "1.5"])
def test_other_ranges_are_refused(text):
    with pytest.raises(ConfigError, match="expected a number, or MIN:MAX, for example 2:8"):
        parse_workers(text)


def test_the_command_line_takes_a_range():
    call = cli.build_app().parse(
        "posegen", ["train", "color_encoder", "data", "--workers", "2:8", "--batch-size", "840"]
    )
    settings = next(value for value in (*call.args, *call.keywords.values()) if isinstance(value, TrainSettings))
    assert settings.most_workers == 8 and settings.launch(CONFIG)["workers"] == "2:8"


def test_every_number_of_workers_must_share_the_batch(noise_clips):
    data = ClipDataset(noise_clips)
    check(replace(CONFIG, batch_size=6, epoch_size=12), data, workers=WorkerCount(2, 3))
    with pytest.raises(ConfigError, match=r"^2 to 3 workers must share a batch of 4, whatever their number: set"):
        check(replace(CONFIG, batch_size=4), data, workers=WorkerCount(2, 3))
    with pytest.raises(ConfigError, match=r"batch_size to a multiple of 12, or workers to one number$"):
        check(replace(CONFIG, batch_size=6), data, workers=WorkerCount(2, 3), accumulate=2)


def test_ray_gets_the_range(machines):
    scaling = find_scaling(TrainSettings(workers=WorkerCount(2, 4), gpus=1.0))
    assert scaling.num_workers == (2, 4)
    assert scaling.resources_per_worker == {"CPU": 4, "GPU": 1.0}  # so that four fit
    assert find_scaling(TrainSettings(workers=2)).num_workers == 2


def test_a_kind_of_gpu_is_asked_for_by_name(machines):
    assert find_scaling(TrainSettings(workers=2, gpus=1.0, accelerator="L4")).accelerator_type == "L4"
    with pytest.raises(ConfigError, match="--accelerator H100: this machine has GPUs of the kind L4"):
        find_scaling(TrainSettings(workers=2, gpus=1.0, accelerator="H100"))
    with pytest.raises(ConfigError, match="accelerator H100 is a kind of GPU: set gpus, too"):
        TrainSettings(accelerator="H100")


def test_a_gpu_that_pytorch_cannot_use_is_said_plainly():
    error = RuntimeError("worker 0:\nRuntimeError: Distributed package doesn't have NCCL built in")
    assert _reason(error, CONFIG).startswith(
        "a worker has a GPU that its PyTorch cannot use: install a build with CUDA"
    )
    assert _reason(RuntimeError("one\nshapes differ"), CONFIG) == "shapes differ"


def test_a_kind_may_yet_start_on_a_cluster(machines, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    assert find_scaling(TrainSettings(workers=9, gpus=1.0, accelerator="H100")).accelerator_type == "H100"
