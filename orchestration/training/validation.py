"""Metrics and pictures after every epoch, always of the same samples."""

from __future__ import annotations

import numpy as np
import torch

from orchestration.runtime.worker import Worker, average_metrics, to_device
from posegen.datasets.dataset import Dataset, Split
from posegen.evaluation.validation import open_validation
from posegen.io.images import enlarge
from posegen.samples import fixed_batch
from posegen.stages import Stage
from posegen.stages.stage import Metrics, Pictures

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
"""Advice for a code that is ignored, by the setting to change."""


class Validation:
    """The validation of one run, on this worker.

    Args:
        stage: The stage, which decides what its samples are.
        data: Measured are samples of the test split, or of the training split where that is all there is.
        worker: Measures its share of the samples; the leading one alone measures excerpts and motions, for which the
            others wait.
    """

    def __init__(self, stage: Stage, data: Dataset, worker: Worker):
        self.stage, self.data, self.worker = stage, data, worker
        self.split: Split = "test" if data.has("test") else "train"
        samples = stage.open_samples(stage.config, data, self.split)
        self._batches = fixed_batch(samples, stage.validation_samples, max(stage.config.batch_size, _PICTURES))
        self._measure_more = open_validation(stage, data, self.split, worker.device) if worker.leads else dict

    def measure(self) -> Metrics:
        """Return every metric of the stage over the samples, and what its protocol adds."""
        self.stage.eval()
        metrics = self._measure_batches()
        if self.worker.leads:
            metrics |= {f"val/{name}": value for name, value in self.stage.validate(self.data, self.split).items()}
            metrics |= self._measure_more()
        return metrics

    def preview(self) -> Pictures:
        """Return the stage's preview, large enough to be looked at."""
        if not self._batches:
            return {}
        batch = {key: value[:_PICTURES] for key, value in to_device(self._batches[0], self.worker.device).items()}
        factor = max(1, _HEIGHT // self.data.frame_size[0]) if self.data.frame_size else 1
        return {name: enlarge(picture, factor) for name, picture in self.stage.preview(batch).items()}

    def _measure_batches(self) -> Metrics:
        if not self._batches:
            return {}
        share = self._batches[self.worker.rank :: self.worker.world_size] or self._batches[:1]
        measured = [self.stage.evaluate(to_device(batch, self.worker.device)) for batch in share]
        means = {name: torch.tensor(np.mean([m[name] for m in measured])) for name in measured[0]}
        metrics = {f"val/{name}": value for name, value in average_metrics(means, self.worker).items()}
        if "val/sensitivity" in metrics:
            metrics["val/collapsed"] = float(metrics["val/sensitivity"] < _LEAST_SENSITIVITY)
        return metrics


def describe_collapse(sensitivity: float, config: Stage.Config) -> str:
    """Say that the generator ignores the code, and which of the stage's own settings help."""
    remedies = [remedy for setting, remedy in _REMEDIES.items() if hasattr(config, setting)]
    if not getattr(config, "recolored", True):
        remedies = ["recolored is off, so no colours are learned"]
    return f"the code hardly changes the picture (sensitivity {sensitivity:.2g}): {' or '.join(remedies)}"
