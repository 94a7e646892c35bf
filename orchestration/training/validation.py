"""What is measured and drawn after every epoch, always of the same samples."""

from __future__ import annotations

import time
from functools import cache

import numpy as np
import torch

from orchestration.runtime.worker import Worker, mean_over_workers, to_device
from orchestration.training.motion_validation import MotionValidation
from posegen.datasets.clips import ClipDataset
from posegen.datasets.dataset import Dataset, Split
from posegen.datasets.motions import MotionDataset
from posegen.evaluation.color_control import ColorControlCase, measure_excerpts, open_excerpts
from posegen.evaluation.reconstruction import Measure
from posegen.inference.video_synthesizer import VideoSynthesizer
from posegen.io.images import enlarge
from posegen.metrics.image import STLPIPS
from posegen.samples import fixed_batch
from posegen.stages import Actor, Stage
from posegen.stages.stage import Pictures
from posegen.stages.video_stage import VideoStage
from posegen.weights.registry import is_cached

_PICTURES = 6
_HEIGHT = 192  # at least, of what is looked at
# A garment is about a tenth of the picture, and another colour changes its channels by about 0.2 of [-1, 1]: a code
# that works moves the picture by some 0.02 in the mean, and one tenth of that is none.
_LEAST_SENSITIVITY = 0.002
_REMEDIES = {
    "lambda_kl": "lower lambda_kl",
    "init_gain": "raise init_gain",
    "region_weight": "raise region_weight",
    "lambda_contrast": "raise lambda_contrast",
    "z_inject": "choose another z_inject",
}
"""What makes a code count, by the setting that it needs."""


class Validation:
    """The validation of one run, on this worker.

    Args:
        stage: Decides what its samples are.
        config: Its configuration.
        data: Measured are samples of the test split, or of the training split where that is all there is.
        worker: Measures its share of the samples; the leader alone draws excerpts of clips, for which the others wait.
    """

    def __init__(self, stage: Stage, config: Stage.Config, data: Dataset, worker: Worker):
        split: Split = "test" if data.has("test") else "train"
        samples = stage.open_samples(config, data, split)
        self.worker, self._size = worker, data.frame_size
        self._batches = fixed_batch(samples, stage.validation_samples, max(config.batch_size, _PICTURES))
        self._motions: MotionValidation | None = None
        if isinstance(stage, Actor) and isinstance(data, MotionDataset) and stage.config.recognizer and worker.leads:
            self._motions = MotionValidation(stage, data, split, worker.device)
        self._excerpts: list[ColorControlCase] = []
        if isinstance(stage, VideoStage) and isinstance(data, ClipDataset) and worker.leads:
            self._excerpts = open_excerpts(data, split)

    def measure(self, stage: Stage) -> dict[str, float]:
        """Every metric of the stage over the samples, and what is seen of videos or motions that it draws."""
        stage.eval()
        metrics = self._measure_samples(stage) | self._measure_excerpts(stage)
        if self._motions is not None:
            assert isinstance(stage, Actor)
            metrics |= self._motions.measure(stage)
        return metrics

    def preview(self, stage: Stage) -> Pictures:
        """The stage's preview, large enough to be looked at."""
        if not self._batches:
            return {}
        batch = {key: value[:_PICTURES] for key, value in to_device(self._batches[0], self.worker.device).items()}
        factor = max(1, _HEIGHT // self._size[0]) if self._size else 1
        return {name: enlarge(picture, factor) for name, picture in stage.preview(batch).items()}

    def _measure_samples(self, stage: Stage) -> dict[str, float]:
        if not self._batches:
            return {}
        share = self._batches[self.worker.rank :: self.worker.world_size] or self._batches[:1]
        measured = [stage.evaluate(to_device(batch, self.worker.device)) for batch in share]
        means = {name: torch.tensor(np.mean([m[name] for m in measured])) for name in measured[0]}
        metrics = {f"val/{name}": value for name, value in mean_over_workers(means, self.worker).items()}
        if "val/sensitivity" in metrics:
            metrics["val/collapsed"] = float(metrics["val/sensitivity"] < _LEAST_SENSITIVITY)
        return metrics

    def _measure_excerpts(self, stage: Stage) -> dict[str, float]:
        if not self._excerpts:
            return {}
        assert isinstance(stage, VideoStage) and self._size is not None
        synthesizer = VideoSynthesizer(stage, self._size, self.worker.device)
        measured = measure_excerpts(synthesizer, self._excerpts, _perceptual_measures(self.worker.device))
        return {
            **{f"val/{name}": value for name, value in measured.items()},
            "model/parameters": sum(parameter.numel() for parameter in stage.generator.parameters()) / 1e6,
            "time/frame_seconds": _seconds_per_frame(synthesizer, self._excerpts[0]),
        }


def describe_collapse(sensitivity: float, config: Stage.Config) -> str:
    """Say that the generator ignores the code, and which of the stage's own settings help."""
    remedies = [remedy for setting, remedy in _REMEDIES.items() if hasattr(config, setting)]
    if not getattr(config, "color_augmentation", True):
        remedies = ["color_augmentation is off, so no colours are learned"]
    return f"the code hardly changes the picture (sensitivity {sensitivity:.2g}): {' or '.join(remedies)}"


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
