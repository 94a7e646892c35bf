"""Renderers: a trained stage that turns the pose sequence of a person into frames."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
import torch

from posegen.checkpoints.checkpoint import find_checkpoint, load_config
from posegen.errors import CheckpointError
from posegen.inference.person import Person
from posegen.inference.pose_transfer import PoseTransfer
from posegen.inference.video_synthesizer import VideoSynthesizer
from posegen.io.storage import StorageFolder
from posegen.stages import STAGES
from posegen.stages.pose_transfer_stage import PoseTransferStage
from posegen.stages.video_stage import VideoStage


class VideoRenderer(Protocol):
    """Draws a person in other poses: what all methods that are compared have in common."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width that it was trained at."""

    @property
    def device(self) -> torch.device:
        """Where it runs."""

    def frames(self, content: Person, poses: np.ndarray) -> Iterator[np.ndarray]:
        """Draw one uint8 frame (H, W, 3) per pose of (T, 18, 3), in the content's own colours."""


def load_renderer(run: StorageFolder | str, device: torch.device | None = None) -> VideoSynthesizer | PoseTransfer:
    """Load the newest checkpoint of a run of any stage that draws videos.

    Raises CheckpointError where it is of a stage that draws none.
    """
    checkpoint = find_checkpoint(run)
    stage, _ = load_config(checkpoint)
    if not issubclass(stage, (PoseTransferStage, VideoStage)):
        fitting = [name for name, other in STAGES.items() if issubclass(other, (PoseTransferStage, VideoStage))]
        raise CheckpointError(
            f"{checkpoint} is of the stage {stage.name!r}, expected one that draws: {', '.join(fitting)}"
        )
    return (
        PoseTransfer.load(run, device) if issubclass(stage, PoseTransferStage) else VideoSynthesizer.load(run, device)
    )
