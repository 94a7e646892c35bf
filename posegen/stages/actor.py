"""ACTOR: motions of an action, of any length, from random codes (Petrovich et al., 2021, arXiv:2104.05670)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor
from torch.optim import AdamW

from posegen.datasets.dataset import Dataset, Split
from posegen.datasets.motions import MotionDataset
from posegen.errors import ConfigError
from posegen.losses import masked_motion_mse, masked_mse, mean_kl_to_standard_normal
from posegen.metrics.motion import amplitude
from posegen.motion.kinematics import Posed, markers
from posegen.motion.pose_features import local_pose, pose_features
from posegen.motion.smpl import SmplBody, pose_surface, read_smpl
from posegen.networks.actor import ActorDecoder, ActorEncoder, ActorSize, frame_mask
from posegen.networks.class_prior import ClassPrior
from posegen.samples import Batch, PosedCrops, Samples, Window, fixed_batch
from posegen.samples.motion_windows import Choice
from posegen.skeletons import SMPL_24
from posegen.stages.motion_generator import MotionGenerator
from posegen.stages.optimization import Losses, detached, sum_losses
from posegen.stages.stage import Metrics, Stage

_FITTED = (4, 1000)  # rounds, and windows of each, that priors of codes are fitted to


class Actor(MotionGenerator):
    """Learns to generate motions of an action, of any length, from labelled motions (ACTOR, a transformer VAE).

    Its code is one vector for a whole motion.
    """

    name = "actor"
    objectives: ClassVar = {**MotionGenerator.objectives, "joint_error": "val/joint_error"}

    @dataclass(frozen=True, kw_only=True)
    class Config(MotionGenerator.Config):
        """Settings of ACTOR. Weights of losses are those of the paper, Section 3."""

        num_epochs: int = 5000
        """Passes over the data."""
        batch_size: int = 20
        """Samples in a step, over all workers together."""
        lr: float = 1e-4
        """Initial learning rate of AdamW."""
        num_frames: int = 60
        """Frames of a window; 0 takes another number each time, from min_frames to max_frames."""
        min_frames: int = 60
        """Least frames of a window of varying length."""
        max_frames: int = 100
        """Most frames of a window of varying length."""
        choice: Choice = "consecutive"
        """Frames of a window: consecutive ones, every k-th with a random k (random_step), or any in order (random)."""
        repeat_last: bool = False
        """Fill windows of motions that are too short with their last frame, as published, instead of masking them."""
        skip_last_start: bool = False
        """Never sample the last possible window of a motion, as published."""
        count_zeros: bool = False
        """Teach the three zeros behind the root's translation, as published."""
        lambda_rotation: float = 1.0
        """Weight of L_P: rotations and translation."""
        lambda_vertex: float = 1.0
        """Weight of L_V: joints, and markers around them in place of SMPL's vertices; see smpl."""
        smpl: str = ""
        """File of SMPL's neutral model, .npz: L_V is then of its vertices. Needed to train, by all workers, and for
        nothing else."""
        lambda_kl: float = 2e-4
        """Weight of the KL divergence, mean over the batch: the published 1e-5 of its sum at a batch of 20."""
        lambda_velocity: float = 0.0
        """Weight of the joints' velocities, in metres a frame; the paper has no such term."""
        translate: bool = False
        """Let joints and markers of L_V go where the root goes; as published they stay, and L_P alone moves it."""
        latent_dim: int = 256
        """Size of the code, even, and a multiple of num_heads."""
        num_layers: int = 8
        """Layers of encoder and decoder each."""
        num_heads: int = 4
        """Attention heads of a layer."""
        feedforward_dim: int = 1024
        """Width of the layers' perceptrons."""
        dropout: float = 0.1
        """Share of activations that training drops."""
        weight_decay: float = 0.01
        """Of AdamW."""
        norm_first: bool = False
        """Normalize what goes into the parts of a layer, not what comes out: learns in fewer steps."""
        warmup_epochs: int = 0
        """Epochs at the beginning over which the learning rate grows linearly."""
        decay_epochs: int = 0
        """Epochs at the end over which the learning rate falls linearly."""
        class_prior: bool = False
        """Draw codes of an action from a Gaussian that is fitted after each epoch to those of its training motions, in
        place of N(0, I): lambda_kl may then be too small for the two to be the same."""

        def __post_init__(self) -> None:
            super().__post_init__()
            for name in ("latent_dim", "num_layers", "num_heads", "feedforward_dim"):
                if getattr(self, name) < 1:
                    raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}")
            if self.latent_dim % 2 or self.latent_dim % self.num_heads:
                raise ConfigError(
                    f"latent_dim must be even and a multiple of num_heads, got {self.latent_dim} and {self.num_heads}"
                )
            if not 0 <= self.dropout < 1:
                raise ConfigError(f"dropout must be in [0, 1), got {self.dropout}")
            for name in ("warmup_epochs", "decay_epochs"):
                if getattr(self, name) < 0:
                    raise ConfigError(f"{name} must be 0 or more, got {getattr(self, name)}")
            if self.lambda_velocity and self.window.most_frames < 2:
                raise ConfigError("lambda_velocity needs windows of at least 2 frames")
            self.make_absolute("smpl")
            _ = self.window  # which raises where it is none

        @property
        def window(self) -> Window:
            """Frames of a motion that are learned from. Raises PosegenError if there are none."""
            return Window(
                num_frames=self.num_frames,
                min_frames=self.min_frames,
                max_frames=self.max_frames,
                choice=self.choice,
                repeat_last=self.repeat_last,
                skip_last_start=self.skip_last_start,
            )

    config: Actor.Config

    def __init__(self, config: Config):
        super().__init__(config)
        size = ActorSize(
            latent_dim=config.latent_dim,
            num_layers=config.num_layers,
            num_heads=config.num_heads,
            feedforward_dim=config.feedforward_dim,
            dropout=config.dropout,
            norm_first=config.norm_first,
        )
        num_actions = max(len(config.actions), 1)
        self.encoder = ActorEncoder(num_actions, size)
        self.decoder = ActorDecoder(num_actions, size)
        self.prior = ClassPrior(num_actions, config.latent_dim) if config.class_prior else None
        parameters = [*self.encoder.parameters(), *self.decoder.parameters()]
        self._smpl: SmplBody | None = None
        self.optimizers = {"network": AdamW(parameters, lr=config.lr, weight_decay=config.weight_decay, fused=True)}

    @classmethod
    def adapt(cls, config: Stage.Config, dataset: Dataset) -> Stage.Config:
        assert isinstance(config, cls.Config) and isinstance(dataset, MotionDataset)
        if config.smpl:
            read_smpl(config.smpl)  # which raises where it is none
        return super().adapt(config, dataset)

    @classmethod
    def open_samples(cls, config: Stage.Config, dataset: Dataset, split: Split) -> Samples:
        assert isinstance(config, cls.Config) and isinstance(dataset, MotionDataset)
        return PosedCrops(
            dataset,
            split,
            actions=dataset.actions(config.actions),
            window=config.window,
            epoch_size=config.epoch_size,
            seed=config.seed,
        )

    def lr_factor(self, epoch: int) -> float:
        first = self.config.num_epochs - self.config.decay_epochs
        decayed = 1.0 - max(0, epoch + 1 - first) / (self.config.decay_epochs + 1)
        return decayed * min(1.0, (epoch + 1) / (self.config.warmup_epochs + 1))

    def step(self, batch: Batch) -> Losses:
        """Return the losses of Section 3: L_P, L_V and the KL divergence."""
        motion, action, mask = batch["motion"], batch["action"], _mask(batch)
        mean, logvar = self.encoder(motion, action, mask)  # (N, Z), (N, Z)
        z = mean + torch.exp(logvar / 2) * torch.randn_like(mean)  # (N, Z)
        fake = self.decoder(z, action, mask)  # (N, T, 25, 6)
        config = self.config
        losses = {"kl": config.lambda_kl * mean_kl_to_standard_normal(mean, logvar)}
        if config.lambda_rotation:
            distance = masked_mse if config.count_zeros else masked_motion_mse
            losses["rotation"] = config.lambda_rotation * distance(fake, motion, mask)
        if config.lambda_vertex or config.lambda_velocity:
            drawn = pose_features(fake, batch["rest"], translate=config.translate)
            real = self._real_surface(batch)  # (N, T, 96, 3)
            if config.lambda_vertex:
                if config.smpl:
                    found, wanted = self._smpl_surface(fake), self._smpl_surface(motion)
                else:
                    found, wanted = _surface(drawn), real
                losses["vertex"] = config.lambda_vertex * masked_mse(found, wanted, mask)
            if config.lambda_velocity:
                speed, real_speed = (
                    drawn.joints.diff(dim=1),
                    real[:, :, : len(SMPL_24)].diff(dim=1),
                )  # (N, T - 1, 24, 3)
                losses["velocity"] = config.lambda_velocity * masked_mse(speed, real_speed, mask[:, 1:])
        self.update("network", sum_losses(losses))
        return detached(losses)

    @torch.no_grad()
    def evaluate(self, batch: Batch) -> Metrics:
        """Measure the reconstruction of motions from their mean codes, and the movement of random ones.

        ``joint_error`` in metres, without the root's translation; ``root_error`` in metres; ``kl`` in nats;
        ``amplitude`` how far joints of generated motions move in relation to those of real ones: what is far below 1
        is frozen.
        """
        motion, action, mask = batch["motion"], batch["action"], _mask(batch)
        mean, logvar = self.encoder(motion, action, mask)
        drawn = {"real": motion, "same": self.decoder(mean, action, mask)}
        drawn["new"] = self.decode(action, batch["length"], self.fixed_codes(len(mean)))
        joints = {key: pose_features(x, batch["rest"], translate=False).joints for key, x in drawn.items()}
        root = (drawn["same"] - motion)[:, :, -1, :3].norm(dim=-1)  # (N, T)
        real, new = (
            sum(amplitude(x[:n]) for x, n in zip(joints[key].cpu().numpy(), batch["length"].tolist(), strict=True))
            for key in ("real", "new")
        )
        return {
            "joint_error": (joints["same"] - joints["real"]).norm(dim=-1)[mask].mean().item(),
            "root_error": root[mask].mean().item(),
            "kl": mean_kl_to_standard_normal(mean, logvar).item(),
            "amplitude": float(new / max(real, 1e-9)),
        }

    @property
    def code_dim(self) -> int:
        return self.config.latent_dim

    @torch.no_grad()
    def encode(self, batch: Batch) -> Tensor:
        """Return the means of the posterior, as codes of N(0, I)."""
        mean, _ = self._posterior(batch)
        return mean if self.prior is None else self.prior.standardize(mean, batch["action"])

    @torch.no_grad()
    def reconstruct(self, batch: Batch) -> Tensor:
        mean, _ = self._posterior(batch)
        return self.decoder(mean, batch["action"], _mask(batch))

    @torch.no_grad()
    def decode(self, actions: Tensor, lengths: Tensor, z: Tensor) -> Tensor:
        if self.prior is not None:
            z = self.prior.place(z, actions)
        return self.decoder(z, actions, frame_mask(lengths, int(lengths.max())))

    @torch.no_grad()
    def finish_epoch(self, samples: Samples) -> None:
        super().finish_epoch(samples)
        if self.prior is None:
            return
        rounds, count = _FITTED
        batches = (batch for k in range(rounds) for batch in fixed_batch(samples, count, self.config.batch_size, k))
        own = ({name: value.to(self.device) for name, value in batch.items()} for batch in batches)
        found = [(*self._posterior(batch), batch["action"]) for batch in own]
        mean, logvar, action = (torch.cat(rows) for rows in zip(*found, strict=True))
        self.prior.fit(mean, logvar.exp(), action)

    def _posterior(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Mean and logvar (N, Z) of a batch's motions."""
        mean, logvar = self.encoder(batch["motion"], batch["action"], _mask(batch))
        return mean, logvar

    def _real_surface(self, batch: Batch) -> Tensor:
        """Return joints and markers (N, T, 96, 3) of real motions, which the samples have posed."""
        root = batch["motion"][:, :, -1:, :3]  # (N, T, 1, 3)
        return batch["surface"] + root if self.config.translate else batch["surface"]

    def _smpl_surface(self, features: Tensor) -> Tensor:
        """Compute SMPL's vertices (N, T, 6890, 3)."""
        if self._smpl is None:
            self._smpl = read_smpl(self.config.smpl).to(features.device)
        return pose_surface(self._smpl, *local_pose(features, translate=self.config.translate))


def _surface(posed: Posed) -> Tensor:
    """Joints and markers (N, T, 96, 3) of a posed body."""
    return torch.cat([posed.joints, markers(posed)], dim=-2)


def _mask(batch: Batch) -> Tensor:
    return frame_mask(batch["length"], batch["motion"].shape[1])


_REFERENCE = Actor.Config(repeat_last=True, skip_last_start=True, count_zeros=True)
# What two cores do in two and a half hours: as wide as keeps them busy, and a code that costs little, since codes that
# cost much freeze motion; so they are drawn from where the encoder has them.
_SMALL = Actor.Config(
    num_epochs=80,
    epoch_size=15000,
    batch_size=32,
    lr=1e-3,
    lambda_kl=3e-5,
    latent_dim=128,
    num_layers=4,
    feedforward_dim=512,
    dropout=0.0,
    norm_first=True,
    warmup_epochs=1,
    decay_epochs=40,
    class_prior=True,
)
Actor.presets = {
    "posegen": Actor.Config(),
    "reference": _REFERENCE,
    "small": _SMALL,
    "tiny": replace(
        _SMALL,
        num_epochs=3,
        epoch_size=0,
        batch_size=8,
        latent_dim=32,
        num_layers=2,
        feedforward_dim=64,
        decay_epochs=2,
    ),
}
