"""Agreement of label maps of people with the truth: intersection over union of pixels, pooled over photos."""

from __future__ import annotations

import numpy as np

from posegen.person_classes import PersonClass

_NUM_CLASSES = len(PersonClass)
_BARE = [PersonClass.HAIR, PersonClass.SKIN]
_CLOTH = [PersonClass.UPPER, PersonClass.LOWER, PersonClass.ONE_PIECE]


def count_pairs(truth: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Count pixels by true and found class: (8, 8) int64.

    Args:
        truth: Labels of any shape; those that are no `PersonClass` are left out.
        found: Labels of the same shape, all of them classes.
    """
    known = truth < _NUM_CLASSES
    index = truth[known].astype(np.int64) * _NUM_CLASSES + found[known]
    return np.bincount(index, minlength=_NUM_CLASSES**2).reshape(_NUM_CLASSES, _NUM_CLASSES)


def class_ious(pairs: np.ndarray) -> np.ndarray:
    """Intersection over union of every class by counts (..., 8, 8): (..., 8), 1 for what never occurs."""
    both = np.diagonal(pairs, axis1=-2, axis2=-1)
    union = pairs.sum(axis=-1) + pairs.sum(axis=-2) - both
    return np.where(union > 0, both / np.maximum(union, 1), 1.0)


def painted_share(pairs: np.ndarray) -> float:
    """Share of the true pixels of skin and hair that are taken for a garment, by counts (8, 8) of `count_pairs`."""
    bare = pairs[_BARE]
    return float(bare[:, _CLOTH].sum() / max(bare.sum(), 1))
