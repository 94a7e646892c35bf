"""The interface of stages that render a person in another pose, frame by frame, without colour codes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator

import numpy as np
from torch import Tensor

from posegen.stages.stage import Stage


class PoseTransferStage(Stage):
    """A stage that renders the person of a picture in other poses, each frame by itself, in the picture's colours."""

    protocol = "video"

    @abstractmethod
    def render(self, image: np.ndarray, keypoints: np.ndarray, poses: Iterable[np.ndarray]) -> Iterator[Tensor]:
        """Render a person in one pose after another.

        Args:
            image: (H, W, 3) uint8 of the person, of the size of training.
            keypoints: (18, 3), the person's in pixels.
            poses: (18, 3) each.

        Yields:
            (3, H, W) in [-1, 1] for each pose.
        """
