"""Measures a video generator over a dataset and files what it found with the run."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from posegen.metrics.image import LPIPS, STLPIPS, bootstrap_interval

from orchestration import tracking
from posegen import weights
from posegen.clips import Clip, ClipDataset, Split
from posegen.generate import VideoSynthesizer
from posegen.reconstruction import ClipScores, Measure, score_clip, structural_measures
from posegen.stages.pictures import grid, write_picture
from posegen.storage import Folder
from posegen.video import write_video

_STRIP = 8  # frames in a comparison picture


@dataclass(frozen=True, kw_only=True)
class EvaluateSettings:
    """What is measured."""

    split: Split = "test"
    """Clips to draw again from their first frame."""
    perceptual: tuple[Literal["st_lpips", "lpips"], ...] = ("st_lpips",)
    """Perceptual distances; they are left out, with a word, where their weights are not at hand."""
    max_clips: int = 0
    """Clips to measure at most; 0 measures all."""


@dataclass(frozen=True)
class Score:
    """Mean of a metric over clips."""

    mean: float
    low: float
    """Lower end of the 95 % bootstrap interval over clips."""
    high: float
    """Upper end of it."""


@dataclass(frozen=True)
class Evaluation:
    """All that `posegen evaluate` found."""

    run: str
    dataset: str
    split: str
    size: tuple[int, int]
    num_frames: int
    clips: list[ClipScores]
    scores: dict[str, Score]
    weights: dict[str, str]
    """sha256 of the weights behind each perceptual metric."""
    left_out: dict[str, str]
    """Metrics that were asked for and not measured, with the reason."""
    folder: str
    """Where the pictures and videos are."""


def evaluate(
    run: str,
    dataset: str,
    settings: EvaluateSettings,
    *,
    on_clip: Callable[[int, int], None] = lambda done, total: None,
) -> Evaluation:
    """Reconstruct the clips of a split from their first frames and compare (Section 4.3).

    Writes ``RUN/evaluation/evaluation.json`` with every clip's scores, and beside it each clip's comparison: a
    picture and a video, real frames above drawn ones. Files all of it in the run's MLflow entry.
    """
    synthesizer = VideoSynthesizer.load(run)
    data = ClipDataset(dataset)
    if data.info.size != synthesizer.size:
        raise ValueError(f"{dataset} has frames of {data.info.size}, the run was trained at {synthesizer.size}")
    measures, identities, left_out = _measures(settings, synthesizer)
    clips = data.split(settings.split)[: settings.max_clips or None]
    with tempfile.TemporaryDirectory() as name:
        local, scores = Path(name), []
        for done, file in enumerate(clips):
            on_clip(done, len(clips))
            score, clip, drawn = score_clip(synthesizer, file, measures)
            scores.append(score)
            _write_comparison(local, clip, drawn)
        on_clip(len(clips), len(clips))
        evaluation = Evaluation(
            run=str(Folder(run)),
            dataset=str(data.folder),
            split=settings.split,
            size=synthesizer.size,
            num_frames=sum(score.num_frames for score in scores),
            clips=scores,
            scores={name: _summarize([score.means[name] for score in scores]) for name in scores[0].means},
            weights=identities,
            left_out=left_out,
            folder=str(Folder(run) / "evaluation"),
        )
        _record(evaluation, local)
    return evaluation


def _measures(
    settings: EvaluateSettings, synthesizer: VideoSynthesizer
) -> tuple[dict[str, Measure], dict[str, str], dict[str, str]]:
    """The metrics that can be measured, their weights, and those that cannot with the reason."""
    measures, identities, left_out = structural_measures(synthesizer.size), {}, {}
    for name in settings.perceptual:
        try:
            metric = {"st_lpips": STLPIPS, "lpips": LPIPS}[name].pretrained()
        except ValueError as error:
            left_out[name] = str(error)
            continue
        measures[name] = metric.to(synthesizer.device)
        identities[name] = weights.identity(name)
    return measures, identities, left_out


def _summarize(values: list[float]) -> Score:
    low, high = bootstrap_interval(np.array(values)) if len(values) > 1 else (float("nan"), float("nan"))
    return Score(float(np.mean(values)), low, high)


def _write_comparison(folder: Path, clip: Clip, drawn: np.ndarray) -> None:
    rows = np.linspace(0, len(clip) - 1, _STRIP).round().astype(int)
    picture = grid([[images[row] for row in rows] for images in (clip.images, drawn)])
    write_picture(folder / f"{clip.info.clip_id}.png", picture)
    both = np.concatenate([clip.images, drawn], axis=2)
    write_video(folder / f"{clip.info.clip_id}.mp4", both, fps=clip.info.fps, times=clip.times)


def _record(evaluation: Evaluation, local: Path) -> None:
    """File the evaluation with the run that it is of."""
    (local / "evaluation.json").write_text(json.dumps(asdict(evaluation), indent=2))
    Folder(evaluation.folder).upload(local)
    tracker = tracking.of_run(Folder(evaluation.run))
    tracker.log_metrics({f"test/{name}": score.mean for name, score in evaluation.scores.items()}, step=0)
    tracker.log_file(local, "evaluation")
