"""The person parser: hair, skin, garments, shoes and carried things in a photo, from labelled photos."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.optim import AdamW

from posegen.datasets.dataset import Dataset, Split
from posegen.datasets.parsing import ParsingDataset
from posegen.errors import ConfigError
from posegen.features.parser_inputs import NO_LABEL
from posegen.io.images import titled_grid
from posegen.metrics.parsing import class_ious, count_pairs, painted_share
from posegen.networks.person_parser import PersonParserNetwork
from posegen.person_classes import CLASS_COLORS, PersonClass
from posegen.samples import Batch, ParsedPhotos, ParsedPhotoSettings, Samples, fixed_batch, to_image
from posegen.stages.optimization import Losses, detached, sum_losses
from posegen.stages.stage import Metrics, Pictures, Stage

_NUM_CLASSES = len(PersonClass)


class PersonParser(Stage):
    """Learns to tell hair, skin, each garment and shoes apart in a photo, from labelled photos.

    The weights that count are an average over the last steps (Polyak and Juditsky, 1992), which a few hundred photos
    make better and steadier than those of the last step.
    """

    name = "person_parser"
    reads = ParsingDataset
    objectives: ClassVar = {
        "garment_iou": "val/garment_iou",
        "mean_iou": "val/mean_iou",
        "upper_iou": "val/upper_iou",
        "lower_iou": "val/lower_iou",
    }

    @dataclass(frozen=True, kw_only=True)
    class Config(Stage.Config):
        """Settings of the parser."""

        num_epochs: int = 14
        """Passes over the data."""
        epoch_size: int = 2850
        """Samples in an epoch; 0 takes every photo once."""
        batch_size: int = 10
        """Photos in a step, over all workers together."""
        lr: float = 2.5e-3
        """Highest learning rate of AdamW, which rises to it and falls along half a cosine."""
        weight_decay: float = 0.02
        """Decay of the weights."""
        height: int = 256
        """Height of the crops in pixels, a multiple of 32; they are three quarters as wide."""
        half_share: float = 0.35
        """Share of the epochs, at the beginning, whose crops have half the size, which costs a quarter."""
        three_quarter_share: float = 0.45
        """Share of the epochs after them, whose crops have three quarters of the size; the last ones have all of it."""
        warmup_epochs: int = 1
        """Epochs in which the learning rate rises."""
        width: int = 24
        """Channels of the network's first layer."""
        average: float = 0.997
        """Share of the averaged weights that a step keeps, at most."""
        balance: float = 0.25
        """Weight of a class: its share of the pixels to the power of minus that."""
        lambda_dice: float = 0.5
        """Weight of one minus the soft Dice coefficient, the mean of all classes."""
        pose_drop: float = 0.05
        """Probability that a sample has neither joints nor a first guess."""
        recolored_share: float = 0.3
        """Probability that a garment of a sample gets another colour."""

        def __post_init__(self) -> None:
            super().__post_init__()
            for name in ("half_share", "three_quarter_share", "average", "pose_drop", "recolored_share"):
                if not 0 <= getattr(self, name) <= 1:
                    raise ConfigError(f"{name} must be in [0, 1], got {getattr(self, name)}")
            if self.height < 128 or self.height % 128:
                raise ConfigError(f"height must be a multiple of 128, got {self.height}")

        @property
        def size(self) -> tuple[int, int]:
            """Height and width of a crop."""
            return self.height, self.height * 3 // 4

    config: PersonParser.Config

    def __init__(self, config: Config):
        super().__init__(config)
        # Inputs alone have their channels last: what an optimizer remembers would be loaded in another order.
        self.network = PersonParserNetwork(config.width)
        self.averaged = deepcopy(self.network).requires_grad_(False)
        self.register_buffer("num_steps", torch.zeros((), dtype=torch.long))
        self.register_buffer("class_weights", torch.ones(_NUM_CLASSES))
        self.optimizers = {
            "network": AdamW(self.network.parameters(), lr=config.lr, weight_decay=config.weight_decay, fused=True)
        }

    @classmethod
    def open_samples(cls, config: Stage.Config, dataset: Dataset, split: Split) -> Samples:
        """Crops of photos; those for training are disturbed."""
        assert isinstance(config, cls.Config) and isinstance(dataset, ParsingDataset)
        return ParsedPhotos(dataset, split, cls._sample_settings(config, disturbed=split == "train"))

    @classmethod
    def _sample_settings(cls, config: Config, *, disturbed: bool) -> ParsedPhotoSettings:
        shares = config.half_share, config.half_share + config.three_quarter_share
        half, three_quarter = (round(share * config.num_epochs) for share in shares)
        return ParsedPhotoSettings(
            size=config.size,
            half_epochs=half,
            three_quarter_epochs=three_quarter - half,
            disturbed=disturbed,
            pose_drop=config.pose_drop,
            recolored_share=config.recolored_share,
            epoch_size=config.epoch_size,
            seed=config.seed,
        )

    def begin(self, samples: Samples) -> None:
        """Weigh the classes by how rare they are."""
        assert isinstance(samples, ParsedPhotos)
        pixels = np.sum([entry.pixels for entry in samples.entries], axis=0, dtype=np.float64)
        weights = np.maximum(pixels / pixels.sum(), 1e-4) ** -self.config.balance
        self.get_buffer("class_weights").copy_(torch.from_numpy(weights / weights.mean()))

    def lr_factor(self, epoch: int) -> float:
        warmup, total = self.config.warmup_epochs, self.config.num_epochs
        if epoch < warmup:
            return (epoch + 1) / (warmup + 1)
        share = (epoch - warmup) / max(total - warmup, 1)
        return 0.01 + 0.99 * 0.5 * (1 + float(np.cos(np.pi * share)))

    def step(self, batch: Batch) -> Losses:
        """Cross entropy and Dice loss, and a step of the averaged weights."""
        logits = self.network(batch["inputs"].contiguous(memory_format=torch.channels_last))  # (N, 8, H, W)
        labels = batch["labels"]  # (N, H, W)
        losses = {
            "cross_entropy": F.cross_entropy(logits, labels, self.get_buffer("class_weights"), ignore_index=NO_LABEL)
        }
        if self.config.lambda_dice > 0:
            # Every second pixel is enough for sums, and a quarter of the work.
            losses["dice"] = self.config.lambda_dice * dice_loss(logits[..., ::2, ::2], labels[..., ::2, ::2])
        self.update("network", sum_losses(losses))
        self._average()
        return detached(losses)

    @torch.no_grad()
    def _average(self) -> None:
        """Move the averaged weights, and the statistics of the norms, towards those of this step."""
        steps = self.get_buffer("num_steps")
        steps += 1
        keep = min(self.config.average, (1 + steps.item()) / (10 + steps.item()))
        for own, new in zip(self.averaged.state_dict().values(), self.network.state_dict().values(), strict=True):
            if own.is_floating_point():
                own.lerp_(new, 1 - keep)
            else:
                own.copy_(new)

    @torch.no_grad()
    def parse(self, inputs: Tensor) -> Tensor:
        """Score the classes with the averaged weights: (N, 24, H, W) to logits (N, 8, H, W)."""
        self.averaged.eval()
        return self.averaged(inputs.contiguous(memory_format=torch.channels_last))

    def shipped_weights(self) -> dict[str, Tensor]:
        """Return the averaged weights. Raises ConfigError for a network of another width than that which is shipped."""
        if self.config.width != type(self).Config().width:
            raise ConfigError(f"shipped parsers have the width {type(self).Config().width}, got {self.config.width}")
        return self.averaged.state_dict()

    @torch.no_grad()
    def evaluate(self, batch: Batch) -> Metrics:
        """``cross_entropy`` without weights of classes."""
        logits = self.parse(batch["inputs"])
        return {"cross_entropy": F.cross_entropy(logits, batch["labels"], ignore_index=NO_LABEL).item()}

    @torch.no_grad()
    def validate(self, data: Dataset, split: Split) -> Metrics:
        """IoU of each class, pooled over all photos of a split, at the size of the crops.

        ``mean_iou`` is the mean of all classes, ``garment_iou`` of upper and lower garment, ``painted`` the share of
        skin and hair that is taken for a garment.
        """
        assert isinstance(data, ParsingDataset)
        samples = ParsedPhotos(data, split, self._sample_settings(self.config, disturbed=False))
        pairs = np.zeros((_NUM_CLASSES, _NUM_CLASSES), np.int64)
        device = self.get_buffer("num_steps").device
        for batch in fixed_batch(samples, len(samples.entries), self.config.batch_size):
            found = self.parse(batch["inputs"].to(device)).argmax(dim=1)
            pairs += count_pairs(batch["labels"].numpy(), found.cpu().numpy())
        ious = class_ious(pairs)
        named = {f"{kind.name.lower()}_iou": float(ious[kind]) for kind in PersonClass}
        garments = (ious[PersonClass.UPPER] + ious[PersonClass.LOWER]) / 2
        return {
            **named,
            "mean_iou": float(ious.mean()),
            "garment_iou": float(garments),
            "painted": painted_share(pairs),
        }

    @torch.no_grad()
    def preview(self, batch: Batch) -> Pictures:
        """Rows: photos, first guess, found classes and labels."""
        found = self.parse(batch["inputs"]).argmax(dim=1).cpu().numpy()
        photos = [to_image(inputs[:3]) for inputs in batch["inputs"]]
        guesses = [to_image(2 * inputs[-3:] - 1) for inputs in batch["inputs"]]
        rows = [photos, guesses, [*map(color_classes, found)], [*map(color_classes, batch["labels"].cpu().numpy())]]
        return {"classes": titled_grid(rows, ["photo", "first guess", "found classes", "labels"])}


