"""Accuracy of person parsing in labelled photos, at the photos' own size, with intervals over photos."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from posegen.color.garment_segmentation import LOWER, UPPER, garment_labels
from posegen.datasets.dataset import Split
from posegen.datasets.parsing import LabelledPhoto, ParsingDataset
from posegen.errors import DatasetError
from posegen.metrics.parsing import class_ious, count_pairs, painted_share
from posegen.perception.selfie import clean_mask
from posegen.person_classes import PersonClass

_RESAMPLES = 2000
_LEVEL = 0.95
_NUM_CLASSES = len(PersonClass)

PhotoParser = Callable[[LabelledPhoto], np.ndarray]
"""Labels a photo: (H, W) uint8, values of `PersonClass`."""


@dataclass(frozen=True)
class ParsingScore:
    """A figure over all photos, and its interval."""

    value: float
    low: float
    """Lower end of the 95 % bootstrap interval over photos."""
    high: float
    """Upper end of it."""

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def count_photos(
    dataset: ParsingDataset, split: Split, parse: PhotoParser, on_photo: Callable[[int], None] = lambda done: None
) -> np.ndarray:
    """Parse all photos of a split and count pixels by true and found class: (M, 8, 8), a photo each.

    Args:
        dataset: Labelled photos.
        split: Which of them.
        parse: Labels a photo.
        on_photo: Called with the number of photos that are done.
    """
    counts = []
    for entry in dataset.split(split):
        photo = dataset.read(entry)
        counts.append(count_pairs(photo.labels, parse(photo)))
        on_photo(len(counts))
    return np.stack(counts)


def without_one_piece(counts: np.ndarray) -> np.ndarray:
    """Return the counts (M, 8, 8) of the photos in which nobody wears a dress or an overall."""
    return counts[counts[:, PersonClass.ONE_PIECE].sum(axis=-1) == 0]


def score_parsing(counts: np.ndarray, seed: int = 0) -> dict[str, ParsingScore]:
    """Score photos by their counts, pooled over all pixels.

    Args:
        counts: (M, 8, 8) of `count_photos`.
        seed: Of the resamples.

    Returns:
        The IoU of each class by its name, of the ``person`` (all but background) and of all ``cloth``, the mean IoU of
        the classes, and ``painted``, the share of skin and hair that is taken for a garment.

    Raises:
        DatasetError: There are no photos.
    """
    if not len(counts):
        raise DatasetError("no photos to score")
    weights = np.random.default_rng(seed).multinomial(len(counts), np.full(len(counts), 1 / len(counts)), _RESAMPLES)
    pooled = np.tensordot(weights, counts, axes=1)  # (R, 8, 8)
    whole = _figures(counts.sum(axis=0))
    resampled = [_figures(one) for one in pooled]
    ends = (1 - _LEVEL) / 2, (1 + _LEVEL) / 2
    return {
        name: ParsingScore(value, *map(float, np.quantile([one[name] for one in resampled], ends)))
        for name, value in whole.items()
    }


def _figures(pairs: np.ndarray) -> dict[str, float]:
    """All figures of pooled counts (8, 8)."""
    ious = class_ious(pairs)
    cloth = np.isin(np.arange(_NUM_CLASSES), (PersonClass.UPPER, PersonClass.LOWER, PersonClass.ONE_PIECE))
    return {
        **{kind.name.lower(): float(ious[kind]) for kind in PersonClass},
        "mean": float(ious.mean()),
        "person": _union_iou(pairs, np.arange(_NUM_CLASSES) != PersonClass.BACKGROUND),
        "cloth": _union_iou(pairs, cloth),
        "painted": painted_share(pairs),
    }


def _union_iou(pairs: np.ndarray, kinds: np.ndarray) -> float:
    """IoU of several classes (8,) bool taken as one."""
    both = pairs[kinds][:, kinds].sum()
    return float(both / max(pairs[kinds].sum() + pairs[:, kinds].sum() - both, 1))


def parse_by_heuristic(photo: LabelledPhoto) -> np.ndarray:
    """Label a photo by `garment_labels` alone; what is neither garment is skin."""
    mask = clean_mask(photo.pose_mask if photo.pose_mask.any() else photo.mask)
    return classes_of_garments(garment_labels(photo.image[None], photo.keypoints[None], mask[None])[0], mask)


def classes_of_garments(garments: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Turn a first guess of garments (H, W) within a person's mask (H, W) into classes; the rest of them is skin."""
    kinds = np.full(3, PersonClass.SKIN, np.uint8)
    kinds[UPPER], kinds[LOWER] = PersonClass.UPPER, PersonClass.LOWER
    return np.where(mask > 0, kinds[garments], PersonClass.BACKGROUND).astype(np.uint8)
