"""Training: runs on any number of workers, goes on where it stopped, and refuses what cannot work."""

from __future__ import annotations

import os
import re
import time
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import ClassVar

import numpy as np
import psutil
import pytest
import torch
from mlflow import MlflowClient
from rich.console import Console

from orchestration.cli.progress import ConsoleProgress
from orchestration.runtime import folder_lock
from orchestration.runtime.progress import ProgressListener, TrainingStep
from orchestration.tracking.queries import find_runs
from orchestration.training.checkpoint_writer import CheckpointWriter
from orchestration.training.job import scale_lr
from orchestration.training.runs import history
from orchestration.training.train import train
from orchestration.training.validation import Validation
from posegen.checkpoints.checkpoint import (
    TrainingProgress,
    find_checkpoint,
    latest_checkpoint,
    load_progress,
    load_stage,
    save_checkpoint,
)
from posegen.checkpoints.run_record import find_record
from posegen.datasets.clips import ClipDataset
from posegen.errors import ConfigError, DatasetError, DivergenceError, PosegenError, RunError
from posegen.io.storage import StorageFolder
from posegen.stages import STAGES, ColorEncoder, VideoGenerator
from tests.support.narrow import CONFIG, QUIET

SIZE = (64, 64)
VIDEO = replace(
    VideoGenerator.presets["tiny"],
    generator_width=4,
    num_blocks=1,
    encoder_width=4,
    discriminator_width=4,
    batch_size=4,
    epoch_size=4,
    num_epochs=2,
)


@pytest.fixture(scope="module")
def dataset(noise_clips) -> str:
    return noise_clips


def weights_of(run: StorageFolder) -> dict[str, torch.Tensor]:
    return load_stage(find_checkpoint(run)).state_dict()


def assert_equal_weights(left: StorageFolder, right: StorageFolder) -> None:
    one, two = weights_of(left), weights_of(right)
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, rtol=0, atol=0, equal_nan=True, msg=name)


class Recorder(ProgressListener):
    def __init__(self) -> None:
        self.events: list[TrainingStep] = []
        self.epochs: list[dict[str, float]] = []
        self.warnings: list[tuple[int, str]] = []

    def on_step(self, event):
        self.events.append(event)

    def on_epoch(self, run, epoch, num_epochs, metrics):
        self.epochs.append(dict(metrics))

    def on_warning(self, run, epoch, message):
        self.warnings.append((epoch, message))


def test_training_in_this_process(dataset, tmp_path):
    recorder = Recorder()
    run = train(CONFIG, dataset, replace(QUIET, runs=str(tmp_path)), listener=recorder)
    assert load_progress(find_checkpoint(run)).step == 4
    assert len(recorder.events) == 4 and len(recorder.epochs) == 2
    assert {"train/gan", "train/l1", "train/kl", "val/l1", "val/sensitivity"} <= recorder.epochs[0].keys()
    assert load_stage(find_checkpoint(run)).codebook.is_fitted


def test_threads_in_this_process(dataset, tmp_path, two_threads):
    class Counter(ProgressListener):
        def on_step(self, event):
            counted.add(torch.get_num_threads())

    counted: set[int] = set()
    train(CONFIG, dataset, replace(QUIET, runs=str(tmp_path), cpus=1), listener=Counter())
    assert counted == {1} and torch.get_num_threads() == 2


def train_video(dataset: str, runs: Path, z_inject: str, workers: int = 0) -> Recorder:
    """Two epochs of a generator whose encoders tell images apart, though they have not learned anything."""
    encoders = {}
    for region in ("upper", "lower"):
        run = StorageFolder(runs / region)
        progress = TrainingProgress(epoch=1, step=1, data_fingerprint="", size=SIZE)
        torch.manual_seed(0)
        save_checkpoint(run / "checkpoints" / "epoch-0001", ColorEncoder(replace(CONFIG, region=region)), progress)
        encoders[f"{region}_encoder"] = str(run)
    recorder = Recorder()
    settings = replace(QUIET, runs=str(runs), workers=workers)
    train(replace(VIDEO, z_inject=z_inject, **encoders), dataset, settings, listener=recorder)
    return recorder


