"""Measures the motions that a run generates, and files what it found with the run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from orchestration.generation.motions import load_actor, show_motions
from orchestration.tracking.mirror import recorded
from orchestration.training.runs import dataset_of, refuse_behavior
from posegen.datasets.motions import MotionDataset
from posegen.errors import EvaluationError
from posegen.evaluation.motion_generation import METRICS, Protocol, Source, score_motions
from posegen.inference.action_classifiers import open_recognizer
from posegen.io.records import parse_record
from posegen.io.storage import StorageFolder
from posegen.metrics.motion import Repeated, repeated
from posegen.samples import MotionCrops, Window

_FILE = "motion.json"
_PROTOCOL = {
    "data_fingerprint": "different data",
    "split": "different splits",
    "num_frames": "motions of different lengths",
    "num_motions": "different numbers of motions",
    "random_state": "different first states of the recogniser",
}
"""What figures rest on besides the recogniser."""


@dataclass(frozen=True, kw_only=True)
class MotionEvaluateSettings:
    """What generated motions are compared with, and how."""

    recognizer: str = ""
    """What tells the actions: a run of the stage recognition, or gru-humanact12 or gru-ntu13; by default that of the
    run's own configuration."""
    split: Literal["train", "test", "all"] = "test"
    """Real motions to compare with; published figures are of all of them, which were also learned from."""
    num_frames: int = 60
    """Frames of a window, and of a generated motion; real motions that are shorter give shorter ones."""
    seeds: int = 20
    """How often, each time with other windows, codes and pairs."""
    max_motions: int = 3000
    """Motions of each set at most."""
    random_state: bool = False
    """Start published recognisers from random states, as published: their figures hold that noise."""
    pictures: bool = True
    """Draw some of what is generated, and a map of the codes."""


@dataclass(frozen=True, kw_only=True)
class MotionEvaluation:
    """All that was measured of a run, and how. The content of ``RUN/evaluation/motion.json``."""

    run: str
    dataset: str
    data_fingerprint: str
    split: str
    num_motions: int
    """Of each set."""
    num_frames: int
    seeds: int
    random_state: bool
    recognizer: str
    recognizer_sha256: str
    scores: dict[Source, dict[str, Repeated]]

    @property
    def protocol(self) -> list[str]:
        """In words, what the figures rest on."""
        return [
            f"{self.num_motions:,} motions of up to {self.num_frames} frames of the split {self.split!r} "
            f"(data {self.data_fingerprint}), as many generated with the same actions and lengths, {self.seeds} seeds",
            f"recogniser {self.recognizer}, sha256 {self.recognizer_sha256[:16]}, "
            f"{'random' if self.random_state else 'zero'} first states; all motions on the run's mean body",
            "± half of the 95 % confidence interval of the mean, 1.96 s/√n; in brackets what ACTOR prints, 1.96 s²",
        ]


def evaluate_motion(
    run: str,
    settings: MotionEvaluateSettings,
    *,
    dataset: str = "",
    on_seed: Callable[[int, int], None] = lambda done, total: None,
) -> MotionEvaluation:
    """Measure generated motions beside real ones by ACTOR's protocol, see `posegen.evaluation.motion_generation`.

    Writes ``RUN/evaluation/motion.json``, and strips, a video, a page and a map of codes to ``RUN/motions``; files all
    of it with the run in MLflow.

    Args:
        run: Run of the stage actor.
        settings: How.
        dataset: Folder of real motions; by default those that it was trained on.
        on_seed: Hears how many of how many seeds are done.

    Raises:
        EvaluationError: Run, data, actions and recogniser do not fit.
    """
    refuse_behavior(run)
    stage = load_actor(run)
    name = settings.recognizer or stage.config.recognizer
    if not name:
        raise EvaluationError(
            "say what tells the actions: --recognizer RUN, of the stage recognition, or gru-humanact12"
        )
    recognizer = open_recognizer(name, stage.device)
    data = MotionDataset(dataset or dataset_of(run))
    samples = MotionCrops(
        data,
        settings.split,
        actions=stage.config.actions,
        window=Window(num_frames=settings.num_frames, min_frames=1, max_frames=settings.num_frames),
    )
    protocol = Protocol(seeds=settings.seeds, max_motions=settings.max_motions, random_state=settings.random_state)
    found = score_motions(samples, recognizer, stage.generate_like, stage.get_buffer("rest"), protocol, on_seed=on_seed)
    evaluation = MotionEvaluation(
        run=str(StorageFolder(run)),
        dataset=str(data.folder),
        data_fingerprint=data.fingerprint,
        split=settings.split,
        num_motions=min(len(samples.entries), settings.max_motions),
        num_frames=settings.num_frames,
        seeds=settings.seeds,
        random_state=settings.random_state,
        recognizer=recognizer.name,
        recognizer_sha256=recognizer.sha256,
        scores={
            source: {metric: repeated(values) for metric, values in metrics.items()}  # type: ignore[arg-type]
            for source, metrics in found.items()
        },
    )
    _record(evaluation)
    if settings.pictures:
        show_motions(run)
    return evaluation


def read_evaluation(run: str) -> MotionEvaluation:
    """What was measured of a run. Raises EvaluationError where nothing was."""
    folder = StorageFolder(run) / "evaluation"
    if not folder.exists(_FILE):
        raise EvaluationError(f"{run} has no figures of motion: measure it with `posegen motion evaluate {run}`")
    return parse_record(MotionEvaluation, folder.read(_FILE), f"{folder}/{_FILE}", EvaluationError)


def check_comparable(evaluations: Sequence[MotionEvaluation]) -> None:
    """Raise EvaluationError where figures rest on different recognisers, data or protocols."""
    check_one_recognizer(evaluations)
    _check_equal(evaluations, _PROTOCOL)


def check_one_recognizer(evaluations: Sequence[MotionEvaluation]) -> None:
    """Raise EvaluationError where different recognisers judged: their figures do not compare, whatever the data."""
    _check_equal(evaluations, {"recognizer_sha256": "different recognisers"})


def _check_equal(evaluations: Sequence[MotionEvaluation], fields: Mapping[str, str]) -> None:
    first = evaluations[0]
    for other in evaluations[1:]:
        for name, what in fields.items():
            ours, theirs = getattr(first, name), getattr(other, name)
            if ours != theirs:
                raise EvaluationError(
                    f"figures of {first.run} and {other.run} do not compare: they rest on {what} ({ours}, {theirs})"
                )


def _record(evaluation: MotionEvaluation) -> None:
    folder = StorageFolder(evaluation.run) / "evaluation"
    scores = {source: {name: x._asdict() for name, x in of.items()} for source, of in evaluation.scores.items()}
    folder.write_json(_FILE, {**asdict(evaluation), "scores": scores})
    prefix = {"real": "motion/real_", "generated": "motion/"}
    means = {prefix[source] + name: of[name].mean for source, of in evaluation.scores.items() for name in METRICS}
    with recorded(evaluation.run) as log:
        log.log_metrics(means, step=0, group="motion")
        log.set_tags({"posegen.recognizer": evaluation.recognizer_sha256})
