"""Samples of the shape-and-posture network: a frame that shows a person, and one that shows a posture."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from posegen.clips import ClipDataset
from posegen.datasets import Split
from posegen.features.part_crops import crop_body_parts
from posegen.features.posture_figure import draw_posture
from posegen.samples.images import to_network, usable_rows
from posegen.samples.plan import Arrays, Sample, draw


def appearance_of(image: np.ndarray, keypoints: np.ndarray, window: tuple[int, int] | None) -> np.ndarray:
    """What shows a person to the network.

    Args:
        image: (H, W, 3) uint8.
        keypoints: (18, 3).
        window: Height and width of part crops; None shows the image itself.

    Returns:
        (3, H, W), or (30, h, w) of ten crops, in [-1, 1].
    """
    return to_network(image if window is None else crop_body_parts(image, keypoints, window))


def posture_of(keypoints: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The figure (3, H, W) in [-1, 1] that shows a posture (18, 3) to the network."""
    return to_network(draw_posture(keypoints, size))


class ShapePairs:
    """Two frames of a clip, and so of one person in one room, or the same frame twice.

    Keys: ``source`` and ``target`` (3, H, W) in [-1, 1]; ``source_appearance`` and ``target_appearance``, see
    `appearance_of`; ``posture`` (3, H, W) of the target, see `posture_of`; ``source_pose`` (18, 3), and with
    `num_others` also ``others`` (R, 3 or 30, ·, ·) and ``other_poses`` (R, 18, 3), appearances from anywhere in the
    split.

    Args:
        dataset: Needs no colour variants.
        split: ``train`` or ``test``.
        self_share: Share of the samples whose source is the target itself.
        equal_people: Draw every person as often as any other, however many frames there are of each.
        window: Height and width of part crops; None shows whole frames.
        num_others: R, other appearances beside each pair.
        epoch_size: Pairs in an epoch; 0 takes as many as there are usable frames.
        seed: With the epoch, decides order, sources and other appearances.
    """

    def __init__(
        self,
        dataset: ClipDataset,
        split: Split,
        *,
        self_share: float,
        equal_people: bool,
        window: tuple[int, int] | None,
        num_others: int,
        epoch_size: int,
        seed: int,
    ):
        self.clips = dataset.split(split)
        self.self_share, self.equal_people = self_share, equal_people
        self.window, self.num_others = window, num_others
        self.epoch_size, self.seed = epoch_size, seed

    @cached_property
    def _usable(self) -> list[np.ndarray]:
        return [usable_rows(clip) for clip in self.clips]

    @cached_property
    def _frames(self) -> np.ndarray:
        """(F, 2) int64: clip and row of every usable frame."""
        pairs = [(clip, row) for clip, rows in enumerate(self._usable) for row in rows]
        return np.array(pairs, np.int64).reshape(-1, 2)

    def plan(self, epoch: int) -> list[Sample]:
        rng = np.random.default_rng([self.seed, epoch])
        samples = []
        for k, index in enumerate(self._draw_frames(rng)):
            clip, row = self._frames[index].tolist()
            source = row if rng.random() < self.self_share else int(rng.choice(self._usable[clip]))
            samples.append(Sample(clip, row, source, 0, True, (self.seed, epoch, k)))
        return samples

    def _draw_frames(self, rng: np.random.Generator) -> np.ndarray:
        """Positions in `_frames` of the targets of an epoch."""
        if not self.equal_people or not len(self._frames):
            return draw(len(self._frames), self.epoch_size, rng)
        people = np.unique([clip.info.person for clip in self.clips], return_inverse=True)[1][self._frames[:, 0]]
        counts = np.bincount(people)
        shares = 1 / (counts[people] * np.count_nonzero(counts))
        return rng.choice(len(people), self.epoch_size or len(people), p=shares / shares.sum())

    def load(self, sample: Sample) -> Arrays:
        clip = self.clips[sample.clip]
        source, target = clip.image(sample.content), clip.image(sample.row)
        source_pose, target_pose = clip.keypoints[sample.content], clip.keypoints[sample.row]
        arrays = {
            "source": to_network(source),
            "target": to_network(target),
            "source_appearance": appearance_of(source, source_pose, self.window),
            "target_appearance": appearance_of(target, target_pose, self.window),
            "posture": posture_of(target_pose, target.shape[:2]),
            "source_pose": source_pose.astype(np.float32),
        }
        return {**arrays, **self._others(sample)} if self.num_others else arrays

    def _others(self, sample: Sample) -> Arrays:
        chosen = np.random.default_rng(sample.seed).integers(len(self._frames), size=self.num_others)
        frames = [(self.clips[clip], row) for clip, row in self._frames[chosen].tolist()]
        poses = [clip.keypoints[row] for clip, row in frames]
        appearances = [
            appearance_of(clip.image(row), pose, self.window) for (clip, row), pose in zip(frames, poses, strict=True)
        ]
        return {"others": np.stack(appearances), "other_poses": np.stack(poses).astype(np.float32)}
