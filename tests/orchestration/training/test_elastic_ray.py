"""Workers come and go with the machines of a real cluster, and every sample is learned from once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from itertools import groupby
from pathlib import Path

import pytest
import torch

from posegen.checkpoints.checkpoint import find_checkpoint, load_stage
from posegen.stages import STAGES
from tests.support.ray_cluster import start_cluster

ROOT = Path(__file__).resolve().parents[3]
PATIENCE = 300.0  # seconds until something that must happen has happened
TRAIN = """
import sys
from dataclasses import replace
from orchestration.option_types import parse_workers
from orchestration.training import ray_trainer
from orchestration.training.job import TrainSettings
from orchestration.training.train import train
from tests.support.ledger_stage import Ledger

_, data, runs, name, workers, file = sys.argv
find_scaling = ray_trainer.find_scaling
# Ray looks once a minute whether there is room for more.
ray_trainer.find_scaling = lambda settings: replace(find_scaling(settings), elastic_resize_monitor_interval_s=3.0)
settings = TrainSettings(
    name=name, runs=runs, workers=parse_workers(workers), cpus=1, track=False, loader_processes=0, checkpoint_steps=2
)
train(Ledger.Config(file=file), data, settings)
"""


def wait_for(happened: Callable[[], object], process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while not happened():
        assert process.poll() is None and time.monotonic() < deadline, log.read_text()[-3000:]
        time.sleep(0.1)


def notes(ledger: Path) -> list[dict]:
    return [json.loads(line) for line in ledger.read_text().splitlines()] if ledger.exists() else []


def start(data: str, folder: Path, name: str, workers: str, ledger: str, **environment: str) -> subprocess.Popen[bytes]:
    with (folder / f"{name}.log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-c", TRAIN, data, str(folder / "runs"), name, workers, ledger],
            env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
            cwd=folder,
            stdout=log,
            stderr=log,
        )


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(1200)
def test_a_run_grows_with_a_node_and_goes_on_without_it(noise_clips, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # the workers find the stage
    ledger, log = tmp_path / "ledger", tmp_path / "elastic.log"
    pace = tmp_path / "ledger.pace"
    pace.write_text("2")
    with start_cluster(tmp_path, head_cpus=1) as cluster:
        process = start(noise_clips, tmp_path, "elastic", "1:2", str(ledger), **cluster.environment)
        wait_for(lambda: len(notes(ledger)) >= 5, process, log)
        node = cluster.add_node(cpus=1)
        wait_for(lambda: sum(note["workers"] == 2 for note in notes(ledger)) >= 10, process, log)
        cluster.kill_node(node)
        wait_for(lambda: notes(ledger)[-1]["workers"] == 1, process, log)
        pace.write_text("0.02")
        assert process.wait(PATIENCE) == 0, log.read_text()[-3000:]

    # Which number of workers a process was one of, it knows until its group is torn down.
    known: dict[int, int] = {}
    written = [note | {"workers": known.setdefault(note["pid"], note["workers"])} for note in notes(ledger)]
    groups = [list(of_one) for _, of_one in groupby(written, key=lambda note: note["workers"])]
    assert [group[0]["workers"] for group in groups] == [1, 2, 1]
    learned: Counter[tuple[int, int]] = Counter()
    for number, group in enumerate(groups):
        taken = [tuple(sample) for note in group for sample in note["samples"]]
        # What a group took after the checkpoint from which the next one begins was given up with its weights.
        end = min(tuple(s) for note in groups[number + 1] for s in note["samples"]) if number < 2 else (99, 0)
        learned.update(sample for sample in taken if sample < end)
        begin = min(taken)
        print(f"{group[0]['workers']} workers: {len(taken)} samples from {begin}, {sum(s >= end for s in taken)} again")
    assert len(learned) == 8 * 48 and set(learned.values()) == {1}

    assert start(noise_clips, tmp_path, "alone", "0", "").wait(PATIENCE) == 0
    from tests.support.ledger_stage import Ledger

    try:
        elastic, alone = (
            load_stage(find_checkpoint(str(tmp_path / "runs" / name)), Ledger) for name in ("elastic", "alone")
        )
    finally:
        STAGES.pop(Ledger.name, None)
    assert torch.allclose(elastic.mean, alone.mean, rtol=0, atol=1e-6)
    print(f"the mean that they learned: {elastic.mean.item():.7f}, in one process {alone.mean.item():.7f}")
