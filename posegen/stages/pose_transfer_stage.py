"""What the stages share that draw a person in another pose, frame by frame."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator

import numpy as np
from torch import Tensor

from posegen.stages.stage import Stage


class PoseTransferStage(Stage):
    """Draws the person of a picture in other poses, each frame by itself and in the picture's own colours."""

    protocol = "video"

    @abstractmethod
    def render(self, image: np.ndarray, keypoints: np.ndarray, poses: Iterable[np.ndarray]) -> Iterator[Tensor]:
        """Draw a person in one pose after another.

        Args:
            image: (H, W, 3) uint8 of the person, of the size that was trained at.
            keypoints: (18, 3), the person's.
            poses: (18, 3) each.

        Yields:
            (3, H, W) in [-1, 1] for each pose.
        """
