"""Measures runs that render videos: clips reconstructed from their first frames, and recoloured by other codes."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple

import numpy as np
import torch

from orchestration.evaluation.records import Basis, EvaluationRecord, Score, check_protocol, save_evaluation
from orchestration.runtime.progress import ProgressCallback, ignore_progress
from posegen.color.garment_segmentation import GarmentMethod
from posegen.datasets.clip_files import Clip, ClipFile
from posegen.datasets.clips import ClipDataset, GarmentChoice
from posegen.datasets.dataset import Split
from posegen.errors import DatasetError, EvaluationError, PosegenError, counted
from posegen.evaluation.color_control import (
    SwapResult,
    match_target_colors,
    median_changes,
    prepare_swaps,
    summarize_swaps,
    swap_codes,
)
from posegen.evaluation.frame_look import score_look
from posegen.evaluation.metric_registry import table_position
from posegen.evaluation.reconstruction import ClipScores, Measure, gather, score_clip, structural_measures
from posegen.inference.pose_transfer import PoseTransfer
from posegen.inference.renderers import load_renderer
from posegen.inference.video_synthesizer import VideoSynthesizer
from posegen.io.images import titled_grid, write_picture
from posegen.io.storage import StorageFolder
from posegen.io.video_writer import write_video
from posegen.metrics.image import LPIPS, STLPIPS
from posegen.parallel import map_in_processes, num_processes
from posegen.perception.garments import label_garments
from posegen.weights import download as weights

Perceptual = Literal["st_lpips", "lpips"]
PERCEPTUAL: dict[str, tuple[type[STLPIPS] | type[LPIPS], str]] = {
    "st_lpips": (STLPIPS, "st_lpips"),
    "lpips": (LPIPS, "lpips-alexnet"),
}
"""Each perceptual distance, and the name of its weights."""
_ASKED = ("hit", "leakage", "background_delta_e")  # metrics of colours asked for: others say nothing of them
_SECONDS_EACH = 2.0  # of a small clip, to render and measure it
_STRIP = 8  # frames in a comparison picture


@dataclass(frozen=True, kw_only=True)
class EvaluateSettings:
    """Settings of an evaluation. Stages that render no videos use only --split."""

    split: Split = "test"
    """Clips to reconstruct from their first frame; for other stages the samples to measure."""
    perceptual: tuple[Perceptual, ...] = ("st_lpips",)
    """Perceptual distances; those whose weights are not available are left out, with a note."""
    swaps: int = 3
    """Recolorings of each clip whose codes are swapped in, to measure whether the garment's colour follows."""
    asked: int = 0
    """Random target colours of each garment of each clip, matched by exact codes; seconds each."""
    garments: GarmentChoice = "dataset"
    """Method that finds garments: the one that prepared the dataset, heuristic or parser."""
    max_clips: int = 0
    """Clips to measure at most; 0 measures all."""


@dataclass(frozen=True, kw_only=True)
class VideoBasis(Basis):
    """Settings that the scores of reconstructed and recoloured clips depend on."""

    kind = "video"
    subject = "videos"
    must_agree: ClassVar[Mapping[str, str]] = {
        "split": "different splits",
        "size": "frames of different sizes",
        "num_clips": "different numbers of clips",
        "num_frames": "different numbers of frames",
        "swaps": "different numbers of swapped codes",
        "asked": "different numbers of colours asked for",
        "garments": "garments found in different ways",
        "weights": "different weights of perceptual distances",
    }

    split: str
    size: tuple[int, int]
    """Height and width in pixels."""
    num_clips: int
    num_frames: int
    """Of all clips, without their first frames, from which they are reconstructed."""
    swaps: int
    asked: int
    weights: dict[str, str]
    """sha256 of the weights behind each perceptual distance."""
    garments: GarmentMethod = "heuristic"
    """Method that found the garments."""

    def describe(self, data: str) -> list[str]:
        height, width = self.size
        return [
            f"{counted(self.num_clips, 'clip')} of the {self.split} split (data {data}), "
            f"{counted(self.num_frames, 'frame')} of "
            f"{height}×{width}, each clip rendered from its first frame",
            "mean over frames, then over clips, with the 95 % bootstrap interval over clips",
        ]


