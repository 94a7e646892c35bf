"""Stage I: an encoder of the colour of one garment (Section 3.1)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.autograd import grad
from torch.nn import functional as F

from posegen.datasets.clips import ClipDataset
from posegen.datasets.dataset import Dataset, Split
from posegen.errors import ConfigError
from posegen.io.images import titled_grid
from posegen.losses import kl_to_standard_normal, lsgan
from posegen.networks.bicyclegan import MultiscalePatchDiscriminator, ResNetEncoder, UNet
from posegen.networks.codebook import Codebook, reparameterize
from posegen.networks.initialization import init_xavier
from posegen.samples import Batch, ColoredFrames, ColoredFrameSettings, Samples, fixed_batch, to_image
from posegen.stages.optimization import Losses, adam, cut, detached, with_gradient
from posegen.stages.stage import Metrics, Pictures, Stage

_CODEBOOK_FRAMES = 512  # training frames that the codebook is fitted to
_SMALLEST = 48  # of its second scale, the last norm but one then sees 2 × 2 pixels


class ColorEncoder(Stage):
    """Learns a code for the colour of one garment from frames and their recoloured copies (stage I, BicycleGAN).

    Zhu et al., 2017, arXiv:1711.11586.

    The generator renders the recoloured frame from the feature map of the original and a code z = E(recoloured frame);
    since the feature map has no colour, the code must. The paper regresses the code on the reconstruction, so the
    generator runs once per step and there is no prior branch; ``latent_reg`` brings the original's back.
    """

    name = "color_encoder"
    objectives: ClassVar = {"l1": "val/l1", "sensitivity": "val/sensitivity"}

    @dataclass(frozen=True, kw_only=True)
    class Config(Stage.Config):
        """Settings of stage I."""

        renamed: ClassVar = {"color_augmentation": "recolored", "color_variants": "recolorings"}

        region: Literal["upper", "lower"] = "upper"
        """The garment whose colour is learned."""
        latent_dim: int = 0
        """Size of the code; 0 is the paper's 16 for the upper and 8 for the lower garment."""
        recolored: bool = True
        """Train on recoloured frames; off is the method without Section 3.1, whose codes do not control colour."""
        recolorings: int = 0
        """Recolourings of each frame to learn from; 0 takes all that the dataset has."""
        latent_reg: Literal["reconstruction", "random", "both"] = "reconstruction"
        """Source of the latent regression: the reconstruction (paper), a random sample (BicycleGAN), or both."""
        lambda_gan: float = 1.0
        """Weight of the adversarial loss on reconstructions."""
        lambda_gan_random: float = 1.0
        """Weight of the adversarial loss on random samples."""
        lambda_l1: float = 10.0
        """Weight of the reconstruction."""
        region_weight: float = 1.0
        """Weight of the garment's pixels within the reconstruction; above 1, less training teaches the colour."""
        lambda_kl: float = 0.01
        """Weight of the divergence of q(z | image) from N(0, I), summed over the batch as in BicycleGAN."""
        lambda_z: float = 0.5
        """Weight of the latent regression, which trains the generator alone."""
        decay_epochs: int = 100
        """Epochs at the end over which the learning rate falls linearly."""
        generator_width: int = 64
        """Channels of the U-Net's first layer."""
        num_downs: int = 7
        """Halvings of the U-Net: 7 is U-128; images must be multiples of 2 to this power."""
        encoder_width: int = 64
        """Channels of the encoder's first layer."""
        init_gain: float = 0.02
        """Gain of the initial weights. BicycleGAN's 0.02 makes the first codes nearly equal; 1 parts them at once."""
        discriminator_width: int = 64
        """Channels of the discriminator's first layer."""

        def __post_init__(self) -> None:
            super().__post_init__()
            if self.latent_reg != "reconstruction" and self.batch_size % 2:
                raise ConfigError(f"latent_reg {self.latent_reg!r} halves the batch: got batch_size {self.batch_size}")

        @property
        def samples_together(self) -> int:
            return 1 if self.latent_reg == "reconstruction" else 2

        def value_of(self, name: str) -> Any:
            return self.code_size if name == "latent_dim" else super().value_of(name)

        @property
        def code_size(self) -> int:
            """Z, with the paper's default filled in."""
            return self.latent_dim or {"upper": 16, "lower": 8}[self.region]

    config: ColorEncoder.Config

    def __init__(self, config: Config):
        super().__init__(config)
        z = config.code_size
        self.generator = UNet(4, 3, latent_dim=z, width=config.generator_width, num_downs=config.num_downs)
        self.encoder = ResNetEncoder(3, latent_dim=z, width=config.encoder_width)
        self.discriminator = MultiscalePatchDiscriminator(3, width=config.discriminator_width)
        for network in (self.generator, self.encoder):
            init_xavier(network, gain=config.init_gain)
        generative = [*self.generator.parameters(), *self.encoder.parameters()]
        self.optimizers = {
            "generator": adam(generative, config.lr),
            "discriminator": adam(self.discriminator.parameters(), config.lr),
        }
        if config.latent_reg != "reconstruction":
            self.prior_discriminator = MultiscalePatchDiscriminator(3, width=config.discriminator_width)
            self.optimizers["prior_discriminator"] = adam(self.prior_discriminator.parameters(), config.lr)
        self.codebook = Codebook(z)

    @classmethod
    def open_samples(cls, config: Stage.Config, dataset: Dataset, split: Split) -> Samples:
        assert isinstance(config, cls.Config) and isinstance(dataset, ClipDataset)
        settings = ColoredFrameSettings(
            recolored=config.recolored,
            num_recolorings=config.recolorings,
            epoch_size=config.epoch_size,
            seed=config.seed,
        )
        return ColoredFrames(dataset, split, settings, region=config.region, latent_dim=config.code_size)

    def compiled_networks(self) -> list[nn.Module]:
        prior = [self.prior_discriminator] if self.config.latent_reg != "reconstruction" else []
        return [self.generator, self.encoder, self.discriminator, *prior]

    def check_size(self, size: tuple[int, int]) -> None:
        self.generator.check_size(size)
        if min(size) < _SMALLEST:
            raise ConfigError(
                f"the discriminator needs {_SMALLEST} pixels or more on each side, got {size[0]}×{size[1]}"
            )

    def lr_factor(self, epoch: int) -> float:
        constant = self.config.num_epochs - self.config.decay_epochs
        return 1.0 - max(0, epoch + 1 - constant) / (self.config.decay_epochs + 1)

    def step(self, batch: Batch) -> Losses:
        if self.config.latent_reg == "reconstruction":
            return self._reconstruct(batch)
        return self._reconstruct_and_sample(batch)

    def _reconstruct(self, batch: Batch) -> Losses:
        """The paper's step: encode, generate, regress the code on what was generated."""
        real = batch["image"]
        mean, logvar = self.encoder(real)  # (N, Z), (N, Z)
        z = reparameterize(mean, logvar, batch["noise"][:, 0])  # (N, Z)
        code = cut(z)
        reconstructed = self.generator(batch["features"], code)  # (N, 3, H, W)
        picture = cut(reconstructed)
        scores = self.discriminator(picture)
        losses = self._reconstruction_losses(picture, scores, batch)
        latent = self._latent_l1(picture, code)
        losses["kl"] = self._kl(mean, logvar)
        taught = _teach(losses["gan"] + losses["l1"], latent, picture, reconstructed, code, z)
        self.update("generator", taught + losses["kl"])
        # The discriminator has not moved: its scores of the reconstruction still hold.
        losses["discriminator"] = lsgan(scores, real=False) + lsgan(self.discriminator(real), real=True)
        self.update("discriminator", losses["discriminator"])
        return detached({**losses, "latent": latent})

    def _reconstruct_and_sample(self, batch: Batch) -> Losses:
        """BicycleGAN's step: the first half of the batch is reconstructed, and generated again with a random code."""
        half = len(batch["image"]) // 2
        features, real = batch["features"][:half], batch["image"][:half]
        other = batch["image"][half:]  # real images for the discriminator of random samples
        noise, z_random = batch["noise"][:half, 0], batch["noise"][:half, 1]
        mean, logvar = self.encoder(real)  # (N/2, Z), (N/2, Z)
        z = reparameterize(mean, logvar, noise)  # (N/2, Z)
        code = cut(z)
        reconstructed = self.generator(features, code)  # (N/2, 3, H, W), cVAE-GAN
        sampled = self.generator(features, z_random)  # (N/2, 3, H, W), cLR-GAN
        picture, sample = cut(reconstructed), cut(sampled)
        scores, prior_scores = self.discriminator(picture), self.prior_discriminator(sample)
        losses = self._reconstruction_losses(picture, scores, batch)
        losses["gan_random"] = self.config.lambda_gan_random * lsgan(prior_scores, real=True)
        losses["kl"] = self._kl(mean, logvar)
        latent = self._latent_l1(sample, z_random)
        (of_sample,) = grad(losses["gan_random"] + latent, sample, retain_graph=True)
        again = self._latent_l1(picture, code) if self.config.latent_reg == "both" else None
        taught = _teach(losses["gan"] + losses["l1"], again, picture, reconstructed, code, z)
        self.update("generator", taught + with_gradient(sampled, of_sample) + losses["kl"])
        losses["discriminator"] = lsgan(scores, real=False) + lsgan(self.discriminator(real), real=True)
        self.update("discriminator", losses["discriminator"])
        losses["discriminator_random"] = lsgan(prior_scores, real=False) + lsgan(
            self.prior_discriminator(other), real=True
        )
        self.update("prior_discriminator", losses["discriminator_random"])
        return detached({**losses, "latent": latent if again is None else latent + again})

    def _reconstruction_losses(self, picture: Tensor, scores: list[Tensor], batch: Batch) -> Losses:
        """Compute the losses of a reconstruction that train generator and encoder together."""
        return {
            "gan": self.config.lambda_gan * lsgan(scores, real=True),
            "l1": self.config.lambda_l1 * self._l1(picture, batch),
        }

    def _latent_l1(self, picture: Tensor, z: Tensor) -> Tensor:
        """L1 distance between the encoder's code of a generated picture and the code (N, Z) that generated it."""
        return self.config.lambda_z * F.l1_loss(self.encoder(picture)[0], z.detach())

    def _l1(self, reconstructed: Tensor, batch: Batch) -> Tensor:
        """Mean error of the reconstructed samples, which are the first of the batch."""
        error = (reconstructed - batch["image"][: len(reconstructed)]).abs()  # (N, 3, H, W)
        if self.config.region_weight != 1:
            region = batch["region"][: len(reconstructed)]  # (N, 1, H, W)
            error = error * (1 + (self.config.region_weight - 1) * region)
        return error.mean()

    def _kl(self, mean: Tensor, logvar: Tensor) -> Tensor:
        """The divergence summed over the whole batch, of which this worker may hold a part."""
        halves = 1 if self.config.latent_reg == "reconstruction" else 2
        share = self.config.batch_size / (halves * len(mean))
        return self.config.lambda_kl * share * kl_to_standard_normal(mean, logvar)

    @torch.no_grad()
    def evaluate(self, batch: Batch) -> Metrics:
        """Reconstruction error, and how much of the picture the code decides.

        ``sensitivity`` is the mean change of the picture, in [-1, 1], when two frames swap their codes;
        ``active_units`` the dimensions of the code that vary (Burda et al., 2016, Section 5.2).
        """
        features, real = batch["features"], batch["image"]
        mean, logvar = self.encoder(real)
        reconstructed = self.generator(features, mean)
        swapped = self.generator(features, mean.roll(1, dims=0))
        return {
            "l1": F.l1_loss(reconstructed, real).item(),
            "kl": kl_to_standard_normal(mean, logvar).item() / len(mean),
            "sensitivity": (swapped - reconstructed).abs().mean().item(),
            "active_units": float((mean.var(0, unbiased=False) > 0.01).sum()),
        }

    @torch.no_grad()
    def preview(self, batch: Batch) -> Pictures:
        """Rows: the recoloured frames, their stick figures, their reconstructions, and these with swapped codes."""
        features, real = batch["features"], batch["image"]
        mean, _ = self.encoder(real)
        rows = [
            real,
            features[:, :3],
            self.generator(features, mean),
            self.generator(features, mean.roll(1, dims=0)),
        ]
        titles = ["recoloured frame", "pose", "reconstruction", "swapped codes"]
        return {"reconstruction": titled_grid([[to_image(image) for image in row] for row in rows], titles)}

    @torch.no_grad()
    def finish_epoch(self, samples: Samples) -> None:
        """Fit the codebook to the codes of training frames."""
        device = self.codebook.mean.device
        batches = fixed_batch(samples, _CODEBOOK_FRAMES, self.config.batch_size)
        codes = torch.cat([self.encoder(batch["image"].to(device))[0] for batch in batches])
        lab = torch.cat([torch.cat([batch["lightness"][:, None], batch["ab"]], dim=1) for batch in batches])
        self.codebook.fit(codes, lab.to(device))


