"""Find the pixels of a garment in a picture."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import numpy as np

from posegen.color.lab import Lab
from posegen.errors import ColorError, ConfigError
from posegen.person_classes import PersonClass

Garment = Literal["upper", "lower"]

_OWN_CLASS: dict[Garment, PersonClass] = {"upper": PersonClass.UPPER, "lower": PersonClass.LOWER}
_DISTINCT = 0.15  # of a one-piece: an upper or lower garment of less area beside it is not a garment of its own


def garment_region(labels: np.ndarray, garment: Garment) -> np.ndarray:
    """Return where a garment is, (H, W) bool.

    A dress or an overall is the upper garment where no other is seen, and the lower one likewise. So a dress alone
    answers to both, and under a jacket it is the lower garment. Beside both garments, it belongs to neither.

    Args:
        labels: (H, W) uint8 of `PersonClass`.
        garment: "upper" or "lower".
    """
    if garment not in _OWN_CLASS:
        raise ConfigError(f"unknown garment {garment!r}, expected one of {tuple(_OWN_CLASS)}")
    own, one_piece = labels == _OWN_CLASS[garment], labels == PersonClass.ONE_PIECE
    return own | one_piece if own.sum() < _DISTINCT * one_piece.sum() else own


def distinct_garments(labels: np.ndarray, taken: Iterable[Garment] = ()) -> list[Garment]:
    """Return the garments that are seen and share no pixel with others: of a one-piece that is both, the upper one.

    Args:
        labels: (H, W) uint8 of `PersonClass`.
        taken: Garments that are not to be among them, nor any that shares pixels with them.
    """
    found: list[Garment] = []
    for garment in _OWN_CLASS:
        region = garment_region(labels, garment)
        others = [garment_region(labels, other) for other in {*taken, *found}]
        if garment not in taken and region.any() and not any((region & other).any() for other in others):
            found.append(garment)
    return found


def require_separate(labels: np.ndarray, colors: dict[Garment, Lab]) -> None:
    """Raise ColorError where both garments are given different colours and a one-piece is both of them."""
    if len(set(colors.values())) < 2:
        return
    upper, lower = (garment_region(labels, garment) for garment in _OWN_CLASS)
    if (upper & lower).any():
        raise ColorError("the person wears a one-piece: give it one colour, by --upper or --lower")