def evaluate_video(
    run: str,
    dataset: str,
    settings: EvaluateSettings,
    *,
    on_progress: ProgressCallback = ignore_progress,
) -> EvaluationRecord[VideoBasis]:
    """Reconstruct the clips of a split from their first frames and compare (Section 4.3); swap their colour codes.

    Runs of stages that render without colour codes have no scores of colour. Beside the record, ``RUN/evaluation`` gets
    a picture and a video of each clip, real frames above rendered ones; MLflow gets all of it.

    Args:
        run: Run of a stage that renders videos.
        dataset: Folder of a clip dataset of the size that the run was trained at.
        settings: What to measure.
        on_progress: Called with the number of clips that are done and the number of all.

    Raises:
        EvaluationError: The stage has another protocol, or the frames have another size.
        DatasetError: The split has no clip of two frames or more.
    """
    check_protocol(run, "video")
    protocol = _Protocol.open(run, dataset, settings)
    renderer, data, _, identities, left_out, _ = protocol
    if isinstance(renderer, PoseTransfer):
        left_out["colour"] = f"{renderer.stage.name} renders without colour codes"
    clips = _choose_clips(data, settings, left_out)
    with tempfile.TemporaryDirectory() as name:
        results = _measure_clips(protocol, clips, run, Path(name), on_progress)
        record = EvaluationRecord(
            run=str(StorageFolder(run)),
            stage=renderer.stage.name,
            dataset=str(data.folder),
            data_fingerprint=data.full_fingerprint,
            basis=VideoBasis(
                split=settings.split,
                size=renderer.size,
                num_clips=len(clips),
                num_frames=sum(scores.num_frames for scores in results.clips),
                swaps=settings.swaps,
                asked=settings.asked,
                weights=identities,
                garments=data.info.garment_method(settings.garments),
            ),
            scores=results.summarize(),
            left_out=left_out,
            details=asdict(results),
        )
        StorageFolder(record.folder).upload(Path(name))
    save_evaluation(record)
    return record


class _Protocol(NamedTuple):
    """With what clips are rendered and measured."""

    renderer: VideoSynthesizer | PoseTransfer
    data: ClipDataset
    measures: Mapping[str, Measure]
    identities: dict[str, str]
    left_out: dict[str, str]
    settings: EvaluateSettings

    @classmethod
    def open(cls, run: str, dataset: str, settings: EvaluateSettings) -> _Protocol:
        """Open a run, its data and the metrics. Raises EvaluationError where the frames have another size."""
        renderer, data = load_renderer(run), ClipDataset(dataset)
        if data.info.size != renderer.size:
            raise EvaluationError(f"{dataset} has frames of {data.info.size}, the run was trained at {renderer.size}")
        measures, identities, left_out = open_measures(settings.perceptual, renderer.size, renderer.device)
        return cls(renderer, data, measures, identities, left_out, settings)


class _MeasuredClip(NamedTuple):
    """Measurements of a clip."""

    scores: ClipScores
    recolorings: list[SwapResult]
    asked: list[SwapResult]
    no_colour: str
    """Reason that nothing was measured of its colours, if so."""


@lru_cache(maxsize=1)
def _open_once(run: str, dataset: str, settings: EvaluateSettings, pictures: Path) -> _Protocol:
    """Settings and networks of one evaluation, which a process keeps for all clips; its folder of pictures names it."""
    return _Protocol.open(run, dataset, settings)


def _measure_in_process(clip: str, run: str, dataset: str, settings: EvaluateSettings, pictures: Path) -> _MeasuredClip:
    protocol = _open_once(run, dataset, settings, pictures)
    return _measure_clip(next(file for file in protocol.data.clips if file.clip_id == clip), protocol, pictures)


def _measure_clip(file: ClipFile, protocol: _Protocol, pictures: Path) -> _MeasuredClip:
    """Render and measure a clip, and write a picture and a video of it."""
    renderer, data, measures, identities, _, settings = protocol
    scores, clip, rendered = score_clip(renderer, file, measures, perceptual=identities)
    labels = label_garments(clip.images, clip.keypoints, clip.masks, data.info.garment_method(settings.garments))
    scores = replace(scores, means=scores.means | score_look(clip, rendered, labels))
    _write_comparison(pictures, clip, rendered)
    try:
        swaps, asked = _recolor(renderer, data, _RenderedClip(file, clip, labels, rendered), settings)
    except DatasetError as error:
        return _MeasuredClip(scores, [], [], str(error))
    return _MeasuredClip(scores, swaps, asked, "")


