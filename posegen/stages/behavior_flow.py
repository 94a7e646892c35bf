"""The flow of behaviour codes: random codes like those of real motions (Blattmann et al., 2021, arXiv:2103.04677)."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor
from torch.optim import Adam

from posegen.errors import ConfigError
from posegen.motion.rendering import render_strips
from posegen.motion.to_h36m import motion_from_h36m
from posegen.networks.flow import Flow
from posegen.samples import Batch, Samples, fixed_batch
from posegen.stages.behavior import Behavior
from posegen.stages.behavior_stage import BehaviorStage
from posegen.stages.optimization import Losses, detached
from posegen.stages.stage import Metrics, Pictures, Requirement, Stage

_NETWORK = ("decoder", "num_components", "decoder_width", "decoder_blocks")
_SHARED = ("latent_dim", "num_frames", "canonical", "fps", *_NETWORK)
_FITTED = 512  # windows from whose codes the flow takes its first norms
_SHOWN = 2  # starts whose futures a preview shows


class BehaviorFlow(BehaviorStage):
    """Learns which codes of a trained behaviour net are likely, so that new ones can be drawn (normalizing flow).

    It maps N(0, I) to the codes; the net itself is not trained here.
    """

    name = "behavior_flow"
    objectives: ClassVar = {"nll": "val/nll", "ade": "val/ade"}
    requires: ClassVar = {
        "behavior": Requirement(
            stage=Behavior.name,
            agree={name: name for name in _SHARED},
            trained_first=True,
        )
    }

    @dataclass(frozen=True, kw_only=True)
    class Config(BehaviorStage.Config):
        """Settings of the flow. What it shares with the behaviour net must be as in its run."""

        behavior: str = ""
        """Run of the stage behavior, whose codes are learned. `posegen train` trains one first where none is named."""
        lr: float = 2.88e-5
        """Learning rate of Adam: the published 4.5e-7 for each sample of a batch of 64."""
        hidden_dim: int = 512
        """Width of the couplings' networks; the published 2048 makes 629.6 million weights with 15 blocks."""
        depth: int = 2
        """Hidden layers of these networks after the first."""
        num_blocks: int = 8
        """Blocks of the flow."""

        def __post_init__(self) -> None:
            super().__post_init__()
            for name in ("hidden_dim", "num_blocks"):
                if getattr(self, name) < 1:
                    raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}")
            if self.depth < 0:
                raise ConfigError(f"depth must be 0 or more, got {self.depth}")

    config: BehaviorFlow.Config

    def __init__(self, config: Config):
        super().__init__(config)
        self.network.requires_grad_(False)
        self.flow = Flow(config.latent_dim, config.hidden_dim, config.depth, config.num_blocks, config.seed)
        self.optimizers = {"flow": Adam(self.flow.parameters(), lr=config.lr, betas=(0.5, 0.9), fused=True)}

    def take_over(self, name: str, trained: Stage) -> None:
        assert isinstance(trained, Behavior)
        self.network.load_state_dict(trained.network.state_dict())

    @torch.no_grad()
    def begin(self, samples: Samples) -> None:
        """Fit the flow's norms to codes of the training data."""
        generator = torch.Generator().manual_seed(self.config.seed)
        codes = [
            self._codes({name: x.to(self.device) for name, x in batch.items()}, generator)
            for batch in fixed_batch(samples, _FITTED, self.config.batch_size)
        ]
        self.flow.fit_norms(torch.cat(codes))

    def step(self, batch: Batch) -> Losses:
        """Minus the logarithm of the codes' likelihood, without its constant."""
        noise, logdet = self.flow(self._codes(batch))
        loss = (0.5 * noise.square().sum(dim=1) - logdet).mean()
        self.update("flow", loss)
        return detached({"nll": loss})

    @torch.no_grad()
    def evaluate(self, batch: Batch) -> Metrics:
        """Measure the likelihood of codes of real motions, and the futures decoded from codes of the flow.

        ``nll``, minus the logarithm of their likelihood in nats, and ``prior_nll``, the same under N(0, I) itself; and
        what `measure_futures` gives for codes of the flow.
        """
        codes = self._codes(batch, torch.Generator().manual_seed(self.config.seed))
        noise, logdet = self.flow(codes)
        constant = codes.shape[1] / 2 * math.log(2 * math.pi)
        return {
            "nll": (0.5 * noise.square().sum(dim=1) - logdet).mean().item() + constant,
            "prior_nll": 0.5 * codes.square().sum(dim=1).mean().item() + constant,
        } | self.measure_futures(batch)

    @torch.no_grad()
    def preview(self, batch: Batch) -> Pictures:
        """Render strips of real motions, and of two random futures of their first frames."""
        real = batch["motion"][:_SHOWN]
        kinds = {"real": real}
        generator = torch.Generator().manual_seed(self.config.seed)
        for number in (1, 2):
            codes = self.sample_codes(len(real), generator).to(real)
            kinds[f"random {number}"] = self.network.decode(codes, real[:, 0], self.config.num_frames)
        joints = [of_kind[row].cpu().numpy() for row in range(len(real)) for of_kind in kinds.values()]
        motions = [motion_from_h36m(x, self.config.fps) for x in joints]
        return {"futures": render_strips(motions, [*kinds] * len(real))}

    @torch.no_grad()
    def sample_codes(self, count: int, generator: torch.Generator) -> Tensor:
        """Sample codes (count, Z) from the flow, with the generator's noise."""
        return self.flow.inverse(super().sample_codes(count, generator).to(self.device))

    @torch.no_grad()
    def _codes(self, batch: Batch, generator: torch.Generator | None = None) -> Tensor:
        """Codes (N, Z) sampled from the posteriors of windows."""
        lengths = batch["length"].clamp(max=self.config.num_frames)
        mean, logstd = self.network.encode(batch["motion"][:, :-1], lengths)
        noise = torch.randn(mean.shape, generator=generator, device="cpu" if generator else mean.device)
        return mean + logstd.exp() * noise.to(mean)


_SMALL = BehaviorFlow.Config(num_epochs=30, epoch_size=3200, lr=3e-4, latent_dim=256, hidden_dim=256, num_blocks=4)
BehaviorFlow.presets = {
    "posegen": BehaviorFlow.Config(),
    "reference": BehaviorFlow.Config(canonical=False, hidden_dim=2048, num_blocks=15),
    "small": _SMALL,
    "tiny": replace(
        _SMALL, num_epochs=3, epoch_size=640, batch_size=16, num_frames=25, latent_dim=64, hidden_dim=64, depth=1
    ),
    "transfer": replace(_SMALL, latent_dim=64, decoder="diffusion", least_frames=8, even=True),
}
