"""The person parser by command: trained, continued, searched, packed and measured."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from orchestration.cli import main as cli
from orchestration.training.job import TrainSettings
from orchestration.training.runs import history
from orchestration.training.train import train
from posegen.checkpoints.checkpoint import find_checkpoint, load_stage
from posegen.datasets.parsing import ParsingDataset
from posegen.io.storage import StorageFolder
from posegen.stages import PersonParser
from tests.support.labelled_photos import studio_photos, write_photos

TINY = "--workers 0 --preset tiny --batch-size 2 --epoch-size 4"


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> ParsingDataset:
    return write_photos(tmp_path_factory.mktemp("photos"), studio_photos())


@pytest.fixture
def place(new_store, tmp_path, monkeypatch, networks) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("POSEGEN_CACHE", str(networks))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", new_store(tmp_path))
    return tmp_path


def test_continued_training_ends_as_if_it_had_never_stopped(photos, place):
    line = f"train person_parser {photos.folder} {TINY}"
    cli.main(f"{line} --num-epochs 2 --warmup-epochs 5 --name parts".split())  # the rate does not depend on the length
    cli.main(f"{line} --num-epochs 3 --warmup-epochs 5 --name parts".split())
    cli.main(f"{line} --num-epochs 3 --warmup-epochs 5 --name whole".split())
    parts, whole = (load_stage(find_checkpoint(f"runs/{name}"), PersonParser) for name in ("parts", "whole"))
    for name, tensor in whole.state_dict().items():
        assert torch.equal(parts.state_dict()[name], tensor), name
    metrics = history(StorageFolder("runs/parts"))[3]
    assert {"val/upper_iou", "val/mean_iou", "val/painted", "train/dice", "val/cross_entropy"} <= metrics.keys()
    assert Path("runs/parts/previews/epoch-0003/classes.png").exists()


def test_a_run_is_measured_and_packed(photos, place, capsys):
    cli.main(f"train person_parser {photos.folder} {TINY} --num-epochs 1 --width 24 --name run".split())
    cli.main(f"report parsing {photos.folder} --run runs/run --out pages".split())
    printed = " ".join(capsys.readouterr().out.split())
    assert "heuristic" in printed and "painted" in printed and "95 % bootstrap intervals" in printed
    assert Path("pages/parsing-00.png").exists()
    cli.main(["weights", "pack", "runs/run", "parser.safetensors"])
    assert "sha256" in capsys.readouterr().out and Path("parser.safetensors").stat().st_size < 4e6
    for again in ("weights pack runs/run parser.safetensors", f"report parsing {photos.folder} --out pages"):
        with pytest.raises(SystemExit):
            cli.main(again.split())
    assert "is there already" in capsys.readouterr().err


@pytest.fixture
def two_threads() -> Iterator[None]:
    """As many threads as the only worker has on a Ray of two CPUs: sums depend on their number."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session", "two_threads")
def test_a_worker_on_ray_ends_with_the_bits_of_this_process(photos, place):
    config = PersonParser.Config(num_epochs=1, epoch_size=4, batch_size=2, height=128, width=12, half_share=0.0)
    here, there = (
        train(config, str(photos.folder), TrainSettings(name=f"workers-{workers}", workers=workers, track=False))
        for workers in (0, 1)
    )
    one, other = (load_stage(find_checkpoint(run), PersonParser) for run in (here, there))
    assert one.get_buffer("num_steps") == 2
    for name, tensor in one.state_dict().items():
        assert torch.equal(other.state_dict()[name], tensor), name
    losses = [{name: x for name, x in history(run)[1].items() if name.startswith("train/")} for run in (here, there)]
    assert losses[0] == losses[1]
