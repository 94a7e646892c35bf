"""The commands for a cluster that README and the clusters' files give: they fit, and run as they are written."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from orchestration.cli import main as cli
from orchestration.runtime.process_group import NodeNetwork
from orchestration.training.job import TrainSettings
from posegen.checkpoints.run_record import find_record
from posegen.io.storage import StorageFolder
from posegen.samples import share_batch
from posegen.stages.stage import Stage

ROOT = Path(__file__).resolve().parents[3]
DOCS = sorted(path.name for path in (ROOT / "docs").iterdir() if path.suffix in (".md", ".yaml"))
FILES = ("README.md", "cluster.yaml", *(f"docs/{name}" for name in DOCS))
TINY = "--preset tiny --num-epochs 1 --epoch-size 4 --generator-width 4 --encoder-width 4 --discriminator-width 4"


def submitted() -> list[str]:
    """Every command after ``posegen submit … --``, in shell blocks and comments, without its own comment."""
    commands = []
    for name in FILES:
        for line in (ROOT / name).read_text().splitlines():
            match = re.fullmatch(r"(?:#\s+)?posegen submit (?:\S+ )*?-- (.+?)(?:  +#.*)?", line)
            commands += [match[1]] if match else []
    return commands


def configured(call: partial[Any]) -> tuple[Stage.Config, TrainSettings]:
    """The configuration and the settings of a call of `train`."""
    values = (*call.args, *call.keywords.values())
    config = next(value for value in values if isinstance(value, Stage.Config))
    return config, next(value for value in values if isinstance(value, TrainSettings))


def test_the_files_have_commands_for_every_step():
    assert {command.split()[0] for command in submitted()} >= {"train", "evaluate", "tune"}
    stages = {command.split()[1] for command in submitted() if command.startswith("train")}
    assert stages == {"color_encoder", "video_generator"}


@pytest.mark.parametrize("command", dict.fromkeys(submitted()))
def test_a_command_of_the_files_fits(command, monkeypatch):
    """It is understood, names the runs that its stage requires, and its workers can share a batch."""
    monkeypatch.setenv("POSEGEN_STORAGE", "s3://bucket")
    words = shlex.split(command.replace("$POSEGEN_STORAGE", "s3://bucket"))
    call = cli.build_app().parse("posegen", words)
    if words[0] == "train":
        config, settings = configured(call)
        config.required_runs()
        assert settings.workers > 1
        assert share_batch(config.batch_size, settings.workers, settings.accumulate, config.samples_together)


@pytest.fixture(scope="module")
def fake_gpus() -> Iterator[None]:
    """A cluster with GPUs by name alone, to which commands connect as jobs do."""
    import ray

    before = dict(os.environ)
    patience = {"RAY_raylet_start_wait_time_s": "300"}  # of a machine that is busy
    os.environ.update({"RAY_AUTH_MODE": "disabled", "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0", **patience})
    ray.shutdown()
    context = ray.init("local", num_cpus=13, num_gpus=2, include_dashboard=True, log_to_driver=False)
    os.environ["RAY_ADDRESS"] = context.address_info["gcs_address"]
    yield
    ray.shutdown()
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def storage(noise_clips: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cluster's storage with a dataset of noise."""
    folder = tmp_path / "storage"
    shutil.copytree(noise_clips, folder / "data")
    shutil.copytree(folder / "data/colors/frame-upper", folder / "data/colors/frame-lower")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    return folder


def run(command: str, storage: Path, extra: str = "") -> None:
    words = command.replace("$POSEGEN_STORAGE", str(storage)).replace("--workers 4", "--workers 2")
    cli.main(shlex.split(f"{words} {extra}"))


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_the_commands_run_one_after_another(fake_gpus, storage, monkeypatch):
    """On GPUs that are none, so with gloo, in small sizes, on half as many workers."""
    monkeypatch.setattr("orchestration.runtime.process_group.NodeNetwork", lambda: NodeNetwork(backend="gloo"))
    commands = list(dict.fromkeys(submitted()))
    for command in (command for command in commands if command.startswith("train")):
        video = " --num-blocks 1 --num-local-blocks 1 --no-track" if "video_generator" in command else " --no-track"
        run(command, storage, TINY + video)
    launch = find_record(StorageFolder(storage / "runs/video")).launch
    assert launch == {
        "workers": 2,
        "cpus": 6,
        "gpus": 1.0,
        "precision": "fp32",
        "compile": False,
        "accumulate": 1,
        "batch_size": 4,
        "batch_per_worker": 2,
    }
    run(next(command for command in commands if command.startswith("evaluate")), storage)
    assert list((storage / "runs/video").glob("*evaluat*"))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_gpu_that_pytorch_cannot_use_is_one_line(fake_gpus, storage, capsys):
    command = "train color_encoder $POSEGEN_STORAGE/data --runs $POSEGEN_STORAGE/runs --name x --gpus 1 --cpus 1"
    with pytest.raises(SystemExit) as stop:
        run(command, storage, f"{TINY} --no-track")
    assert stop.value.code == cli.USAGE_ERROR
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert "a worker has a GPU that its PyTorch cannot use: install a build with CUDA there" in error
