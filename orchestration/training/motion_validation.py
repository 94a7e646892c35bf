"""What a recogniser says after every epoch of motions that a stage generates."""

from __future__ import annotations

from statistics import fmean

import torch

from posegen.datasets.dataset import Split
from posegen.datasets.motions import MotionDataset
from posegen.evaluation.motion_generation import MOTION_METRICS, MotionProtocol, score_motions
from posegen.inference.action_classifiers import open_recognizer
from posegen.samples import MotionCrops
from posegen.stages import Actor

_PROTOCOL = MotionProtocol(seeds=2, max_motions=256)  # a glimpse: `posegen motion evaluate` measures


class MotionValidation:
    """Scores of generated motions, measured quickly and always alike.

    Args:
        stage: Its configuration names the recogniser.
        data: Where the real motions are.
        split: Of them.
        device: Where the recogniser runs.
    """

    def __init__(self, stage: Actor, data: MotionDataset, split: Split, device: torch.device):
        samples = stage.open_samples(stage.config, data, split)
        assert isinstance(samples, MotionCrops)
        self._samples = samples
        self._recognizer = open_recognizer(stage.config.recognizer, device)
        self._recognizer.labels(stage.config.actions, stage.config.fps)

    def measure(self, stage: Actor) -> dict[str, float]:
        """FID, accuracy, diversity, multimodality and amplitude of generated motions, as ``val/name``."""
        rest = torch.from_numpy(self._samples.mean_rest).to(stage.device)
        found = score_motions(self._samples, self._recognizer, stage.generate_like, rest, _PROTOCOL)["generated"]
        return {f"val/generated_{name}": fmean(found[name]) for name in MOTION_METRICS}
