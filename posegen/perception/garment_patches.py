"""Corrects patches that a parser took for another garment, by where they are and by their colours."""

from __future__ import annotations

import cv2
import numpy as np

from posegen.color.lab import rgb_to_lab
from posegen.features.morphology import grow_round
from posegen.person_classes import PersonClass
from posegen.skeletons import joint_indices

_BRIDGE = 0.012  # of the person's height: what is thinner joins no patch to its garment
_PATCH = 0.2  # of the largest piece of a garment: larger ones are garments
_AROUND = 0.7  # of a patch's border to the person that is to the other garment
_ALIKE, _UNLIKE = 10.0, 15.0  # in L, a and b: colours of one cloth at most, and of two at least
_FEWEST = 5  # pixels that tell a colour
_LOW_SHOE = 0.15  # share of skin in a foot, from which a shoe ends below the ankle
_SHORTEST = 8.0  # pixels of a calf that is looked at
_SHAFT, _FOOT = (0.5, 0.97), (0.97, 1.5)  # of a calf, from the knee on
_BESIDE_CALF, _BESIDE_FOOT = 0.3, 0.35  # of a calf's length
_ABOVE = 0.15  # of a calf's length, within which trousers are looked at above a piece


def settle_patches(labels: np.ndarray, image: np.ndarray, keypoints: np.ndarray) -> np.ndarray:
    """Give patches of a garment to the one that they are of.

    A patch of an upper garment on trousers that looks like them is of them, and the other way round. The end of a
    trouser leg that looks like it is no shoe where skin is seen between it and the shoe.

    Args:
        labels: (H, W) uint8 of `PersonClass`.
        image: (H, W, 3) uint8 RGB.
        keypoints: (18, 3) OpenPose-18 in pixels.

    Returns:
        (H, W) uint8.
    """
    settled = labels.copy()
    if not (labels == PersonClass.LOWER).any():
        return settled
    for own, other in ((PersonClass.UPPER, PersonClass.LOWER), (PersonClass.LOWER, PersonClass.UPPER)):
        settled[_find_patches(labels, image, own, other)] = other
    for side in ("right", "left"):
        settled[_find_trouser_end(labels, image, keypoints, side)] = PersonClass.LOWER
    return settled


def _find_patches(labels: np.ndarray, image: np.ndarray, own: PersonClass, other: PersonClass) -> np.ndarray:
    """Return the small pieces (H, W) bool of one garment that lie on the other one and look like it."""
    garment, found = labels == own, np.zeros(labels.shape, bool)
    rows = np.flatnonzero((labels > 0).any(axis=1))
    bridge = max(round(_BRIDGE * np.ptp(rows)), 1)
    brush = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * bridge + 1, 2 * bridge + 1))
    opened = cv2.morphologyEx(garment.astype(np.uint8), cv2.MORPH_OPEN, brush)
    count, numbers, stats, _ = cv2.connectedComponentsWithStats(opened)
    areas = stats[:, cv2.CC_STAT_AREA]
    if count < 3:
        return found
    largest = 1 + int(areas[1:].argmax())
    main = numbers == largest
    for number in range(1, count):
        if areas[number] > _PATCH * areas[largest]:
            continue
        core = numbers == number
        patch = grow_round(core, bridge + 1) & garment & ~main & ~(grow_round(main, bridge + 1) & ~grow_round(core, 1))
        border = grow_round(patch, 1) & ~patch & (labels > 0) & ~garment
        around = grow_round(patch, 2 * bridge + 2) & (labels == other)
        if (border & (labels == other)).sum() < _AROUND * max(border.sum(), 1) or around.sum() < _FEWEST:
            continue
        if _difference(image, patch, around) < _ALIKE and _difference(image, patch, main) > _UNLIKE:
            found |= patch
    return found


def _find_trouser_end(labels: np.ndarray, image: np.ndarray, keypoints: np.ndarray, side: str) -> np.ndarray:
    """Return the pixels (H, W) bool of a shoe above an ankle that are the end of a trouser leg."""
    found = np.zeros(labels.shape, bool)
    knee, ankle = keypoints[joint_indices([f"{side}_knee", f"{side}_ankle"])]
    calf = (ankle - knee)[:2].astype(np.float64)
    length = float(np.hypot(*calf))
    if not (knee[2] > 0 and ankle[2] > 0 and length > _SHORTEST):
        return found
    ys, xs = np.mgrid[: labels.shape[0], : labels.shape[1]]
    along = ((xs - knee[0]) * calf[0] + (ys - knee[1]) * calf[1]) / length**2
    beside = np.abs((xs - knee[0]) * calf[1] - (ys - knee[1]) * calf[0]) / length**2
    foot = (along > _FOOT[0]) & (along < _FOOT[1]) & (beside < _BESIDE_FOOT)
    skin, shoe = (np.count_nonzero(foot & (labels == kind)) for kind in (PersonClass.SKIN, PersonClass.SHOES))
    if skin < _LOW_SHOE * (skin + shoe):
        return found
    shaft = (labels == PersonClass.SHOES) & (along > _SHAFT[0]) & (along < _SHAFT[1]) & (beside < _BESIDE_CALF)
    lower = labels == PersonClass.LOWER
    count, numbers = cv2.connectedComponents(shaft.astype(np.uint8), connectivity=4)
    for number in range(1, count):
        piece = numbers == number
        above = grow_round(piece, max(round(_ABOVE * length), 2)) & lower
        touches = (grow_round(piece, 1) & lower).any()
        if touches and above.sum() >= _FEWEST and _difference(image, piece, above) < _ALIKE:
            found |= piece
    return found


def _difference(image: np.ndarray, one: np.ndarray, other: np.ndarray) -> float:
    """Return the distance between the medians of L, a and b of two regions (H, W) bool."""
    medians = [np.median(rgb_to_lab(image[region]), axis=0) for region in (one, other)]
    return float(np.linalg.norm(medians[0] - medians[1]))
