"""Measures over a dataset what a run draws, and files what it found with the run."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch

from orchestration.tracking.mirror import recorded
from orchestration.training.runs import refuse_behavior
from posegen.datasets.clip_files import Clip, ClipFile
from posegen.datasets.clips import ClipDataset
from posegen.datasets.dataset import Split
from posegen.errors import DatasetError, EvaluationError, PosegenError
from posegen.evaluation.color_control import SwapResult, match_target_colors, open_subject, summarize_swaps, swap_codes
from posegen.evaluation.reconstruction import ClipScores, Measure, gather, score_clip, structural_measures
from posegen.inference.pose_transfer import PoseTransfer
from posegen.inference.renderers import load_renderer
from posegen.inference.video_synthesizer import VideoSynthesizer
from posegen.io.images import grid, write_picture
from posegen.io.storage import StorageFolder
from posegen.io.video_writer import write_video
from posegen.metrics.image import LPIPS, STLPIPS
from posegen.metrics.statistics import bootstrap_interval
from posegen.weights import registry as weights

Perceptual = Literal["st_lpips", "lpips"]
PERCEPTUAL: dict[str, tuple[type[STLPIPS] | type[LPIPS], str]] = {
    "st_lpips": (STLPIPS, "st_lpips"),
    "lpips": (LPIPS, "lpips-alexnet"),
}
"""Each perceptual distance, and the name of its weights."""
_STRIP = 8  # frames in a comparison picture


class Meaning(NamedTuple):
    """How a metric is read."""

    group: Literal["structure", "time", "colour", "colour asked for"]
    unit: str
    better: Literal["↑", "↓", "→ 1", ""]
    """Higher, lower, nearer to 1; empty for a value that others are compared with."""


_MEANINGS = {
    "ms_ssim": Meaning("structure", "of 1", "↑"),
    "ssim": Meaning("structure", "of 1", "↑"),
    **{name: Meaning("structure", "distance", "↓") for name in PERCEPTUAL},
    "flicker": Meaning("time", "of 1", "↓"),
    "flicker_real": Meaning("time", "of 1", ""),
    **{f"t_{name}": Meaning("time", "distance", "↓") for name in PERCEPTUAL},
    "recolor": Meaning("colour", "of the way", "→ 1"),
    "hit": Meaning("colour", "ΔE2000", "↓"),
    "texture": Meaning("colour", "correlation", "↑"),
    "leakage": Meaning("colour", "ΔE2000", "↓"),
    "background_delta_e": Meaning("colour", "ΔE2000", "↓"),
    "code_sensitivity": Meaning("colour", "of 1 per unit of z", "↑"),
    **{
        f"asked_{name}": Meaning("colour asked for", "ΔE2000", "↓") for name in ("hit", "leakage", "background_delta_e")
    },
}


def meaning(name: str) -> Meaning:
    """How a score is read. Those of both garments are read alike, and of a masked and a whole picture."""
    return _MEANINGS[_kind(name)]


def _kind(name: str) -> str:
    return name if name in _MEANINGS else name.rpartition("_")[0]


@dataclass(frozen=True, kw_only=True)
class EvaluateSettings:
    """What is measured."""

    split: Split = "test"
    """Clips to draw again from their first frame."""
    perceptual: tuple[Perceptual, ...] = ("st_lpips",)
    """Perceptual distances; they are left out, with a word, where their weights are not at hand."""
    swaps: int = 3
    """Painted variants of each clip whose codes are swapped in, to see whether the garment's colour follows."""
    asked: int = 0
    """Random colours that are asked of each garment of each clip, with exact codes: some seconds each."""
    max_clips: int = 0
    """Clips to measure at most; 0 measures all."""


@dataclass(frozen=True)
class Score:
    """Mean of a metric over clips."""

    mean: float
    interval: tuple[float, float] | None
    """95 % bootstrap interval of the mean over clips; one clip has none."""


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
    recolorings: dict[str, list[SwapResult]]
    """By clip, every swap of a code."""
    asked: dict[str, list[SwapResult]]
    """By clip, every colour that was asked for."""
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
    """Reconstruct the clips of a split from their first frames and compare (Section 4.3); swap their colour codes.

    The run is of any stage that draws videos. One that draws without codes has no scores of colour.
    Writes ``RUN/evaluation/evaluation.json`` with every clip's scores, and beside it each clip's comparison: a
    picture and a video, real frames above drawn ones. Files all of it in the run's MLflow entry.
    """
    refuse_behavior(run)
    renderer = load_renderer(run)
    data = ClipDataset(dataset)
    if data.info.size != renderer.size:
        raise EvaluationError(f"{dataset} has frames of {data.info.size}, the run was trained at {renderer.size}")
    measures, identities, left_out = open_measures(settings.perceptual, renderer.size, renderer.device)
    if isinstance(renderer, PoseTransfer):
        left_out["colour"] = f"{renderer.stage.name} draws without colour codes"
    clips = _choose_clips(data, settings, left_out)
    with tempfile.TemporaryDirectory() as name:
        local, scores, recolorings, asked = Path(name), [], {}, {}
        for done, file in enumerate(clips):
            on_clip(done, len(clips))
            score, clip, drawn = score_clip(renderer, file, measures, perceptual=identities)
            scores.append(score)
            _write_comparison(local, clip, drawn)
            try:
                recolorings[file.clip_id], asked[file.clip_id] = _recolor(renderer, data, file, clip, drawn, settings)
            except DatasetError as error:
                left_out["colour"] = str(error)
        on_clip(len(clips), len(clips))
        evaluation = Evaluation(
            run=str(StorageFolder(run)),
            dataset=str(data.folder),
            split=settings.split,
            size=renderer.size,
            num_frames=sum(score.num_frames for score in scores),
            clips=scores,
            scores=_summarize(scores, recolorings, asked),
            recolorings=recolorings,
            asked=asked,
            weights=identities,
            left_out=left_out,
            folder=str(StorageFolder(run) / "evaluation"),
        )
        _record(evaluation, local)
    return evaluation


