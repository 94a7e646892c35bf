"""What a training step sees: samples planned by (seed, epoch) alone, loaded in any process.

A plan names every sample of an epoch in order. Step k takes the k-th run of `batch_size` samples, and a worker its
slice of that run, so neither the number of workers nor a restart changes what is learned from. The noise that a
sample needs is drawn with it, for the same reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from posegen.clips import ClipDataset, ClipFile, DatasetError, Split
from posegen.features.feature_map import ContentFeatures, feature_map, target_regions
from posegen.features.parts import is_usable

REGIONS = ("upper", "lower")
"""The garments, in the order in which codes and region masks have them."""

Arrays = dict[str, np.ndarray]
Batch = dict[str, Tensor]


@dataclass(frozen=True)
class Sample:
    """One line of a plan."""

    clip: int
    """Position of the clip in the list of its split."""
    row: int
    """The frame to make; of a pair, the first."""
    content: int
    """The frame that shows the person."""
    variant: int
    """The colouring of both."""
    estimate: bool
    """Whether the feature map is estimated from the content frame, or taken from the frame itself."""
    seed: tuple[int, ...]
    """Where the sample's noise comes from."""


class Samples(Protocol):
    """The samples of one split of a dataset, for one stage."""

    def plan(self, epoch: int) -> Sequence[Sample]:
        """Every sample of an epoch, in order: a function of the seed and the epoch."""
        ...

    def load(self, sample: Sample) -> Arrays:
        """Read one sample: the keys and shapes of the stage's batch, without its first dimension."""
        ...


class ColoredFrames:
    """Single recoloured frames, for stage I (Section 3.1): the feature map and the frame as it was painted.

    Keys: ``features`` (4, H, W) and ``image`` (3, H, W) in [-1, 1]; ``region`` (1, H, W) in [0, 1], where the garment
    can be; ``ab`` (2,) the designated colour, NaN where the frame kept its own; ``noise`` (2, Z) standard normal, for
    the posterior and the prior.

    Args:
        dataset: With colour variants of scope ``frame``.
        split: ``train`` or ``test``.
        region: ``upper`` or ``lower``, the garment that was painted.
        latent_dim: Z.
        epoch_size: Samples in an epoch; 0 takes every frame once.
        seed: With the epoch, decides order, variants and noise.
    """

    def __init__(self, dataset: ClipDataset, split: Split, *, region: str, latent_dim: int, epoch_size: int, seed: int):
        self.clips = dataset.split(split)
        self.variants = [dataset.variants("frame", region, clip) for clip in self.clips]
        self.region, self.latent_dim, self.epoch_size, self.seed = region, latent_dim, epoch_size, seed

    @cached_property
    def _frames(self) -> list[tuple[int, int]]:
        """(clip, row) of all frames whose pose is usable."""
        return [(c, int(row)) for c, clip in enumerate(self.clips) for row in usable_rows(clip)]

    def plan(self, epoch: int) -> list[Sample]:
        rng = np.random.default_rng([self.seed, epoch])
        samples = []
        for k, index in enumerate(_draw(len(self._frames), self.epoch_size, rng)):
            clip, row = self._frames[index]
            variant = int(rng.integers(self.variants[clip].num_variants))
            samples.append(Sample(clip, row, row, variant, False, (self.seed, epoch, k)))
        return samples

    def load(self, sample: Sample) -> Arrays:
        clip, variants = self.clips[sample.clip], self.variants[sample.clip]
        designated = variants.upper_ab if self.region == "upper" else variants.lower_ab
        ab = designated[variants.rows[sample.row, sample.variant]]
        regions = target_regions(clip.keypoints[sample.row], clip.info.size)
        noise = np.random.default_rng(sample.seed).standard_normal((2, self.latent_dim), np.float32)
        return {
            "features": to_network(feature_map(clip.keypoints[sample.row], clip.edges(sample.row))),
            "image": to_network(variants.image(sample.row, sample.variant)),
            "region": to_unit(regions[..., [REGIONS.index(self.region)]]),
            "ab": np.array(ab if ab is not None else (np.nan, np.nan), np.float32),
            "noise": noise,
        }


