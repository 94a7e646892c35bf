"""Feature maps: what a generator sees of a frame, a stick figure and an edge map (Yang et al., 2020, Section 2)."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from posegen.errors import ConfigError
from posegen.features.parts import is_usable, part_labels, part_shapes
from posegen.features.stick_figure import rasterize_stick_figure
from posegen.features.warp import PartAffines, crop_parts, merge_crops
from posegen.skeletons import LOWER_PARTS, PARTS, UPPER_PARTS

_UPPER = [PARTS.index(part) for part in UPPER_PARTS]
_LOWER = [PARTS.index(part) for part in LOWER_PARTS]


def feature_map(keypoints: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Put stick figure and edges together (Yang et al., 2020, Section 2.1): the true feature map of a frame.

    Args:
        keypoints: (18, 3).
        edges: (H, W) uint8, P(edge) × 255.

    Returns:
        (H, W, 4) uint8: red, green, blue, edge.

    Raises:
        PosegenError: Shapes or types are not these.
    """
    _require_edges(edges)
    return np.dstack([rasterize_stick_figure(keypoints, edges.shape), edges])


class Estimate(NamedTuple):
    """A feature map in another pose, estimated from one frame."""

    features: np.ndarray
    """The feature map (H, W, 4) uint8."""
    support: np.ndarray
    """(H, W) uint8: 255 where the mask of any warped part lies, else 0."""


class ContentFeatures:
    """Body parts of one frame, which are warped to give the feature maps of other poses.

    The frame is taken apart once, then each target pose costs one warp of its parts.

    Args:
        keypoints: (18, 3), with both shoulders and both hips.
        edges: (H, W) uint8, P(edge) × 255.
        mask: (H, W) bool, or uint8 with 0 outside the person.

    Raises:
        ConfigError: The pose lacks shoulders or hips, or the shapes do not fit together.
    """

    def __init__(self, keypoints: np.ndarray, edges: np.ndarray, mask: np.ndarray):
        _require_edges(edges)
        if mask.shape != edges.shape:
            raise ConfigError(f"mask has shape {mask.shape}, expected that of the edges, {edges.shape}")
        labels = part_labels(keypoints, mask)
        if not is_usable(keypoints):
            raise ConfigError("the content pose lacks a shoulder or a hip, choose a frame in which all four are seen")
        self.keypoints = keypoints
        self.size = edges.shape
        full = np.full_like(edges, 255)  # twice: OpenCV warps one, three or four channels at once
        self._crops = crop_parts(np.dstack([edges, full, full]), labels)

    def merge(self, keypoints: np.ndarray, affines: PartAffines) -> Estimate:
        """Estimate the feature map of the person in another pose (Yang et al., 2020, Section 2.3).

        The stick figure is rasterized anew, because the target pose is known exactly; only edges are warped.

        Args:
            keypoints: (18, 3), the target pose. Its missing parts leave no edges.
            affines: Maps of the parts from the content pose to it, as `estimate_affines` gives them, or disturbed.
        """
        merged = merge_crops(self._crops, affines, self.size)  # (H, W, 3)
        support = (merged[..., 1] > 0).astype(np.uint8) * 255
        return Estimate(feature_map(keypoints, merged[..., 0]), support)


def target_regions(keypoints: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Mark where the garments will be on a pose, for colour codes to be placed there.

    Args:
        keypoints: (18, 3).
        size: (H, W).

    Returns:
        (H, W, 2) uint8, 0 or 255: torso and arms, legs. Empty where the pose shows no side of the torso.
    """
    shapes = part_shapes(keypoints, size)
    regions = np.dstack([shapes[_UPPER].any(axis=0), shapes[_LOWER].any(axis=0)])
    return regions.astype(np.uint8) * 255


def find_holes(keypoints: np.ndarray, support: np.ndarray) -> np.ndarray:
    """Mark what an estimated map may miss of the body: its shapes where the support leaves them open, and the seams.

    A seam is the rim of the support, one pixel wide, where parts were cut and may not meet. The true mask takes no
    part in it: its outline is an edge, and a loss with more weight there would ask for edges that no input tells of.

    Args:
        keypoints: (18, 3), the target pose.
        support: (H, W) uint8, from `ContentFeatures.merge`.

    Returns:
        (H, W) uint8, 0 or 255.
    """
    open_or_rim = cv2.dilate((support == 0).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    height, width = support.shape
    return (part_shapes(keypoints, (height, width)).any(axis=0) & open_or_rim).astype(np.uint8) * 255


def _require_edges(edges: np.ndarray) -> None:
    if edges.ndim != 2 or edges.dtype != np.uint8:
        raise ConfigError(f"edges have shape {edges.shape} and type {edges.dtype}, expected (H, W) and uint8")
