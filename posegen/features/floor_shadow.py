"""The shadow of feet on the floor, which goes along with them: without it a person floats.

Only the soft, dark rim around the soles is meant, as dark as the picture shows it. Long shadows are neither found nor
cast.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from posegen.features.body_bones import trunk_length
from posegen.features.body_pose import BodyPoses
from posegen.features.smoothstep import smoothstep
from posegen.skeletons import joint_indices

_ANKLES = joint_indices(["right_ankle", "left_ankle"])
# Lengths of the trunk:
_HALF_WIDTH, _HALF_HEIGHT = 0.14, 0.06  # of the shadow of a foot that points to the viewer
_UNDER = 0.02  # by which its middle is above the sole
_SOLE, _BESIDE = 0.15, 0.05  # below and beside the toes, within which the sole is looked for
_LIFTED = (0.1, 0.3)  # height above the other foot of one that casts its whole shadow, and of one that casts none
_FALL = 1.5  # how fast it falls off: exp(-_FALL · d²), at 1 where the ellipse ends
_REACH = 1.6  # half axes from its middle, up to where it is seen
_NOBODY = 0.05  # of the matte
_FAINTEST, _DARKEST = 0.04, 0.6  # shares of the floor's light that it takes


class _Foot(NamedTuple):
    """Place of the shadow of a foot."""

    middle: tuple[float, float]
    half: tuple[float, float]
    share: float
    """Share of it that is cast, 0 to 1."""


class FloorShadow(NamedTuple):
    """The shadow that a picture shows around the feet of a person."""

    strength: float
    """Share of the floor's light that it takes; 0 where there is none."""
    soles: float
    """Lengths of the trunk by which soles are below the toes."""

    @classmethod
    def find(cls, image: np.ndarray, background: np.ndarray, matte: np.ndarray, pose: BodyPoses) -> FloorShadow:
        """Measure the shadow of a picture.

        Args:
            image: (H, W, 3) uint8 RGB.
            background: (H, W, 3) uint8 without the person and the shadow.
            matte: (H, W) float32 in [0, 1], opacity of the person.
            pose: One pose that has a trunk.
        """
        soles = _find_soles(matte > 0.5, pose)
        if np.isnan(soles):
            return cls(0.0, 0.0)
        product = square = 0.0
        for foot in _find_feet(pose, soles):
            rows, columns, shade = _shade(foot, matte.shape)
            shade = shade * (matte[rows, columns] < _NOBODY)
            light, floor = (one[rows, columns].mean(axis=-1, dtype=np.float32) for one in (image, background))
            product += float((shade * (1 - light / np.maximum(floor, 1))).sum())
            square += float((shade**2).sum())
        strength = product / square if square > 0 else 0.0
        return cls(min(strength, _DARKEST) if strength > _FAINTEST else 0.0, soles)

    def cast(self, canvas: np.ndarray, pose: BodyPoses) -> None:
        """Darken the floor of a canvas (H, W, 3) uint8 around the feet of one pose that has a trunk."""
        if self.strength <= 0:
            return
        for foot in _find_feet(pose, self.soles):
            rows, columns, shade = _shade(foot, canvas.shape)
            kept = 1 - self.strength * foot.share * shade[..., None]
            canvas[rows, columns] = (canvas[rows, columns] * kept).round().astype(np.uint8)


def _find_feet(pose: BodyPoses, soles: float) -> Iterator[_Foot]:
    """Yield where the shadows of the feet of a pose lie; soles are so many lengths of the trunk below the toes."""
    trunk = trunk_length(pose)
    ankles, toes = _seen_feet(pose)
    lowest = np.maximum(ankles[:, 1], toes[:, 1]) + soles * trunk
    for ankle, toe, sole in zip(ankles, toes, lowest, strict=True):
        share = 1 - float(smoothstep((lowest.max() - sole) / trunk, *_LIFTED))
        half = _HALF_WIDTH * trunk + abs(float(toe[0] - ankle[0])) / 2, _HALF_HEIGHT * trunk
        yield _Foot((float(toe[0] + ankle[0]) / 2, float(sole) - _UNDER * trunk), half, share)


def _seen_feet(pose: BodyPoses) -> tuple[np.ndarray, np.ndarray]:
    """Return the ankles and toes of the feet that a pose shows, (K, 3) each."""
    ankles = pose.keypoints[_ANKLES]
    seen = (ankles[:, 2] > 0) & (pose.toes[:, 2] > 0)
    return ankles[seen], pose.toes[seen]


def _find_soles(person: np.ndarray, pose: BodyPoses) -> float:
    """Return by how many lengths of the trunk soles are below the toes, the mean of the feet seen; NaN if none is."""
    found, trunk = [], trunk_length(pose)
    for ankle, toe in zip(*_seen_feet(pose), strict=True):
        x, y = round(float(toe[0])), max(float(ankle[1]), float(toe[1]))
        below = slice(max(round(y), 0), max(round(y + _SOLE * trunk), 0) + 1)
        beside = slice(max(round(x - _BESIDE * trunk), 0), max(round(x + _BESIDE * trunk), 0) + 1)
        rows = np.flatnonzero(person[below, beside].any(axis=1))
        if len(rows):
            found.append((rows[-1] + 1) / trunk)
    return float(np.mean(found)) if found else float("nan")


def _shade(foot: _Foot, size: tuple[int, ...]) -> tuple[slice, slice, np.ndarray]:
    """Return the rows and columns of a picture that the shadow of a foot reaches, and its share there, (h, w)."""
    (x, y), (across, down) = foot.middle, foot.half
    rows, columns = (
        slice(int(np.clip(middle - _REACH * half, 0, limit)), int(np.clip(middle + _REACH * half + 1, 0, limit)))
        for middle, half, limit in ((y, down, size[0]), (x, across, size[1]))
    )
    ys, xs = np.mgrid[rows, columns]
    squared = ((xs - x) / across) ** 2 + ((ys - y) / down) ** 2
    return rows, columns, np.exp(-_FALL * squared) * (squared < _REACH**2)
