"""Similarity of two sightings of people, by the colours of hair, skin and clothes."""

from __future__ import annotations

import cv2
import numpy as np

LIKELY_SAME = 0.85
"""Similarity from which somebody who is found again is the person who was lost. Of one person, whatever they do, it is
0.91 and more; of two people in six videos 0.75 at most."""
SURELY_OTHER = 0.8
"""Similarity below which somebody at the place of the person in the frame before is somebody else."""

_BINS, _LIGHT_BINS = 64, 16  # of each of a and b, and of L
_FEWEST = 40  # pixels of a person, below which their colours say nothing


def look_of(crop: np.ndarray, mask: np.ndarray) -> np.ndarray | None:
    """Return the look of the person in a picture: roots of histograms of a and b and of L, (4112,) of length √2.

    Args:
        crop: (H, W, 3) uint8 RGB around the person.
        mask: (H, W) uint8 probability × 255 of the person's pixels.

    Returns:
        None where too few pixels are the person's.
    """
    inside = (mask > 127).astype(np.uint8)
    if cv2.countNonZero(inside) < _FEWEST:
        return None
    lab = cv2.cvtColor(crop, cv2.COLOR_RGB2LAB)
    chroma = cv2.calcHist([lab], [1, 2], inside, [_BINS, _BINS], [0, 256, 0, 256])
    light = cv2.calcHist([lab], [0], inside, [_LIGHT_BINS], [0, 256])
    # Blurred, so that colours at the border of two bins, and light that changes a little, are not different.
    smooth = [cv2.GaussianBlur(one, (0, 0), 1.0).ravel() for one in (chroma, light)]
    return np.concatenate([np.sqrt(one / max(one.sum(), 1e-9)) for one in smooth])


def similarity(look: np.ndarray, other: np.ndarray) -> float:
    """Return Bhattacharyya's coefficient of two looks, in [0, 1]."""
    return float(look @ other) / 2


class LookMemory:
    """Remembers a person's look; it follows slow changes of the light."""

    _RATE = 0.05  # weight of a new look

    def __init__(self) -> None:
        self._known: np.ndarray | None = None

    def fits(self, look: np.ndarray | None, least: float) -> bool:
        """Return whether a look is as similar as that; what is not known fits."""
        return look is None or self._known is None or similarity(self._known, look) >= least

    def learn(self, look: np.ndarray | None) -> None:
        """Take in the look of the person in a further frame."""
        if look is not None:
            before = look if self._known is None else self._known
            self._known = (1 - self._RATE) * before + self._RATE * look
