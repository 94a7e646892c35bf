"""Classifiers of the action that a motion shows: runs of the stage recognition, and published networks."""

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
from posegen.networks.device import default_device
from posegen.networks.recognition import ActionPrediction, GRURecognizer
from posegen.samples import Batch
from posegen.stages import Recognition
from posegen.weights import download as weights

_PUBLISHED: dict[str, tuple[tuple[str, ...], JointSet]] = {
    "gru-humanact12": (HUMANACT12, "smpl24"),
    "gru-ntu13": (NTU13, "a2m18"),
}
"""Their actions, in the order of their labels, and their input joints."""


@dataclass(frozen=True)
class ActionClassifier:
    """A network that classifies the action of motions."""

    name: str
    """Folder of the run, or name of the published network."""
    sha256: str
    """Of its weights. Figures of different classifiers do not compare."""
    actions: tuple[str, ...]
    """Its classes, in the order of its logits."""
    fps: float
    """Frames per second of the motions that it was trained on; 0 where that is not known."""
    recognize: Callable[[Batch, torch.Generator | None], ActionPrediction]
    """Maps ``motion`` (N, T, 25, 6), ``length`` (N,) and ``rest`` (N, 24, 3) to features and logits. The generator
    samples the first states of a GRU; None starts from zeros."""

    def labels(self, actions: Sequence[str], fps: float) -> Tensor:
        """Return the labels (A,) of actions.

        Raises ConfigError for an action that is none of its classes, and for motions of another rate.
        """
        if self.fps and not math.isclose(self.fps, fps, rel_tol=1e-3):
            raise ConfigError(
                f"the action classifier {self.name} was trained at {self.fps:g} frames per second, got {fps:g}: "
                f"convert them with --rate {self.fps:g}"
            )
        unknown = [action for action in actions if action not in self.actions]
        if unknown:
            known = ", ".join(self.actions)
            raise ConfigError(
                f"the action classifier {self.name} does not know {unknown[0]!r}, expected one of {known}"
            )
        return torch.tensor([self.actions.index(action) for action in actions])


def load_action_classifier(name: str, device: torch.device | None = None) -> ActionClassifier:
    """Load a run of the stage recognition, or a published network.

    Args:
        name: Folder of a run, or gru-humanact12 or gru-ntu13.
        device: Where it runs; by default a GPU if there is one.

    Raises:
        WeightsError: The published weights are not at hand.
        CheckpointError: There is no such run, or it is of another stage.
    """
    device = device or default_device()
    if name in _PUBLISHED:
        return _load_published(name, device)
    try:
        stage = load_stage(find_checkpoint(name), Recognition)
    except CheckpointError as error:
        raise CheckpointError(f"{error}; or take one of {', '.join(_PUBLISHED)}") from error
    stage.to(device)
    return ActionClassifier(name, _hash(stage), stage.config.actions, stage.config.fps, stage.recognize)


def _load_published(name: str, device: torch.device) -> ActionClassifier:
    actions, joint_set = _PUBLISHED[name]
    network = GRURecognizer.pretrained(name).to(device)
    to_camera = torch.tensor([1.0, -1.0, -1.0], device=device)  # it was trained in a camera's axes, y down

    def recognize(batch: Batch, generator: torch.Generator | None = None) -> ActionPrediction:
        joints = recognized_joints(batch["motion"], batch["rest"], joint_set) * to_camera
        state = None if generator is None else network.random_state(len(joints), generator)
        return network(joints, batch["length"], state)

    return ActionClassifier(name, weights.identity(name), actions, 0.0, recognize)


def _hash(stage: Recognition) -> str:
    """SHA-256 of a stage's configuration and of all its tensors, in order."""
    digest = hashlib.sha256(repr(stage.config).encode())
    for name, tensor in stage.state_dict().items():
        digest.update(name.encode() + tensor.cpu().numpy().tobytes())
    return digest.hexdigest()
