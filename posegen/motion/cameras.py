"""Cameras: from metres in the world to pixels, where y points down and pixel centres are at integers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from posegen.errors import ConfigError, MotionError
from posegen.motion.anatomy import body_height
from posegen.motion.floor import floor_height
from posegen.skeletons import joint_indices

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
    """Where the origin of the world is, in pixels."""
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
"""What projects: both kinds have the same methods."""


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


def align_to_reference(keypoints: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Move and scale a pose sequence so that it is as large as a person in a picture, and starts where they are.

    Sizes are compared by trunk and legs, as long as the sequence shows them: a limb that points to the camera looks
    short. The first neck that is seen goes to the person's.

    Args:
        keypoints: (T, 18, 3) x, y and confidence.
        reference: (18, 3) of the person.

    Returns:
        (T, 18, 3) of the same type; missing joints stay (0, 0, 0).

    Raises:
        MotionError: One of them shows no neck, or they have no trunk or leg in common.
    """
    necks = np.flatnonzero(keypoints[:, _NECK, 2] > 0)
    if not (len(necks) and reference[_NECK, 2] > 0):
        raise MotionError("to align poses, the neck must be seen in the reference and in the sequence")
    theirs, ours = _bone_lengths(reference[None])[0], _longest(_bone_lengths(keypoints))
    common = (theirs > 0) & (ours > 0)
    if not common.any():
        raise MotionError("to align poses, the reference and the sequence must show the trunk or a leg")
    scale = theirs[common].sum() / ours[common].sum()
    start = keypoints[necks[0], _NECK, :2]
    aligned = keypoints.copy()
    aligned[..., :2] = (keypoints[..., :2] - start) * scale + reference[_NECK, :2]
    aligned[keypoints[..., 2] <= 0] = 0
    return aligned


_NECK = int(joint_indices(["neck"])[0])
_TRUNK_AND_LEGS = np.array(
    [
        joint_indices(bone)
        for side in ("left", "right")
        for bone in (("neck", f"{side}_hip"), (f"{side}_hip", f"{side}_knee"), (f"{side}_knee", f"{side}_ankle"))
    ]
)


def _bone_lengths(keypoints: np.ndarray) -> np.ndarray:
    """Pixels (T, 6) of what is compared; 0 where an end is missing."""
    near, far = np.moveaxis(keypoints[:, _TRUNK_AND_LEGS], 2, 0)
    seen = (near[..., 2] > 0) & (far[..., 2] > 0)
    return np.linalg.norm(near[..., :2] - far[..., :2], axis=-1) * seen


def _longest(lengths: np.ndarray) -> np.ndarray:
    """The length (6,) that one frame in ten exceeds, so that a wrong joint does not count; 0 of what is never seen."""
    return np.array([np.quantile(bone[bone > 0], 0.9) if (bone > 0).any() else 0.0 for bone in lengths.T])
