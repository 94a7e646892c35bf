"""Settings, data and metrics of futures shared by the behaviour net and the flow of its codes.

Motions are encoded and generated with either of them by `posegen.inference.behavior`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from posegen.datasets.dataset import Dataset, Split
from posegen.datasets.motions import MotionDataset
from posegen.errors import ConfigError
from posegen.metrics.behavior import displacement_error, self_distance
from posegen.networks.behavior import BehaviorNet, NormalizedPostures
from posegen.networks.behavior_diffusion import BehaviorDiffusion, DiffusionSize
from posegen.samples import Batch, BehaviorWindows, EpochSettings, Samples, WindowSettings
from posegen.skeletons import H36M_17
from posegen.stages.motion_stage import MotionStage
from posegen.stages.stage import Metrics, Stage

Decoder = Literal["recurrent", "diffusion"]
_FUTURES = 5  # of each sequence, to measure how they vary


class BehaviorStage(MotionStage):
    """A stage that holds a behaviour net: one trains the net itself, the other a flow of its codes."""

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
        """Frames that are encoded, and as many that are decoded in training; any number may be generated.
        The published 50 are two seconds, at 25 a second."""
        canonical: bool = True
        """Learn each window from where it starts, with its hips to the front; otherwise postures keep their place and
        heading in the world, as published."""
        least_frames: int | None = None
        """Frames of the shortest motion that is learned: one that is shorter than a window is filled up with its frames
        backwards and forwards again. By default a whole window, as published: shorter motions are left out."""
        even: bool = False
        """Draw every action equally often, whatever there is of it; otherwise every window, as published."""
        decoder: Decoder = "recurrent"
        """The published net, which adds up differences from frame to frame; or `diffusion`, which samples a whole
        window of directions of bones: limbs keep their length, and what the code does not say is not averaged over."""
        latent_dim: int = 1024
        """Size of the code and of the recurrent states, a multiple of 4."""
        num_components: int = 192
        """Principal components of a window that diffusion knows: with few of them motion is smooth."""
        decoder_width: int = 512
        """Width of diffusion's hidden layers."""
        decoder_blocks: int = 4
        """Residual blocks of diffusion's network."""
        guidance: float = 3.5
        """Strength of diffusion's push towards what the code says: 1 samples what was learned, more is clearer and less
        varied."""

        def __post_init__(self) -> None:
            super().__post_init__()
            if self.num_frames < 1:
                raise ConfigError(f"num_frames must be at least 1, got {self.num_frames}")
            if self.latent_dim < 4 or self.latent_dim % 4:
                raise ConfigError(f"latent_dim must be a positive multiple of 4, got {self.latent_dim}")
            if self.least_frames is not None and not 2 <= self.least_frames <= self.num_frames + 1:
                raise ConfigError(f"least_frames must be from 2 to num_frames + 1, got {self.least_frames}")
            for name in ("num_components", "decoder_width", "decoder_blocks"):
                if getattr(self, name) < 1:
                    raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}")
            if not self.guidance >= 0:
                raise ConfigError(f"guidance must be 0 or more, got {self.guidance}")

        def make_network(self) -> NormalizedPostures:
            """Build the network that these settings describe."""
            if self.decoder == "recurrent":
                return BehaviorNet(len(H36M_17), self.latent_dim)
            size = DiffusionSize(
                latent_dim=self.latent_dim,
                num_frames=self.num_frames,
                num_components=self.num_components,
                width=self.decoder_width,
                num_blocks=self.decoder_blocks,
            )
            return BehaviorDiffusion(size, self.guidance)

    config: BehaviorStage.Config

    def __init__(self, config: Config):
        super().__init__(config)
        self.network = config.make_network()

    @classmethod
    def open_samples(cls, config: Stage.Config, dataset: Dataset, split: Split) -> Samples:
        assert isinstance(config, cls.Config) and isinstance(dataset, MotionDataset)
        return BehaviorWindows(
            dataset,
            split,
            EpochSettings(epoch_size=config.epoch_size, seed=config.seed),
            actions=dataset.actions(config.actions),
            windows=WindowSettings(
                num_frames=config.num_frames,
                least_frames=config.least_frames,
                even=config.even,
                canonical=config.canonical,
            ),
        )

    @property
    def device(self) -> torch.device:
        """Device that holds the networks."""
        return self.network.mean.device

    def sample_codes(self, count: int, generator: torch.Generator) -> Tensor:
        """Sample codes (count, Z) from the prior N(0, I), with the generator's noise."""
        return torch.randn((count, self.config.latent_dim), generator=generator, device=generator.device)

    def measure_futures(self, batch: Batch) -> Metrics:
        """Return ASD, FSD, ADE and FDE of random futures of the windows' first frames, metres of whole postures."""
        joints = batch["motion"]  # (N, T + 1, 17, 3)
        generator = torch.Generator().manual_seed(self.config.seed)
        starts = joints[:, 0].repeat_interleave(_FUTURES, dim=0)  # (N · S, 17, 3)
        codes = self.sample_codes(len(starts), generator).to(joints)
        futures = self.network.decode(codes, starts, joints.shape[1] - 1).unflatten(0, (-1, _FUTURES)).cpu().numpy()
        own, error = self_distance(futures), displacement_error(futures, joints[:, 1:].cpu().numpy())
        return {"asd": own.average, "fsd": own.final, "ade": error.average, "fde": error.final}