def _measure_clips(
    protocol: _Protocol,
    clips: Sequence[ClipFile],
    run: str,
    pictures: Path,
    on_progress: ProgressCallback,
) -> _Results:
    """Measure clips, on CPUs in a process for each, and note in the protocol what cannot be measured."""
    results = _Results()
    renderer = protocol.renderer
    processes = num_processes(len(clips), _SECONDS_EACH)
    # A GPU is one, and a stage of one's own is known to this process alone.
    if processes and renderer.device.type == "cpu" and type(renderer.stage).__module__.startswith("posegen."):
        work = partial(
            _measure_in_process, run=run, dataset=str(protocol.data.folder), settings=protocol.settings,
            pictures=pictures,
        )  # fmt: skip
        measured: Iterator[_MeasuredClip] = map_in_processes(work, [file.clip_id for file in clips], processes)
    else:
        measured = (_measure_clip(file, protocol, pictures) for file in clips)
    on_progress(0, len(clips))
    for done, (file, found) in enumerate(zip(clips, measured, strict=True), start=1):
        results.clips.append(found.scores)
        if found.no_colour:
            protocol.left_out["colour"] = found.no_colour
        else:
            results.recolorings[file.clip_id], results.asked[file.clip_id] = found.recolorings, found.asked
        on_progress(done, len(clips))
    return results


class _RenderedClip(NamedTuple):
    """A clip that was rendered from its first frame."""

    file: ClipFile
    clip: Clip
    labels: np.ndarray
    """(T, H, W) garments of the real frames."""
    rendered: np.ndarray
    """(T, H, W, 3) uint8."""


@dataclass
class _Results:
    """Results of single clips."""

    clips: list[ClipScores] = field(default_factory=list)
    recolorings: dict[str, list[SwapResult]] = field(default_factory=dict)
    """Every swap of a code, by clip."""
    asked: dict[str, list[SwapResult]] = field(default_factory=dict)
    """Every requested colour, by clip."""

    def summarize(self) -> dict[str, Score]:
        """Each score over the clips that have it; medians are over all colours that were asked for."""
        values = gather(clip.means for clip in self.clips)
        values |= gather(summarize_swaps(of_clip) for of_clip in self.recolorings.values())
        asked = gather(summarize_swaps(of_clip) for of_clip in self.asked.values())
        values |= {f"asked_{name}": x for name, x in asked.items() if name.startswith(_ASKED)}
        scores = {name: Score.of_clips(x) for name, x in values.items()}
        medians = median_changes([swap for of_clip in self.asked.values() for swap in of_clip])
        scores |= {f"asked_{name}_median": Score(x) for name, x in medians.items()}
        return {name: scores[name] for name in sorted(scores, key=table_position)}


def _choose_clips(data: ClipDataset, settings: EvaluateSettings, left_out: dict[str, str]) -> list[ClipFile]:
    """The clips to measure: those of a single frame have no other frame to reconstruct."""
    clips = data.split(settings.split)
    chosen = [clip for clip in clips if clip.info.num_frames > 1]
    if not chosen:
        raise DatasetError(f"{data.folder} has no clip of two frames or more in the split {settings.split!r}")
    if len(chosen) < len(clips):
        left_out["every clip of a single frame"] = f"{len(clips) - len(chosen):,} have no other frame to reconstruct"
    return chosen[: settings.max_clips or None]


def open_measures(
    perceptual: Sequence[Perceptual], size: tuple[int, int], device: torch.device
) -> tuple[dict[str, Measure], dict[str, str], dict[str, str]]:
    """Open the metrics of pictures. Returns them, the sha256 of their weights, and those left out with the reason."""
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
    renderer: VideoSynthesizer | PoseTransfer, data: ClipDataset, found: _RenderedClip, settings: EvaluateSettings
) -> tuple[list[SwapResult], list[SwapResult]]:
    """Swap codes of a clip and match target colours, if the renderer has colour codes.

    Raises DatasetError where the clip has no recolourings.
    """
    if isinstance(renderer, PoseTransfer) or not (settings.swaps or settings.asked):
        return [], []
    method = data.info.garment_method(settings.garments)
    recolorings = data.recolorings("clip", "both", found.file)
    case = prepare_swaps(found.file, found.clip, found.labels, recolorings, settings.swaps, method)
    return (
        swap_codes(renderer, case, found.rendered),
        match_target_colors(renderer, case, found.rendered, settings.asked),
    )


def _write_comparison(folder: Path, clip: Clip, rendered: np.ndarray) -> None:
    rows = np.linspace(0, len(clip) - 1, _STRIP).round().astype(int)
    strips = [[images[row] for row in rows] for images in (clip.images, rendered)]
    picture = titled_grid(strips, ["real", "generated"])
    write_picture(folder / f"{clip.info.clip_id}.png", picture)
    both = np.concatenate([clip.images, rendered], axis=2)
    write_video(folder / f"{clip.info.clip_id}.mp4", both, fps=clip.info.fps, times=clip.times)
