"""Samples of the person parser: crops of labelled photos, disturbed in place, pose and colours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from posegen.datasets.dataset import Split
from posegen.datasets.parsing import LabelledPhoto, ParsingDataset
from posegen.features.parser_inputs import (
    NO_LABEL,
    crop_affine,
    parser_inputs,
    person_region,
    warp_labels,
    warp_mask,
    warp_picture,
)
from posegen.perception.keypoint_maps import map_keypoints
from posegen.person_classes import PersonClass
from posegen.samples.epoch_plan import Arrays, EpochSettings, shuffled
from posegen.skeletons import OPENPOSE_18, joint_indices, swap_left_right

_MIRRORED = joint_indices([swap_left_right(name) for name in OPENPOSE_18])
_GARMENTS = (PersonClass.UPPER, PersonClass.LOWER, PersonClass.ONE_PIECE, PersonClass.SHOES, PersonClass.CARRIED)
_CACHED = 640  # photos that stay decoded, some 0.8 MB each: to decode one takes as long as to disturb it
_TURNED_FAR = 0.1  # share of the samples that are turned by up to three standard deviations more


@dataclass(frozen=True, kw_only=True)
class ParsedPhotoSettings(EpochSettings):
    """Settings of samples of photos."""

    size: tuple[int, int]
    """Height and width of the crops in pixels."""
    half_epochs: int = 0
    """Epochs at the beginning whose crops have half the size."""
    three_quarter_epochs: int = 0
    """Epochs after them whose crops have three quarters of the size."""
    disturbed: bool = True
    """True to disturb crops, as for training; False for the parser's own crops of a photo."""
    pose_drop: float = 0.05
    """Probability that all joints and the first guess are missing."""
    recolored_share: float = 0.3
    """Probability that each garment gets another colour."""


@dataclass(frozen=True)
class PhotoSample:
    """One line of a plan of photos."""

    photo: int
    """Position of the photo in its split."""
    size: tuple[int, int]
    """Height and width of the crop."""
    seed: tuple[int, ...]
    """Seed of the sample's random numbers."""


class ParsedPhotos:
    """Crops of labelled photos around the person.

    Keys: ``inputs`` (24, H, W) float32, see `posegen.features.parser_inputs`; ``labels`` (H, W) int64, values of
    `PersonClass`, or 255 outside the photo.

    Args:
        dataset: Labelled photos.
        split: ``train`` or ``test``.
        settings: How.
    """

    def __init__(self, dataset: ParsingDataset, split: Split, settings: ParsedPhotoSettings):
        self.dataset, self.settings = dataset, settings
        self.entries = dataset.split(split)
        self._decoded: dict[int, LabelledPhoto] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_decoded": {}}

    def plan(self, epoch: int) -> list[PhotoSample]:
        settings = self.settings
        if settings.disturbed:
            order = shuffled(len(self.entries), settings.epoch_size, np.random.default_rng([settings.seed, epoch]))
        else:
            order = np.arange(len(self.entries))
        size = self._size_in(epoch) if settings.disturbed else settings.size
        return [PhotoSample(int(photo), size, (settings.seed, epoch, k)) for k, photo in enumerate(order)]

    def _size_in(self, epoch: int) -> tuple[int, int]:
        """Height and width of an epoch's crops: networks learn most of it from small ones (progressive resizing)."""
        height, width = self.settings.size
        if epoch < self.settings.half_epochs:
            return _share_of(height, 0.5), _share_of(width, 0.5)
        if epoch < self.settings.half_epochs + self.settings.three_quarter_epochs:
            return _share_of(height, 0.75), _share_of(width, 0.75)
        return height, width

    def load(self, sample: PhotoSample) -> Arrays:
        photo = self._read(sample.photo)
        size = (photo.labels.shape[0], photo.labels.shape[1])
        affine = crop_affine(person_region(photo.keypoints, size), sample.size)
        if not self.settings.disturbed:
            return _crop(photo, affine, sample.size, photo.mask, photo.garments)
        rng = np.random.default_rng(sample.seed)
        affine = _disturb_place(affine, sample.size, rng)
        crop = _crop_at_random(photo, affine, sample.size, self.settings, rng)
        return _mirror(crop) if rng.random() < 0.5 else crop

    def _read(self, index: int) -> LabelledPhoto:
        """Read a photo; the first ones that are read stay in memory."""
        photo = self._decoded.get(index) or self.dataset.read(self.entries[index])
        if len(self._decoded) < _CACHED:
            self._decoded[index] = photo
        return photo


def _share_of(length: int, share: float) -> int:
    """A share of a length, as a multiple of 32."""
    return max(round(share * length / 32) * 32, 64)


def _crop(
    photo: LabelledPhoto, affine: np.ndarray, size: tuple[int, int], mask: np.ndarray, garments: np.ndarray
) -> Arrays:
    """A crop as the parser makes it."""
    inputs = parser_inputs(
        warp_picture(photo.image, affine, size),
        map_keypoints(photo.keypoints, affine),
        warp_mask(mask, affine, size),
        warp_labels(garments, affine, size),
    )
    return {"inputs": inputs, "labels": warp_labels(photo.labels, affine, size, outside=NO_LABEL).astype(np.int64)}