class FramePairs:
    """Two consecutive frames of a recoloured clip and its content frame, for stage II (Section 3.2).

    Keys: ``content`` (3, H, W) and ``images`` (2, 3, H, W), painted alike, and ``features`` (2, 4, H, W), all in
    [-1, 1]; ``regions`` (2, 2, H, W) in [0, 1], where the upper and the lower garment can be; ``noise`` (Z,).

    Half of the content frames are the first of the clip, as in the evaluation, and half are drawn from all its
    frames, so that the code cannot carry the pose.

    Args:
        dataset: With colour variants of scope ``clip`` and region ``both``.
        split: ``train`` or ``test``.
        latent_dim: Z, of both garments together.
        true_feature_share: Share of the pairs that see their own feature maps and not estimated ones.
        epoch_size: Pairs in an epoch; 0 takes every pair once.
        seed: With the epoch, decides order, content, variants and noise.
    """

    def __init__(
        self,
        dataset: ClipDataset,
        split: Split,
        *,
        latent_dim: int,
        true_feature_share: float,
        epoch_size: int,
        seed: int,
    ):
        self.clips = dataset.split(split)
        self.variants = [dataset.variants("clip", "both", clip) for clip in self.clips]
        self.latent_dim, self.true_feature_share = latent_dim, true_feature_share
        self.epoch_size, self.seed = epoch_size, seed

    @cached_property
    def _usable(self) -> list[np.ndarray]:
        return [usable_rows(clip) for clip in self.clips]

    @cached_property
    def _pairs(self) -> list[tuple[int, int]]:
        """(clip, first row) of all pairs of neighbours that both have a usable pose."""
        return [
            (c, int(row)) for c, rows in enumerate(self._usable) for row, after in pairwise(rows) if after == row + 1
        ]

    def plan(self, epoch: int) -> list[Sample]:
        rng = np.random.default_rng([self.seed, epoch])
        samples = []
        for k, index in enumerate(_draw(len(self._pairs), self.epoch_size, rng)):
            clip, row = self._pairs[index]
            rows = self._usable[clip]
            content = int(rows[0] if rng.random() < 0.5 else rng.choice(rows))
            variant = int(rng.integers(self.variants[clip].num_variants))
            estimate = bool(rng.random() >= self.true_feature_share)
            samples.append(Sample(clip, row, content, variant, estimate, (self.seed, epoch, k)))
        return samples

    def load(self, sample: Sample) -> Arrays:
        clip, variants = self.clips[sample.clip], self.variants[sample.clip]
        rows = (sample.row, sample.row + 1)
        size = clip.info.size
        if sample.estimate:
            content = content_features(clip, sample.content)
            features = [content.estimate(clip.keypoints[row]) for row in rows]
        else:
            features = [feature_map(clip.keypoints[row], clip.edges(row)) for row in rows]
        return {
            "content": to_network(variants.image(sample.content, sample.variant)),
            "images": np.stack([to_network(variants.image(row, sample.variant)) for row in rows]),
            "features": np.stack([to_network(feature) for feature in features]),
            "regions": np.stack([to_unit(target_regions(clip.keypoints[row], size)) for row in rows]),
            "noise": np.random.default_rng(sample.seed).standard_normal(self.latent_dim, np.float32),
        }


def content_features(clip: ClipFile, row: int) -> ContentFeatures:
    """What a frame of a clip gives to the feature maps of other poses."""
    return ContentFeatures(clip.keypoints[row], clip.edges(row), clip.mask(row))


def usable_rows(clip: ClipFile) -> np.ndarray:
    """Rows of the frames that have both hips and both shoulders."""
    return np.flatnonzero(is_usable(clip.keypoints))


def to_network(image: np.ndarray) -> np.ndarray:
    """uint8 (H, W, C) to float32 (C, H, W) in [-1, 1]."""
    return np.ascontiguousarray(image.transpose(2, 0, 1), np.float32) / 127.5 - 1.0


