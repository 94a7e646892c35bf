"""Common parts of the decoupled method and its end-to-end baseline: a generator of the next frame from a feature map,
the last frame and a colour code (Yang et al., 2020, Section 3.2)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from posegen.datasets.clips import ClipDataset
from posegen.datasets.dataset import Dataset, Split
from posegen.errors import ConfigError
from posegen.io.images import titled_grid
from posegen.losses import feature_matching, last, lsgan, perceptual
from posegen.metrics.image import psnr
from posegen.networks.bicyclegan import ResNetEncoder
from posegen.networks.codebook import Codebook, reparameterize
from posegen.networks.compositor import Compositor
from posegen.networks.pix2pixhd import GeneratorSize, GlobalGenerator, LocalEnhancer, MultiscaleDiscriminator
from posegen.networks.restoration import FeatureRestorer
from posegen.networks.vgg import PretrainedVGG
from posegen.samples import REGIONS, Batch, FramePairs, FramePairSettings, Samples, to_image
from posegen.stages.feature_restoration import FeatureRestoration
from posegen.stages.optimization import Losses, adam, detached, sum_losses
from posegen.stages.stage import Metrics, Pictures, Requirement, Stage


class VideoStage(Stage):
    """A pix2pixHD generator (Wang et al., 2018) trained on pairs of frames (Chan et al., 2018, Section 3.2).

    v1 = G(F1, z; v0) and v2 = G(F2, z; v1) with v0 black, or the content frame as it was filmed, and z = [z_up, z_down]
    from two encoders that look at the content frame in the clip's colours. The discriminator sees both frames and both
    feature maps. The objective is Equation 2. A subclass says where the codes of a batch come from (`codes`).
    """

    protocol = "video"
    objectives: ClassVar = {
        "lpips": "val/st_lpips_masked",
        "color": "val/hit",
        "psnr": "val/psnr",
        "l1": "val/l1",
        "size": "model/parameters",
        "time": "time/frame_seconds",
    }
    requires: ClassVar = {
        "restoration": Requirement(
            stage=FeatureRestoration.name,
            agree={"restorer_width": "width", "restorer_blocks": "num_blocks"},
            optional=True,
        )
    }

    @dataclass(frozen=True, kw_only=True)
    class Config(Stage.Config):
        """Settings that both methods have."""

        renamed: ClassVar = {
            "color_augmentation": "recolored",
            "color_variants": "recolorings",
            "colorings": "colors_per_pair",
        }

        num_epochs: int = 30
        """Passes over the data."""
        batch_size: int = 1
        """Pairs of frames in a step, over all workers together."""
        upper_latent_dim: int = 16
        """Size of the upper code."""
        lower_latent_dim: int = 8
        """Size of the lower code."""
        encoder_width: int = 64
        """Channels of the encoders' first layer."""
        restoration: str = ""
        """Run of the stage feature_restoration, whose frozen network completes estimated maps; empty for none."""
        restorer_width: int = 32
        """Channels of its first layer; must be the run's."""
        restorer_blocks: int = 6
        """Its residual blocks; must be the run's."""
        recolored: bool = True
        """Train on recoloured clips, too; off is the method without Section 3.1."""
        recolorings: int = 0
        """Recolourings of each clip to learn from, beside the original; 0 takes all that the dataset has."""
        colors_per_pair: int = 1
        """Colourings of each pair of frames that stand side by side in a batch."""
        true_feature_share: float = 0.2
        """Share of the pairs that see their own feature maps and not maps warped from the content frame."""
        v0: Literal["black", "content"] = "black"
        """Frame before the first one: black (the paper's), or the content frame in the clothes' own colours, which
        shows the room and the person in more detail than a feature map and a code."""
        train_rollout_len: int = 2
        """Most frames that training generates one after another up to the end of a pair; their number is random. Losses
        are those of the pair. With more than 2 (the paper's) the generator trains on its own imperfect frames."""
        generator: Literal["local", "global"] = "local"
        """Coarse-to-fine (``local``, the paper's) or coarse alone (``global``, for little memory)."""
        z_inject: Literal["tile_nonorm_stem", "tile_masked", "adain", "spade", "tile"] = "tile_nonorm_stem"
        """Injection of the code; a plainly tiled one is erased by the norm that follows the first layer."""
        appearance: Literal["none", "parts", "layered"] = "none"
        """Show the generator the content frame, too, as it was filmed and moved to each pose, as ``parts`` or as the
        ``layered`` person of `posegen animate PHOTO`: it need not guess texture, shades, skin and the room from edges.
        What is generated has other colours, so that the code must still say them. With ``layered`` a garment for which
        no other colour is asked is shown as it is, and the generator cannot draw over it. The paper has edges alone."""
        unchanged_share: float = 0.25
        """With ``layered``, share of the recoloured samples that are shown in the colours that their code says: there
        is nothing to change. The clothes' own colours are always shown so."""
        generator_width: int = 32
        """Channels of the generator's first layer (64 is pix2pixHD's for ``global``)."""
        num_downs: int = 4
        """Halvings of the coarse generator."""
        num_blocks: int = 9
        """Residual blocks of the coarse generator."""
        num_local_blocks: int = 3
        """Residual blocks of the fine generator."""
        discriminator_width: int = 64
        """Channels of the discriminator's first layer."""
        num_scales: int = 3
        """Scales of the discriminator, each half the size of the one before."""
        lambda_gan: float = 1.0
        """Weight of the adversarial loss."""
        lambda_fm: float = 10.0
        """Weight of the discriminator's feature matching."""
        lambda_vgg: float = 10.0
        """Weight of the perceptual loss, mean of the two frames."""
        vgg: Literal["vgg19", "vgg16-hed", "vgg16-stlpips"] = "vgg19"
        """Network of the perceptual loss; vgg19 is the paper's, the others come from PyPI."""
        lambda_l1: float = 0.0
        """Weight of the plain pixel difference; the paper has none."""
        region_weight: float = 1.0
        """Weight of the garments' pixels within the pixel difference."""
        decay_epochs: int = 0
        """Epochs at the end over which the learning rate falls linearly."""
        checkpoint_activations: bool = False
        """Recompute residual blocks in the backward pass: less memory, more time."""
        lambda_contrast: float = 0.0
        """Weight of the difference between two recolourings of one pair, against the true difference; needs
        colors_per_pair 2. It teaches what a code must leave alone. The paper has none."""

        @property
        def condition_channels(self) -> int:
            """F, of the feature map and what is shown beside it."""
            return {"none": 4, "parts": 7, "layered": 8}[self.appearance]

        @property
        def samples_together(self) -> int:
            return self.colors_per_pair

        @classmethod
        def upgrade(cls, values: Mapping[str, Any]) -> dict[str, Any]:
            upgraded = super().upgrade(values)
            if "with_appearance" in upgraded:
                upgraded["appearance"] = "parts" if upgraded.pop("with_appearance") else "none"
            return upgraded

        def __post_init__(self) -> None:
            super().__post_init__()
            if self.train_rollout_len < 2:
                raise ConfigError(f"train_rollout_len must be 2 or more, got {self.train_rollout_len}")
            if self.colors_per_pair not in (1, 2) or self.batch_size % self.colors_per_pair:
                raise ConfigError(f"colors_per_pair must be 1 or 2 and divide batch_size, got {self.colors_per_pair}")
            if not 0 <= self.unchanged_share <= 1:
                raise ConfigError(f"unchanged_share must be in [0, 1], got {self.unchanged_share}")
            if self.lambda_contrast and self.colors_per_pair == 1:
                raise ConfigError("lambda_contrast compares two recolourings of a pair: set colors_per_pair to 2")
            if self.colors_per_pair == 2 and not self.recolored:
                raise ConfigError("colors_per_pair 2 needs recolored")

    config: VideoStage.Config

    def __init__(self, config: Config):
        super().__init__(config)
        latent_dims = (config.upper_latent_dim, config.lower_latent_dim)
        self.encoders = nn.ModuleDict(
            {
                region: ResNetEncoder(3, latent_dim=latent_dim, width=config.encoder_width)
                for region, latent_dim in zip(REGIONS, latent_dims, strict=True)
            }
        )
        self.codebooks = nn.ModuleDict(
            {region: Codebook(latent_dim) for region, latent_dim in zip(REGIONS, latent_dims, strict=True)}
        )
        self.restorer = (
            FeatureRestorer(config.restorer_width, config.restorer_blocks).requires_grad_(False)
            if config.restoration
            else None
        )
        self.generator = build_generator(config)
        self.discriminator = MultiscaleDiscriminator(
            2 * (config.condition_channels + 3), width=config.discriminator_width, num_scales=config.num_scales
        )
        self.optimizers = {
            "generator": adam(self.generating_parameters(), config.lr),
            "discriminator": adam(self.discriminator.parameters(), config.lr),
        }
        self.vgg = PretrainedVGG(config.vgg)

    @classmethod
    def open_samples(cls, config: Stage.Config, dataset: Dataset, split: Split) -> Samples:
        assert isinstance(config, cls.Config) and isinstance(dataset, ClipDataset)
        settings = FramePairSettings(
            true_feature_share=config.true_feature_share,
            recolored=config.recolored,
            num_recolorings=config.recolorings,
            colors_per_pair=config.colors_per_pair,
            rollout_len=config.train_rollout_len,
            appearance=config.appearance,
            unchanged_share=config.unchanged_share,
            epoch_size=config.epoch_size,
            seed=config.seed,
        )
        return FramePairs(
            dataset,
            split,
            settings,
            latent_dim=config.upper_latent_dim + config.lower_latent_dim,
            with_start=config.v0 == "content",
        )

    def generating_parameters(self) -> list[nn.Parameter]:
        """Parameters of the generator's optimizer."""
        return list(self.generator.parameters())

    def compiled_networks(self) -> list[nn.Module]:
        return [self.generator, self.discriminator]

    def check_size(self, size: tuple[int, int]) -> None:
        self.generator.check_size(size)
        if self.restorer is not None:
            self.restorer.check_size(size)

    def leave_untrained(self) -> None:
        self.vgg.leave_untrained()

    def take_over(self, name: str, trained: Stage) -> None:
        assert self.restorer is not None and isinstance(trained, FeatureRestoration)
        self.restorer.load_state_dict(trained.restorer.state_dict())

    def lr_factor(self, epoch: int) -> float:
        if not self.config.decay_epochs:
            return 1.0
        constant = self.config.num_epochs - self.config.decay_epochs
        return 1.0 - max(0, epoch - constant) / self.config.decay_epochs

    def encode(self, image: Tensor, noise: Tensor | None = None) -> Tensor:
        """Return the colour code (N, Z) of an image (N, 3, H, W), upper before lower: μ, or a sample with `noise`."""
        codes = [self.encoders[region](image) for region in REGIONS]
        mean, logvar = (torch.cat(parts, dim=1) for parts in zip(*codes, strict=True))  # (N, Z), (N, Z)
        return mean if noise is None else reparameterize(mean, logvar, noise)

    @abstractmethod
    def codes(self, batch: Batch) -> Tensor:
        """Return the codes (N, Z) that a training step generates with."""

    @torch.no_grad()
    def restore(self, features: Tensor, support: Tensor) -> Tensor:
        """Complete estimated feature maps (N, 4, H, W) where their parts' support (N, 1, H, W) leaves holes."""
        return features if self.restorer is None else self.restorer(features, support)

    def conditions(self, batch: Batch) -> Tensor:
        """Return the generator's conditions, (N, T, F, H, W): true feature maps, or estimated and restored ones, and,
        if the configuration has it, the content frame's appearance, behind where it is kept if it is layered."""
        features = batch["features"]
        if self.restorer is not None:
            restored = self.restore(features.flatten(0, 1), batch["support"].flatten(0, 1)).view_as(features)
            features = torch.where(batch["estimated"].view(-1, 1, 1, 1, 1), restored, features)
        shown = [batch["appearance"]] if self.config.appearance != "none" else []
        kept = [2 * batch["kept"] - 1] if self.config.appearance == "layered" else []
        return torch.cat([features, *kept, *shown], dim=2)

    def other_conditions(self, batch: Batch) -> Tensor:
        """Return the conditions as `conditions` for codes of other colours: no garment is kept."""
        return self.conditions(batch | {"kept": torch.zeros_like(batch["kept"])} if "kept" in batch else batch)

    def roll_out(self, features: Tensor, z: Tensor, regions: Tensor, start: Tensor) -> Tensor:
        """Generate T frames (N, T, 3, H, W), each from its feature map and the frame before; the first from `start`."""
        previous = start
        frames = []
        for t in range(features.shape[1]):
            previous = self.generator(features[:, t], previous, z, regions[:, t])  # (N, 3, H, W)
            frames.append(previous)
        return torch.stack(frames, dim=1)

    def generate_pair(self, batch: Batch, features: Tensor, z: Tensor) -> Tensor:
        """Generate the two frames (N, 2, 3, H, W) of a batch, after those that lead up to them.

        Args: see `lead_up`.
        """
        return self.roll_out(features[:, -2:], z, batch["regions"][:, -2:], self.lead_up(batch, features, z))

    @torch.no_grad()
    def lead_up(self, batch: Batch, features: Tensor, z: Tensor) -> Tensor:
        """Generate what comes before the pair of a batch: the frame (N, 3, H, W) that it goes on from.

        Args:
            batch: As `FramePairs` loads it.
            features: (N, T, F, H, W), see `conditions`.
            z: (N, Z).
        """
        regions, previous = batch["regions"], self.start_of(batch)
        max_lead = features.shape[1] - 2
        for t in range(max_lead):
            begun = (batch["lead"] >= max_lead - t).view(-1, 1, 1, 1)  # (N, 1, 1, 1)
            previous = torch.where(begun, self.generator(features[:, t], previous, z, regions[:, t]), previous)
        return previous

    def start_of(self, batch: Batch) -> Tensor:
        """v0 (N, 3, H, W), from which the first frames of a batch are generated."""
        return batch["start"] if self.config.v0 == "content" else torch.full_like(batch["content"], -1.0)

    def step(self, batch: Batch) -> Losses:
        config = self.config
        real, features = batch["images"], self.conditions(batch)  # (N, 2, 3, H, W), (N, T, F, H, W)
        z = self.codes(batch)  # (N, Z)
        fake = self.generate_pair(batch, features, z)  # (N, 2, 3, H, W)
        features, regions = features[:, -2:], batch["regions"][:, -2:]
        fake_scores = self.discriminate(features, fake)
        real_scores = self.discriminate(features, real)
        losses = {"gan": config.lambda_gan * lsgan(last(fake_scores), real=True)}
        if config.lambda_fm:
            losses["fm"] = config.lambda_fm * feature_matching(fake_scores, real_scores)
        if config.lambda_vgg:
            losses["vgg"] = config.lambda_vgg * perceptual(
                self.vgg(fake.device), fake.flatten(0, 1), real.flatten(0, 1)
            )
        if config.lambda_l1:
            garments = regions.amax(dim=2, keepdim=True)  # (N, 2, 1, H, W)
            weight = 1 + (config.region_weight - 1) * garments
            losses["l1"] = config.lambda_l1 * (weight * (fake - real).abs()).mean()
        if config.lambda_contrast:
            # Colourings of one pair lie side by side: all but the garments is the same.
            losses["contrast"] = config.lambda_contrast * F.l1_loss(fake[0::2] - fake[1::2], real[0::2] - real[1::2])
        self.update("generator", sum_losses(losses), retain_graph=True)
        # The discriminator has not moved: its scores of both still hold.
        losses["discriminator"] = 0.5 * (lsgan(last(fake_scores), real=False) + lsgan(last(real_scores), real=True))
        self.update("discriminator", losses["discriminator"])
        return detached(losses)

    def discriminate(self, features: Tensor, images: Tensor) -> list[list[Tensor]]:
        """Return the discriminator's activations for pairs (N, 2, ·, H, W): conditions first, then frames."""
        return self.discriminator(torch.cat([features.flatten(1, 2), images.flatten(1, 2)], dim=1))

    @torch.no_grad()
    def evaluate(self, batch: Batch) -> Metrics:
        """Error of the second frame, and the mean change of the picture when two clips swap their codes."""
        features, real = self.conditions(batch), batch["images"]
        z = self.encode(batch["content"])
        other, asked = z.roll(1, dims=0), self.other_conditions(batch)
        fake = self.generate_pair(batch, features, z)
        start = self.lead_up(batch, asked, other)
        recolored = self.roll_out(asked[:, -2:-1], other, batch["regions"][:, -2:-1], start)
        return {
            "l1": F.l1_loss(fake[:, 1], real[:, 1]).item(),
            "psnr": psnr(to_unit_range(fake[:, 1]), to_unit_range(real[:, 1])).mean().item(),
            "sensitivity": (recolored[:, 0] - fake[:, 0]).abs().mean().item(),
        }

    @torch.no_grad()
    def preview(self, batch: Batch) -> Pictures:
        """Rows: content, target pose, target, generated, and generated with the next sample's colours."""
        features, real = self.conditions(batch), batch["images"]
        z = self.encode(batch["content"])
        fake = self.generate_pair(batch, features, z)[:, 1]
        recolored = self.generate_pair(batch, self.other_conditions(batch), z.roll(1, dims=0))[:, 1]
        rows = [batch["content"], features[:, -1, :3], real[:, 1], fake, recolored]
        titles = ["content", "pose", "target", "generated", "next one's colours"]
        return {"generated": titled_grid([[to_image(image) for image in row] for row in rows], titles)}


def build_generator(config: VideoStage.Config) -> GlobalGenerator | LocalEnhancer | Compositor:
    """Return the generator that a configuration asks for: feature map, what is shown beside it and the last frame in,
    a frame out; one that sees an appearance draws over it."""
    shared: dict[str, Any] = {
        "in_channels": config.condition_channels + 3,
        "out_channels": 3 if config.appearance == "none" else 4,
        "latent_dims": (config.upper_latent_dim, config.lower_latent_dim),
        "size": GeneratorSize(
            width=config.generator_width,
            num_downs=config.num_downs,
            num_blocks=config.num_blocks,
            num_local_blocks=config.num_local_blocks,
        ),
        "z_inject": config.z_inject,
        "checkpoint_activations": config.checkpoint_activations,
    }
    generator = GlobalGenerator(**shared) if config.generator == "global" else LocalEnhancer(**shared)
    return generator if config.appearance == "none" else Compositor(generator, keeps=config.appearance == "layered")


def to_unit_range(images: Tensor) -> Tensor:
    """[-1, 1] to [0, 1]."""
    return (images.clamp(-1, 1) + 1) / 2