def _teach(
    shared: Tensor, generator_only: Tensor | None, picture: Tensor, reconstructed: Tensor, code: Tensor, z: Tensor
) -> Tensor:
    """A loss with the gradients of `shared` for generator and encoder, and of the other for the generator alone.

    A second backward pass through the generator for the other loss would compute the gradients of its weights twice.
    Here the first pass only asks for the code's.

    Args:
        shared: Of `picture`; its graph is kept, for the discriminator learns from it as well.
        generator_only: Of `picture`, if there is one.
        picture: The `cut` of `reconstructed`.
        reconstructed: What the generator drew from `code`.
        code: The `cut` of z.
        z: What the encoder read.
    """
    (of_picture,) = grad(shared, picture, retain_graph=True)  # (N, 3, H, W)
    (of_code,) = grad(reconstructed, code, of_picture, retain_graph=True)  # (N, Z)
    if generator_only is not None:
        of_picture = of_picture + grad(generator_only, picture)[0]
    return with_gradient(reconstructed, of_picture) + with_gradient(z, of_code)


# A few hundred steps must do: the code is hardly held back, and the garment counts for more than the room.
_TINY = ColorEncoder.Config(
    num_epochs=3,
    epoch_size=512,
    batch_size=4,
    lr=1e-3,
    lambda_gan=0.1,
    lambda_gan_random=0.1,
    lambda_kl=1e-4,
    region_weight=30.0,
    init_gain=1.0,
    latent_dim=4,
    decay_epochs=3,
    generator_width=16,
    num_downs=5,
    encoder_width=16,
    discriminator_width=16,
)
ColorEncoder.presets = {
    "paper": ColorEncoder.Config(),
    "tiny": _TINY,
    "small": replace(_TINY, num_epochs=12, epoch_size=1024, decay_epochs=12),  # for several people in several rooms
    # The same in frames of four times the size.
    "medium": replace(_TINY, num_epochs=12, epoch_size=512, decay_epochs=12),
}
