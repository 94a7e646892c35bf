"""Rendering with a stage without colour codes: each frame by itself, in the colours of the content image."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import ClassVar

import numpy as np
import torch

from posegen.errors import ConfigError
from posegen.inference.person import Person
from posegen.networks.device import default_device
from posegen.samples import to_image
from posegen.stages.pose_transfer_stage import PoseTransferStage


class PoseTransfer:
    """A renderer on a trained `PoseTransferStage`, such as `DeformableGAN` or `ShapePosture`.

    Args:
        stage: The trained networks.
        size: Height and width of the frames that it was trained on.
        device: Where it runs; by default a GPU if there is one.

    Example:
        >>> renderer = load_renderer("runs/deformable_gan-1", PoseTransfer)
        >>> frames = renderer.frames(person, poses)
    """

    stage_type: ClassVar[type[PoseTransferStage]] = PoseTransferStage

    def __init__(self, stage: PoseTransferStage, size: tuple[int, int], device: torch.device | None = None):
        self.device = device or default_device()
        self.stage, self.size = stage.to(self.device).eval(), size

    def frames(self, person: Person, poses: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Render one uint8 frame (H, W, 3) per pose.

        Args:
            person: The person, in the colours to be rendered.
            poses: T keypoints (18, 3) in pixels of the trained size.

        Raises:
            ConfigError: The person's image has another size.
        """
        if person.image.shape[:2] != self.size:
            raise ConfigError(f"the content image is {person.image.shape[:2]}, the run was trained at {self.size}")
        for image in self.stage.render(person.image, person.keypoints, poses):
            yield to_image(image)
