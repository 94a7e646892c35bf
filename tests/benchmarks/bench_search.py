"""What early stopping and TPE are worth: error found against epochs trained, over many seeds.

The searches are replayed on learning curves of real runs: the tiny video generator at 90 settings, its error on
held-out clips after each of nine short epochs. ``python -m tests.benchmarks.bench_search --record DATASET RUNS`` makes
that recording, with the encoders of ``RUNS``, in some 20 minutes, and goes on with one that was stopped.
"""

from __future__ import annotations

import itertools
import json
import math
import statistics
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from optuna.distributions import FloatDistribution

from orchestration.search.settings import EPOCH, Pruning, SamplerName, find_objectives
from orchestration.search.space_binding import Search
from orchestration.search.study import StudySearch, StudySettings, open_study
from posegen.checkpoints.checkpoint import find_checkpoint, load_stage
from posegen.datasets.clips import ClipDataset
from posegen.samples import EpochLoader, fixed_batch
from posegen.stages import VideoGenerator
from search_spaces.space import Space

RECORDING = Path(__file__).with_name("search_recording.json")
NUM_EPOCHS = 9
LEVELS = {
    "lr": (1.5e-4, 4e-4, 1e-3, 2.5e-3, 6e-3),
    "lambda_l1": (5.0, 20.0, 80.0),
    "lambda_gan": (0.03, 0.3, 3.0),
    "region_weight": (1.0, 6.0),
}
SPACE = Space(
    summary="what was recorded",
    stage="video_generator",
    parameters={
        f"video_generator.{name}": FloatDistribution(min(levels), max(levels), log=True)
        for name, levels in LEVELS.items()
    },
    settings={"video_generator.num_epochs": NUM_EPOCHS},
)
SEARCHES: dict[str, tuple[SamplerName, Pruning]] = {
    "random": ("random", "none"),
    "random + ASHA": ("random", "asha"),
    "TPE": ("tpe", "none"),
    "TPE + ASHA": ("tpe", "asha"),
}
BUDGETS = (36, 72, 108, 144, 180)  # epochs
SEEDS = 20


def record(dataset: str, runs: str) -> None:
    """Train every combination of the levels that is still missing, and keep its learning curve."""
    data = ClipDataset(dataset)
    curves = recorded()
    for number, values in enumerate(itertools.product(*LEVELS.values())):
        if json.dumps(values) in curves:
            continue
        config = replace(
            VideoGenerator.presets["tiny"],
            **dict(zip(LEVELS, values, strict=True)),
            upper_encoder=f"{runs}/upper_encoder",
            lower_encoder=f"{runs}/lower_encoder",
            epoch_size=16,
        )
        curves[json.dumps(values)] = [round(value, 4) for value in learning_curve(config, data)]
        print(number, values, curves[json.dumps(values)], flush=True)
        RECORDING.write_text(json.dumps(curves).replace("], ", "],\n") + "\n")


def recorded() -> dict[str, list[float]]:
    """Learning curves by setting."""
    return json.loads(RECORDING.read_text()) if RECORDING.exists() else {}


def learning_curve(config: VideoGenerator.Config, data: ClipDataset) -> list[float]:
    """The error on held-out clips after every epoch; `train` would also draw excerpts, as long again."""
    torch.manual_seed(config.seed)
    stage = VideoGenerator(config)
    stage.initialize(lambda place: load_stage(find_checkpoint(place)))
    loader = EpochLoader(stage.open_samples(config, data, "train"), config.batch_size)
    held_out = fixed_batch(stage.open_samples(config, data, "test"), 16, 16)
    curve = []
    for epoch in range(NUM_EPOCHS):
        stage.start_epoch(epoch)
        stage.train()
        for batch in loader.epoch(epoch):
            stage.step(batch)
        stage.eval()
        curve.append(statistics.fmean(stage.evaluate(batch)["l1"] for batch in held_out))
    return curve


def best_by_budget(curves: dict[str, list[float]], name: str, seed: int) -> list[float]:
    """The least error that a search has seen when each budget of epochs is spent."""
    sampler, pruning = SEARCHES[name]
    search = Search(SPACE, "tiny", "no_restoration", {})
    settings = StudySettings(
        name="replay",
        storage="sqlite://",
        objectives=find_objectives(VideoGenerator, ("l1",)),
        sampler=sampler,
        pruning=pruning,
        grace=1,
        reduction=3,
        seed=seed,
        identity={},
    )
    searcher = StudySearch(open_study(search, settings), max(BUDGETS))
    seen: list[float] = []
    for trial in itertools.count():
        point = searcher.suggest(str(trial))["point"]
        result: dict[str, Any] = {}
        for epoch, error in enumerate(curves[nearest(point)], start=1):
            seen.append(error)
            result = {settings.metrics[0]: error, EPOCH: epoch}
            if len(seen) == max(BUDGETS):
                return [min(seen[:budget]) for budget in BUDGETS]
            if searcher.should_prune(str(trial), result):
                break
        searcher.on_trial_complete(str(trial), result)
    raise AssertionError


def nearest(point: dict[str, float]) -> str:
    """The recorded setting that is nearest on a logarithmic scale."""
    return json.dumps(
        [
            min(levels, key=lambda level, name=name: abs(math.log(level / point[f"video_generator.{name}"])))
            for name, levels in LEVELS.items()
        ]
    )


def main() -> None:
    """Replay every search with every seed."""
    if sys.argv[1:2] == ["--record"]:
        record(*sys.argv[2:])
    curves = recorded()
    if len(curves) < math.prod(map(len, LEVELS.values())):
        print(f"{len(curves)} settings are recorded, which is not all of them: see the head of this file")
        return
    best = min(min(curve) for curve in curves.values())
    print(f"{len(curves)} settings, errors after the last epoch {min(c[-1] for c in curves.values()):.4f} to", end=" ")
    print(f"{max(c[-1] for c in curves.values()):.4f}; least error seen by budget, mean of {SEEDS} seeds")
    print("epochs".ljust(16), *(f"{budget:8d}" for budget in BUDGETS))
    found = {}
    for name in SEARCHES:
        found[name] = np.array([best_by_budget(curves, name, seed) for seed in range(SEEDS)])
        print(name.ljust(16), *(f"{value:8.4f}" for value in found[name].mean(axis=0)))
    print("best there is".ljust(16), f"{best:8.4f}")
    ours, random = found["TPE + ASHA"], found["random"]
    wins = ((ours < random) + 0.5 * (ours == random)).mean(axis=0)
    print("TPE + ASHA wins", *(f"{100 * share:7.0f}%" for share in wins), " against random, ties halved")


if __name__ == "__main__":
    main()
