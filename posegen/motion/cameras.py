"""Cameras: from metres in the world to pixels, where y points down and pixel centres are at integers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from posegen.errors import ConfigError, MotionError
from posegen.motion.anatomy import body_height
from posegen.motion.floor import floor_height

FILL = 0.8
"""Share of the canvas' height that a standing body takes in the default view."""

_Row = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class WeakCamera:
    """Looks at the world from the front, along -z, without perspective."""

    scale: float
    """Pixels per metre."""
    tx: float
    ty: float
    """Image row of the world's origin, in pixels."""
    canvas: tuple[int, int]
    """Height and width of the image."""
    kind: Literal["weak"] = "weak"

    def __post_init__(self) -> None:
        _check(self.canvas, self.scale, self.scale, self.tx, self.ty)

    def project(self, points: np.ndarray) -> np.ndarray:
        """Return (..., 3), x and y in pixels and the depth in metres, of world points (..., 3)."""
        x, y, z = np.moveaxis(points, -1, 0)
        return np.stack([self.tx + self.scale * x, self.ty - self.scale * y, -z], axis=-1)

    def rays(self, points: np.ndarray) -> np.ndarray:
        """Return the unit vectors (..., 3) that point from world points (..., 3) to the camera."""
        return np.broadcast_to((0.0, 0.0, 1.0), points.shape)


@dataclass(frozen=True, kw_only=True)
class PinholeCamera:
    """Projects with perspective: X = R x + t, u = fx X/Z + cx, v = fy Y/Z + cy."""

    fx: float
    fy: float
    """Pixels."""
    cx: float
    cy: float
    """The principal point in pixels."""
    rotation: tuple[_Row, _Row, _Row]
    """R, of any scale and shear: fitted cameras have them. The camera's axes are x right, y down, z away from it."""
    translation: _Row
    """t in metres."""
    canvas: tuple[int, int]
    """Height and width of the image."""
    kind: Literal["pinhole"] = "pinhole"

    def __post_init__(self) -> None:
        _check(self.canvas, self.fx, self.fy, self.cx, self.cy, *np.ravel(self.rotation), *self.translation)
        if not abs(np.linalg.det(self.rotation)) > 1e-9:
            raise ConfigError("a camera's rotation is singular, expected one that can be undone")

    def project(self, points: np.ndarray) -> np.ndarray:
        """Return (..., 3), x and y in pixels and the depth in metres, of world points (..., 3).

        A point that is not in front of the camera has a depth that is not positive, and no place: (0, 0).
        """
        x, y, z = np.moveaxis(points @ np.array(self.rotation).T + self.translation, -1, 0)
        seen = z > 1e-6
        depth = np.where(seen, z, 1.0)
        pixels = np.stack([self.fx * x / depth + self.cx, self.fy * y / depth + self.cy], axis=-1)
        return np.concatenate([np.where(seen[..., None], pixels, 0.0), z[..., None]], axis=-1)

    def rays(self, points: np.ndarray) -> np.ndarray:
        """Return the unit vectors (..., 3) that point from world points (..., 3) to the camera."""
        ray = -np.linalg.solve(np.array(self.rotation), np.array(self.translation)) - points
        return ray / np.maximum(np.linalg.norm(ray, axis=-1, keepdims=True), 1e-9)


Camera = WeakCamera | PinholeCamera
"""Camera models, which have the same methods."""


def _check(canvas: tuple[int, int], scale_x: float, scale_y: float, *numbers: float) -> None:
    if min(canvas) < 1:
        raise MotionError(f"a camera's canvas is {canvas}, expected a positive height and width")
    if not (scale_x > 0 and scale_y > 0 and all(map(math.isfinite, (scale_x, scale_y, *numbers)))):
        raise MotionError("a camera has numbers that are not finite, or a scale that is not positive")


def front_camera(joints: np.ndarray, canvas: tuple[int, int]) -> WeakCamera:
    """Return the default view of a motion: from the front, its standing body `FILL` of the height, in the middle.

    Args:
        joints: (T, 24, 3) metres in the world, SMPL-24.
        canvas: Height and width in pixels.
    """
    height, width = canvas
    scale = FILL * height / body_height(joints)
    ground = (1 + FILL) / 2 * height - 0.5  # in pixels: as much is left below as above
    middle = float(np.median(joints[:, 0, 0]))
    return WeakCamera(
        scale=scale, tx=(width - 1) / 2 - scale * middle, ty=ground + scale * floor_height(joints), canvas=canvas
    )
