"""Samples of Deformable GAN: a person in one pose, and the same person in another."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from posegen.datasets.clips import ClipDataset
from posegen.datasets.dataset import Split
from posegen.features.parts import part_shapes
from posegen.features.warp import estimate_affines
from posegen.samples.epoch_plan import Arrays, shuffled
from posegen.samples.frame_plan import FramePlan, Sample, UsableFrames
from posegen.samples.tensors import to_network


def transfer_inputs(image: np.ndarray, pose: np.ndarray, target_pose: np.ndarray) -> Arrays:
    """Return the inputs of Deformable GAN for a person in another pose.

    Args:
        image: (H, W, 3) uint8 of the person.
        pose: (18, 3), the person's.
        target_pose: (18, 3).

    Returns:
        ``source`` (3, H, W) in [-1, 1], ``source_pose`` and ``target_pose`` (18, 3), ``affines`` (10, 2, 3) from
        pixels of the target to pixels of the source, and ``masks`` (10, H, W) bool: the parts on the target, of
        which the torso is the whole image, so that the background moves with it. A part without an affine has an
        empty mask.
    """
    affines = estimate_affines(pose, target_pose)
    shapes = part_shapes(target_pose, image.shape[:2], torso="full")
    return {
        "source": to_network(image),
        "source_pose": pose.astype(np.float32),
        "target_pose": target_pose.astype(np.float32),
        "affines": affines.matrices.astype(np.float32),
        "masks": shapes & affines.valid[:, None, None],
    }


class PosePairs:
    """Two frames of a clip in equal colours, its own or painted ones (Siarohin et al., 2018, Section 4).

    Keys: those of `transfer_inputs`, and ``target`` (3, H, W) in [-1, 1].

    Half of the sources are the first usable frame of the clip, as in the evaluation, and half are drawn from all its
    frames.

    Args:
        dataset: With recolorings of scope ``clip`` and region ``both``.
        split: ``train`` or ``test``.
        epoch_size: Pairs in an epoch; 0 takes every usable frame once as the target.
        seed: With the epoch, decides order, sources and recolorings.
    """

    def __init__(self, dataset: ClipDataset, split: Split, *, epoch_size: int, seed: int):
        self.clips = dataset.split(split)
        self.recolorings = [dataset.recolorings("clip", "both", clip) for clip in self.clips]
        self.epoch_size, self.seed = epoch_size, seed

    @cached_property
    def _usable(self) -> UsableFrames:
        return UsableFrames(self.clips)

    def plan(self, epoch: int) -> FramePlan:
        rng = np.random.default_rng([self.seed, epoch])
        targets = shuffled(len(self._usable), self.epoch_size, rng)
        clips = self._usable.clips[targets]
        num_recolorings = np.array([recolorings.num_recolorings for recolorings in self.recolorings])
        return FramePlan(
            (self.seed, epoch),
            clips,
            row=self._usable.rows[targets],
            content=self._usable.sample_content(clips, rng),
            recoloring=rng.integers(num_recolorings[clips]),
            estimate=True,
        )

    def load(self, sample: Sample) -> Arrays:
        keypoints, recolorings = self.clips[sample.clip].keypoints, self.recolorings[sample.clip]
        source = recolorings.image(sample.content, sample.recoloring)
        inputs = transfer_inputs(source, keypoints[sample.content], keypoints[sample.row])
        return {**inputs, "target": to_network(recolorings.image(sample.row, sample.recoloring))}