def to_unit(image: np.ndarray) -> np.ndarray:
    """uint8 (H, W, C) to float32 (C, H, W) in [0, 1]."""
    return np.ascontiguousarray(image.transpose(2, 0, 1), np.float32) / 255.0


def to_image(tensor: Tensor) -> np.ndarray:
    """(3, H, W) in [-1, 1] to uint8 (H, W, 3)."""
    scaled = (tensor.detach().float().clamp(-1, 1) + 1) * 127.5
    return scaled.round().byte().permute(1, 2, 0).cpu().numpy()


class EpochLoader:
    """Batches of one worker, loaded ahead by other processes.

    Args:
        samples: What to load.
        batch_size: Samples per step over all workers. Raises ValueError where workers cannot share it evenly, or
            where the split is smaller than one batch.
        rank: Number of this worker.
        world_size: Number of workers.
        num_processes: Processes that load; 0 loads in this one.
    """

    def __init__(
        self, samples: Samples, batch_size: int, *, rank: int = 0, world_size: int = 1, num_processes: int = 0
    ):
        if batch_size % world_size:
            fitting = [n for n in range(1, batch_size + 1) if batch_size % n == 0]
            raise ValueError(f"{world_size} workers cannot share a batch of {batch_size}; these can: {fitting}")
        self.samples, self.batch_size = samples, batch_size
        self.num_steps = len(samples.plan(0)) // batch_size
        if self.num_steps == 0:
            raise DatasetError(f"{len(samples.plan(0))} usable samples are fewer than one batch of {batch_size}")
        share = batch_size // world_size
        self._sampler = _StepSampler(self.num_steps, batch_size, slice(rank * share, (rank + 1) * share))
        self._loader = DataLoader(
            _PlannedSamples(samples),
            batch_sampler=self._sampler,
            num_workers=num_processes,
            persistent_workers=num_processes > 0,
            pin_memory=torch.cuda.is_available(),
        )

    def epoch(self, epoch: int, first_step: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from `first_step` on; samples that fill no whole batch are left out."""
        self._sampler.epoch, self._sampler.first_step = epoch, first_step
        return iter(self._loader)


class _StepSampler:
    """Yields, for each step, the keys (epoch, position in the plan) of this worker's samples."""

    def __init__(self, num_steps: int, batch_size: int, share: slice):
        self.num_steps, self.batch_size, self.share = num_steps, batch_size, share
        self.epoch = self.first_step = 0

    def __len__(self) -> int:
        return self.num_steps - self.first_step

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for step in range(self.first_step, self.num_steps):
            start = step * self.batch_size
            yield [(self.epoch, start + k) for k in range(self.batch_size)[self.share]]


class _PlannedSamples(Dataset):
    """Looks a key up in its epoch's plan, which each process makes once."""

    def __init__(self, samples: Samples):
        self.samples = samples
        self._planned: tuple[int, Sequence[Sample]] = (-1, ())

    def __getitem__(self, key: tuple[int, int]) -> Arrays:
        epoch, position = key
        if self._planned[0] != epoch:
            self._planned = (epoch, self.samples.plan(epoch))
        return self.samples.load(self._planned[1][position])


def fixed_batch(samples: Samples, count: int, batch_size: int) -> list[Batch]:
    """The first `count` samples of epoch 0, in batches: what previews and validation look at every time."""
    plan = samples.plan(0)[:count]
    loaded = [samples.load(sample) for sample in plan]
    return [
        torch.utils.data.default_collate(loaded[start : start + batch_size])
        for start in range(0, len(loaded), batch_size)
    ]


def _draw(population: int, epoch_size: int, rng: np.random.Generator) -> np.ndarray:
    """A random order of all, or of `epoch_size` of them; a larger epoch goes through all more than once."""
    rounds = max(-(-epoch_size // max(population, 1)), 1)
    order = np.concatenate([rng.permutation(population) for _ in range(rounds)])
    return order[: epoch_size or population]