def test_every_epoch_measures_flicker_and_colour(dataset, tmp_path):
    recorder = train_video(dataset, tmp_path, "tile_masked")
    names = {f"{name}_{region}" for name in ("recolor", "hit", "texture") for region in ("upper", "lower")}
    for metrics in recorder.epochs:
        assert {f"val/{name}" for name in names | {"flicker", "leakage_other", "code_sensitivity"}} <= metrics.keys()
        assert np.isfinite(list(metrics.values())).all()
    assert recorder.epochs[0]["val/flicker"] != recorder.epochs[1]["val/flicker"]  # with the weights of the epoch


def test_a_code_that_is_heard_warns_of_nothing(dataset, tmp_path):
    recorder = train_video(dataset, tmp_path, "tile_masked")
    assert [metrics["val/collapsed"] for metrics in recorder.epochs] == [0, 0] and not recorder.warnings


@pytest.mark.filterwarnings("ignore:z_inject 'tile' cannot work")
def test_a_code_that_is_erased_is_warned_of(dataset, tmp_path):
    recorder = train_video(dataset, tmp_path, "tile")
    assert [metrics["val/collapsed"] for metrics in recorder.epochs] == [1, 1]
    ((epoch, message),) = recorder.warnings
    assert epoch == 2
    assert re.fullmatch(
        r"the code hardly changes the picture \(sensitivity \S+\): "
        "raise region_weight or raise lambda_contrast or choose another z_inject",
        message,
    )


def test_warnings_are_a_line_on_the_console():
    output = StringIO()
    with ConsoleProgress(Console(file=output, width=60)) as listener:
        listener.on_warning("run-1", 3, "the code hardly changes the picture (sensitivity 0.0004): raise region_weight")
    assert output.getvalue() == (
        "run-1  warning: epoch 3: the code hardly changes the picture (sensitivity 0.0004): raise region_weight\n"
    )


@pytest.mark.parametrize(
    ("checkpoint_steps", "going_on"),
    [(0, (1, 1)), (3, (1, 4)), (2, (1, 5))],  # the epoch, counted from 0, and the first step that is taken again
)
def test_same_name_goes_on_and_equals_one_run(dataset, tmp_path, checkpoint_steps, going_on):
    """A run of three epochs of six steps that is stopped after the fifth step of the second."""
    config = replace(CONFIG, num_epochs=3, epoch_size=12)
    settings = replace(QUIET, runs=str(tmp_path), checkpoint_steps=checkpoint_steps)
    left_alone, stopped, resumed = Recorder(), StopAfter(11), Recorder()
    whole = train(config, dataset, replace(settings, name="whole"), listener=left_alone)
    with pytest.raises(StopIteration):
        train(config, dataset, settings, listener=stopped)
    parts = train(config, dataset, settings, listener=resumed)
    assert resumed.events[0][1:4:2] == going_on
    for calm, after in zip(left_alone.epochs[1:], resumed.epochs, strict=True):
        assert without_times(after) == without_times(calm)
    assert state_of(parts) == state_of(whole)


def test_what_dies_of_its_validation_has_lost_no_step(dataset, tmp_path, monkeypatch):
    """The epoch is saved before it is validated, and the validation is made up for."""
    config, settings = replace(CONFIG, num_epochs=3), replace(QUIET, runs=str(tmp_path), checkpoint_steps=0)
    left_alone, stopped, resumed = Recorder(), Recorder(), Recorder()
    whole = train(config, dataset, replace(settings, name="whole"), listener=left_alone)
    measure = Validation.measure

    def die(validation):
        if len(stopped.epochs) == 1:
            raise RuntimeError("killed")
        return measure(validation)

    with monkeypatch.context() as patched:
        patched.setattr(Validation, "measure", die)
        with pytest.raises(RuntimeError, match="killed"):
            train(config, dataset, settings, listener=stopped)
    run = StorageFolder(tmp_path / "run")
    num_steps = CONFIG.epoch_size // CONFIG.batch_size
    saved = load_progress(latest_checkpoint(run))
    assert (saved.epoch, saved.epoch_step) == (1, num_steps)
    train(config, dataset, settings, listener=resumed)
    assert {event.epoch for event in resumed.events} == {2} and len(resumed.events) == num_steps
    assert [without_times(epoch) for epoch in resumed.epochs] == [without_times(one) for one in left_alone.epochs[1:]]
    assert state_of(run) == state_of(whole)
    assert (run / "checkpoints").folders() == (whole / "checkpoints").folders()