def _choose_clips(data: ClipDataset, settings: EvaluateSettings, left_out: dict[str, str]) -> list[ClipFile]:
    """The clips to measure. One of a single frame has none to be drawn from that one."""
    clips = data.split(settings.split)
    chosen = [clip for clip in clips if clip.info.num_frames > 1]
    if not chosen:
        raise DatasetError(f"{data.folder} has no clip of two frames or more in the split {settings.split!r}")
    if len(chosen) < len(clips):
        left_out["every clip of a single frame"] = f"{len(clips) - len(chosen):,} have no other to be drawn as"
    return chosen[: settings.max_clips or None]


def open_measures(
    perceptual: Sequence[Perceptual], size: tuple[int, int], device: torch.device
) -> tuple[dict[str, Measure], dict[str, str], dict[str, str]]:
    """The metrics that can be measured, the sha256 of their weights, and those that cannot with the reason."""
    measures = structural_measures(size)
    identities: dict[str, str] = {}
    left_out: dict[str, str] = {}
    for name in perceptual:
        try:
            network, weight = PERCEPTUAL[name]
            metric = network.pretrained()
        except PosegenError as error:
            left_out[name] = str(error)
            continue
        measures[name] = metric.to(device)
        identities[name] = weights.identity(weight)
    return measures, identities, left_out


def _recolor(
    renderer: VideoSynthesizer | PoseTransfer,
    data: ClipDataset,
    file: ClipFile,
    clip: Clip,
    drawn: np.ndarray,
    settings: EvaluateSettings,
) -> tuple[list[SwapResult], list[SwapResult]]:
    """Swap codes of a clip, and ask for colours, if the run draws from codes.

    Raises DatasetError where nothing was painted.
    """
    if isinstance(renderer, PoseTransfer) or not (settings.swaps or settings.asked):
        return [], []
    subject = open_subject(file, clip, data.variants("clip", "both", file), settings.swaps)
    return swap_codes(renderer, subject, drawn), match_target_colors(renderer, subject, drawn, settings.asked)


def _summarize(
    clips: Sequence[ClipScores],
    recolorings: Mapping[str, Sequence[SwapResult]],
    asked: Mapping[str, Sequence[SwapResult]],
) -> dict[str, Score]:
    """Each score over the clips that have it."""
    scores = gather(clip.means for clip in clips)
    scores |= gather(summarize_swaps(of_clip) for of_clip in recolorings.values())
    of_asked = gather(summarize_swaps(of_clip) for of_clip in asked.values())
    scores |= {f"asked_{name}": values for name, values in of_asked.items() if _kind(f"asked_{name}") in _MEANINGS}
    in_order = sorted(scores, key=lambda name: list(_MEANINGS).index(_kind(name)))
    return {name: summarize(scores[name]) for name in in_order}


def medians_asked(evaluation: Evaluation) -> dict[str, float]:
    """Medians over all colours that were asked for: CIEDE2000 of the ``hit``, and of the leakage by area."""
    everything = [recoloring for of_clip in evaluation.asked.values() for recoloring in of_clip]
    values = gather({"hit": recoloring.hit, **recoloring.leakage} for recoloring in everything)
    return {name: float(np.median(of_name)) for name, of_name in values.items()}


def summarize(values: Sequence[float]) -> Score:
    """Mean over clips with its interval."""
    return Score(float(np.mean(values)), bootstrap_interval(np.array(values)) if len(values) > 1 else None)


def _write_comparison(folder: Path, clip: Clip, drawn: np.ndarray) -> None:
    rows = np.linspace(0, len(clip) - 1, _STRIP).round().astype(int)
    picture = grid([[images[row] for row in rows] for images in (clip.images, drawn)])
    write_picture(folder / f"{clip.info.clip_id}.png", picture)
    both = np.concatenate([clip.images, drawn], axis=2)
    write_video(folder / f"{clip.info.clip_id}.mp4", both, fps=clip.info.fps, times=clip.times)


def _record(evaluation: Evaluation, local: Path) -> None:
    """File the evaluation with the run that it is of."""
    (local / "evaluation.json").write_text(json.dumps(asdict(evaluation), indent=2))
    StorageFolder(evaluation.folder).upload(local)
    metrics = {}
    for name, score in evaluation.scores.items():
        metrics[f"test/{name}"] = score.mean
        if score.interval:
            metrics[f"test/{name}.low"], metrics[f"test/{name}.high"] = score.interval
    with recorded(evaluation.run) as log:
        log.log_metrics(metrics, step=0, group="test")
        log.log_own_files("evaluation")
