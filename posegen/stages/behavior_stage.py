"""What the behaviour net and the flow of its codes share: codes of motions, and motions that go on as a code says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from posegen.datasets.dataset import Dataset, Split
from posegen.datasets.motions import MotionDataset
from posegen.errors import ConfigError
from posegen.metrics.behavior import displacement_error, self_distance
from posegen.motion.editing import Placement, posture_placement, resample
from posegen.motion.motion import Motion
from posegen.motion.to_h36m import INVENTED, smpl_joints
from posegen.motion.to_openpose import h36m_joints
from posegen.networks.behavior import BehaviorNet
from posegen.samples import Batch, BehaviorWindows, Samples
from posegen.skeletons import H36M_17, joint_indices
from posegen.stages.motion_stage import MotionStage
from posegen.stages.stage import Metrics, Stage

_BATCH = 100  # motions that are drawn at once
_ANKLES = 0.09  # metres above the ground, the mean of all frames: 0.08 in the corpus, 0.11 in HumanAct12
_FUTURES = 5  # of each sequence, to measure how they vary


class BehaviorStage(MotionStage):
    """A behaviour net that gives codes to motions and motions to codes, whatever of it is being trained.

    Codes are vectors (Z,). A motion that is drawn begins with the frame after its start posture, in the place where
    that one stands, and looks as its start does: in the world, not about the origin.
    """

    validation_samples = 64

    protocol = "behavior"

    @dataclass(frozen=True, kw_only=True)
    class Config(MotionStage.Config):
        """Settings that both have."""

        num_epochs: int = 50
        """Passes over the data."""
        batch_size: int = 64
        """Samples in a step, over all workers together."""
        num_frames: int = 50
        """Frames that a code is read from, and as many that are drawn from it in training; any number may be drawn.
        The published 50 are two seconds, at 25 a second."""
        canonical: bool = True
        """Learn each window from where it starts, with its hips to the front; otherwise postures keep their place and
        heading in the world, as published."""
        latent_dim: int = 1024
        """Size of the code and of the recurrent states, a multiple of 4."""

        def __post_init__(self) -> None:
            super().__post_init__()
            if self.num_frames < 1:
                raise ConfigError(f"num_frames must be at least 1, got {self.num_frames}")
            if self.latent_dim < 4 or self.latent_dim % 4:
                raise ConfigError(f"latent_dim must be a positive multiple of 4, got {self.latent_dim}")

    config: BehaviorStage.Config

    def __init__(self, config: Config):
        super().__init__(config)
        self.network = BehaviorNet(len(H36M_17), config.latent_dim)

    @classmethod
    def open_samples(cls, config: Stage.Config, dataset: Dataset, split: Split) -> Samples:
        assert isinstance(config, cls.Config) and isinstance(dataset, MotionDataset)
        return BehaviorWindows(
            dataset,
            split,
            actions=dataset.actions(config.actions),
            num_frames=config.num_frames,
            canonical=config.canonical,
            epoch_size=config.epoch_size,
            seed=config.seed,
        )

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return self.network.mean.device

    @property
    def ground(self) -> float:
        """Height y in metres of the ground on which people stand in the training data, to some centimetres.

        Heights are learned as they are: who stands elsewhere falls, or rises, to it.
        """
        ankles = self.network.mean[joint_indices(["left_ankle", "right_ankle"], H36M_17), 1]
        return ankles.mean().item() - _ANKLES

    @torch.no_grad()
    def encode(self, motions: Sequence[Motion]) -> Tensor:
        """Return the mean codes (N, Z) of what motions begin with: their first `Config.num_frames` frames, or all."""
        codes = []
        for motion in motions:
            joints = h36m_joints(resample(motion, self.config.fps))[: self.config.num_frames]
            window = torch.from_numpy(self._place(joints[0]).to_canonical(joints)).to(self.device)
            codes.append(self.network.encode(window[None])[0])
        return torch.cat(codes) if codes else torch.empty(0, self.config.latent_dim, device=self.device)

    @torch.no_grad()
    def generate(
        self, codes: Tensor, starts: Sequence[Motion], num_frames: int = 0, *, frame: int = 0, with_start: bool = False
    ) -> list[Motion]:
        """Go on from postures as codes say.

        Args:
            codes: (N, Z).
            starts: N motions that have the postures.
            num_frames: Frames to draw, by default `Config.num_frames`; more works, and gets worse.
            frame: Which frame of each start; negative ones count from its end.
            with_start: Begin each motion with the posture itself, one frame before those that are drawn.

        Raises:
            ConfigError: There are not as many codes, they have another size, a start has no such frame, or no frames
                are to be drawn.
        """
        expected = (len(starts), self.config.latent_dim)
        if codes.shape != expected:
            raise ConfigError(f"got codes of shape {tuple(codes.shape)}, expected {expected}: one for each start")
        num_frames = num_frames or self.config.num_frames
        if num_frames < 1:
            raise ConfigError(f"a motion must have at least 1 frame, got {num_frames}")
        motions = []
        for first in range(0, len(starts), _BATCH):
            rows = slice(first, first + _BATCH)
            postures = [self._posture(start, frame) for start in starts[rows]]
            places = [self._place(posture) for posture in postures]
            canonical = np.stack([x.to_canonical(posture) for x, posture in zip(places, postures, strict=True)])
            start = torch.from_numpy(canonical).to(self.device)
            drawn = self.network.decode(codes[rows].to(self.device), start, num_frames).cpu().numpy()
            if with_start:
                drawn = np.concatenate([canonical[:, None], drawn], axis=1)
            motions += [self.to_motion(place.to_world(joints)) for place, joints in zip(places, drawn, strict=True)]
        return motions

    def reconstruct(self, motions: Sequence[Motion], num_frames: int = 0) -> list[Motion]:
        """Draw motions from their own codes and first frames: frame k is frame k + 1 of the motion, as it comes."""
        return self.transfer(motions, motions, num_frames)

    def transfer(self, sources: Sequence[Motion], targets: Sequence[Motion], num_frames: int = 0) -> list[Motion]:
        """Let each target go on from its first frame, in its place, with the behaviour of a source.

        Labels are the source's. Raises ConfigError where there are not as many sources as targets.
        """
        if len(sources) != len(targets):
            raise ConfigError(f"got {len(sources)} sources and {len(targets)} targets, expected one for each")
        drawn = self.generate(self.encode(sources), targets, num_frames)
        return [
            replace(motion, label=source.label, label_name=source.label_name)
            for motion, source in zip(drawn, sources, strict=True)
        ]

    def sample(self, observed: Sequence[Motion], num_frames: int = 0, *, seed: int = 0) -> list[Motion]:
        """Draw a random future of each motion from its last frame; the seed decides which."""
        codes = self.sample_codes(len(observed), torch.Generator().manual_seed(seed))
        return self.generate(codes, observed, num_frames, frame=-1)

    def interpolate(
        self, first: Motion, second: Motion, target: Motion, *, count: int = 5, num_frames: int = 0
    ) -> list[Motion]:
        """Draw `count` motions from a target's first frame, with behaviours from that of one motion to another's.

        Raises ConfigError for fewer than 2.
        """
        if count < 2:
            raise ConfigError(f"count must be at least 2, got {count}")
        start, end = self.encode([first, second])
        codes = torch.stack([between(start, end, float(share)) for share in np.linspace(0, 1, count)])
        return self.generate(codes, [target] * count, num_frames)

    def sample_codes(self, count: int, generator: torch.Generator) -> Tensor:
        """Random codes (count, Z) of the prior N(0, I), with the generator's noise."""
        return torch.randn((count, self.config.latent_dim), generator=generator, device=generator.device)

    def to_motion(self, joints: np.ndarray) -> Motion:
        """The motion of joints (T, 17, 3) in the world; its `meta` names those of SMPL-24 that are invented."""
        motion = Motion.from_joints(smpl_joints(joints), self.config.fps)
        return replace(motion, meta={"invented_joints": list(INVENTED)})

    def measure_futures(self, batch: Batch) -> Metrics:
        """ASD, FSD, ADE and FDE of random futures of the windows' first frames, metres of whole postures."""
        joints = batch["motion"]  # (N, T + 1, 17, 3)
        generator = torch.Generator().manual_seed(self.config.seed)
        starts = joints[:, 0].repeat_interleave(_FUTURES, dim=0)  # (N · S, 17, 3)
        codes = self.sample_codes(len(starts), generator).to(joints)
        drawn = self.network.decode(codes, starts, joints.shape[1] - 1).unflatten(0, (-1, _FUTURES)).cpu().numpy()
        own, error = self_distance(drawn), displacement_error(drawn, joints[:, 1:].cpu().numpy())
        return {"asd": own.average, "fsd": own.final, "ade": error.average, "fde": error.final}

    def _posture(self, motion: Motion, frame: int) -> np.ndarray:
        """One posture (17, 3) of a motion."""
        joints = h36m_joints(motion)
        if not -len(joints) <= frame < len(joints):
            raise ConfigError(f"a start has {len(joints)} frames, expected one with frame {frame}")
        return joints[frame]

    def _place(self, posture: np.ndarray) -> Placement:
        """Where the networks have the origin and the front, for a motion that starts with a posture (17, 3)."""
        return posture_placement(posture, H36M_17) if self.config.canonical else Placement(0.0, 0.0, 0.0)


def between(start: Tensor, end: Tensor, share: float) -> Tensor:
    """What lies between two vectors (Z,): their directions by slerp (Shoemake, 1985), their lengths linearly.

    Halfway between two codes of N(0, I) the mean would be too short for one.
    """
    lengths = start.norm(), end.norm()
    first, second = (x / length.clamp_min(1e-12) for x, length in zip((start, end), lengths, strict=True))
    angle = torch.acos((first @ second).clamp(-1, 1))
    if angle.sin() < 1e-4 or not min(lengths) > 0:  # on one line: there is no arc, or no one arc
        return torch.lerp(start, end, share)
    arc = ((1 - share) * angle).sin() * first + (share * angle).sin() * second
    return torch.lerp(*lengths, share) * arc / angle.sin()
