"""The baseline that transfers a pose frame by frame: Deformable GAN (Siarohin et al., 2018, arXiv:1801.00055)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from posegen.datasets.clips import ClipDataset
from posegen.datasets.dataset import Dataset, Split
from posegen.errors import ConfigError
from posegen.features.stick_figure import rasterize_stick_figure
from posegen.io.images import titled_grid
from posegen.losses import log_loss, nearest_neighbor
from posegen.metrics.image import psnr, ssim
from posegen.networks.deformable_gan import DeformableGenerator, PairDiscriminator, heat_maps
from posegen.networks.vgg import PretrainedVGG
from posegen.samples import Batch, PosePairs, Samples, to_image, transfer_inputs
from posegen.stages.optimization import Losses, adam, detached, sum_losses
from posegen.stages.pose_transfer_stage import PoseTransferStage
from posegen.stages.stage import Metrics, Pictures, Stage


class DeformableGAN(PoseTransferStage):
    """Learns to render the person of one frame in another pose, from clips: a baseline without colour codes.

    It is the baseline of Table 1 of Yang et al. (2020).

    It has no colour code and no memory of the frame before. The generator's objective is that of Siarohin et
    al. (Section 3.3): adversarial, and nearest-neighbour in the features of a frozen VGG.
    """

    name = "deformable_gan"
    objectives: ClassVar = {"ssim": "val/ssim", "psnr": "val/psnr", "l1": "val/l1"}

    @dataclass(frozen=True, kw_only=True)
    class Config(Stage.Config):
        """Settings of Deformable GAN."""

        num_epochs: int = 90
        """Epochs of `epoch_size` pairs."""
        epoch_size: int = 4000
        """Pairs in an epoch, 1000 steps of the published code; 0 takes every frame once."""
        decay_epochs: int = 0
        """Epochs at the end over which the learning rate falls linearly."""
        width: int = 64
        """Channels of the generator's first layer."""
        num_levels: int = 7
        """Resolutions of the generator; height and width must be multiples of 2^(num_levels - 1)."""
        dropout: float = 0.5
        """Share of activations that the inner levels of the decoder drop in training."""
        discriminator_width: int = 64
        """Channels of the discriminator's first layer."""
        lambda_gan: float = 1.0
        """Weight of the adversarial loss."""
        lambda_nn: float = 0.01
        """Weight of the nearest-neighbour loss; the paper's is for the original VGG's features of grey levels."""
        nn_window: int = 5
        """Height and width of the window in which the nearest features are looked for; 3 for small images."""
        vgg: Literal["vgg19", "vgg16-hed", "vgg16-stlpips"] = "vgg19"
        """Network of the nearest-neighbour loss; vgg19 is the paper's, the others come from PyPI."""
        lambda_l1: float = 0.0
        """Weight of the plain pixel difference, of which the paper's full method has none."""
        change_weight: float = 0.0
        """Additional weight of a pixel within the pixel difference, per difference between source and target."""

        def __post_init__(self) -> None:
            super().__post_init__()
            if self.nn_window < 1 or self.nn_window % 2 == 0:
                raise ConfigError(f"nn_window must be odd and at least 1, got {self.nn_window}")

    config: DeformableGAN.Config

    def __init__(self, config: Config):
        super().__init__(config)
        self.generator = DeformableGenerator(config.width, config.num_levels, config.dropout)
        self.discriminator = PairDiscriminator(config.discriminator_width)
        self.optimizers = {
            "generator": adam(self.generator.parameters(), config.lr),
            "discriminator": adam(self.discriminator.parameters(), config.lr),
        }
        self.vgg = PretrainedVGG(config.vgg)

    @classmethod
    def open_samples(cls, config: Stage.Config, dataset: Dataset, split: Split) -> Samples:
        assert isinstance(dataset, ClipDataset)
        return PosePairs(dataset, split, epoch_size=config.epoch_size, seed=config.seed)

    def check_size(self, size: tuple[int, int]) -> None:
        self.generator.check_size(size)
        self.discriminator.check_size(size)

    def leave_untrained(self) -> None:
        self.vgg.leave_untrained()

    def lr_factor(self, epoch: int) -> float:
        constant = self.config.num_epochs - self.config.decay_epochs
        return 1.0 - max(0, epoch - constant) / max(self.config.decay_epochs, 1)

    def generate(self, batch: Batch) -> Tensor:
        """Draw the sources of a batch (the keys of `transfer_inputs`) in their target poses, (N, 3, H, W)."""
        poses = _heat_maps(batch)  # 2 × (N, 18, H, W)
        return self.generator(batch["source"], *poses, batch["affines"], batch["masks"])

    def step(self, batch: Batch) -> Losses:
        config = self.config
        fake, real = self.generate(batch), batch["target"]  # (N, 3, H, W), (N, 3, H, W)
        fake_score, real_score = self.discriminate(batch, fake), self.discriminate(batch, real)  # (N, P), (N, P)
        losses = {"gan": config.lambda_gan * log_loss(fake_score)}
        if config.lambda_nn:
            losses["nn"] = config.lambda_nn * self.nearest_neighbor(fake, real)
        if config.lambda_l1:
            change = (batch["source"] - real).abs().mean(dim=1, keepdim=True)  # (N, 1, H, W), in [0, 2]
            weight = 1 + config.change_weight * change
            losses["l1"] = config.lambda_l1 * (weight * (fake - real).abs()).mean()
        self.update("generator", sum_losses(losses), retain_graph=True)
        # The discriminator has not moved: its scores of both still hold.
        losses["discriminator"] = log_loss(real_score) + log_loss(1 - fake_score)
        self.update("discriminator", losses["discriminator"])
        return detached(losses)

    def discriminate(self, batch: Batch, images: Tensor) -> Tensor:
        """Return the probabilities (N, P) that the discriminator gives images for the targets of a batch."""
        pose, target_pose = _heat_maps(batch)  # (N, 18, H, W), (N, 18, H, W)
        return self.discriminator(batch["source"], pose, images, target_pose)

    def nearest_neighbor(self, fake: Tensor, real: Tensor) -> Tensor:
        """Return the nearest-neighbour loss of images (N, 3, H, W) in VGG's block1_conv2."""
        fine = self.vgg(fake.device).relu1_2
        with torch.no_grad():
            target = fine(real)  # (N, 64, H, W)
        return nearest_neighbor(fine(fake), target, self.config.nn_window)

    @torch.no_grad()
    def evaluate(self, batch: Batch) -> Metrics:
        """Mean difference in [-1, 1], SSIM and PSNR of the generated frames."""
        fake, real = self.generate(batch), batch["target"]
        unit = ((fake + 1) / 2, (real + 1) / 2)
        return {
            "l1": F.l1_loss(fake, real).item(),
            "ssim": ssim(*unit).mean().item(),
            "psnr": psnr(*unit).mean().item(),
        }

    @torch.no_grad()
    def preview(self, batch: Batch) -> Pictures:
        """Rows: source, target pose, target, generated."""
        height, width = batch["source"].shape[-2:]
        figures = [rasterize_stick_figure(pose, (height, width)) for pose in batch["target_pose"].cpu().numpy()]
        source, target, fake = (
            [to_image(image) for image in images] for images in (batch["source"], batch["target"], self.generate(batch))
        )
        titles = ["source", "target pose", "target", "generated"]
        return {"generated": titled_grid([source, figures, target, fake], titles)}

    @torch.no_grad()
    def render(self, image: np.ndarray, keypoints: np.ndarray, poses: Iterable[np.ndarray]) -> Iterator[Tensor]:
        device = next(self.generator.parameters()).device
        for pose in poses:
            inputs = transfer_inputs(image, keypoints, pose)
            yield self.generate({name: torch.from_numpy(array)[None].to(device) for name, array in inputs.items()})[0]


def _heat_maps(batch: Batch) -> tuple[Tensor, Tensor]:
    size = batch["source"].shape[-2:]
    return heat_maps(batch["source_pose"], size), heat_maps(batch["target_pose"], size)


# A few hundred steps must do: plain differences lead, and the discriminator only sharpens.
_TINY = DeformableGAN.Config(
    num_epochs=7,
    epoch_size=256,
    batch_size=2,
    lr=2e-3,
    decay_epochs=6,
    width=16,
    num_levels=5,
    dropout=0.0,
    discriminator_width=16,
    lambda_gan=0.02,
    lambda_nn=0.0,
    lambda_l1=20.0,
    change_weight=5.0,
)
DeformableGAN.presets = {
    "paper": DeformableGAN.Config(),
    "tiny": _TINY,
    "small": replace(_TINY, epoch_size=1024),  # for several people in several rooms
    "medium": replace(_TINY, epoch_size=512),  # the same in larger frames
}
