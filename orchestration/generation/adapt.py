"""``posegen adapt``: a refiner learns one person, from one photo or from a video."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import permutations
from pathlib import Path
from typing import cast

import numpy as np

from orchestration.option_types import require_name
from orchestration.runtime.progress import ProgressCallback, ProgressListener, ignore_progress
from orchestration.training.job import TrainSettings
from orchestration.training.train import train
from posegen.checkpoints.checkpoint import find_checkpoint, load_config
from posegen.checkpoints.run_record import find_record
from posegen.datasets.dataset import Split
from posegen.datasets.refinement import (
    PairEntry,
    RefinementDataset,
    RefinementPair,
    write_pair,
    write_refinement_manifest,
)
from posegen.errors import ConfigError, RunError
from posegen.features.body_bones import has_trunk
from posegen.inference.adaptation_pairs import draw_pose, pair_of_photos, there_and_back
from posegen.inference.shown_person import ShownPerson, ViewSettings, open_person
from posegen.io.storage import StorageFolder
from posegen.samples import EpochLoader
from posegen.stages import Refiner

_FEWEST_MOVED, _MOST_MOVED, _MOVED_A_MINUTE = 24, 120, 12  # pairs there and back
_HELD_OUT = 6  # of them
_EPOCH_STEPS = 40
_TIMED_STEPS = 3
_CROP = 64  # pixels: heights of crops are multiples of it


@dataclass(frozen=True, kw_only=True)
class AdaptSettings:
    """Settings of a refiner's adaptation."""

    name: str
    """Name of the run. A run of this name that exists is continued."""
    minutes: float = 10.0
    """Approximate duration of the training in minutes."""
    start: str = ""
    """Run of the stage refiner to begin with; by default it begins with no change."""
    runs: str = "runs"
    """Folder of all runs."""
    size: str = "384x256"
    """HEIGHTxWIDTH of the pictures in pixels."""
    person: int = 1
    """Person of several: 1 for the most prominent, 2 for the next."""
    seed: int = 0
    """Decides poses, order and crops."""
    track: bool = True
    """Record the run in MLflow: in mlflow.db here, or at MLFLOW_TRACKING_URI."""

    def __post_init__(self) -> None:
        require_name(self.name, "a run's")
        if not self.name:
            raise ConfigError("--name is missing: the run's name")
        if not 0 < self.minutes <= 10_000:
            raise ConfigError(f"minutes must be positive, got {self.minutes:g}")


@dataclass(frozen=True)
class Adapted:
    """A refiner that was adapted."""

    run: StorageFolder
    num_pairs: int


def adapt(
    path: Path,
    settings: AdaptSettings,
    *,
    on_pair: ProgressCallback = ignore_progress,
    listener: ProgressListener | None = None,
) -> Adapted:
    """Adapt a refiner to the person of a photo or of a video.

    Of each picture the person is moved to other poses and back; of a video, pairs of its own frames are learned from,
    too. The pairs lie beside the run, in ``NAME.pairs``.

    Args:
        path: The photo, or the video.
        settings: How.
        on_pair: Called after every pair.
        listener: Called with the progress of the training.

    Raises:
        PosegenError: The picture cannot be read or shows no such person, or the run is another one.
    """
    folder = StorageFolder(settings.runs) / f"{settings.name}.pairs"
    if not folder.exists("refinement.json"):
        view = ViewSettings(size=settings.size, person=settings.person)
        moved = int(np.clip(settings.minutes * _MOVED_A_MINUTE, _FEWEST_MOVED, _MOST_MOVED))
        _write_pairs(folder, _make_pairs(open_person(path, view), moved, settings.seed), on_pair)
    dataset = RefinementDataset(folder)
    config = _plan(dataset, settings)
    training = TrainSettings(
        name=settings.name, runs=settings.runs, workers=0, loader_processes=0, track=settings.track
    )
    run = train(config, str(folder), training, listener=listener)
    return Adapted(run, len(dataset.info.pairs))


def _write_pairs(
    folder: StorageFolder, pairs: Sequence[Callable[[], RefinementPair | None]], on_pair: ProgressCallback
) -> None:
    """Make the pairs, and write the dataset of those that there are."""
    entries: list[PairEntry] = []
    for number, make in enumerate(pairs):
        pair = make()
        if pair is not None:
            split: Split = "test" if len(entries) < _HELD_OUT else "train"
            size = pair.mask.shape[0], pair.mask.shape[1]
            entry = PairEntry(pair_id=f"pair-{number:05}", subject=split, split=split, size=size)
            write_pair(folder, entry.pair_id, pair)
            entries.append(entry)
        on_pair(number + 1, len(pairs))
    if len(entries) <= _HELD_OUT:
        raise RunError("the person cannot be shown in other poses, so that there is nothing to learn from")
    write_refinement_manifest(folder, entries, {"source": "adapt"})


def _make_pairs(subject: ShownPerson, moved: int, seed: int) -> list[Callable[[], RefinementPair | None]]:
    """Return functions that make the pairs: of all pictures in turn there and back, and of two pictures each."""
    rng = np.random.default_rng(seed)
    photos = [photo for photo in subject.photos if has_trunk(photo.pose)]
    pairs: list[Callable[[], RefinementPair | None]] = []
    for number in range(moved):
        photo = photos[number % len(photos)]
        pose = draw_pose(photo.pose, (photo.image.shape[0], photo.image.shape[1]), rng)
        pairs.append(partial(there_and_back, photo, pose))
    pairs += [partial(pair_of_photos, *both) for both in permutations(photos, 2)]
    return pairs


def _plan(dataset: RefinementDataset, settings: AdaptSettings) -> Refiner.Config:
    """The configuration that takes about so many minutes here; a run that was begun keeps its own."""
    known = find_record(StorageFolder(settings.runs) / settings.name)
    if known is not None:
        return Refiner.Config(**Refiner.Config.upgrade(known.config))
    base = cast(Refiner.Config, Refiner.presets["small"])
    if settings.start:
        stage, started = load_config(find_checkpoint(settings.start))
        if stage.name != Refiner.name:
            raise ConfigError(f"{settings.start} is a run of the stage {stage.name!r}, expected {Refiner.name!r}")
        base = replace(base, width=started.value_of("width"))
    height, width = dataset.info.pairs[0].size
    largest = min(height, width * 4 // 3) // _CROP * _CROP
    if not largest:
        raise ConfigError(f"got pictures of {height}×{width}, expected at least {_CROP}×{_CROP * 3 // 4}")
    config = replace(
        base,
        start=settings.start,
        lr=base.lr / 2 if settings.start else base.lr,
        epoch_size=_EPOCH_STEPS * base.batch_size,
        crop_height=min(base.crop_height, largest),
        seed=settings.seed,
    )
    epochs = settings.minutes * 60 / (_EPOCH_STEPS * _seconds_of_step(config, dataset))
    return replace(config, num_epochs=max(round(epochs), 1))


def _seconds_of_step(config: Refiner.Config, dataset: RefinementDataset) -> float:
    """Measure the seconds of a step, with its samples, after the first one."""
    stage = Refiner(replace(config, start=""))
    batches = EpochLoader(stage.open_samples(config, dataset, "train"), config.batch_size).epoch(0)
    stage.step(next(batches))
    begin = time.perf_counter()
    for _ in range(_TIMED_STEPS):
        stage.step(next(batches))
    return (time.perf_counter() - begin) / _TIMED_STEPS
