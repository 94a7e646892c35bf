"""The end-to-end baseline: colour encoders that are trained from scratch, together with the generator (Section 4.5)."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn

from posegen.networks.codebook import Codebook
from posegen.samples import REGIONS, Batch, Samples, fixed_batch
from posegen.stages.video_generator import VideoGenerator
from posegen.stages.video_stage import VideoStage

_CODEBOOK_PAIRS = 256


class EndToEnd(VideoStage):
    """Learns to render videos and the codes of colours at once, from clips: a baseline for video_generator.

    Stage II without stage I: the losses of the video are all that the encoders learn from, and z is their mean.
    """

    name = "end_to_end"

    @dataclass(frozen=True, kw_only=True)
    class Config(VideoStage.Config):
        """Settings of the end-to-end baseline."""

    config: EndToEnd.Config

    def generating_parameters(self) -> list[nn.Parameter]:
        return [*self.generator.parameters(), *self.encoders.parameters()]

    def codes(self, batch: Batch) -> Tensor:
        return self.encode(batch["content"])

    @torch.no_grad()
    def finish_epoch(self, samples: Samples) -> None:
        """Fit the codebooks to the codes of training frames, as stage I does for the decoupled method."""
        batches = fixed_batch(samples, _CODEBOOK_PAIRS, self.config.batch_size)
        device = next(self.parameters()).device
        codes = torch.cat([self.encode(batch["content"].to(device)) for batch in batches])  # (M, Z)
        lab = torch.cat([batch["lab"] for batch in batches]).to(device)  # (M, 2, 3)
        latent_dims = [self.config.upper_latent_dim, self.config.lower_latent_dim]
        for garment, (region, part) in enumerate(zip(REGIONS, codes.split(latent_dims, dim=1), strict=True)):
            codebook = self.codebooks[region]
            assert isinstance(codebook, Codebook)
            codebook.fit(part, lab[:, garment])


EndToEnd.presets = {
    # What is compared differs in one thing: every setting that both have is the method's.
    name: EndToEnd.Config(**{field.name: getattr(preset, field.name) for field in fields(EndToEnd.Config)})
    for name, preset in VideoGenerator.presets.items()
}
