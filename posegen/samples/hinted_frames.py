"""Samples of the colouring network: frames without their colours, and hints of these."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from posegen.color.hints import sample_hints
from posegen.color.lab import rgb_to_lab
from posegen.color.palette import sample_ab
from posegen.color.recoloring import feather, mean_lightness, recolor
from posegen.datasets.clip_files import ClipFile
from posegen.datasets.clips import ClipDataset
from posegen.datasets.dataset import Split
from posegen.features.feature_map import target_regions
from posegen.networks.siggraph17 import AB_SCALE
from posegen.samples.epoch_plan import Arrays, shuffled
from posegen.samples.frame_plan import FramePlan, Sample


class HintedFrames:
    """Frames in CIELAB, for colouring by hints (Zhang et al., 2017, arXiv:1705.02999, Section 3.1).

    Keys: ``lightness`` (1, H, W), (L − 50) / 100; ``ab`` (2, H, W), true a / 110 and b / 110; ``hints`` (2, H, W)
    alike, 0 without a hint; ``mask`` (1, H, W), 1 at hints.

    Args:
        dataset: Clips; needs no recolorings.
        split: ``train`` or ``test``.
        recolored_share: Share of the frames whose garments first get random colours.
        epoch_size: Samples in an epoch; 0 takes every frame once.
        seed: With the epoch, decides order, colours and hints.
    """

    def __init__(self, dataset: ClipDataset, split: Split, *, recolored_share: float, epoch_size: int, seed: int):
        self.clips = dataset.split(split)
        self.recolored_share, self.epoch_size, self.seed = recolored_share, epoch_size, seed

    @cached_property
    def _ends(self) -> np.ndarray:
        """(C,) numbers of frames up to the end of each clip."""
        return np.cumsum([clip.info.num_frames for clip in self.clips])

    def plan(self, epoch: int) -> FramePlan:
        rng = np.random.default_rng([self.seed, epoch])
        frames = shuffled(int(self._ends[-1]), self.epoch_size, rng)
        clips = np.searchsorted(self._ends, frames, side="right")
        rows = frames - np.concatenate([[0], self._ends])[clips]
        return FramePlan((self.seed, epoch), clips, row=rows, content=rows)

    def load(self, sample: Sample) -> Arrays:
        rng = np.random.default_rng(sample.seed)
        clip = self.clips[sample.clip]
        image = clip.image(sample.row)
        if rng.random() < self.recolored_share:
            image = _recolor_at_random(image, clip, sample.row, rng)
        lab = rgb_to_lab(image)
        hints = sample_hints(lab[..., 1:], rng)
        return {
            "lightness": ((lab[None, ..., 0] - 50) / 100).astype(np.float32),
            "ab": (lab[..., 1:].transpose(2, 0, 1) / AB_SCALE).astype(np.float32),
            "hints": hints[..., :2].transpose(2, 0, 1) / np.float32(AB_SCALE),
            "mask": hints[None, ..., 2],
        }


def _recolor_at_random(image: np.ndarray, clip: ClipFile, row: int, rng: np.random.Generator) -> np.ndarray:
    """Give both garments other colours, roughly where the pose has them."""
    person = clip.mask(row) > 0
    for region in target_regions(clip.keypoints[row], clip.info.size).transpose(2, 0, 1):
        garment = person & (region > 0)
        image = recolor(image, feather(garment), sample_ab(rng, mean_lightness(image, garment)))
    return image
