"""Measures runs that generate motions, by the protocol of ACTOR."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from orchestration.evaluation.records import (
    Basis,
    EvaluationRecord,
    check_protocol,
    save_evaluation,
    scores_of_seeds,
)
from orchestration.generation.motions import show_motions
from posegen.checkpoints.run_record import dataset_of
from posegen.datasets.motions import MotionDataset
from posegen.errors import EvaluationError, counted
from posegen.evaluation.motion_generation import ComparedMotions, MotionProtocol, MotionSet, score_motions
from posegen.evaluation.published_results import MOTION_RESULTS, PUBLISHED_SEEDS, MotionResult
from posegen.inference.action_classifiers import ActionClassifier, load_action_classifier
from posegen.inference.requested_motions import SHIPPED_RUN, load_generator
from posegen.io.storage import StorageFolder
from posegen.samples import MotionCrops, Window
from posegen.stages import MotionGenerator

_PUBLISHED_MOTIONS = 1000  # of each set


@dataclass(frozen=True, kw_only=True)
class MotionEvaluateSettings:
    """Reference and settings of the evaluation of generated motions."""

    recognizer: str = ""
    """The action classifier: a run of the stage recognition, or gru-humanact12 or gru-ntu13; by default that of the
    run's own configuration."""
    split: Literal["train", "test", "all"] = "test"
    """Real motions to compare with. Published scores are of all of them by generators that learned from all; they are
    shown beside such scores alone."""
    num_frames: int = 60
    """Frames of a window, and of a generated motion; real motions that are shorter give shorter ones."""
    seeds: int = 20
    """Repeats, each with other windows, codes and pairs."""
    max_motions: int = 3000
    """Motions of each set at most."""
    guidance: float | None = None
    """Strength of the guidance towards the action; by default as the run is configured. Runs of motion_diffusion."""
    random_state: bool = False
    """Start published classifiers from random states, as published: their scores contain that noise."""
    pictures: bool = True
    """Render some of the generated motions, and plot a map of the codes."""


@dataclass(frozen=True, kw_only=True)
class MotionBasis(Basis):
    """Settings that the scores of generated motions depend on."""

    kind = "motion"
    command = "posegen motion evaluate"
    subject = "motion"
    must_agree: ClassVar[Mapping[str, str]] = {
        "recognizer_sha256": "different action classifiers",
        "split": "different splits",
        "num_frames": "motions of different lengths",
        "num_motions": "different numbers of motions",
        "random_state": "different first states of the action classifier",
    }
    old_file = "motion.json"

    split: str
    num_motions: int
    """Of each set."""
    num_frames: int
    seeds: int
    random_state: bool
    recognizer: str
    recognizer_sha256: str
    guidance: float | None = None
    """Strength that was asked for instead of the run's own."""
    learned_from_all: bool = False
    """True if the run was trained on all motions of the dataset."""

    @property
    def published(self) -> tuple[MotionResult, ...]:
        """Published scores that were measured as these are."""
        is_alike = self.split == "all" and self.learned_from_all and self.num_motions >= _PUBLISHED_MOTIONS
        return MOTION_RESULTS.get(self.recognizer, ()) if is_alike and self.seeds == PUBLISHED_SEEDS else ()

    def describe(self, data: str) -> list[str]:
        lines = [
            f"{counted(self.num_motions, 'motion')} of up to {counted(self.num_frames, 'frame')} of "
            f"the split {self.split!r} "
            f"(data {data}), as many generated with the same actions and lengths, {self.seeds} seeds",
            f"action classifier {self.recognizer}, sha256 {self.recognizer_sha256[:16]}, "
            f"{'random' if self.random_state else 'zero'} first states; all motions on the run's mean body",
            *([] if self.guidance is None else [f"guidance {self.guidance:g}"]),
            "± half of the 95 % confidence interval of the mean, 1.96 s/√n; in brackets what ACTOR prints, 1.96 s²",
        ]
        if self.recognizer in MOTION_RESULTS and not self.published:
            lines.append(
                "no published scores beside these: those are of generators that learned from all motions, measured on "
                f"all, at least {_PUBLISHED_MOTIONS:,}, with {PUBLISHED_SEEDS} seeds"
            )
        return lines

    @property
    def tags(self) -> dict[str, str]:
        return {"posegen.recognizer": self.recognizer_sha256}


