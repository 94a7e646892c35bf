"""Room of a clip: a level camera before the person, a wall behind, and as much floor as the motion needs."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from posegen.motion.cameras import PinholeCamera

VIEW = (1.9, 2.85)
"""Metres (width, height) in view at the person's distance: enough for all actions in place of the tallest."""
DISTANCE = 4.8
"""Metres from the camera to the middle of the studio, the origin of the world."""
EYE_LEVEL = 1.35
"""Metres of the camera above the floor."""

_MIDDLE = 1.19  # height in metres that the middle of the image shows at the person's distance
_WALL = -1.5  # world z
_SIDES, _FRONT = 1.9, 1.9  # metres of the floor on which shadows fall, to both sides and to the front
_BORDER = 0.04  # share of the image that joints keep from its borders
_BEHIND = 0.6  # metres between a person and the wall
_STEP = 1.04  # by which the camera goes back until it sees everything
_FARTHEST = 40.0  # metres


@dataclass(frozen=True)
class Room:
    """The fixed camera and the room."""

    camera: PinholeCamera
    """Looks along -z, with the view shifted rather than tilted."""
    wall: float
    """World z of the wall."""
    sides: float
    """Metres to the left and to the right on which shadows fall."""
    front: float
    """World z up to which they fall."""

    @property
    def distance(self) -> float:
        """Metres from the camera to the origin of the world."""
        return self.camera.translation[2]


def studio_camera(canvas: tuple[int, int], distance: float = DISTANCE) -> PinholeCamera:
    """Return the camera whose image of this height and width holds what is done in place, from the usual distance."""
    height, width = canvas
    focal = DISTANCE * min(width / VIEW[0], height / VIEW[1])
    return PinholeCamera(
        fx=focal,
        fy=focal,
        cx=(width - 1) / 2,
        cy=(height - 1) / 2 - focal * (EYE_LEVEL - _MIDDLE) / distance,
        rotation=((1.0, 0.0, 0.0), (0.0, -1.0, 0.0), (0.0, 0.0, -1.0)),
        translation=(0.0, EYE_LEVEL, distance),
        canvas=canvas,
    )


def supersample(camera: PinholeCamera, factor: int) -> PinholeCamera:
    """Return the same view with every pixel split into factor × factor."""
    height, width = camera.canvas
    return replace(
        camera,
        fx=camera.fx * factor,
        fy=camera.fy * factor,
        cx=(camera.cx + 0.5) * factor - 0.5,
        cy=(camera.cy + 0.5) * factor - 0.5,
        canvas=(height * factor, width * factor),
    )


def build_room(joints: np.ndarray, canvas: tuple[int, int]) -> Room:
    """Return the room for a motion: the usual one where that shows it, or one with a camera and a wall farther off.

    Args:
        joints: (T, J, 3) metres in the world.
        canvas: Height and width of the image in pixels.
    """
    distance = DISTANCE
    while not _sees(studio_camera(canvas, distance), joints) and distance < _FARTHEST:
        distance *= _STEP
    reach = np.abs(joints[..., 0]).max() + 0.7
    return Room(
        camera=studio_camera(canvas, distance),
        wall=min(_WALL, float(joints[..., 2].min()) - _BEHIND),
        sides=max(_SIDES, float(reach)),
        front=max(_FRONT, float(joints[..., 2].max()) + 0.7),
    )


def _sees(camera: PinholeCamera, joints: np.ndarray) -> bool:
    """Return True if all joints are in the image, and not at its very border."""
    x, y, depth = np.moveaxis(camera.project(joints), -1, 0)
    height, width = camera.canvas
    inside = (np.abs(x / (width - 1) - 0.5) < 0.5 - _BORDER) & (np.abs(y / (height - 1) - 0.5) < 0.5 - _BORDER)
    return bool((inside & (depth > 1.0)).all())
