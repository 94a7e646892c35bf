"""Samples of stage I: single recoloured frames."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from posegen.color.recoloring import mean_lightness
from posegen.datasets.clips import ClipDataset
from posegen.datasets.dataset import Split
from posegen.features.feature_map import feature_map, target_regions
from posegen.samples.epoch_plan import Arrays, EpochSettings, shuffled
from posegen.samples.frame_plan import FramePlan, Sample, UsableFrames
from posegen.samples.tensors import REGIONS, count_used, to_network, to_unit


@dataclass(frozen=True, kw_only=True)
class ColoredFrameSettings(EpochSettings):
    """Selection and colours of an epoch's frames."""

    recolored: bool = True
    """True for recoloured frames, False for the original ones."""
    num_recolorings: int = 0
    """Number of recolourings of each frame, the first ones; 0 takes all."""


class ColoredFrames:
    """Single recoloured frames, for stage I (Section 3.1): the feature map and the frame as it was painted.

    Keys: ``features`` (4, H, W) and ``image`` (3, H, W) in [-1, 1]; ``region`` (1, H, W) in [0, 1], where the garment
    can be; ``ab`` (2,) the designated colour, NaN where the frame kept its own; ``lightness`` the mean L of the painted
    pixels, 50 where none was; ``noise`` (2, Z) standard normal, for the posterior and the prior.

    Args:
        dataset: With recolorings of scope ``frame``.
        split: ``train`` or ``test``.
        settings: Which frames, and in which colours.
        region: ``upper`` or ``lower``, the garment that was recoloured.
        latent_dim: Z.
    """

    def __init__(
        self, dataset: ClipDataset, split: Split, settings: ColoredFrameSettings, *, region: str, latent_dim: int
    ):
        self.clips = dataset.split(split)
        self.recolorings = [dataset.recolorings("frame", region, clip) for clip in self.clips]
        self.settings, self.region, self.latent_dim = settings, region, latent_dim

    @cached_property
    def _usable(self) -> UsableFrames:
        return UsableFrames(self.clips)

    @cached_property
    def _num_used(self) -> np.ndarray:
        """(C,) recolourings of each clip's frames that are seen."""
        return np.array([count_used(recolorings, self.settings.num_recolorings) for recolorings in self.recolorings])

    def plan(self, epoch: int) -> FramePlan:
        rng = np.random.default_rng([self.settings.seed, epoch])
        frames = shuffled(len(self._usable), self.settings.epoch_size, rng)
        clips, rows = self._usable.clips[frames], self._usable.rows[frames]
        recoloring = rng.integers(self._num_used[clips])
        return FramePlan((self.settings.seed, epoch), clips, row=rows, content=rows, recoloring=recoloring)

    def load(self, sample: Sample) -> Arrays:
        clip = self.clips[sample.clip]
        regions = target_regions(clip.keypoints[sample.row], clip.info.size)
        original = clip.image(sample.row)
        image, ab = self._paint(sample) if self.settings.recolored else (original, None)
        recolored = (image != original).any(axis=-1)
        noise = np.random.default_rng(sample.seed).standard_normal((2, self.latent_dim), np.float32)
        return {
            "features": to_network(feature_map(clip.keypoints[sample.row], clip.edges(sample.row))),
            "image": to_network(image),
            "region": to_unit(regions[..., [REGIONS.index(self.region)]]),
            "ab": np.array(ab if ab is not None else (np.nan, np.nan), np.float32),
            "lightness": np.array(mean_lightness(image, recolored), np.float32),
            "noise": noise,
        }

    def _paint(self, sample: Sample) -> tuple[np.ndarray, list[float] | None]:
        """The painted frame and its designated (a, b)."""
        recolorings = self.recolorings[sample.clip]
        designated = recolorings.upper_ab if self.region == "upper" else recolorings.lower_ab
        row = recolorings.rows[sample.row, sample.recoloring]
        return recolorings.image(sample.row, sample.recoloring), designated[row]
