"""Move the borders between skin and cloth to where the picture's colours change."""

from __future__ import annotations

import cv2
import numpy as np

from posegen.features.matte import nearest_known
from posegen.features.morphology import grow_round
from posegen.person_classes import PersonClass

_CLOTH = (PersonClass.UPPER, PersonClass.LOWER, PersonClass.ONE_PIECE)
_CORE = 0.008  # of the height: so far from other classes a pixel is surely of its own
_BAND = 0.022  # of the height: how far a border is moved at most
_AROUND = 0.02  # of the height: sigma of the surroundings in which colours are compared
_CONTRAST = 32.0  # in L, a and b, between skin and cloth: below, colours do not say which is which
_CLEARLY = 0.6  # of the distance to the own class's colour, below which a pixel is of the other class
_FEWEST = 1e-3  # weight of a class's surroundings that says something


def settle_skin_borders(image: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return labels whose skin ends where the picture's skin does: no fingertip on trousers, no hem on an arm.

    Near a border, a pixel changes to the other side's class where its colour is clearly nearer to that of the other
    side around it.

    Args:
        image: (H, W, 3) uint8 RGB.
        labels: (H, W) uint8 of `PersonClass`.

    Returns:
        (H, W) uint8.
    """
    skin, cloth = labels == PersonClass.SKIN, np.isin(labels, _CLOTH)
    if not skin.any() or not cloth.any():
        return labels
    height = len(image)
    colors = cv2.cvtColor(cv2.GaussianBlur(image, (0, 0), 0.6).astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    near = grow_round(skin, _BAND * height) & grow_round(cloth, _BAND * height)
    around = [_mean_around(colors, side, _CORE * height, _AROUND * height) for side in (skin, cloth)]
    means, weights = [mean for mean, _ in around], [weight for _, weight in around]
    to_skin, to_cloth = (np.linalg.norm(colors - mean, axis=-1) for mean in means)
    told = near & (np.minimum(*weights) > _FEWEST) & (np.linalg.norm(means[0] - means[1], axis=-1) > _CONTRAST)
    becomes_skin = _without_specks(told & cloth & (to_skin < _CLEARLY * to_cloth), skin)
    becomes_cloth = _without_specks(told & skin & (to_cloth < _CLEARLY * to_skin), cloth)
    settled = labels.copy()
    settled[becomes_skin] = PersonClass.SKIN
    settled[becomes_cloth] = labels.ravel()[nearest_known(cloth)][becomes_cloth]
    return settled


def _mean_around(colors: np.ndarray, side: np.ndarray, core: float, sigma: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean colours (H, W, 3) of what is surely on a side, around each pixel, and how much of it there is."""
    size = 2 * max(round(core), 1) + 1
    inner = cv2.erode(side.astype(np.uint8), np.ones((size, size), np.uint8), borderValue=1)
    weight = inner.astype(np.float32)
    around = cv2.GaussianBlur(weight, (0, 0), sigma)
    mean = cv2.GaussianBlur(colors * weight[..., None], (0, 0), sigma) / np.maximum(around, 1e-9)[..., None]
    return mean, around


def _without_specks(change: np.ndarray, side: np.ndarray) -> np.ndarray:
    """Return those pixels that change to a side which, with it, are connected and no thinner than two pixels."""
    grown = cv2.morphologyEx((side | change).astype(np.uint8), cv2.MORPH_OPEN, np.ones((2, 2), np.uint8))
    _, numbers = cv2.connectedComponents(grown)
    return change & (grown > 0) & np.isin(numbers, np.unique(numbers[side & (grown > 0)]))
