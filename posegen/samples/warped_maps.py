"""Samples of the restorer: a feature map that was estimated from another frame, and the true one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from posegen.datasets.clips import ClipDataset
from posegen.datasets.dataset import Split
from posegen.features.feature_map import feature_map, find_holes
from posegen.features.warp import disturb_affines, estimate_affines
from posegen.samples.epoch_plan import Arrays, EpochSettings, shuffled
from posegen.samples.frame_plan import FramePlan, Sample, UsableFrames
from posegen.samples.tensors import content_features, to_network, to_unit


@dataclass(frozen=True, kw_only=True)
class WarpedMapSettings(EpochSettings):
    """Selection of an epoch's pairs of frames, and the disturbance of their parts."""

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
    def _usable(self) -> UsableFrames:
        return UsableFrames(self.clips)

    def plan(self, epoch: int) -> FramePlan:
        rng = np.random.default_rng([self.settings.seed, epoch])
        frames = shuffled(len(self._usable), self.settings.epoch_size, rng)
        clips = self._usable.clips[frames]
        content, row = self._sample_pairs(clips, rng)
        return FramePlan((self.settings.seed, epoch), clips, row=row, content=content, estimate=True)

    def _sample_pairs(self, clips: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Content and target (N,) of clips (N,), in either order of time."""
        counts = self._usable.counts[clips]
        is_identity = (counts == 1) | (rng.random(len(clips)) < self.settings.identity_share)
        distance = np.where(is_identity, 0, rng.integers(1, np.maximum(counts, 2)))
        first = rng.integers(counts - distance)
        one, other = self._usable.at(clips, first), self._usable.at(clips, first + distance)
        in_order = rng.random(len(clips)) < 0.5
        return np.where(in_order, one, other), np.where(in_order, other, one)

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
