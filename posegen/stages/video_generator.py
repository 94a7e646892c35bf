"""Stage II: the video generator, whose colour codes come from the frozen encoders of stage I (Section 3.2)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from posegen.samples import REGIONS, Batch
from posegen.stages.color_encoder import ColorEncoder
from posegen.stages.stage import Requirement, Stage
from posegen.stages.video_stage import VideoStage


class VideoGenerator(VideoStage):
    """Learns to render videos of a person from poses and colour codes, from clips (stage II).

    The decoupled method: codes come from two colour encoders of stage I, which are not trained here.
    """

    name = "video_generator"
    requires: ClassVar = {
        **{
            f"{region}_encoder": Requirement(
                stage=ColorEncoder.name,
                settings={"region": region},
                agree={f"{region}_latent_dim": "latent_dim", "encoder_width": "encoder_width"},
            )
            for region in REGIONS
        },
        **VideoStage.requires,
    }

    @dataclass(frozen=True, kw_only=True)
    class Config(VideoStage.Config):
        """Settings of stage II."""

        upper_encoder: str = ""
        """Run of the stage color_encoder for the upper garment; required when a run begins."""
        lower_encoder: str = ""
        """Run of the stage color_encoder for the lower garment; required when a run begins."""
        z_noise: float = 1.0
        """Share of the posterior's σ that training adds to a code, which keeps G smooth between codes."""

    config: VideoGenerator.Config

    def __init__(self, config: Config):
        super().__init__(config)
        self.encoders.requires_grad_(False)

    def take_over(self, name: str, trained: Stage) -> None:
        if name == "restoration":
            super().take_over(name, trained)
            return
        assert isinstance(trained, ColorEncoder)
        self.encoders[trained.config.region].load_state_dict(trained.encoder.state_dict())
        self.codebooks[trained.config.region].load_state_dict(trained.codebook.state_dict())

    @torch.no_grad()
    def codes(self, batch: Batch) -> Tensor:
        return self.encode(batch["content"], self.config.z_noise * batch["noise"])


# A few hundred steps must do: plain differences lead, and the discriminator only sharpens.
_TINY = VideoGenerator.Config(
    num_epochs=9,
    epoch_size=256,
    batch_size=4,
    lr=1.4e-3,
    decay_epochs=4,
    upper_latent_dim=4,
    lower_latent_dim=4,
    encoder_width=16,
    restorer_width=16,
    generator_width=8,
    num_downs=3,
    num_blocks=3,
    num_local_blocks=2,
    discriminator_width=16,
    num_scales=2,
    v0="content",
    z_inject="spade",
    lambda_gan=0.1,
    lambda_fm=0.5,
    lambda_vgg=0.0,
    lambda_l1=20.0,
    region_weight=6.0,
    colors_per_pair=2,
    lambda_contrast=50.0,
)
VideoGenerator.presets = {
    "paper": VideoGenerator.Config(),
    "tiny": _TINY,
    # For several people in several rooms.
    "small": replace(
        _TINY,
        num_epochs=8,
        epoch_size=1024,
        lr=1e-3,
        decay_epochs=6,
        appearance="parts",
        generator_width=16,
        lambda_contrast=30.0,
    ),
    # For frames of 192×128 and 384×256 on small machines: what is shown is whole already, and the network repairs it.
    "medium": replace(
        _TINY,
        num_epochs=8,
        epoch_size=1024,
        batch_size=2,
        lr=7e-4,
        decay_epochs=6,
        appearance="layered",
        generator_width=16,
        num_downs=4,
        lambda_contrast=30.0,
    ),
}
