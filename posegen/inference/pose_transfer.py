"""A content image and a pose sequence in; frames out, drawn one by one, by a stage without colour codes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from posegen.checkpoints.checkpoint import find_checkpoint, load_frame_size, load_stage
from posegen.errors import ConfigError
from posegen.inference.person import Person
from posegen.io.storage import StorageFolder
from posegen.samples import to_image
from posegen.stages.pose_transfer_stage import PoseTransferStage


class PoseTransfer:
    """Draws videos with a trained `PoseTransferStage`, such as `DeformableGAN`, each frame by itself.

    Args:
        stage: In evaluation mode.
        size: Height and width that it was trained at.
        device: Where to run it.

    Example:
        >>> transfer = PoseTransfer.load("runs/deformable_gan-1")
        >>> frames = transfer.frames(content, poses)
    """

    def __init__(self, stage: PoseTransferStage, size: tuple[int, int], device: torch.device | None = None):
        self.device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.stage, self.size = stage.to(self.device).eval(), size

    @classmethod
    def load(cls, run: StorageFolder | str, device: torch.device | None = None) -> PoseTransfer:
        """Load the newest checkpoint of a run. Raises CheckpointError if it is of another stage."""
        checkpoint = find_checkpoint(run)
        stage = load_stage(checkpoint, PoseTransferStage)
        assert isinstance(stage, PoseTransferStage)
        return cls(stage, load_frame_size(checkpoint), device)

    def frames(self, content: Person, poses: np.ndarray) -> Iterator[np.ndarray]:
        """Draw one uint8 frame (H, W, 3) per pose.

        Args:
            content: The person, in the colours to be drawn.
            poses: (T, 18, 3) keypoints in pixels of the trained size.
        """
        if content.image.shape[:2] != self.size:
            raise ConfigError(f"the content image is {content.image.shape[:2]}, the run was trained at {self.size}")
        for drawn in self.stage.render(content.image, content.keypoints, poses):
            yield to_image(drawn)