def dice_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """One minus the soft Dice coefficient (Milletari et al., 2016, arXiv:1606.04797), the mean over the classes.

    Args:
        logits: (N, C, H, W).
        labels: (N, H, W), 255 where nothing is known. Classes that do not occur do not count.
    """
    known = (labels != NO_LABEL)[:, None]  # (N, 1, H, W)
    truth = F.one_hot(labels.where(known[:, 0], 0), logits.shape[1]).permute(0, 3, 1, 2) * known  # (N, C, H, W)
    shares = logits.softmax(dim=1) * known
    both = (shares * truth).sum(dim=(0, 2, 3))  # (C,)
    sums = shares.sum(dim=(0, 2, 3)) + truth.sum(dim=(0, 2, 3))
    occurs = truth.sum(dim=(0, 2, 3)) > 0
    return ((1 - 2 * both / sums.clamp(min=1)) * occurs).sum() / occurs.sum().clamp(min=1)


def color_classes(labels: np.ndarray) -> np.ndarray:
    """Labels (H, W) as a picture (H, W, 3) uint8; white where nothing is known."""
    table = np.full((256, 3), 255, np.uint8)
    for kind, color in CLASS_COLORS.items():
        table[kind] = color
    return table[labels]


_POSEGEN = PersonParser.Config()
PersonParser.presets = {
    "posegen": _POSEGEN,
    "small": replace(_POSEGEN, num_epochs=6, half_share=0.8, three_quarter_share=0.2),
    "tiny": replace(
        _POSEGEN,
        num_epochs=2,
        epoch_size=0,
        batch_size=4,
        height=128,
        half_share=0.0,
        three_quarter_share=0.0,
        width=12,
    ),
}
