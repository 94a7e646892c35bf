"""Recognition of actions: what generated motions are measured with (Guo et al., 2020; Yan et al., 2018)."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from torch.nn import functional as F
from torch.optim import Adam, AdamW

from posegen.datasets.dataset import Dataset, Split
from posegen.datasets.motions import MotionDataset
from posegen.errors import ConfigError
from posegen.motion.pose_features import JointSet, recognized_joints
from posegen.networks import recognition
from posegen.networks.recognition import STGCN, GRURecognizer
from posegen.samples import Batch, MotionCrops, Samples, Window
from posegen.skeletons import SMPL_24_PARENTS
from posegen.stages.motion_stage import MotionStage
from posegen.stages.optimization import Losses, detached
from posegen.stages.stage import Metrics, Pictures, Stage

_NUM_JOINTS: dict[JointSet, int] = {"smpl24": 24, "a2m18": 18}


class Recognition(MotionStage):
    """Learns to recognise actions, from labelled motions: generated motions are measured by it (GRU or ST-GCN).

    A GRU on joints, or ST-GCN on rotations, whose features are compared.
    """

    name = "recognition"
    objectives: ClassVar = {"cross_entropy": "val/cross_entropy", "classification_accuracy": "val/accuracy"}
    validation_samples = 512

    @dataclass(frozen=True, kw_only=True)
    class Config(MotionStage.Config):
        """Settings of the recogniser."""

        num_epochs: int = 200
        """Passes over the data."""
        epoch_size: int = 12800
        """Samples in an epoch; 0 takes every motion once."""
        batch_size: int = 128
        """Samples in a step, over all workers together."""
        lr: float = 1e-3
        """Learning rate: of Adam for the GRU, of AdamW for ST-GCN."""
        network: Literal["gru", "stgcn"] = "gru"
        """GRU on joint positions, as HumanAct12 and NTU13 are measured, or ST-GCN on rotations, as UESTC is."""
        joints: JointSet = "smpl24"
        """Joints that the GRU sees: SMPL's with the root's way, or Action2Motion's 18 about the root, as for NTU13."""
        num_frames: int = 60
        """Frames of a window; shorter motions repeat their last frame."""
        random_state: bool = False
        """Start the GRU from random states, as published."""
        keep_best: bool = True
        """Recognise with the weights of the epoch that was best on held-out motions, instead of the last one."""

        def __post_init__(self) -> None:
            super().__post_init__()
            if self.num_frames < 1:
                raise ConfigError(f"num_frames must be at least 1, got {self.num_frames}")

    config: Recognition.Config

    def __init__(self, config: Config):
        super().__init__(config)
        num_actions = max(len(config.actions), 1)
        if config.network == "gru":
            self.network: GRURecognizer | STGCN = GRURecognizer(num_actions, _NUM_JOINTS[config.joints])
            self.optimizers = {"network": Adam(self.network.parameters(), lr=config.lr, fused=True)}
        else:
            self.network = STGCN(num_actions, SMPL_24_PARENTS)
            self.optimizers = {"network": AdamW(self.network.parameters(), lr=config.lr, fused=True)}
        self.best = deepcopy(self.network).requires_grad_(False)
        self.register_buffer("best_error", torch.tensor(torch.inf))

    @classmethod
    def adapt(cls, config: Stage.Config, dataset: Dataset) -> Stage.Config:
        adapted = super().adapt(config, dataset)
        assert isinstance(adapted, cls.Config)
        if len(adapted.actions) < 2:
            raise ConfigError(f"a classifier tells actions apart, and there is one: {adapted.actions[0]}")
        return adapted

    @classmethod
    def open_samples(cls, config: Stage.Config, dataset: Dataset, split: Split) -> Samples:
        assert isinstance(config, cls.Config) and isinstance(dataset, MotionDataset)
        return MotionCrops(
            dataset,
            split,
            actions=dataset.actions(config.actions),
            window=Window(num_frames=config.num_frames, repeat_last=True),
            epoch_size=config.epoch_size if split == "train" else 0,
            seed=config.seed,
        )

    def recognize(self, batch: Batch, generator: torch.Generator | None = None) -> recognition.ActionPrediction:
        """Tell the actions of a batch with the network that counts, in evaluation mode.

        Args:
            batch: ``motion`` (N, T, 25, 6), ``length`` (N,) and ``rest`` (N, 24, 3).
            generator: Draws the states from which the GRU starts where `Config.random_state` asks for them; by default
                it starts from zeros.
        """
        return self._run(self.best if self.config.keep_best else self.network, batch, generator)

    def step(self, batch: Batch) -> Losses:
        """Cross entropy of the actions."""
        logits = self._run(self.network, batch, torch.default_generator).logits
        loss = F.cross_entropy(logits, batch["action"])
        self.update("network", loss)
        return detached({"action": loss})

    @torch.no_grad()
    def evaluate(self, batch: Batch) -> Metrics:
        """``accuracy`` and ``cross_entropy`` of this epoch's network."""
        logits = self._run(self.network, batch, None).logits
        return {
            "accuracy": (logits.argmax(dim=1) == batch["action"]).float().mean().item(),
            "cross_entropy": F.cross_entropy(logits, batch["action"]).item(),
        }

    def preview(self, batch: Batch) -> Pictures:
        return {}

    def after_validation(self, metrics: Metrics) -> None:
        """Keep the network if it is the best by now."""
        error = metrics.get("val/cross_entropy", 0.0)
        best = self.get_buffer("best_error")
        if error <= best:
            best.fill_(error)
            self.best.load_state_dict(self.network.state_dict())

    def _run(
        self, network: GRURecognizer | STGCN, batch: Batch, generator: torch.Generator | None
    ) -> recognition.ActionPrediction:
        if isinstance(network, STGCN):
            return network(batch["motion"][:, :, :-1])
        state = None
        if self.config.random_state and generator is not None:
            state = network.random_state(len(batch["motion"]), generator)
        joints = recognized_joints(batch["motion"], batch["rest"], self.config.joints)
        return network(joints, batch["length"], state)


_GRU = Recognition.Config()
Recognition.presets = {
    "posegen": _GRU,
    "reference": replace(_GRU, random_state=True, keep_best=False, num_epochs=300),  # 30,000 steps
    "stgcn": replace(_GRU, network="stgcn", batch_size=64, num_epochs=100, epoch_size=0, lr=1e-4),
    "small": replace(_GRU, num_epochs=20, epoch_size=3200, batch_size=64),
    "tiny": replace(_GRU, num_epochs=2, epoch_size=0, batch_size=16),
}
