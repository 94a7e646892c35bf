"""Recognisers ready for use: what stands behind a figure, by name and by the hash of its weights."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from posegen.checkpoints.checkpoint import find_checkpoint, load_stage
from posegen.datasets.motion_formats.action_names import HUMANACT12, NTU13
from posegen.errors import CheckpointError, ConfigError
from posegen.motion.pose_features import JointSet, recognized_joints
from posegen.networks.recognition import GRURecognizer, Recognition
from posegen.samples import Batch
from posegen.stages import Recognition as RecognitionStage
from posegen.weights import registry as weights

_PUBLISHED: dict[str, tuple[tuple[str, ...], JointSet]] = {
    "gru-humanact12": (HUMANACT12, "smpl24"),
    "gru-ntu13": (NTU13, "a2m18"),
}
"""Their actions, in the order of their labels, and the joints that they see."""


@dataclass(frozen=True)
class Recognizer:
    """Tells which action motions show."""

    name: str
    sha256: str
    """Of its weights. Figures of different recognisers do not compare."""
    actions: tuple[str, ...]
    """What it tells apart."""
    fps: float
    """Frames per second of the motions that it knows; 0 where nobody wrote them down."""
    recognize: Callable[[Batch, torch.Generator | None], Recognition]
    """Takes ``motion`` (N, T, 25, 6), ``length`` (N,) and ``rest`` (N, 24, 3), and what draws a GRU's first states
    where they are random; None starts from zeros."""

    def labels(self, actions: Sequence[str], fps: float) -> Tensor:
        """Places (A,) of these actions among those that it tells.

        Raises ConfigError for an action that it does not know, and for motions of a rate that it does not know.
        """
        if self.fps and not math.isclose(self.fps, fps, rel_tol=1e-3):
            raise ConfigError(
                f"the recogniser {self.name} knows motions of {self.fps:g} frames per second, got {fps:g}: "
                f"convert them with --rate {self.fps:g}"
            )
        unknown = [action for action in actions if action not in self.actions]
        if unknown:
            raise ConfigError(
                f"the recogniser {self.name} does not know {unknown[0]!r}, it tells {', '.join(self.actions)}"
            )
        return torch.tensor([self.actions.index(action) for action in actions])


def open_recognizer(name: str, device: torch.device | None = None) -> Recognizer:
    """Open a run of the stage recognition, or a published recogniser.

    Args:
        name: Folder of a run, or gru-humanact12 or gru-ntu13.
        device: Where it runs; by default on a GPU if there is one.

    Raises:
        WeightsError: The published weights are not at hand.
        CheckpointError: There is no such run, or it is of another stage.
    """
    device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name in _PUBLISHED:
        return _open_published(name, device)
    try:
        stage = load_stage(find_checkpoint(name), RecognitionStage)
    except CheckpointError as error:
        raise CheckpointError(f"{error}; or take one of {', '.join(_PUBLISHED)}") from error
    assert isinstance(stage, RecognitionStage)
    stage.to(device)
    return Recognizer(name, _hash(stage), stage.config.actions, stage.config.fps, stage.recognize)


def _open_published(name: str, device: torch.device) -> Recognizer:
    actions, joints = _PUBLISHED[name]
    network = GRURecognizer.pretrained(name).to(device)
    to_camera = torch.tensor([1.0, -1.0, -1.0], device=device)  # it was trained in a camera's axes, y down

    def recognize(batch: Batch, generator: torch.Generator | None = None) -> Recognition:
        seen = recognized_joints(batch["motion"], batch["rest"], joints) * to_camera
        state = None if generator is None else network.random_state(len(seen), generator)
        return network(seen, batch["length"], state)

    return Recognizer(name, weights.identity(name), actions, 0.0, recognize)


def _hash(stage: RecognitionStage) -> str:
    """Of all its tensors, in order, and of its configuration."""
    digest = hashlib.sha256(repr(stage.config).encode())
    for name, tensor in stage.state_dict().items():
        digest.update(name.encode() + tensor.cpu().numpy().tobytes())
    return digest.hexdigest()
