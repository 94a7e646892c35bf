"""The refiner: corrects where the pixels of a layered person come from, and repairs seams, holes and light."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.optim import AdamW

from posegen.datasets.dataset import Dataset, Split
from posegen.datasets.refinement import RefinementDataset
from posegen.errors import ConfigError
from posegen.features.refiner_inputs import POSE_NUMBERS, REFINER_CHANNELS
from posegen.io.images import titled_grid
from posegen.losses import gradient_difference, lab_colors, weighted_mean
from posegen.metrics.image import psnr
from posegen.networks.recomposition import Composition, Recomposed, recompose
from posegen.networks.refiner import Refinement, RefinerNetwork
from posegen.samples import Batch, RefinementPairs, RefinementSettings, Samples, fixed_batch, to_image
from posegen.stages.optimization import Losses, detached, sum_losses
from posegen.stages.stage import Metrics, Pictures, Requirement, Stage

_FARTHEST = 0.3  # lengths of the trunk: pixels that are farther off are of another part
_SURE = 0.02  # of an opacity, at both ends of its cross entropy
_SHOWN = 128  # pairs of the validation


class Refiner(Stage):
    """Learns to repair frames of an animated photo (seams, holes, light) from pairs of pictures of a person.

    The true correspondence of each pair is known.

    The losses are those that a few cores can pay: colours in CIELAB, their gradients, the endpoint error of where
    pixels come from, and the cross entropy of the person's opacity.
    """

    name = "refiner"
    reads = RefinementDataset
    requires: ClassVar = {"start": Requirement(stage="refiner", agree={"width": "width"}, optional=True)}
    objectives: ClassVar = {"gain": "val/gain", "near_l1": "val/near_l1", "epe": "val/epe"}

    @dataclass(frozen=True, kw_only=True)
    class Config(Stage.Config):
        """Settings of the refiner."""

        start: str = ""
        """Run of this stage whose weights training begins with; by default it begins with no change."""
        num_epochs: int = 40
        """Passes over the data."""
        epoch_size: int = 2000
        """Crops in an epoch; 0 takes one of every pair."""
        batch_size: int = 8
        """Crops in a step, over all workers together."""
        lr: float = 1e-3
        """Highest learning rate of AdamW, which falls along half a cosine."""
        weight_decay: float = 0.01
        """Decay of the weights."""
        width: int = 28
        """Channels of the network's first level."""
        crop_height: int = 128
        """Height of the crops in pixels, a multiple of 64; they are three quarters as wide."""
        lambda_lab: float = 1.0
        """Weight of the colours: mean absolute difference in CIELAB, in units of 100."""
        lambda_gradient: float = 0.5
        """Weight of the colours' gradients."""
        lambda_flow: float = 1.0
        """Weight of the endpoint error, in lengths of the trunk."""
        lambda_opacity: float = 0.1
        """Weight of the opacity's cross entropy."""
        lambda_smoothness: float = 0.2
        """Weight of the gradients of the correction, in lengths of the trunk a pixel."""

        def __post_init__(self) -> None:
            super().__post_init__()
            if self.crop_height < 64 or self.crop_height % 64:
                raise ConfigError(f"crop_height must be a multiple of 64, got {self.crop_height}")

        @property
        def crop(self) -> tuple[int, int]:
            """Height and width of a crop."""
            return self.crop_height, self.crop_height * 3 // 4

    config: Refiner.Config

    def __init__(self, config: Config):
        super().__init__(config)
        self.network = RefinerNetwork(REFINER_CHANNELS, POSE_NUMBERS, config.width)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizers = {
            "network": AdamW(self.network.parameters(), lr=config.lr, weight_decay=config.weight_decay, fused=True)
        }

    @classmethod
    def open_samples(cls, config: Stage.Config, dataset: Dataset, split: Split) -> Samples:
        """Crops with varied colours for training, and whole pictures."""
        assert isinstance(config, cls.Config) and isinstance(dataset, RefinementDataset)
        training = split == "train"
        settings = RefinementSettings(
            crop=config.crop if training else (0, 0),
            disturbed=training,
            epoch_size=config.epoch_size if training else 0,
            seed=config.seed,
        )
        return RefinementPairs(dataset, split, settings)

    def take_over(self, name: str, trained: Stage) -> None:
        assert isinstance(trained, Refiner)
        self.network.load_state_dict(trained.network.state_dict())

    def lr_factor(self, epoch: int) -> float:
        return 0.02 + 0.98 * 0.5 * (1 + float(np.cos(np.pi * epoch / self.config.num_epochs)))

    def refine(self, batch: Batch) -> tuple[Recomposed, Refinement]:
        """Refine the composed pictures of a batch, see `posegen.samples.composition_arrays`."""
        change = self.network(batch["inputs"].contiguous(memory_format=torch.channels_last), batch["pose"])
        return recompose(composition_of(batch), change), change

    def step(self, batch: Batch) -> Losses:
        config = self.config
        refined, change = self.refine(batch)
        weights = _weights(batch)  # (N, 1, H, W)
        losses = {
            "lab": config.lambda_lab
            * weighted_mean((lab_colors(refined.image) - lab_colors(batch["target"])).abs(), weights),
            "gradient": config.lambda_gradient * gradient_difference(refined.image, batch["target"], weights),
        }
        if config.lambda_flow:
            losses["flow"] = config.lambda_flow * weighted_mean(_distances(refined.positions, batch), _known(batch))
        if config.lambda_opacity:
            probability = _SURE + (1 - 2 * _SURE) * refined.opacity
            entropy = F.binary_cross_entropy(probability, batch["mask"], reduction="none")
            losses["opacity"] = config.lambda_opacity * weighted_mean(entropy, batch["near"])
        if config.lambda_smoothness:
            still = torch.zeros_like(change.shift)
            losses["smoothness"] = config.lambda_smoothness * gradient_difference(change.shift, still, batch["near"])
        self.update("network", sum_losses(losses))
        return detached(losses)

    @torch.no_grad()
    def evaluate(self, batch: Batch) -> Metrics:
        """PSNR of the refined pictures."""
        refined, _ = self.refine(batch)
        return {"psnr": psnr(refined.image, batch["target"]).mean().item()}

    @torch.no_grad()
    def validate(self, data: Dataset, split: Split) -> Metrics:
        """Compare with the layers alone on up to 128 whole pictures of a split.

        ``near_l1`` is the mean absolute difference of colours in [0, 1] where the person is or is shown; ``epe`` the
        mean distance in pixels from where the source has what the target shows, where it is visible and not of another
        part; ``opacity_error`` the mean absolute difference of the opacity near the person; each with that of the
        layers. ``gain`` is the share of the layers' ``near_l1`` that is taken away.
        """
        samples = self.open_samples(self.config, data, split)
        assert isinstance(samples, RefinementPairs)
        sums: dict[str, Tensor] = {}
        device = next(self.network.parameters()).device
        for loaded in fixed_batch(samples, _SHOWN, 1):
            batch = {name: tensor.to(device) for name, tensor in loaded.items()}
            refined, _ = self.refine(batch)
            weights, known, near = _weights(batch), _known(batch), batch["near"]
            for suffix, image, positions, opacity in (
                ("", refined.image, refined.positions, refined.opacity),
                ("_layers", batch["composed"], batch["positions"], batch["opacity"]),
            ):
                for name, values, where in (
                    ("near_l1", (image - batch["target"]).abs().mean(dim=1, keepdim=True), weights),
                    ("epe", _distances(positions, batch) * batch["trunk"][:, None, None, None], known),
                    ("opacity_error", (opacity - batch["mask"]).abs(), near),
                ):
                    both = torch.stack([(values * where).sum(), where.sum()]).double().cpu()
                    sums[name + suffix] = sums.get(name + suffix, torch.zeros(2, dtype=torch.float64)) + both
        means = {name: (total / count.clamp(min=1)).item() for name, (total, count) in sums.items()}
        return {**means, "gain": 1 - means["near_l1"] / max(means["near_l1_layers"], 1e-9)}

    @torch.no_grad()
    def preview(self, batch: Batch) -> Pictures:
        """Rows: the source, the layers, the refined pictures and the targets."""
        refined, _ = self.refine(batch)
        height, width = batch["target"].shape[-2:]
        rows = [batch["source"][..., :height, :width], batch["composed"], refined.image, batch["target"]]
        titles = ["source", "layers", "refined", "target"]
        return {"refined": titled_grid([[to_image(2 * image - 1) for image in row] for row in rows], titles)}


