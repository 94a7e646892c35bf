"""Runs as commands leave them in their folders, without training anything."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from orchestration.tracking.run_log import RunLog
from posegen.checkpoints.checkpoint import TrainingProgress, save_checkpoint
from posegen.stages import FeatureRestoration


def begin_run(folder: Path, **changes: object) -> RunLog:
    """A run that has begun; changes are arguments of `RunLog.open`."""
    log = RunLog(folder)
    log.open(**{"experiment": "e", "parameters": {"lr": 1}, **changes})
    return log


def finish_epoch(log: RunLog, epoch: int, metrics: Mapping[str, float], picture: str = "preview") -> None:
    """Write what the training loop writes at the end of an epoch."""
    log.log_picture(picture, np.full((8, 8, 3), 40 * epoch % 256, np.uint8), epoch)
    log.log_metrics(metrics, epoch)
    stage = FeatureRestoration(FeatureRestoration.Config(width=2, num_blocks=1))
    progress = TrainingProgress(epoch=epoch, step=epoch, data_fingerprint="", size=None)
    save_checkpoint(log.folder / "checkpoints" / f"epoch-{epoch:04d}", stage, progress)
