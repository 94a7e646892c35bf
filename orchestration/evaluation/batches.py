"""Measures runs of stages without a protocol of their own: the mean of `Stage.evaluate` over a split."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from orchestration.evaluation.records import Basis, EvaluationRecord, Score, check_protocol, save_evaluation
from posegen.checkpoints.checkpoint import find_checkpoint, load_progress, load_stage
from posegen.checkpoints.run_record import dataset_of
from posegen.datasets.dataset import Split
from posegen.errors import DatasetError, EvaluationError, counted
from posegen.evaluation.batches import MAX_BATCH, score_batches
from posegen.io.storage import StorageFolder
from posegen.networks.device import default_device
from posegen.stages import Stage


@dataclass(frozen=True, kw_only=True)
class BatchesBasis(Basis):
    """Settings that means over batches depend on."""

    kind = "batches"
    subject = "batches"
    must_agree: ClassVar[Mapping[str, str]] = {
        "split": "different splits",
        "num_samples": "different numbers of samples",
        "max_batch": "batches of different sizes",
    }

    split: str
    num_samples: int
    max_batch: int

    def describe(self, data: str) -> list[str]:
        return [
            f"{counted(self.num_samples, 'sample')} of the {self.split} split (data {data}), "
            f"in their order, in batches of {self.max_batch} at most"
        ]


def evaluate_batches(
    run: str,
    dataset: str = "",
    split: Split = "test",
    *,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> EvaluationRecord[BatchesBasis]:
    """Measure a run by the protocol of `posegen.evaluation.batches`, and save the record.

    Args:
        run: Run of a stage without a protocol of its own.
        dataset: What the stage reads; by default the dataset that the run was trained on.
        split: All of its samples are measured once.
        on_progress: Called with the number of samples that are done and the number of all.

    Raises:
        EvaluationError: The stage has another protocol, or the frames have another size than in training.
        DatasetError: The split has no samples.
    """
    check_protocol(run, "batches")
    checkpoint = find_checkpoint(run)
    device = default_device()
    stage, trained_size = load_stage(checkpoint, Stage).to(device), load_progress(checkpoint).size
    data = stage.reads(dataset or dataset_of(run))
    if data.frame_size is not None and data.frame_size != trained_size:
        raise EvaluationError(f"{data.folder} has frames of {data.frame_size}, the run was trained at {trained_size}")
    samples = stage.open_samples(replace(stage.config, epoch_size=0), data, split)
    num_samples = len(samples.plan(0))
    if not num_samples:
        raise DatasetError(f"{data.folder} has no samples of {stage.name} in the split {split!r}")
    means = score_batches(stage, samples, device, on_progress=on_progress)
    record = EvaluationRecord(
        run=str(StorageFolder(run)),
        stage=stage.name,
        dataset=str(data.folder),
        data_fingerprint=data.full_fingerprint,
        basis=BatchesBasis(split=split, num_samples=num_samples, max_batch=MAX_BATCH),
        scores={name: Score(value) for name, value in means.items() if math.isfinite(value)},
        left_out={name: f"it is {value}" for name, value in means.items() if not math.isfinite(value)},
    )
    save_evaluation(record)
    return record