def _require_recognizer(name: str) -> str:
    """Return the name of an action classifier. Raises EvaluationError where there is none."""
    if name:
        return name
    raise EvaluationError(
        "no action classifier is known: name one with --recognizer RUN, of the stage recognition, or gru-humanact12"
    )


def _own_dataset(run: str) -> str:
    """Return the dataset of a run; empty for the shipped model. Raises EvaluationError for a run of other stages."""
    if run == SHIPPED_RUN:
        return ""
    check_protocol(run, "motion")
    return dataset_of(run)


def _open_networks(run: str, settings: MotionEvaluateSettings) -> tuple[MotionGenerator, ActionClassifier]:
    """Open the generator, with the guidance that is asked for, and the action classifier."""
    stage = load_generator(run)
    if settings.guidance is not None:
        stage.set_guidance(settings.guidance)
    name = settings.recognizer or stage.config.recognizer
    return stage, load_action_classifier(_require_recognizer(name), stage.device)


def _describe_basis(
    settings: MotionEvaluateSettings, recognizer: ActionClassifier, *, num_motions: int, learned_from_all: bool
) -> MotionBasis:
    """Describe what scores rest on; the number of motions is that of the split."""
    return MotionBasis(
        split=settings.split,
        num_motions=min(num_motions, settings.max_motions),
        num_frames=settings.num_frames,
        seeds=settings.seeds,
        random_state=settings.random_state,
        guidance=settings.guidance,
        recognizer=recognizer.name,
        recognizer_sha256=recognizer.sha256,
        learned_from_all=learned_from_all,
    )


def evaluate_motion(
    run: str,
    settings: MotionEvaluateSettings,
    *,
    dataset: str = "",
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> EvaluationRecord[MotionBasis]:
    """Measure generated motions beside real ones, see `posegen.evaluation.motion_generation`, and save the record.

    Strips, a video, a page and a map of codes go to ``RUN/motions`` and to MLflow. The model that comes with posegen
    has no folder: its record is returned alone.

    Args:
        run: Run of the stage actor or motion_diffusion, or `SHIPPED_RUN`.
        settings: How to measure.
        dataset: Folder of real motions; by default those that the run was trained on, which the shipped model lacks.
        on_progress: Called with the number of seeds that are done and the number of all.

    Raises:
        EvaluationError: The run, data, actions and classifier do not fit each other.
        DatasetError: The motions have another frame rate than the run's.
    """
    is_shipped = run == SHIPPED_RUN
    own = _own_dataset(run)
    if is_shipped and not dataset:
        raise EvaluationError(
            "the motion model that comes with posegen keeps no motions to compare with: name some with --dataset FOLDER"
        )
    stage, recognizer = _open_networks(run, settings)
    data = MotionDataset(dataset or own)
    data.rate(stage.config.fps)
    window = Window(num_frames=settings.num_frames, min_frames=1, max_frames=settings.num_frames)
    samples = MotionCrops(data, settings.split, actions=stage.config.actions, window=window)
    protocol = MotionProtocol(
        seeds=settings.seeds, max_motions=settings.max_motions, random_state=settings.random_state
    )
    sources: dict[MotionSet, ComparedMotions] = {"generated": stage.generate_like}
    is_own = not dataset or StorageFolder(dataset) == StorageFolder(own)
    if is_own and settings.split == "test":  # a generator cannot be nearer to people whom it never saw
        sources = {"learned": MotionCrops(data, "train", actions=stage.config.actions, window=window), **sources}
    values = score_motions(samples, recognizer, sources, stage.get_buffer("rest"), protocol, on_progress=on_progress)
    record = EvaluationRecord(
        run=run if is_shipped else str(StorageFolder(run)),
        stage=stage.name,
        dataset=str(data.folder),
        data_fingerprint=data.fingerprint,
        basis=_describe_basis(
            settings, recognizer, num_motions=len(samples.entries), learned_from_all=is_own and not data.has("test")
        ),
        scores=scores_of_seeds(values),
    )
    if is_shipped:
        return record
    save_evaluation(record)
    if settings.pictures:
        show_motions(run)
    return record
