"""Ways to see a frame: poses, edges and the person, behind three small protocols.

A backend is one file here and one line in its table. It sees a whole clip at once, so that it may track, smooth
and fill gaps, and it must not change the footage that it is given.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from posegen.video import Footage


@dataclass(frozen=True)
class Poses:
    """The pose of the clip's person in every frame."""

    keypoints: np.ndarray
    """(T, 18, 3) float32 in OpenPose-18 order: x and y in pixels of the footage, confidence; (0, 0, 0) is missing."""
    scores: np.ndarray
    """(T,) float32 in [0, 1]: how sure the estimator is that it follows a person; 0 where it found nobody."""
    masks: np.ndarray | None = None
    """(T, H, W) uint8 probability × 255 of the person, from estimators that give one on the way."""


class PoseEstimator(Protocol):
    """Finds the joints of one person in a clip."""

    def __call__(self, footage: Footage) -> Poses: ...


class EdgeDetector(Protocol):
    """Finds edges: footage in, (T, H, W) uint8 P(edge) × 255 out (white is an edge)."""

    def __call__(self, footage: Footage) -> np.ndarray: ...


class PersonSegmenter(Protocol):
    """Finds the person's pixels: footage and its poses in, (T, H, W) uint8, 0 or 255, out."""

    def __call__(self, footage: Footage, poses: Poses) -> np.ndarray: ...
