"""Poses in a picture with what OpenPose's 18 joints leave out: which joint is nearer to the viewer, and the feet."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from posegen.errors import ConfigError


@dataclass(frozen=True)
class BodyPoses:
    """One pose, or a sequence of them with the frames as a leading axis.

    Raises:
        ConfigError: The arrays are of other shapes than documented.
    """

    keypoints: np.ndarray
    """(..., 18, 3) float32 OpenPose-18: x and y in pixels, confidence; (0, 0, 0) is missing."""
    depths: np.ndarray
    """(..., 18) float32, in pixels of the picture: how far each joint is in front of the middle of the hips, towards
    the viewer. NaN where it is not known."""
    toes: np.ndarray
    """(..., 2, 3) float32: tips of the right and of the left foot, x and y in pixels, confidence; (0, 0, 0) is
    missing."""

    def __post_init__(self) -> None:
        leading = self.keypoints.shape[:-2]
        expected = ((*leading, 18, 3), (*leading, 18), (*leading, 2, 3))
        shapes = (self.keypoints.shape, self.depths.shape, self.toes.shape)
        if shapes != expected:
            raise ConfigError(f"got keypoints, depths and toes of shapes {shapes}, expected {expected}")

    @classmethod
    def from_keypoints(cls, keypoints: np.ndarray) -> BodyPoses:
        """Return poses (..., 18, 3) of which neither depths nor feet are known."""
        leading = keypoints.shape[:-2]
        return cls(keypoints, np.full((*leading, 18), np.nan, np.float32), np.zeros((*leading, 2, 3), np.float32))

    def __len__(self) -> int:
        """Return the number of frames of a sequence."""
        return len(self.keypoints)

    def __getitem__(self, frames: int | slice | np.ndarray) -> BodyPoses:
        """Return one pose of a sequence, or some of them."""
        return BodyPoses(self.keypoints[frames], self.depths[frames], self.toes[frames])
