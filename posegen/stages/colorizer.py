"""The colouring network, trained on one's own frames: it learns to continue hints of their colours."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.optim import Adam

from posegen.color.lab import lab_to_rgb
from posegen.datasets.clips import ClipDataset
from posegen.datasets.dataset import Dataset, Split
from posegen.errors import ConfigError
from posegen.io.images import titled_grid
from posegen.metrics.image import psnr
from posegen.networks.siggraph17 import AB_SCALE, SIGGRAPH17, color_bins
from posegen.samples import Batch, HintedFrames, Samples
from posegen.stages.optimization import Losses, detached, sum_losses
from posegen.stages.stage import Metrics, Pictures, Stage

_CLASS_STRIDE = 4
_HIT = 10.0  # units of (a, b): one bin of the network's


class Colorizer(Stage):
    """Learns to colour grey frames from a few coloured points, from your own clips; recolours clips for stage I.

    Zhang et al., 2017, arXiv:1705.02999, without outside data.

    The network sees lightness and a few squares of true colour and predicts a and b of every pixel. The published one
    saw 1.3 million photos; a few people who always wear the same clothes teach it who wears what, and to overlook
    the hints. `recolored_share` takes that knowledge away.
    """

    name = "colorizer"
    objectives: ClassVar = {"ab_error": "val/ab_error", "psnr": "val/psnr", "hint_hit": "val/hint_hit"}

    @dataclass(frozen=True, kw_only=True)
    class Config(Stage.Config):
        """Settings of the colouring network."""

        renamed: ClassVar = {"repaint": "recolored_share"}

        lr: float = 1e-4
        """Initial learning rate."""
        lambda_ab: float = 10.0
        """Weight of the colours: smooth L1 of a and b in units of 110, squared below one unit of (a, b)."""
        lambda_class: float = 0.1
        """Weight of the cross entropy of the 529 bins of (a, b), at a quarter of the resolution."""
        recolored_share: float = 0.0
        """Share of the frames whose garments are recoloured at random first: only hints determine their colours."""
        decay_epochs: int = 0
        """Epochs at the end over which the learning rate falls linearly."""
        width: int = 64
        """Channels of the first layer; images must be multiples of 8."""

        def __post_init__(self) -> None:
            super().__post_init__()
            if not 0 <= self.recolored_share <= 1:
                raise ConfigError(f"recolored_share must be in [0, 1], got {self.recolored_share}")

    config: Colorizer.Config

    def __init__(self, config: Config):
        super().__init__(config)
        self.network = SIGGRAPH17(config.width)
        self.optimizers = {"network": Adam(self.network.parameters(), lr=config.lr, betas=(0.9, 0.999))}

    @classmethod
    def open_samples(cls, config: Stage.Config, dataset: Dataset, split: Split) -> Samples:
        assert isinstance(config, cls.Config) and isinstance(dataset, ClipDataset)
        return HintedFrames(
            dataset, split, recolored_share=config.recolored_share, epoch_size=config.epoch_size, seed=config.seed
        )

    def check_size(self, size: tuple[int, int]) -> None:
        self.network.check_size(size)

    def lr_factor(self, epoch: int) -> float:
        first = self.config.num_epochs - self.config.decay_epochs
        return 1.0 - max(0, epoch + 1 - first) / (self.config.decay_epochs + 1)

    def colorize(self, batch: Batch) -> Tensor:
        """Draw a / 110 and b / 110 (N, 2, H, W) of a batch from its lightness and hints."""
        return self.network(batch["lightness"], batch["hints"], batch["mask"])[1]

    def step(self, batch: Batch) -> Losses:
        """Return the losses of Zhang et al. (2017): Equation 2 on a and b, and the side task's classification."""
        logits, ab = self.network(batch["lightness"], batch["hints"], batch["mask"])
        bins = color_bins(batch["ab"][..., ::_CLASS_STRIDE, ::_CLASS_STRIDE])  # (N, H/4, W/4)
        losses = {
            "ab": self.config.lambda_ab * F.smooth_l1_loss(ab, batch["ab"], beta=1 / AB_SCALE),
            "class": self.config.lambda_class * F.cross_entropy(logits, bins),
        }
        self.update("network", sum_losses(losses))
        return detached(losses)

    @torch.no_grad()
    def evaluate(self, batch: Batch) -> Metrics:
        """Measure the error of predicted colours.

        ``psnr`` in dB, of RGB; ``ab_error`` the mean distance of (a, b), which is within ±110; ``hint_hit`` the
        share of the hinted pixels that come out within 10 units of their hint.
        """
        ab = self.colorize(batch)
        distance = AB_SCALE * (ab - batch["ab"]).norm(dim=1, keepdim=True)  # (N, 1, H, W)
        from_hint = AB_SCALE * (ab - batch["hints"]).norm(dim=1, keepdim=True)  # (N, 1, H, W)
        hits = (from_hint < _HIT) * batch["mask"]
        fake, real = (to_rgb(batch["lightness"], colors) for colors in (ab, batch["ab"]))
        return {
            "psnr": psnr(_to_tensor(fake), _to_tensor(real)).mean().item(),
            "ab_error": distance.mean().item(),
            "hint_hit": (hits.sum() / batch["mask"].sum().clamp(min=1)).item(),
        }

    @torch.no_grad()
    def preview(self, batch: Batch) -> Pictures:
        """Rows: the input, gray but for the hints; the prediction; and the true frames."""
        colors = (batch["hints"], self.colorize(batch), batch["ab"])
        rows = [np.rint(to_rgb(batch["lightness"], ab) * 255).astype(np.uint8) for ab in colors]
        return {"colors": titled_grid([list(row) for row in rows], ["hints", "predicted", "true"])}


def to_rgb(lightness: Tensor, ab: Tensor) -> np.ndarray:
    """Lightness (N, 1, H, W) and colours (N, 2, H, W) in the network's units to float64 RGB (N, H, W, 3) in [0, 1]."""
    lab = torch.cat([lightness * 100 + 50, ab * AB_SCALE], dim=1)  # (N, 3, H, W)
    return lab_to_rgb(lab.permute(0, 2, 3, 1).cpu().numpy())


def _to_tensor(images: np.ndarray) -> Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2)


_TINY = Colorizer.Config(
    num_epochs=6, epoch_size=512, batch_size=8, lr=1e-3, recolored_share=0.8, decay_epochs=3, width=16
)
Colorizer.presets = {
    "paper": Colorizer.Config(),
    "tiny": _TINY,
    "small": replace(_TINY, epoch_size=1024),  # for several people in several rooms
}