def test_checkpoints_within_an_epoch_are_written_beside_the_training(dataset, tmp_path):
    """They have the state of their step, though the training goes on meanwhile."""
    config, settings = replace(CONFIG, epoch_size=12), replace(QUIET, runs=str(tmp_path), keep=9)
    run = train(config, dataset, replace(settings, checkpoint_steps=2))
    folder = run / "checkpoints"
    assert folder.folders() == [
        *[f"epoch-0000-step-{step:06d}" for step in (2, 4)],
        "epoch-0001",
        *[f"epoch-0001-step-{step:06d}" for step in (2, 4)],
        "epoch-0002",
    ]
    assert [load_progress(folder / name).step for name in folder.folders()] == [2, 4, 6, 8, 10, 12]
    sparse = train(config, dataset, replace(settings, name="sparse", checkpoint_steps=4))
    assert contents(folder / "epoch-0001-step-000004") == contents(sparse / "checkpoints" / "epoch-0001-step-000004")


def test_an_epoch_is_recorded_once_whenever_the_run_is_stopped(dataset, new_store, tmp_path, monkeypatch):
    """Stopped before and after a checkpoint, in the middle of an epoch, and when all is done."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", new_store(tmp_path))
    settings = replace(QUIET, runs=str(tmp_path), track=True)
    save = CheckpointWriter.save
    for epoch, before in ((1, True), (1, False), (2, True), (2, False)):

        def stop(writer, stage, progress, instead_of=None, last=epoch, early=before):
            if progress.epoch == last and early:
                raise StopIteration
            save(writer, stage, progress, instead_of)
            if progress.epoch == last:
                raise StopIteration

        with monkeypatch.context() as patch, pytest.raises(StopIteration):
            patch.setattr(CheckpointWriter, "save", stop)
            train(CONFIG, dataset, settings)
    for _ in range(2):
        run = train(CONFIG, dataset, settings)
    (found,) = find_runs(str(run))
    recorded = MlflowClient().get_metric_history(found.run_id, "train/l1")
    assert [metric.step for metric in recorded] == [1, 2] and found.status == "FINISHED"
    assert [metric.value for metric in recorded] == [history(run)[epoch]["train/l1"] for epoch in (1, 2)]


def contents(checkpoint: StorageFolder) -> bytes:
    return checkpoint.read("tensors.safetensors")


def state_of(run: StorageFolder) -> bytes:
    """Networks and optimizers, as they were written at the end."""
    return contents(find_checkpoint(run))


def without_times(metrics: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if not name.startswith(("time/", "system/"))}


def measured(metrics: dict[str, float]) -> list[str]:
    """Names of metrics; a short epoch may leave no time to look at the machine."""
    return [name for name in metrics if not name.startswith("system/")]


def trained(metrics: dict[str, float]) -> dict[str, float]:
    """The losses."""
    return {name: value for name, value in metrics.items() if name.startswith("train/")}


class StopAfter(ProgressListener):
    """Stops the training in the middle of an epoch."""

    def __init__(self, steps: int):
        self.steps = steps

    def on_step(self, event):
        self.steps -= 1
        if self.steps == 0:
            raise StopIteration


def test_another_run_of_that_name_is_refused(dataset, tmp_path):
    settings = replace(QUIET, runs=str(tmp_path))
    train(CONFIG, dataset, settings)
    with pytest.raises(RunError, match=r"other settings \(lr 0.001 → 0.5\): take another --name"):
        train(replace(CONFIG, lr=0.5), dataset, settings)


@pytest.mark.parametrize(
    ("stage", "changes", "settings", "message"),
    [
        ("color_encoder", {"batch_size": 64, "epoch_size": 8}, {}, "8 usable samples are fewer than one batch of 64"),
        ("color_encoder", {"batch_size": 4}, {"workers": 3}, "3 workers cannot share a batch of 4: set batch_size"),
        ("color_encoder", {"num_downs": 7}, {}, "multiples of 128"),
        ("color_encoder", {"region": "lower"}, {}, "posegen colorize .* --scope frame --region lower"),
        ("video_generator", {}, {}, "upper_encoder is missing"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_written(stage, changes, settings, message, dataset, tmp_path):
    base = CONFIG if stage == "color_encoder" else STAGES[stage].presets["tiny"]
    with pytest.raises(PosegenError, match=message):
        train(replace(base, **changes), dataset, replace(QUIET, runs=str(tmp_path), **settings))
    assert not list(Path(tmp_path).iterdir())


def test_no_dataset(tmp_path):
    with pytest.raises(DatasetError, match="posegen prepare"):
        train(CONFIG, str(tmp_path), replace(QUIET, runs=str(tmp_path)))


def test_broken_loss_names_itself(dataset, tmp_path):
    with pytest.raises(RunError, match="not finite in epoch 0"):
        train(replace(CONFIG, lr=1e30), dataset, replace(QUIET, runs=str(tmp_path)))


def test_old_checkpoints_are_dropped(dataset, tmp_path):
    run = train(replace(CONFIG, num_epochs=4), dataset, replace(QUIET, runs=str(tmp_path)))
    assert (run / "checkpoints").folders()[1:] == ["epoch-0004"]  # and the one before, or the best


@pytest.fixture
def two_threads():
    """As many threads as this process has for other work."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
