"""`posegen evaluate` measures a run of any stage, also of one that is defined elsewhere, by the stage's protocol."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from torch import nn

from orchestration.cli import main as cli
from orchestration.evaluation import evaluate as dispatch
from orchestration.evaluation.batches import BatchesBasis, evaluate_batches
from orchestration.evaluation.evaluate import evaluate_run
from orchestration.evaluation.records import check_comparable, read_evaluation
from orchestration.evaluation.video import EvaluateSettings
from posegen.checkpoints.checkpoint import TrainingProgress, save_checkpoint
from posegen.datasets.clips import ClipDataset
from posegen.datasets.dataset import Dataset
from posegen.datasets.motions import MotionDataset
from posegen.datasets.parsing import ParsingDataset
from posegen.datasets.refinement import RefinementDataset
from posegen.errors import DatasetError, EvaluationError, counted
from posegen.evaluation.metric_registry import find_metric_info
from posegen.io.storage import StorageFolder
from posegen.samples import Samples, fixed_batch
from posegen.stages import STAGES, ColorEncoder, Stage
from tests.support.labelled_photos import studio_photos, write_photos
from tests.support.refinement import write_pairs

NARROW = {
    "generator_width": 4,
    "encoder_width": 4,
    "discriminator_width": 4,
    "width": 4,
    "max_width": 4,
    "num_blocks": 1,
    "num_layers": 1,
    "feedforward_dim": 16,
    "hidden_dim": 8,
    "batch_size": 4,
    "epoch_size": 8,
    "num_epochs": 1,
    "lambda_cycle": 1.0,  # optional terms are reported, too
}
OWN = [name for name, stage in STAGES.items() if stage.__module__.startswith("posegen.")]
BATCHES = [name for name in OWN if STAGES[name].protocol == "batches"]


@pytest.fixture
def brightness() -> Iterator[type[Stage]]:
    """A stage that a test defines, and that is forgotten after it."""

    class Brightness(Stage):
        """Predicts the mean brightness of recoloured frames, and measures a metric of its own."""

        name = "brightness"

        @dataclass(frozen=True, kw_only=True)
        class Config(Stage.Config):
            """No settings of its own."""

        def __init__(self, config: Stage.Config):
            super().__init__(config)
            self.guess = nn.Parameter(torch.zeros(()))

        @classmethod
        def open_samples(cls, config, dataset, split) -> Samples:
            return ColorEncoder.open_samples(replace(ColorEncoder.presets["tiny"], region="upper"), dataset, split)

        def step(self, batch):
            raise AssertionError

        def evaluate(self, batch):
            error = (batch["image"].mean(dim=(1, 2, 3)) - self.guess).abs().mean().item()
            return {"l1": error, "charm": 1 - error, "vain": float("inf")}

        def preview(self, batch):
            return {}

    Brightness.presets = {"tiny": Brightness.Config()}
    yield Brightness
    del STAGES[Brightness.name]


@pytest.fixture(autouse=True)
def store(new_store, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", new_store(tmp_path))
    monkeypatch.setenv("POSEGEN_CACHE", str(tmp_path / "cache"))


def open_tiny(name: str, data: Dataset) -> Stage:
    """A stage of the tiny preset, narrowed, that has not learned anything."""
    preset = STAGES[name].presets["tiny"]
    changes = {key: value for key, value in NARROW.items() if hasattr(preset, key)}
    if hasattr(preset, "spatial_size") and isinstance(data, ClipDataset):
        changes["spatial_size"] = data.info.size
    if hasattr(preset, "region"):
        changes["region"] = "upper"
    torch.manual_seed(0)
    config = STAGES[name].adapt(replace(preset, **changes), data)
    stage = STAGES[name](config)
    stage.begin(stage.open_samples(config, data, "train"))
    return stage


def save_run(folder: Path, stage: Stage, data: Dataset) -> str:
    progress = TrainingProgress(epoch=1, step=1, data_fingerprint="", size=data.frame_size)
    run = StorageFolder(folder / stage.name)
    save_checkpoint(run / "checkpoints" / "epoch-0001", stage, progress)
    return str(run)


@pytest.fixture(scope="module")
def every_data(dataset, corpus, tmp_path_factory) -> dict[type[Dataset], Dataset]:
    """A dataset of each kind."""
    photos = write_photos(tmp_path_factory.mktemp("photos"), studio_photos())
    pairs = write_pairs(tmp_path_factory.mktemp("pairs"))
    return {
        ClipDataset: ClipDataset(dataset),
        MotionDataset: corpus,
        ParsingDataset: photos,
        RefinementDataset: pairs,
    }


@pytest.mark.parametrize("name", BATCHES)
def test_stages_without_a_protocol_are_measured_by_batches(name, every_data, tmp_path, capsys):
    data = every_data[STAGES[name].reads]
    run = save_run(tmp_path, open_tiny(name, data), data)
    cli.main(["evaluate", run, "--dataset", str(data.folder)])
    out = " ".join(capsys.readouterr().out.split())
    record = read_evaluation(run, BatchesBasis)
    assert record.stage == name and record.data_fingerprint == data.full_fingerprint and record.scores
    assert f"{counted(record.basis.num_samples, 'sample')} of the test split" in out
    assert all(find_metric_info(f"test/{metric}") for metric in record.scores)
    again = evaluate_run(run, str(data.folder))
    assert again == record


def test_the_whole_split_is_measured_and_the_split_can_be_chosen(dataset, tmp_path):
    data = ClipDataset(dataset)
    run = save_run(tmp_path, open_tiny("color_encoder", data), data)
    test = evaluate_batches(run, dataset)
    train = evaluate_run(run, dataset, EvaluateSettings(split="train"))
    frames = {split: sum(clip.info.num_frames for clip in data.split(split)) for split in ("train", "test")}
    assert (test.basis.num_samples, train.basis.num_samples) == (frames["test"], frames["train"])  # not 8 of each
    with pytest.raises(EvaluationError, match="different splits"):
        check_comparable([test, train])


def test_a_stage_that_is_defined_elsewhere_is_measured(dataset, tmp_path, brightness, capsys):
    data = ClipDataset(dataset)
    run = save_run(tmp_path, brightness(brightness.Config()), data)
    cli.main(["evaluate", run, "--dataset", dataset])
    out = " ".join(capsys.readouterr().out.split())
    assert "mean absolute error" in out and "test/charm" in out and "vain was not measured: it is inf" in out
    scores = read_evaluation(run, BatchesBasis).scores
    assert scores.keys() == {"l1", "charm"} and scores["charm"].mean == pytest.approx(1 - scores["l1"].mean)


@pytest.mark.parametrize(
    ("protocol", "function"),
    [("video", "evaluate_video"), ("motion", "evaluate_motion"), ("behavior", "evaluate_behavior")],
)
def test_other_protocols_have_functions_of_their_own(protocol, function, dataset, tmp_path, brightness, monkeypatch):
    monkeypatch.setattr(brightness, "protocol", protocol)
    run = save_run(tmp_path, brightness(brightness.Config()), ClipDataset(dataset))
    monkeypatch.setattr(dispatch, function, lambda *arguments, **options: (function, arguments[0]))
    assert evaluate_run(run, dataset) == (function, run)


@pytest.mark.parametrize(
    ("protocol", "settings", "message"),
    [
        ("batches", EvaluateSettings(max_clips=3), "--max-clips is .* brightness is measured with --split alone"),
        ("motion", EvaluateSettings(split="train"), "--split is .* see `posegen motion evaluate --help`"),
        ("behavior", EvaluateSettings(perceptual=()), "--perceptual is .* see `posegen behavior evaluate --help`"),
    ],
)
def test_options_of_videos_are_refused_for_others(
    protocol, settings, message, dataset, tmp_path, brightness, monkeypatch
):
    monkeypatch.setattr(brightness, "protocol", protocol)
    run = save_run(tmp_path, brightness(brightness.Config()), ClipDataset(dataset))
    with pytest.raises(EvaluationError, match=message):
        evaluate_run(run, dataset, settings)
    assert not Path(run, "evaluation").exists()


def test_data_that_does_not_fit_is_refused(dataset, noise_clips, corpus, tmp_path):
    data = ClipDataset(dataset)
    run = save_run(tmp_path, open_tiny("color_encoder", data), data)
    with pytest.raises(EvaluationError, match=r"has frames of \(64, 64\), the run was trained at \(96, 64\)"):
        evaluate_run(run, noise_clips)
    with pytest.raises(DatasetError, match="holds motions, expected clips"):
        evaluate_run(run, str(corpus.folder))
    video = save_run(tmp_path, open_tiny("end_to_end", data), data)
    with pytest.raises(EvaluationError, match="of the stage 'end_to_end': measure it with `posegen evaluate"):
        evaluate_batches(video, dataset)
    assert not Path(run, "evaluation").exists()


def reported(every_data: Mapping[type[Dataset], Dataset]) -> Iterator[str]:
    """Every metric that a stage reports of a step and of a validation, by its logged name."""
    for name in OWN:
        data = every_data[STAGES[name].reads]
        stage = open_tiny(name, data)
        batch = fixed_batch(stage.open_samples(stage.config, data, "train"), 4, 4)[0]
        yield from (f"train/{loss}" for loss in stage.step(batch))
        stage.eval()
        yield from (f"val/{metric}" for metric in stage.evaluate(batch))


def test_every_metric_of_a_stage_is_in_the_registry(every_data):
    names = set(reported(every_data))
    assert {"train/gan", "val/psnr", "val/nll", "train/cycle", "val/hint_hit"} <= names
    assert sorted(name for name in names if find_metric_info(name) is None) == []


def test_records_on_disk_name_their_protocol(dataset, tmp_path):
    data = ClipDataset(dataset)
    run = save_run(tmp_path, open_tiny("feature_restoration", data), data)
    record = evaluate_run(run, dataset)
    content = json.loads(Path(run, "evaluation/evaluation.json").read_text())
    assert content["protocol"] == STAGES["feature_restoration"].protocol == "batches"
    assert content["basis"] == {"split": "test", "num_samples": record.basis.num_samples, "max_batch": 16}
