"""Common interface of renderers, and the loader of runs that render."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol, TypeVar, overload

import numpy as np
import torch

from posegen.checkpoints.checkpoint import find_checkpoint, load_frame_stage
from posegen.errors import ConfigError
from posegen.inference.person import Person
from posegen.inference.pose_transfer import PoseTransfer
from posegen.inference.video_synthesizer import VideoSynthesizer
from posegen.io.storage import StorageFolder
from posegen.networks.device import Precision
from posegen.stages.video_stage import VideoStage

RendererType = TypeVar("RendererType", VideoSynthesizer, PoseTransfer)
_KINDS: tuple[type[Any], ...] = (VideoSynthesizer, PoseTransfer)


class VideoRenderer(Protocol):
    """A trained stage that renders a person in a sequence of poses."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the frames."""

    @property
    def device(self) -> torch.device:
        """Device that holds the networks."""

    def frames(self, person: Person, poses: np.ndarray) -> Iterator[np.ndarray]:
        """Render one uint8 frame (H, W, 3) per pose of (T, 18, 3), in the colours of the person's image."""


@overload
def load_renderer(
    run: StorageFolder | str, *, device: torch.device | None = None, precision: Precision = "fp32"
) -> VideoSynthesizer | PoseTransfer:
    """Load a renderer of the kind that the run is of."""


@overload
def load_renderer(
    run: StorageFolder | str,
    kind: type[RendererType],
    *,
    device: torch.device | None = None,
    precision: Precision = "fp32",
) -> RendererType:
    """Load a renderer of one kind."""


def load_renderer(
    run: StorageFolder | str,
    kind: type[Any] | None = None,
    *,
    device: torch.device | None = None,
    precision: Precision = "fp32",
) -> Any:
    """Load the newest checkpoint of a run as a renderer.

    Args:
        run: Folder of a run, or of a checkpoint.
        kind: `VideoSynthesizer` where colour codes are needed, or `PoseTransfer`; by default whichever the run is of.
        device: Where it runs; by default a GPU if there is one.
        precision: Numbers in a `VideoSynthesizer`.

    Raises:
        ConfigError: The device has no arithmetic of this precision, or the renderer is a `PoseTransfer`.
        CheckpointError: There is no checkpoint, or its stage renders no frames or is of another kind.
    """
    kinds = _KINDS if kind is None else (kind,)
    stage, size = load_frame_stage(find_checkpoint(run), tuple(one.stage_type for one in kinds))
    if isinstance(stage, VideoStage):
        return VideoSynthesizer(stage, size, device, precision)
    if precision != "fp32":
        raise ConfigError(f"the stage {stage.name} renders in fp32 alone: leave --precision out")
    return next(one for one in kinds if isinstance(stage, one.stage_type))(stage, size, device)