class TestOnRay:
    @pytest.mark.filterwarnings("ignore:z_inject 'tile' cannot work")
    def test_two_workers_do_what_one_process_does(self, dataset, tmp_path):
        """They add gradients in another order; the leader draws and warns for both."""
        alone, together = (train_video(dataset, tmp_path / str(workers), "tile", workers) for workers in (0, 2))
        assert [epoch for epoch, _ in together.warnings] == [2]
        assert [measured(metrics) for metrics in together.epochs] == [measured(metrics) for metrics in alone.epochs]
        for epoch in (0, 1):  # the second begins with what they made of the first
            assert trained(together.epochs[epoch]) == pytest.approx(trained(alone.epochs[epoch]), rel=1e-4)
        for name in ("val/flicker", "val/hit_upper"):
            assert together.epochs[0][name] == pytest.approx(alone.epochs[0][name], rel=0.05)

    def test_workers_that_do_not_fit_leave_nothing(self, dataset, tmp_path):
        with pytest.raises(ConfigError, match="no room for 1 worker with 4,000 CPUs and 0 GPUs each"):
            train(CONFIG, dataset, replace(QUIET, runs=str(tmp_path), workers=1, cpus=4000))
        assert not list(tmp_path.iterdir())

    def test_losses_that_are_not_finite_end_a_run_at_once(self, dataset, tmp_path):
        """Every retry would end in the same way: each of the two workers begins once."""
        begun = []

        class Steps(ProgressListener):
            def on_step(self, step):
                begun.append(step.step)

        settings = replace(QUIET, runs=str(tmp_path), name="broken", workers=2, cpus=1)
        with pytest.raises(DivergenceError, match=r"^run broken failed: .*l1.* is not finite in epoch 0: lower lr"):
            train(replace(CONFIG, lr=1e30), dataset, settings, listener=Steps())
        assert begun.count(1) == 2

    @pytest.mark.slow
    def test_a_worker_that_is_stuck_is_named_and_started_again(self, dataset, tmp_path):
        """Stopped by SIGSTOP in the second epoch: it does not die, and says nothing."""
        config, settings = replace(CONFIG, num_epochs=3, epoch_size=80), replace(QUIET, runs=str(tmp_path), cpus=1)
        calm = train(config, dataset, replace(settings, name="calm", workers=1))

        class Stopper(Recorder):
            pids: ClassVar[list[int]] = []

            def on_epoch(self, run, epoch, num_epochs, metrics):
                super().on_epoch(run, epoch, num_epochs, metrics)
                if not self.pids:
                    family = psutil.Process().children(recursive=True)
                    [worker] = [one for one in family if one.cmdline()[:1] == ["ray::RayTrainWorker"]]
                    self.pids.append(worker.pid)
                    worker.suspend()
                    self.since = time.monotonic()

            def on_warning(self, run, epoch, message):
                super().on_warning(run, epoch, message)
                self.waited = time.monotonic() - self.since

        listener = Stopper()
        run = train(config, dataset, replace(settings, workers=1, patience=25.0), listener=listener)
        assert not psutil.pid_exists(listener.pids[0])
        [(_, message)] = listener.warnings
        pattern = r"worker 0 has made no progress for \d+ s, since .* of epoch [23]: .* last checkpoint"
        assert re.fullmatch(pattern, message)
        assert listener.waited < 25 + 60
        assert_equal_weights(calm, run)


