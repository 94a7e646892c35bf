"""The fixed camera: level, in front of the person, with the view shifted rather than tilted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

VIEW = (1.9, 2.85)
"""Metres (width, height) in view at the person's distance: enough for all actions of the tallest."""
DISTANCE = 4.8
"""Metres from the camera to the person."""
HEIGHT = 1.35
MIDDLE = 1.19
"""Height in metres that the middle of the image shows at the person's distance."""


@dataclass(frozen=True)
class Camera:
    """A pinhole camera. Camera axes: x right, y down, z away from the camera. Pixel centres are at integers."""

    focal: float
    """Pixels."""
    center: tuple[float, float]
    """The principal point, x and y in pixels."""
    size: tuple[int, int]
    """Image height and width."""

    @staticmethod
    def of(size: tuple[int, int]) -> Camera:
        """Return the camera whose image of this height and width holds the whole stage."""
        height, width = size
        focal = DISTANCE * min(width / VIEW[0], height / VIEW[1])
        return Camera(focal, ((width - 1) / 2, (height - 1) / 2 - focal * (HEIGHT - MIDDLE) / DISTANCE), size)

    def enlarge(self, factor: int) -> Camera:
        """Return the same view with every pixel split into factor × factor."""
        x, y = ((center + 0.5) * factor - 0.5 for center in self.center)
        height, width = self.size
        return Camera(self.focal * factor, (x, y), (height * factor, width * factor))

    def project(self, points: np.ndarray) -> np.ndarray:
        """Return (..., 3): x and y in pixels and the depth in metres of world points (..., 3)."""
        seen = to_camera(points)
        x = self.center[0] + self.focal * seen[..., 0] / seen[..., 2]
        y = self.center[1] + self.focal * seen[..., 1] / seen[..., 2]
        return np.stack([x, y, seen[..., 2]], axis=-1)


def to_camera(points: np.ndarray) -> np.ndarray:
    """Return camera coordinates (..., 3) of world points (..., 3)."""
    return points * (1.0, -1.0, -1.0) + (0.0, HEIGHT, DISTANCE)