def _crop_at_random(
    photo: LabelledPhoto,
    affine: np.ndarray,
    size: tuple[int, int],
    settings: ParsedPhotoSettings,
    rng: np.random.Generator,
) -> Arrays:
    """A crop with other colours, a worse pose and a worse first guess."""
    labels = warp_labels(photo.labels, affine, size, outside=NO_LABEL)
    image = _disturb_colors(warp_picture(photo.image, affine, size), labels, settings.recolored_share, rng)
    keypoints = _disturb_pose(map_keypoints(photo.keypoints, affine), size, rng)
    use_pose = photo.pose_mask.any() and rng.random() < 0.5
    mask, garments = (photo.pose_mask, photo.pose_garments) if use_pose else (photo.mask, photo.garments)
    mask, garments = warp_mask(mask, affine, size), warp_labels(garments, affine, size)
    lost, no_mask, no_guess = rng.random(3) < (settings.pose_drop, 0.08, 0.15)
    if lost:
        keypoints = np.zeros_like(keypoints)
    if lost or no_guess:
        garments = np.zeros_like(garments)
    if no_mask:
        mask, garments = np.zeros_like(mask), np.zeros_like(garments)
    return {"inputs": parser_inputs(image, keypoints, mask, garments), "labels": labels.astype(np.int64)}


def _mirror(crop: Arrays) -> Arrays:
    """Mirror a crop, with left and right joints swapped."""
    channels = np.concatenate([np.arange(3), 3 + _MIRRORED, np.arange(3 + len(_MIRRORED), len(crop["inputs"]))])
    inputs = np.ascontiguousarray(crop["inputs"][channels, :, ::-1])
    return {"inputs": inputs, "labels": np.ascontiguousarray(crop["labels"][:, ::-1])}


def _disturb_place(affine: np.ndarray, size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Scale, turn, stretch and move a crop."""
    height, width = size
    scale = np.exp(np.clip(rng.normal(0.02, 0.15), -0.35, 0.45))
    stretch = np.exp(rng.normal(0, 0.05))
    angle = np.radians(rng.normal(0, 5) * (4 if rng.random() < _TURNED_FAR else 1))
    cos, sin = np.cos(angle), np.sin(angle)
    linear = scale * np.array([[cos, -sin], [sin, cos]]) @ np.diag([stretch, 1 / stretch])
    middle = np.array([width - 1, height - 1]) / 2
    moved = middle + rng.normal(0, 0.06, 2) * size[::-1]
    return np.column_stack([linear @ affine[:, :2], linear @ (affine[:, 2] - middle) + moved])


def _disturb_pose(keypoints: np.ndarray, size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Move joints a little, and drop some."""
    jittered = keypoints.copy()
    jittered[:, :2] += rng.normal(0, 0.006 * size[0], (len(keypoints), 2))
    jittered[rng.random(len(keypoints)) < 0.03] = 0
    jittered[keypoints[:, 2] <= 0] = 0
    return jittered.astype(np.float32)


def _disturb_colors(
    image: np.ndarray, labels: np.ndarray, recolored_share: float, rng: np.random.Generator
) -> np.ndarray:
    """Give garments other hues, and the whole picture another light, in uint8 RGB."""
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
    for kind in _GARMENTS:
        if rng.random() < recolored_share:
            where = labels == kind
            hsv[where] = _shift_colors(hsv[where], (rng.uniform(0, 180), rng.normal(0, 0.6), rng.normal(0, 0.35)))
    hue = rng.uniform(0, 180) if rng.random() < 0.1 else rng.normal(0, 5)
    rgb = cv2.cvtColor(_shift_colors(hsv, (hue, rng.normal(0, 0.25), 0.0)), cv2.COLOR_HSV2RGB)
    levels = np.arange(256) * np.exp(rng.normal(0, 0.08, (3, 1)) + rng.normal(0, 0.2))  # (3, 256)
    levels = (levels - 127.5) * np.exp(rng.normal(0, 0.15)) + 127.5
    rgb = cv2.LUT(rgb, np.rint(levels.clip(0, 255)).astype(np.uint8).T[None])
    if rng.random() < 0.15:
        rgb = cv2.GaussianBlur(rgb, (0, 0), rng.uniform(0.4, 1.2))
    if rng.random() < 0.2:
        noise = rng.normal(0, rng.uniform(2, 10), rgb.shape)
        rgb = (rgb + noise).clip(0, 255).astype(np.uint8)
    return rgb


def _shift_colors(hsv: np.ndarray, change: tuple[float, float, float]) -> np.ndarray:
    """Turn the hue of uint8 HSV (..., 3) by so much of 180, and multiply saturation and value by powers of e."""
    hue, saturation, value = change
    levels = np.arange(256)
    tables = [(levels + int(hue)) % 180, levels * np.exp(saturation), levels * np.exp(value)]
    tables = [table.clip(0, 255).astype(np.uint8) for table in tables]
    return np.stack([table[hsv[..., channel]] for channel, table in enumerate(tables)], axis=-1)
