"""Validation after every epoch beyond single batches: rendered excerpts of clips, generated motions.

A stage of one's own that needs more than `Stage.evaluate` defines `Stage.validate`; what is here needs renderers and
classifiers, which stages do not know.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from statistics import fmean

import torch

from posegen.datasets.clips import ClipDataset
from posegen.datasets.dataset import Dataset, Split
from posegen.datasets.motions import MotionDataset
from posegen.evaluation.color_control import ColorControlCase, measure_excerpts, open_excerpts
from posegen.evaluation.motion_generation import MotionProtocol, score_motions
from posegen.evaluation.reconstruction import Measure
from posegen.inference.action_classifiers import load_action_classifier
from posegen.inference.video_synthesizer import VideoSynthesizer
from posegen.metrics.image import STLPIPS
from posegen.samples import MotionCrops
from posegen.stages import MotionGenerator, Stage
from posegen.stages.stage import Metrics
from posegen.stages.video_stage import VideoStage
from posegen.weights.registry import is_cached

_PROTOCOL = MotionProtocol(seeds=2, max_motions=256, nearest_motions=0)  # a glimpse: `posegen motion evaluate` measures


def open_validation(stage: Stage, data: Dataset, split: Split, device: torch.device) -> Callable[[], Metrics]:
    """Prepare what is measured of a stage after every epoch, always of the same samples.

    Args:
        stage: The stage that is trained; its weights are those of the moment at each call.
        data: Where the real clips or motions are.
        split: Of them.
        device: Where the stage is.

    Returns:
        A function that measures, and returns nothing for stages that are measured by batches alone.
    """
    if isinstance(stage, VideoStage) and isinstance(data, ClipDataset):
        return _ExcerptValidation(stage, data, split, device).measure
    if isinstance(stage, MotionGenerator) and isinstance(data, MotionDataset) and stage.config.recognizer:
        return _MotionValidation(stage, data, split, device).measure
    return dict


def check_validation(config: Stage.Config) -> None:
    """Raise PosegenError where what measures a stage after every epoch does not fit its configuration."""
    if isinstance(config, MotionGenerator.Config) and config.recognizer:
        load_action_classifier(config.recognizer, torch.device("cpu")).labels(config.actions, config.fps)


class _ExcerptValidation:
    """Short excerpts of held-out clips, rendered in their own and in swapped colours."""

    def __init__(self, stage: VideoStage, data: ClipDataset, split: Split, device: torch.device):
        self._stage, self._size, self._device = stage, data.frame_size, device
        self._excerpts = open_excerpts(data, split)

    def measure(self) -> Metrics:
        """Metrics of the frames, the size of the generator in millions of weights, and its seconds per frame."""
        if not self._excerpts:
            return {}
        synthesizer = VideoSynthesizer(self._stage, self._size, self._device)
        measured = measure_excerpts(synthesizer, self._excerpts, _perceptual_measures(self._device))
        return {
            **{f"val/{name}": value for name, value in measured.items()},
            "model/parameters": sum(parameter.numel() for parameter in self._stage.generator.parameters()) / 1e6,
            "time/frame_seconds": _seconds_per_frame(synthesizer, self._excerpts[0]),
        }


class _MotionValidation:
    """Scores of generated motions by an action classifier."""

    def __init__(self, stage: MotionGenerator, data: MotionDataset, split: Split, device: torch.device):
        samples = stage.open_samples(stage.config, data, split)
        assert isinstance(samples, MotionCrops)
        self._stage, self._samples = stage, samples
        self._classifier = load_action_classifier(stage.config.recognizer, device)

    def measure(self) -> Metrics:
        """Metrics of generated motions, and how far their jerk and foot skate are off those of real ones, a share."""
        rest = torch.from_numpy(self._samples.mean_rest).to(self._stage.device)
        found = score_motions(
            self._samples, self._classifier, {"generated": self._stage.generate_like}, rest, _PROTOCOL
        )
        means = {kind: {name: fmean(values) for name, values in found[kind].items()} for kind in ("real", "generated")}
        errors = {
            f"{name}_error": abs(means["generated"][name] / max(means["real"][name], 1e-9) - 1)
            for name in ("jerk", "foot_skate")
            if name in means["real"] and name in means["generated"]
        }
        return {f"val/generated_{name}": value for name, value in (means["generated"] | errors).items()}


@cache
def _perceptual_measures(device: torch.device) -> dict[str, Measure]:
    """The perceptual distance, where its weights are at hand: training fetches nothing for the sake of a number."""
    return {"st_lpips": STLPIPS.pretrained().to(device)} if is_cached("st_lpips") else {}


def _seconds_per_frame(synthesizer: VideoSynthesizer, case: ColorControlCase) -> float:
    """Seconds for a frame, the first one left out: it may wait for memory."""
    frames = synthesizer.frames(case.content, case.clip.keypoints)
    next(frames)
    start = time.perf_counter()
    count = sum(1 for _ in frames)
    return (time.perf_counter() - start) / count
