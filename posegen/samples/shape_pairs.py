"""Samples of the shape-and-posture network: a frame that shows a person, and one that shows a posture."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from posegen.datasets.clip_files import ClipFile
from posegen.datasets.clips import ClipDataset
from posegen.datasets.dataset import Split
from posegen.features.part_crops import Torso, crop_body_parts
from posegen.features.spatial_augmentation import AUGMENTATIONS, Augmentation, crop_to_person
from posegen.features.vunet_figure import FIGURES, Figure, find_joints, rasterize_posture
from posegen.samples.epoch_plan import Arrays, EpochSettings, shuffled
from posegen.samples.frame_plan import FramePlan, Sample, UsableFrames
from posegen.samples.tensors import to_network


@dataclass(frozen=True)
class View:
    """Presentation of a person's frames to the network."""

    window: tuple[int, int] | None = None
    """Height and width of part crops; None shows frames, to which alone the last two apply."""
    torso: Torso = "corners"
    """Crop of the torso in part crops, see `posegen.features.part_crops.crop_homographies`."""
    crop: bool = False
    """Show what is near the person, see `posegen.features.spatial_augmentation.box_of_pose`."""
    augmentation: Augmentation = "none"
    """Random augmentation of frames in training."""


def appearance_of(
    image: np.ndarray, keypoints: np.ndarray, view: View, rng: np.random.Generator | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the picture of a person for the network, and the joints in it.

    Args:
        image: (H, W, 3) uint8.
        keypoints: (18, 3).
        view: How.
        rng: Decides how the frame is moved at random; None leaves it where it is.

    Returns:
        (3, H, W), or (30, h, w) of ten crops, in [-1, 1]; and (18, 3), of crops the joints in the whole frame.
    """
    if view.window is not None:
        return to_network(crop_body_parts(image, keypoints, view.window, view.torso)), keypoints
    if view.crop:
        image, keypoints = crop_to_person(image, keypoints)
    if rng is not None:
        image, keypoints = AUGMENTATIONS[view.augmentation](image, keypoints, rng)
    return to_network(image), keypoints


def posture_of(keypoints: np.ndarray, size: tuple[int, int], figure: Figure) -> np.ndarray:
    """Return the figure (3, H, W) in [-1, 1] that shows a posture (18, 3) to the network."""
    layout = FIGURES[figure]
    return to_network(rasterize_posture(find_joints(keypoints, layout), size, layout))


@dataclass(frozen=True, kw_only=True)
class ShapePairSettings(EpochSettings):
    """Selection of an epoch's frames."""

    self_share: float
    """Share of the samples whose source is the target itself."""
    equal_people: bool
    """Take every person as often as any other, however many frames there are of each."""
    num_others: int
    """R, other appearances beside each pair."""


class ShapePairs:
    """Two frames of a clip, and so of one person in one room, or the same frame twice.

    Keys: ``source`` and ``target`` (3, H, W) in [-1, 1]; ``source_appearance`` and ``target_appearance``, see
    `appearance_of`; ``posture`` (3, H, W) of the target, see `posture_of`; ``target_pose`` (18, 3), and
    ``source_joints`` (K, 3), those of the figure, where its appearance has them; and, if R is not 0, ``others``
    (R, 3 or 30, ·, ·) and ``other_joints`` (R, K, 3), appearances from anywhere in the split.

    Args:
        dataset: Needs no recolorings.
        split: ``train`` or ``test``.
        settings: Which frames.
        view: How frames show a person.
        figure: How postures are drawn.
        augment: Whether sources and other appearances are moved at random, as the view says.
    """

    def __init__(
        self,
        dataset: ClipDataset,
        split: Split,
        settings: ShapePairSettings,
        *,
        view: View,
        figure: Figure,
        augment: bool,
    ):
        self.clips = dataset.split(split)
        self.settings, self.view, self.figure, self.augment = settings, view, figure, augment

    @cached_property
    def _usable(self) -> UsableFrames:
        return UsableFrames(self.clips)

    def plan(self, epoch: int) -> FramePlan:
        rng = np.random.default_rng([self.settings.seed, epoch])
        frames = self._sample_frames(rng)
        clips, rows = self._usable.clips[frames], self._usable.rows[frames]
        is_same = rng.random(len(frames)) < self.settings.self_share
        source = np.where(is_same, rows, self._usable.sample_any(clips, rng))
        return FramePlan((self.settings.seed, epoch), clips, row=rows, content=source, estimate=True)

    def _sample_frames(self, rng: np.random.Generator) -> np.ndarray:
        """Positions among the usable frames of the targets of an epoch."""
        if not self.settings.equal_people or not len(self._usable):
            return shuffled(len(self._usable), self.settings.epoch_size, rng)
        people = np.unique([clip.info.person for clip in self.clips], return_inverse=True)[1][self._usable.clips]
        counts = np.bincount(people)
        shares = 1 / (counts[people] * np.count_nonzero(counts))
        return rng.choice(len(people), self.settings.epoch_size or len(people), p=shares / shares.sum())

    def load(self, sample: Sample) -> Arrays:
        clip, rng = self.clips[sample.clip], np.random.default_rng(sample.seed)
        source, target = clip.image(sample.content), clip.image(sample.row)
        target_pose = clip.keypoints[sample.row].astype(np.float32)
        others = self._others(rng) if self.settings.num_others else {}
        appearance, source_joints = self._show(clip, sample.content, rng)
        return {
            "source": to_network(source),
            "target": to_network(target),
            "source_appearance": appearance,
            "target_appearance": appearance_of(target, target_pose, self.view)[0],
            "posture": posture_of(target_pose, target.shape[:2], self.figure),
            "target_pose": target_pose,
            "source_joints": source_joints,
            **others,
        }

    def _show(self, clip: ClipFile, row: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Return the picture of a person in a frame, and the figure's joints in it."""
        pose = clip.keypoints[row].astype(np.float32)
        appearance, pose = appearance_of(clip.image(row), pose, self.view, rng if self.augment else None)
        return appearance, find_joints(pose, FIGURES[self.figure])

    def _others(self, rng: np.random.Generator) -> Arrays:
        chosen = rng.integers(len(self._usable), size=self.settings.num_others)
        places = zip(self._usable.clips[chosen].tolist(), self._usable.rows[chosen].tolist(), strict=True)
        appearances, joints = zip(*(self._show(self.clips[clip], row, rng) for clip, row in places), strict=True)
        return {"others": np.stack(appearances), "other_joints": np.stack(joints)}
