"""Quality of a person in a frame: errors inside the person's outline, and remains or artefacts beside it."""

from __future__ import annotations

import cv2
import numpy as np

from posegen.color.lab import delta_e_2000, rgb_to_lab
from posegen.errors import ConfigError
from posegen.skeletons import joint_indices

WRONG = 10.0
"""CIEDE2000 from which a pixel shows another thing, not the same one in other light or in the codec's noise."""
SAME = 3.0
"""CIEDE2000 up to which two pixels show the same thing in the same light."""
SMEARED = 6.0
"""Distance in LAB from which a filled background is seen to be filled."""
WHOLE_LIMB = 0.8
"""Share of its length of which a limb has to be drawn to be whole."""
LIMB_ENDS: tuple[tuple[int, int], ...] = tuple(
    tuple(joint_indices([f"{side}_{near}", f"{side}_{far}"]).tolist())
    for side in ("right", "left")
    for near, far in (("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle"))
)
"""Joints of OpenPose-18 at both ends of arms' and legs' bones."""
_POINTS = 25  # along a limb
_BLUR = 1.0  # pixels, of both frames, against noise and outlines that are soft in one of them


def grow_masks(masks: np.ndarray, share: float) -> np.ndarray:
    """Dilate masks (T, H, W), uint8 or bool, by a disk whose radius is a share of the height: (T, H, W) bool."""
    radius = max(round(share * masks.shape[1]), 1)
    disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1,) * 2)
    return np.stack([cv2.dilate((mask > 0).astype(np.uint8), disk) > 0 for mask in masks])


def color_distances(fake: np.ndarray, real: np.ndarray, blur: float = _BLUR) -> np.ndarray:
    """CIEDE2000 (H, W) between the pixels of two uint8 frames (H, W, 3), blurred by `blur` pixels first."""
    if fake.shape != real.shape or fake.dtype != np.uint8 or real.dtype != np.uint8:
        raise ConfigError(f"got frames of shapes {fake.shape} and {real.shape}, expected two of one shape, in uint8")
    if blur:
        fake, real = (cv2.GaussianBlur(frame, (0, 0), blur) for frame in (fake, real))
    return delta_e_2000(rgb_to_lab(fake), rgb_to_lab(real))


def wrong_share(fake: np.ndarray, real: np.ndarray, regions: np.ndarray) -> np.ndarray:
    """Share of the pixels of a region that show another thing than they should, one a frame.

    Args:
        fake: (T, H, W, 3) uint8.
        real: The same.
        regions: (T, H, W) bool.

    Returns:
        (T,) in [0, 1]: pixels beyond `WRONG`; NaN in frames whose region is empty.
    """
    shares = np.full(len(fake), np.nan)
    for index, (drawn, true, region) in enumerate(zip(fake, real, regions, strict=True)):
        if region.any():
            shares[index] = (color_distances(drawn, true)[region] > WRONG).mean()
    return shares


def ghosts(background: np.ndarray, image: np.ndarray, person: np.ndarray) -> np.ndarray:
    """Find the pixels of a person that a background without the person still shows: (H, W) bool.

    A pixel of the person is left if the background has its very colour, and if that is none of what is beside the
    person, see `smears`.

    Args:
        background: (H, W, 3) uint8, the picture without the person.
        image: (H, W, 3) uint8, with the person.
        person: (H, W) bool, with everything that belongs to the person.
    """
    kept = color_distances(background, image, blur=0.0) < SAME
    return np.asarray(person & kept & (_unlike_sides(image, person) > WRONG))


def smears(background: np.ndarray, person: np.ndarray) -> np.ndarray:
    """Find where a background that was filled in shows what is on neither side of the person: (H, W) bool.

    Right is a mixture of the nearest pixels to the left and to the right in the same row that are not the person's; a
    person's outline that shines through, or a shadow without a body, is none.

    Args:
        background: (H, W, 3) uint8, the picture without the person.
        person: (H, W) bool, what was filled in.
    """
    return np.asarray(_unlike_sides(cv2.GaussianBlur(background, (0, 0), _BLUR), person) > SMEARED)


def _unlike_sides(image: np.ndarray, person: np.ndarray) -> np.ndarray:
    """Distance in LAB (H, W) of a person's pixels from all mixtures of what is to their left and right; 0 elsewhere."""
    distances = np.zeros(person.shape)
    lab = rgb_to_lab(image)
    for y in np.flatnonzero(person.any(axis=1) & ~person.all(axis=1)):
        known, inside = np.flatnonzero(~person[y]), np.flatnonzero(person[y])
        after = np.searchsorted(known, inside)
        first, last = (after == 0)[:, None], (after == len(known))[:, None]
        left, right = (lab[y, known[side.clip(0, len(known) - 1)]] for side in (after - 1, after))
        left, right = np.where(first, right, left), np.where(last, left, right)
        way = right - left
        share = ((lab[y, inside] - left) * way).sum(axis=1) / np.maximum((way**2).sum(axis=1), 1e-9)
        nearest = left + np.clip(share, 0, 1)[:, None] * way
        distances[y, inside] = np.linalg.norm(lab[y, inside] - nearest, axis=1)
    return distances


def limb_coverage(keypoints: np.ndarray, covered: np.ndarray) -> np.ndarray:
    """Share of each limb's length that is drawn, of `LIMB_ENDS`: (8,), NaN where a joint is missing or outside.

    Args:
        keypoints: (18, 3), the pose that was asked for.
        covered: (H, W) bool, where a person is drawn.
    """
    height, width = covered.shape
    shares = np.full(len(LIMB_ENDS), np.nan)
    for index, (near, far) in enumerate(LIMB_ENDS):
        a, b = keypoints[near], keypoints[far]
        inside = all(0 <= x <= width - 1 and 0 <= y <= height - 1 for x, y, _ in (a, b))
        if min(a[2], b[2]) > 0 and inside:
            points = a[:2] + np.linspace(0, 1, _POINTS)[:, None] * (b - a)[:2]
            x, y = points.round().astype(int).T
            shares[index] = covered[y, x].mean()
    return shares
