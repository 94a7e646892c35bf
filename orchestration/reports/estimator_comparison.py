"""Compares pose estimators by the motions that ACTOR learns from their poses.

One action classifier, trained on the motions of all estimators together, measures all of them: scores of two
classifiers do not compare. Its hash is in every record.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from io import StringIO
from pathlib import Path
from typing import Any, Literal

from rich.console import Console

from orchestration.evaluation.motion import MotionBasis, MotionEvaluateSettings, evaluate_motion
from orchestration.evaluation.records import EvaluationRecord, check_comparable
from orchestration.evaluation.tables import motion_tables
from orchestration.reports.table1 import REPORT_EXPERIMENT
from orchestration.runtime.progress import ProgressListener
from orchestration.tracking.mirror import recorded
from orchestration.training.job import TrainSettings
from orchestration.training.train import train
from posegen.datasets.motion_build import NamedMotion, write_motions
from posegen.datasets.motions import MotionDataset
from posegen.errors import ConfigError, DatasetError
from posegen.evaluation.motion_generation import MotionSet
from posegen.io.storage import StorageFolder
from posegen.stages import Actor, Recognition


@dataclass(frozen=True, kw_only=True)
class EstimatorSettings:
    """Estimators, runs and files of the comparison."""

    tracks: dict[str, str]
    """Folder of motions by estimator: vibe=DIR pare=DIR, as `posegen motion convert` or `posegen motion build-dataset`
    writes them; all with the same actions and frames per second."""
    runs: str = "runs"
    """Folder of the runs, named after the estimators; missing ones are trained."""
    out: Path | None = None
    """Folder for the table; by default RUNS/report."""
    preset: Literal["posegen", "reference", "small", "tiny"] = "reference"
    """Preset of ACTOR and of the action classifier."""
    recognizer: str = ""
    """Action classifier instead of one trained on all motions: a run, or gru-ntu13 or gru-humanact12."""
    split: Literal["train", "test", "all"] = "train"
    """Real motions to compare with. Published scores are of the training motions."""
    seeds: int = 20
    """Repeats of every measurement."""
    workers: int = 1
    """Training processes of each run; 0 trains in this process."""

    def __post_init__(self) -> None:
        if not self.tracks:
            raise ConfigError("got no tracks, expected --tracks ESTIMATOR=DIR …, such as vibe=motions/vibe")
        if self.out is None and "://" in self.runs:
            raise ConfigError(f"got runs in {self.runs} and no out, expected --out: a local folder for the report")

    @property
    def folder(self) -> Path:
        """The folder of the table."""
        return self.out or Path(self.runs) / "report"


@dataclass(frozen=True)
class EstimatorComparison:
    """Scores of each estimator's motions."""

    evaluations: dict[str, EvaluationRecord[MotionBasis]]
    """Evaluations by estimator, all with one action classifier."""

    @property
    def rows(self) -> list[tuple[str, EvaluationRecord[MotionBasis], MotionSet]]:
        """Real and generated motions of each, as rows of the table."""
        kinds: tuple[tuple[str, MotionSet], ...] = (("GT", "real"), ("Gen", "generated"))
        return [
            (f"{kind}, {name}", evaluation, source)
            for name, evaluation in self.evaluations.items()
            for kind, source in kinds
        ]


def compare_estimators(
    settings: EstimatorSettings,
    *,
    listener: ProgressListener | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> EstimatorComparison:
    """Train missing runs, measure them, and write ``estimators.txt`` and ``estimators.json``.

    Raises PosegenError where the folders do not fit together, before anything is trained.
    """
    data = {name: MotionDataset(folder) for name, folder in settings.tracks.items()}
    _check_alike(data)
    how = TrainSettings(runs=settings.runs, workers=settings.workers, experiment=REPORT_EXPERIMENT)
    classifier = settings.recognizer or _train_classifier(data, settings, how, listener)
    config = Actor.presets[settings.preset]
    evaluations = {}
    for name, motions in data.items():
        changes: dict[str, Any] = {"recognizer": classifier}
        actor = replace(config, **changes)
        run = train(actor, str(motions.folder), replace(how, name=f"estimators-{name}"), listener=listener)
        measure = MotionEvaluateSettings(recognizer=classifier, split=settings.split, seeds=settings.seeds)
        evaluations[name] = evaluate_motion(str(run), measure, on_progress=on_progress)
    check_comparable(list(evaluations.values()), only=("recognizer_sha256",))
    result = EstimatorComparison(evaluations)
    _write(result, settings)
    return result


def estimators_text(result: EstimatorComparison, width: int = 160) -> str:
    """Print the table as plain text."""
    text = StringIO()
    Console(file=text, width=width).print(*motion_tables(result.rows))
    return text.getvalue()


def _check_alike(data: Mapping[str, MotionDataset]) -> None:
    """Raise DatasetError where estimators do not have the same actions and rate."""
    first_name, first = next(iter(data.items()))
    for name, other in data.items():
        if set(other.info.actions) != set(first.info.actions):
            differing = sorted(set(other.info.actions) ^ set(first.info.actions))
            raise DatasetError(f"{first_name} and {name} do not have the same actions: {', '.join(differing)}")
        if other.info.fps != first.info.fps:
            raise DatasetError(
                f"{first_name} has {first.info.fps:g} frames per second, {name} {other.info.fps:g}: convert with --rate"
            )


def _train_classifier(
    data: Mapping[str, MotionDataset],
    settings: EstimatorSettings,
    how: TrainSettings,
    listener: ProgressListener | None,
) -> str:
    """Train an action classifier on the motions of all estimators together."""
    union = StorageFolder(settings.runs) / "estimators-motions"
    write_motions(
        union,
        _all_motions(data),
        settings={name: motions.fingerprint for name, motions in data.items()},
        actions=next(iter(data.values())).info.actions,
    )
    config = Recognition.presets[settings.preset]
    run = train(config, str(union), replace(how, name="estimators-recognizer"), listener=listener)
    return str(run)


def _all_motions(data: Mapping[str, MotionDataset]) -> Iterator[NamedMotion]:
    for name, motions in data.items():
        for entry in motions.info.motions:
            yield NamedMotion(
                motions.read(entry), entry.person, entry.action, f"{name}: {entry.motion_id}", entry.split
            )


def _write(result: EstimatorComparison, settings: EstimatorSettings) -> None:
    """Write the table, and log it with every run."""
    settings.folder.mkdir(parents=True, exist_ok=True)
    files = {
        "estimators.txt": estimators_text(result) + "\n".join(next(iter(result.evaluations.values())).notes) + "\n",
        "estimators.json": json.dumps({name: asdict(one) for name, one in result.evaluations.items()}, indent=2),
    }
    for name, content in files.items():
        (settings.folder / name).write_text(content)
    for evaluation in result.evaluations.values():
        with recorded(evaluation.run) as log:
            for name in files:
                log.log_file(settings.folder / name, "report")
