"""Samples of the restorer: a feature map that was estimated from another frame, and the true one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from posegen.datasets.clips import ClipDataset
from posegen.datasets.dataset import Split
from posegen.features.feature_map import feature_map, find_holes
from posegen.features.warp import disturb_affines, estimate_affines
from posegen.samples.epoch_plan import Arrays, EpochSettings, Sample, shuffled
from posegen.samples.tensors import content_features, to_network, to_unit, usable_rows


@dataclass(frozen=True, kw_only=True)
class WarpedMapSettings(EpochSettings):
    """Which pairs of frames an epoch takes, and how their parts are disturbed."""

    identity_share: float
    """Share of the samples that are estimated from the very frame; of the others, the distance between the two frames
    is uniform over all that the clip allows."""
    disturbed_share: float
    """Share of the pairs of two frames whose parts are disturbed. The others look as they will when the restorer is
    used; one that never saw them takes them for disturbed, and spoils them."""
    part_drop: float
    """Probability of a part to be left out of a disturbed pair."""
    part_jitter: float
    """Largest distance in pixels by which a part of a disturbed pair is misplaced along each axis."""


class WarpedMaps:
    """Feature maps of a frame, estimated from another frame of the same clip, and true (Section 2.3).

    Keys: ``warped`` and ``target`` (4, H, W) in [-1, 1]; ``support`` and ``hole`` (1, H, W) in [0, 1], where warped
    parts lie, and where they may miss something of the body.

    The target's edges are those inside the person's mask: what the background looks like, no warped part can tell.

    Args:
        dataset: Needs no recolorings.
        split: ``train`` or ``test``.
        settings: Which pairs, and how they are disturbed.
    """

    def __init__(self, dataset: ClipDataset, split: Split, settings: WarpedMapSettings):
        self.clips = dataset.split(split)
        self.settings = settings

    @cached_property
    def _usable(self) -> list[np.ndarray]:
        return [usable_rows(clip) for clip in self.clips]

    def plan(self, epoch: int) -> list[Sample]:
        rng = np.random.default_rng([self.settings.seed, epoch])
        clip_of_frame = np.repeat(np.arange(len(self.clips)), [len(rows) for rows in self._usable])
        samples = []
        for k, index in enumerate(shuffled(len(clip_of_frame), self.settings.epoch_size, rng)):
            clip = int(clip_of_frame[index])
            content, row = self._sample_pair(self._usable[clip], rng)
            samples.append(Sample(clip, row, content, 0, True, (self.settings.seed, epoch, k)))
        return samples

    def _sample_pair(self, rows: np.ndarray, rng: np.random.Generator) -> tuple[int, int]:
        """Content and target, in either order of time."""
        is_identity = len(rows) == 1 or rng.random() < self.settings.identity_share
        distance = 0 if is_identity else int(rng.integers(1, len(rows)))
        first = int(rng.integers(len(rows) - distance))
        pair = int(rows[first]), int(rows[first + distance])
        return pair if rng.random() < 0.5 else pair[::-1]

    def load(self, sample: Sample) -> Arrays:
        clip, row = self.clips[sample.clip], sample.row
        keypoints, mask = clip.keypoints[row], clip.mask(row)
        content = content_features(clip, sample.content)
        affines = estimate_affines(content.keypoints, keypoints)
        rng = np.random.default_rng(sample.seed)
        if sample.content != row and rng.random() < self.settings.disturbed_share:
            affines = disturb_affines(affines, drop=self.settings.part_drop, jitter=self.settings.part_jitter, rng=rng)
        warped, support = content.merge(keypoints, affines)
        hole = find_holes(keypoints, support)
        return {
            "warped": to_network(warped),
            "support": to_unit(support[..., None]),
            "target": to_network(feature_map(keypoints, clip.edges(row) * (mask > 0))),
            "hole": to_unit(hole[..., None]),
        }
