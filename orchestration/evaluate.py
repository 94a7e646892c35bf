"""Measures a video generator over a dataset and files what it found with the run."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from orchestration import tracking
from posegen import weights
from posegen.clips import Clip, ClipDataset, ClipFile, Split
from posegen.generate import VideoSynthesizer
from posegen.metrics.image import LPIPS, STLPIPS
from posegen.metrics.statistics import bootstrap_interval
from posegen.recoloring import Recoloring, swap_codes
from posegen.reconstruction import ClipScores, Measure, score_clip, structural_measures
from posegen.samples import REGIONS
from posegen.stages.pictures import grid, write_picture
from posegen.storage import Folder
from posegen.video import write_video

Perceptual = Literal["st_lpips", "lpips"]
_PERCEPTUAL: dict[str, tuple[type[STLPIPS] | type[LPIPS], str]] = {
    "st_lpips": (STLPIPS, "st_lpips"),
    "lpips": (LPIPS, "lpips-alexnet"),
}
"""Each perceptual distance, and the name of its weights."""
_STRIP = 8  # frames in a comparison picture


@dataclass(frozen=True, kw_only=True)
class EvaluateSettings:
    """What is measured."""

    split: Split = "test"
    """Clips to draw again from their first frame."""
    perceptual: tuple[Perceptual, ...] = ("st_lpips",)
    """Perceptual distances; they are left out, with a word, where their weights are not at hand."""
    swaps: int = 3
    """Painted variants of each clip whose codes are swapped in, to see whether the garment's colour follows."""
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
    """Means over clips: of how near the reconstructions come, and of what swapped codes change."""
    recolorings: dict[str, list[Recoloring]]
    """By clip, every swap of a code."""
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
    measures, identities, left_out = open_measures(settings.perceptual, synthesizer.size, synthesizer.device)
    clips = data.split(settings.split)[: settings.max_clips or None]
    with tempfile.TemporaryDirectory() as name:
        local, scores, recolorings = Path(name), [], {}
        for done, file in enumerate(clips):
            on_clip(done, len(clips))
            score, clip, drawn = score_clip(synthesizer, file, measures)
            scores.append(score)
            _write_comparison(local, clip, drawn)
            recolorings[file.clip_id] = _swap(synthesizer, data, file, clip, drawn, settings.swaps)
        on_clip(len(clips), len(clips))
        evaluation = Evaluation(
            run=str(Folder(run)),
            dataset=str(data.folder),
            split=settings.split,
            size=synthesizer.size,
            num_frames=sum(score.num_frames for score in scores),
            clips=scores,
            scores=_summarize_clips(scores) | _summarize_swaps(recolorings),
            recolorings=recolorings,
            weights=identities,
            left_out=left_out,
            folder=str(Folder(run) / "evaluation"),
        )
        _record(evaluation, local)
    return evaluation


def open_measures(
    perceptual: Sequence[Perceptual], size: tuple[int, int], device: torch.device
) -> tuple[dict[str, Measure], dict[str, str], dict[str, str]]:
    """The metrics that can be measured, the sha256 of their weights, and those that cannot with the reason."""
    measures = structural_measures(size)
    identities: dict[str, str] = {}
    left_out: dict[str, str] = {}
    for name in perceptual:
        try:
            network, weight = _PERCEPTUAL[name]
            metric = network.pretrained()
        except ValueError as error:
            left_out[name] = str(error)
            continue
        measures[name] = metric.to(device)
        identities[name] = weights.identity(weight)
    return measures, identities, left_out


def _swap(
    synthesizer: VideoSynthesizer, data: ClipDataset, file: ClipFile, clip: Clip, drawn: np.ndarray, count: int
) -> list[Recoloring]:
    """Swap codes of a clip, where it has painted variants to take them from."""
    if not count or not (data.folder / "colors" / "clip-both").exists(f"{file.clip_id}.parquet"):
        return []
    return swap_codes(synthesizer, file, clip, drawn, data.variants("clip", "both", file), count)


def _summarize_clips(clips: list[ClipScores]) -> dict[str, Score]:
    return {name: summarize([clip.means[name] for clip in clips]) for name in clips[0].means}


def _summarize_swaps(clips: dict[str, list[Recoloring]]) -> dict[str, Score]:
    """How far garments went towards the swapped-in colour, and how much the background changed with them."""
    values: dict[str, list[float]] = {}
    for swaps in clips.values():
        for region in REGIONS:
            shares = [swap.share for swap in swaps if swap.region == region]
            if shares:
                values.setdefault(f"recolor_{region}", []).append(float(np.mean(shares)))
        if swaps:
            change = float(np.mean([swap.background_change for swap in swaps]))
            values.setdefault("background_delta_e", []).append(change)
    return {name: summarize(of_clips) for name, of_clips in values.items()}


def summarize(values: Sequence[float]) -> Score:
    """Mean and interval over clips; one clip has no interval."""
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
