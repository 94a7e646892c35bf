"""The stage between I and II: a network that mends estimated feature maps (Section 2.3)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from posegen.datasets.clips import ClipDataset
from posegen.datasets.dataset import Dataset, Split
from posegen.errors import ConfigError
from posegen.io.images import titled_grid
from posegen.losses import feature_matching, last, lsgan
from posegen.networks.pix2pixhd import MultiscaleDiscriminator
from posegen.networks.restoration import FeatureRestorer
from posegen.samples import Batch, Samples, WarpedMaps, WarpedMapSettings, to_image
from posegen.stages.optimization import Losses, adam, detached, sum_losses
from posegen.stages.stage import Metrics, Pictures, Stage


class FeatureRestoration(Stage):
    """Learns to repair edges in feature maps that were moved to another pose, from clips (a GAN).

    The discriminator sees edges with the stick figure that they belong to. Edges are sparse, and a plain difference
    would blur them into nothing: feature matching (Wang et al., 2018, Section 3.2) and a weight on holes hold
    against it. Neither sees colours, so the restorer serves every colour code.
    """

    name = "feature_restoration"
    objectives: ClassVar = {"hole_l1": "val/hole_l1", "l1": "val/l1"}

    @dataclass(frozen=True, kw_only=True)
    class Config(Stage.Config):
        """Settings of the restorer."""

        num_epochs: int = 20
        """Passes over the data."""
        batch_size: int = 8
        """Pairs of frames in a step, over all workers together."""
        decay_epochs: int = 0
        """Epochs at the end over which the learning rate falls linearly."""
        width: int = 32
        """Channels of the restorer's first layer."""
        num_blocks: int = 6
        """Residual blocks of the restorer."""
        discriminator_width: int = 32
        """Channels of the discriminator's first layer."""
        num_scales: int = 2
        """Scales of the discriminator, each half the size of the one before."""
        lambda_gan: float = 1.0
        """Weight of the adversarial loss."""
        lambda_fm: float = 10.0
        """Weight of the discriminator's feature matching."""
        lambda_l1: float = 100.0
        """Weight of the plain difference of edges, which are in [0, 1]."""
        hole_weight: float = 5.0
        """Weight of the pixels within the difference that the warp left open, where others have 1."""
        identity_share: float = 0.1
        """Share of the training pairs that are the same frame twice, whose map is whole but for the cuts."""
        disturbed_share: float = 0.5
        """Share of the other training pairs whose parts are dropped and misplaced."""
        part_drop: float = 0.05
        """Probability of a part to be missing from a disturbed pair."""
        part_jitter: float = 2.0
        """Largest distance in pixels by which a part of a disturbed pair is misplaced along each axis."""

        def __post_init__(self) -> None:
            super().__post_init__()
            for field in ("identity_share", "disturbed_share", "part_drop"):
                if not 0 <= getattr(self, field) <= 1:
                    raise ConfigError(f"{field} must be in [0, 1], got {getattr(self, field)}")
            if self.part_jitter < 0:
                raise ConfigError(f"part_jitter must be 0 or more pixels, got {self.part_jitter}")

    config: FeatureRestoration.Config

    def __init__(self, config: Config):
        super().__init__(config)
        self.restorer = FeatureRestorer(config.width, config.num_blocks)
        self.discriminator = MultiscaleDiscriminator(
            3 + 1, width=config.discriminator_width, num_scales=config.num_scales
        )
        self.optimizers = {
            "restorer": adam(self.restorer.parameters(), config.lr),
            "discriminator": adam(self.discriminator.parameters(), config.lr),
        }

    @classmethod
    def open_samples(cls, config: Stage.Config, dataset: Dataset, split: Split) -> Samples:
        """Pairs of two frames; those for training are disturbed."""
        assert isinstance(config, cls.Config) and isinstance(dataset, ClipDataset)
        trains = split == "train"
        settings = WarpedMapSettings(
            identity_share=config.identity_share if trains else 0.0,
            disturbed_share=config.disturbed_share if trains else 0.0,
            part_drop=config.part_drop,
            part_jitter=config.part_jitter,
            epoch_size=config.epoch_size,
            seed=config.seed,
        )
        return WarpedMaps(dataset, split, settings)

    def check_size(self, size: tuple[int, int]) -> None:
        self.restorer.check_size(size)

    def lr_factor(self, epoch: int) -> float:
        constant = self.config.num_epochs - self.config.decay_epochs
        return 1.0 - max(0, epoch - constant) / max(self.config.decay_epochs, 1)

    def step(self, batch: Batch) -> Losses:
        config = self.config
        warped, target = batch["warped"], batch["target"]  # (N, 4, H, W), (N, 4, H, W)
        restored = self.restorer(warped, batch["support"])  # (N, 4, H, W)
        fake_scores, real_scores = self.discriminator(restored), self.discriminator(target)
        weight = 1 + (config.hole_weight - 1) * batch["hole"]  # (N, 1, H, W)
        losses = {
            "gan": config.lambda_gan * lsgan(last(fake_scores), real=True),
            "fm": config.lambda_fm * feature_matching(fake_scores, real_scores),
            "l1": config.lambda_l1 * (weight * edge_error(restored, target)).mean(),
        }
        self.update("restorer", sum_losses(losses), retain_graph=True)
        # The discriminator has not moved: its scores of both still hold.
        losses["discriminator"] = 0.5 * (lsgan(last(fake_scores), real=False) + lsgan(last(real_scores), real=True))
        self.update("discriminator", losses["discriminator"])
        return detached(losses)

    @torch.no_grad()
    def evaluate(self, batch: Batch) -> Metrics:
        """Mean error of the edges, in [0, 1], after and before restoration: over the whole map and over holes."""
        restored = self.restorer(batch["warped"], batch["support"])  # (N, 4, H, W)
        after, before = edge_error(restored, batch["target"]), edge_error(batch["warped"], batch["target"])
        hole = batch["hole"]  # (N, 1, H, W)
        hole_size = hole.sum().clamp(min=1)
        return {
            "l1": after.mean().item(),
            "l1_warped": before.mean().item(),
            "hole_l1": ((hole * after).sum() / hole_size).item(),
            "hole_l1_warped": ((hole * before).sum() / hole_size).item(),
        }

    @torch.no_grad()
    def preview(self, batch: Batch) -> Pictures:
        """Rows: edges as they were warped, restored, and true."""
        restored = self.restorer(batch["warped"], batch["support"])
        rows = [batch["warped"], restored, batch["target"]]
        pictures = [[to_image(image[3:].expand(3, -1, -1)) for image in row] for row in rows]
        return {"restored": titled_grid(pictures, ["edges, warped", "restored", "true"])}


def edge_error(maps: Tensor, target: Tensor) -> Tensor:
    """Absolute difference (N, 1, H, W) of the edges of two feature maps (N, 4, H, W) in [-1, 1], as if in [0, 1]."""
    return (maps[:, 3:] - target[:, 3:]).abs() / 2


# A few hundred steps must do, on maps a quarter of the paper's size: plain differences lead.
_TINY = FeatureRestoration.Config(
    num_epochs=8,
    epoch_size=192,
    batch_size=4,
    lr=5e-4,
    decay_epochs=5,
    width=16,
    discriminator_width=16,
    lambda_gan=0.1,
    lambda_fm=0.5,
    hole_weight=2.0,
    disturbed_share=0.1,
    part_drop=0.02,
    part_jitter=0.25,
)
FeatureRestoration.presets = {
    "paper": FeatureRestoration.Config(),
    "tiny": _TINY,
    "small": replace(_TINY, epoch_size=384),  # for several people in several rooms
    "medium": replace(_TINY, epoch_size=384),  # the same in larger frames
}