def test_a_share_in_parts_trains_the_same(dataset, tmp_path):
    """Two parts of two samples each sum to the gradient of four."""
    config = replace(CONFIG, num_epochs=1)
    settings = replace(QUIET, runs=str(tmp_path))
    whole = train(config, dataset, replace(settings, name="whole"))
    parted = train(config, dataset, replace(settings, name="parted", accumulate=2))
    one, two = (history(run)[1] for run in (whole, parted))
    assert one["train/l1"] == pytest.approx(two["train/l1"], rel=1e-3)
    weights, others = weights_of(whole), weights_of(parted)
    distance = sum(float((others[name] - tensor).abs().sum()) for name, tensor in weights.items())
    assert distance < 2e-2 * sum(float(tensor.abs().sum()) for tensor in weights.values())
    record = find_record(parted)
    assert record.launch == {
        "workers": 0,
        "cpus": QUIET.cpus,
        "gpus": 0.0,
        "precision": "fp32",
        "compile": False,
        "accumulate": 2,
        "batch_size": config.batch_size,
        "batch_per_worker": config.batch_size,
    }
    assert record.fingerprint == find_record(whole).fingerprint


def test_workers_that_cannot_share_a_batch_are_told_what_would_fit(dataset, tmp_path):
    settings = replace(QUIET, runs=str(tmp_path), workers=4)
    with pytest.raises(ConfigError, match=r"^4 workers cannot share a batch of 1: set batch_size to 4, or"):
        train(replace(CONFIG, batch_size=1), dataset, settings)
    with pytest.raises(ConfigError, match=r"batch of 2 in 3 parts each: set batch_size to 3$"):
        train(CONFIG, dataset, replace(settings, workers=0, accumulate=3))
    assert list(tmp_path.iterdir()) == []


def test_a_precision_that_the_processor_lacks_is_refused_before_anything_is_written(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr("posegen.networks.device._cpu_has_bf16", lambda: False)
    with pytest.raises(ConfigError, match="no bf16 arithmetic"):
        train(CONFIG, dataset, replace(QUIET, runs=str(tmp_path), precision="bf16"))
    assert list(tmp_path.iterdir()) == []


def test_bf16_trains_nearly_the_same(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr("posegen.networks.device._cpu_has_bf16", lambda: True)  # slow where it lacks it, but right
    config, settings = replace(CONFIG, num_epochs=1), replace(QUIET, runs=str(tmp_path))
    runs = [train(config, dataset, replace(settings, name=name, precision=name)) for name in ("fp32", "bf16")]
    exact, rounded = (history(run)[1] for run in runs)
    assert exact["train/l1"] != rounded["train/l1"] == pytest.approx(exact["train/l1"], rel=0.05)
    assert find_record(runs[1]).launch["precision"] == "bf16"


@pytest.mark.parametrize(("rule", "factor"), [("none", 1), ("linear", 4), ("sqrt", 2)])
def test_the_learning_rate_follows_the_batch_by_a_rule(rule, factor):
    config = replace(CONFIG, batch_size=16, lr=0.5)
    assert scale_lr(config, rule, 4) == replace(config, lr=0.5 * factor)


def test_samples_do_not_depend_on_the_number_of_workers(dataset):
    from posegen.samples import EpochLoader

    samples = STAGES["color_encoder"].open_samples(CONFIG, ClipDataset(dataset), "train")
    whole = list(EpochLoader(samples, 4).epoch(1))
    halves = [list(EpochLoader(samples, 4, rank=rank, world_size=2).epoch(1)) for rank in (0, 1)]
    for step, batch in enumerate(whole):
        for name, tensor in batch.items():
            joined = torch.cat([half[step][name] for half in halves])
            torch.testing.assert_close(joined, tensor, rtol=0, atol=0, msg=name)


def test_a_run_is_trained_by_one_process_at_a_time(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(folder_lock, "_HANDOVER", 0.0)
    settings = replace(QUIET, runs=str(tmp_path), name="taken")
    with folder_lock.hold_folder(StorageFolder(tmp_path / "taken"), ""):
        with pytest.raises(RunError, match=rf"taken is in use by process {os.getpid()} on .*take another --name"):
            train(CONFIG, dataset, settings)
        assert not (tmp_path / "taken" / "run.json").exists()
    assert latest_checkpoint(train(CONFIG, dataset, settings))
