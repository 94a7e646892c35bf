"""Fill the notches between a trunk and the arms that are raised from it, where shoulders of people are round.

An arm turns around its shoulder, and what lies above that is pressed together: a raised arm would have a notch at the
neck and another one at the armpit.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np

from posegen.features.body_bones import SOFT_BONES, BoneFrame
from posegen.features.body_layers import ARMS, LIMB_CHAINS, BodyLayer
from posegen.features.matte import nearest_known
from posegen.features.smoothstep import smoothstep

_RADIUS = 0.1  # lengths of the trunk: notches that are narrower than twice that are filled
_AROUND = (1.5, 2.2)  # radii from the shoulder: up to where notches are filled, and from where none is
_RAISED = (np.radians(30.0), np.radians(90.0))  # by which an arm is raised without notches, and with whole ones
_VISIBLE, _WHOLE = 8, 200  # of 255: less is no notch, and less has not all of its colour
_SMOOTHING = 1.0  # pixels


class DrawnPart(NamedTuple):
    """A part of a canvas that a layer was drawn onto."""

    part: np.ndarray
    """(h, w, 4) uint8 RGB and opacity."""
    corner: tuple[int, int]
    """Left and top of it."""

    def cut(self, rows: slice, columns: slice) -> np.ndarray:
        """Return a window of the canvas, (h, w, 4) uint8, empty where this part does not reach."""
        height, width = rows.stop - rows.start, columns.stop - columns.start
        left, top = columns.start - self.corner[0], rows.start - self.corner[1]
        window = np.zeros((height, width, 4), np.uint8)
        y, x = max(top, 0), max(left, 0)
        inside = self.part[y : max(top + height, 0), x : max(left + width, 0)]
        window[y - top : y - top + inside.shape[0], x - left : x - left + inside.shape[1]] = inside
        return window


class ShoulderFill(NamedTuple):
    """Colours that fill the notches around a shoulder."""

    arm: int
    """Number of the arm's layer."""
    rows: slice
    columns: slice
    part: np.ndarray
    """(h, w, 4) uint8 RGB and opacity, of these rows and columns of the canvas."""


class Shoulders:
    """Shoulders of a pose that is drawn layer by layer."""

    def __init__(self, trunk: float):
        """Take the length of the trunk in pixels."""
        self._radius = _RADIUS * trunk
        self._drawn: dict[int, DrawnPart] = {}
        self._arms: dict[int, tuple[np.ndarray, float]] = {}

    def add(self, index: int, part: DrawnPart, bones: BoneFrame, raised: np.ndarray) -> None:
        """Remember a layer that was drawn.

        Args:
            index: Number of the layer.
            part: What was drawn.
            bones: Of the pose.
            raised: (15,) radians by which arms are raised from where the picture has them.
        """
        self._drawn[index] = part
        if index in ARMS:
            bone = SOFT_BONES.index(LIMB_CHAINS[index][0])
            self._arms[index] = bones.origins[bone], float(raised[bone])

    def fill_beside(self, index: int, size: tuple[int, int]) -> Iterator[ShoulderFill]:
        """Yield what fills notches beside a layer that was drawn last, onto a canvas of a height and width."""
        if BodyLayer.TORSO in self._drawn and index in (BodyLayer.TORSO, *ARMS):
            for arm in self._arms if index == BodyLayer.TORSO else (index,):
                fill = self._fill(arm, size)
                if fill is not None:
                    yield fill

    def _fill(self, arm: int, size: tuple[int, int]) -> ShoulderFill | None:
        """Close the notches around the shoulder of an arm, as a morphological closing does."""
        joint, raised = self._arms[arm]
        radius = round(self._radius * float(smoothstep(raised, *_RAISED)))
        reach = round((_AROUND[1] + 1) * self._radius) + 1
        left, top = (max(int(place) - reach, 0) for place in joint)
        right, bottom = (min(int(place) + reach + 1, limit) for place, limit in zip(joint, size[::-1], strict=True))
        if radius < 1 or right - left < 2 or bottom - top < 2:
            return None
        rows, columns = slice(top, bottom), slice(left, right)
        both = [part for index, part in self._drawn.items() if index in (BodyLayer.TORSO, arm)]
        back, front = (part.cut(rows, columns) for part in both)
        covered = np.maximum(back[..., 3], front[..., 3])
        disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
        notch = cv2.morphologyEx(covered, cv2.MORPH_CLOSE, disk) - covered
        over = 255.0 * (notch / np.maximum(255.0 - covered, 1))  # what is laid over a soft border, to make it opaque
        ys, xs = np.mgrid[rows, columns]
        distance = np.hypot(xs - joint[0], ys - joint[1]) / self._radius
        opacity = (over * (1 - smoothstep(distance, *_AROUND))).round().astype(np.uint8)
        if BodyLayer.HEAD in self._drawn:  # hair before a shoulder stays there
            opacity = np.minimum(opacity, 255 - self._drawn[BodyLayer.HEAD].cut(rows, columns)[..., 3])
        if opacity.max() < _VISIBLE:
            return None
        share = front[..., 3:] / 255
        colors = front[..., :3] * share + back[..., :3] * (1 - share)
        nearest = colors.reshape(-1, 3)[nearest_known(covered > _WHOLE)]
        smooth = cv2.GaussianBlur(nearest, (0, 0), _SMOOTHING).round().astype(np.uint8)
        return ShoulderFill(arm, rows, columns, np.dstack([smooth, opacity]))
