"""A run's files: configuration, metrics of its epochs, and the checks before it is continued."""

from __future__ import annotations

from orchestration.tracking.run_log import RunLog
from posegen.checkpoints.checkpoint import find_checkpoint, latest_checkpoint, load_progress, load_stage
from posegen.io.storage import StorageFolder
from posegen.networks.device import default_device
from posegen.stages import Stage
from posegen.stages.behavior_stage import BehaviorStage


def load_behavior(run: str) -> BehaviorStage:
    """Load the newest checkpoint of a run of the stage behavior or behavior_flow, on a GPU if there is one."""
    return load_stage(find_checkpoint(run), BehaviorStage).to(default_device())


def is_finished(run: StorageFolder, config: Stage.Config) -> bool:
    """Return True if a run has been trained for all its epochs."""
    checkpoint = latest_checkpoint(run)
    return checkpoint is not None and load_progress(checkpoint).epoch >= config.num_epochs


def history(run: StorageFolder) -> dict[int, dict[str, float]]:
    """Return the metrics of every epoch that the last checkpoint of a run holds, by epoch; nothing before the first."""
    return {epoch: measured.values for epoch, measured in RunLog(run).metrics().items()}
