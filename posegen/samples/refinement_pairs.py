"""Samples of the refiner: what layers show of a person in another pose, and what a picture shows there."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from posegen.datasets.dataset import Split
from posegen.datasets.refinement import PairEntry, RefinementDataset, RefinementPair
from posegen.errors import ConfigError, DatasetError
from posegen.features.body_bones import trunk_length
from posegen.features.refiner_inputs import ComposedView, pose_numbers, refiner_maps
from posegen.samples.epoch_plan import Arrays, EpochSettings, shuffled
from posegen.samples.tensors import to_unit

_MULTIPLE = 16


@dataclass(frozen=True, kw_only=True)
class RefinementSettings(EpochSettings):
    """Crop and disturbance of pairs."""

    crop: tuple[int, int] = (128, 96)
    """Height and width of a crop, multiples of 16; (0, 0) takes whole pictures."""
    disturbed: bool = True
    """True to vary light and the order of the colours."""

    def __post_init__(self) -> None:
        if any(side % _MULTIPLE or side < 0 for side in self.crop):
            raise ConfigError(f"crop is {self.crop}, expected multiples of {_MULTIPLE}")


@dataclass(frozen=True)
class PairSample:
    """One line of a plan of pairs."""

    entry: PairEntry
    seed: tuple[int, ...]
    """Seed of crop and colours."""


class RefinementPairs:
    """Pairs of pictures of one person.

    Keys: those of `composition_arrays`; ``target`` (3, H, W) in [0, 1]; ``mask`` (1, H, W) in [0, 1], the person in it;
    ``truth`` (2, H, W), x and y in the source of what the target shows; ``known`` (1, H, W), 1 where the source shows
    that.

    Args:
        dataset: Pairs of one size.
        split: ``train`` or ``test``.
        settings: Crops and what is varied.
    """

    def __init__(self, dataset: RefinementDataset, split: Split, settings: RefinementSettings):
        self.dataset, self.settings = dataset, settings
        self.entries = dataset.split(split)
        sizes = {entry.size for entry in self.entries}
        if len(sizes) > 1:
            raise DatasetError(f"{dataset.folder} has pairs of the sizes {sorted(sizes)}, expected one size")
        size = next(iter(sizes))
        if any(side < crop for side, crop in zip(size, settings.crop, strict=True)):
            raise DatasetError(f"{dataset.folder} has pairs of {size[0]}×{size[1]}, expected at least {settings.crop}")

    def plan(self, epoch: int) -> list[PairSample]:
        rng = np.random.default_rng([self.settings.seed, epoch])
        order = shuffled(len(self.entries), self.settings.epoch_size, rng)
        return [PairSample(self.entries[index], (self.settings.seed, epoch, k)) for k, index in enumerate(order)]

    def load(self, sample: PairSample) -> Arrays:
        rng = np.random.default_rng(sample.seed)
        pair = self.dataset.read(sample.entry)
        if self.settings.disturbed:
            pair = _disturb(pair, rng)
        pair = pair.cropped(self._window(pair, rng))
        known = (pair.visible > 0) & np.isfinite(pair.truth).all(axis=-1)
        return {
            **composition_arrays(pair),
            "target": to_unit(pair.target),
            "mask": pair.mask[None] / np.float32(255),
            "truth": np.nan_to_num(pair.truth).transpose(2, 0, 1),
            "known": known[None].astype(np.float32),
        }

    def _window(self, pair: RefinementPair, rng: np.random.Generator) -> tuple[slice, slice]:
        """Rows and columns of a crop around a pixel of the person, shown or true."""
        height, width = pair.mask.shape
        rows, columns = self.settings.crop
        if not rows:
            return slice(height // _MULTIPLE * _MULTIPLE), slice(width // _MULTIPLE * _MULTIPLE)
        ys, xs = np.nonzero((pair.layers > 0) | (pair.mask > 0))
        index = int(rng.integers(len(ys))) if len(ys) else 0
        y, x = (int(ys[index]), int(xs[index])) if len(ys) else (height // 2, width // 2)
        top = int(np.clip(y - rows // 2, 0, height - rows))
        left = int(np.clip(x - columns // 2, 0, width - columns))
        return slice(top, top + rows), slice(left, left + columns)


def composition_arrays(pair: RefinementPair) -> Arrays:
    """Return the inputs of the refiner for a pair, and the layers that a picture is composed of.

    Returns:
        ``inputs`` (24, H, W) and ``pose`` (144,) of `posegen.features.refiner_inputs`; ``composed``, ``background`` and
        ``source`` (3, H, W) in [0, 1]; ``positions`` (2, H, W) in pixels of the source; ``opacity`` (1, H, W) in
        [0, 1]; ``near``, ``sure``, ``garment`` and ``repairable`` (1, H, W), 0 or 1; ``trunk`` (), the length of the
        source's trunk in pixels.
    """
    view = ComposedView(pair.composed, pair.opacity, pair.layers, pair.sure, pair.positions, pair.classes)
    maps = refiner_maps(view, pair.poses)
    flags = {
        "near": pair.layers > 0,
        "sure": pair.sure > 0,
        "garment": maps.garment,
        "repairable": maps.repairable,
    }
    return {
        "inputs": maps.inputs,
        "pose": pose_numbers(pair.poses),
        "composed": to_unit(pair.composed),
        "background": to_unit(pair.background),
        "source": to_unit(pair.source),
        "positions": np.ascontiguousarray(pair.positions.transpose(2, 0, 1)),
        "opacity": pair.opacity[None] / np.float32(255),
        "trunk": np.array(trunk_length(pair.poses[0]), np.float32),
        **{name: flag[None].astype(np.float32) for name, flag in flags.items()},
    }


def _disturb(pair: RefinementPair, rng: np.random.Generator) -> RefinementPair:
    """Exchange colours and change the light of all pictures alike."""
    order = rng.permutation(3)
    gain, gamma = np.exp(0.15 * rng.standard_normal()), np.exp(0.2 * rng.standard_normal())
    table = (255 * np.clip(gain * (np.arange(256) / 255) ** gamma, 0, 1)).round().astype(np.uint8)
    images = {name: table[getattr(pair, name)[..., order]] for name in ("source", "target", "background", "composed")}
    return replace(pair, **images)