def composition_of(batch: Batch) -> Composition:
    """Return the composition of the pictures of a batch."""
    return Composition(**{name: batch[name] for name in Composition._fields})


def _weights(batch: Batch) -> Tensor:
    """1 where the person is, is shown, or can be; (N, 1, H, W)."""
    return torch.maximum(batch["near"], (batch["mask"] > 0).float())


def _distances(positions: Tensor, batch: Batch) -> Tensor:
    """Measure the distance of positions from the true ones, in lengths of the trunk: (N, 1, H, W)."""
    off = (positions - batch["truth"]) / batch["trunk"][:, None, None, None]
    return torch.sqrt((off * off).sum(dim=1, keepdim=True) + 1e-8)


def _known(batch: Batch) -> Tensor:
    """1 where the true place in the source is known, and the layers show something not far from it; (N, 1, H, W)."""
    near = _distances(batch["positions"], batch) < _FARTHEST
    return batch["known"] * batch["sure"] * batch["near"] * near


_POSEGEN = Refiner.Config()
Refiner.presets = {
    "posegen": _POSEGEN,
    "small": replace(_POSEGEN, num_epochs=10, epoch_size=1600, width=16, lr=2e-3),
    "tiny": replace(_POSEGEN, num_epochs=2, epoch_size=0, batch_size=2, width=8, crop_height=64),
}
