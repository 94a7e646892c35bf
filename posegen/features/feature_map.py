"""Feature maps: what a generator sees of a frame, a stick figure and an edge map (Yang et al., 2020, Section 2)."""

from __future__ import annotations

import numpy as np

from posegen.features.parts import is_usable, part_labels, part_shapes
from posegen.features.stick_figure import draw_stick_figure
from posegen.features.warp import crop_parts, estimate_affines, merge_crops
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
        ValueError: Shapes or types are not these.
    """
    _require_edges(edges)
    return np.dstack([draw_stick_figure(keypoints, edges.shape), edges])


class ContentFeatures:
    """What one frame of a person tells about the feature maps of the person's other poses.

    The frame is taken apart once, then each target pose costs one warp of its parts.

    Args:
        keypoints: (18, 3), with both shoulders and both hips.
        edges: (H, W) uint8, P(edge) × 255.
        mask: (H, W) bool, or uint8 with 0 outside the person.

    Raises:
        ValueError: The pose lacks shoulders or hips, or the shapes do not fit together.
    """

    def __init__(self, keypoints: np.ndarray, edges: np.ndarray, mask: np.ndarray):
        _require_edges(edges)
        if mask.shape != edges.shape:
            raise ValueError(f"mask has shape {mask.shape}, expected that of the edges, {edges.shape}")
        labels = part_labels(keypoints, mask)
        if not is_usable(keypoints):
            raise ValueError("the content pose lacks a shoulder or a hip, choose a frame in which all four are seen")
        self.keypoints = keypoints
        self.size = edges.shape
        self._crops = crop_parts(edges[..., None], labels)

    def estimate(self, keypoints: np.ndarray) -> np.ndarray:
        """Estimate the feature map of the person in another pose (Yang et al., 2020, Section 2.3).

        The stick figure is drawn anew, because the target pose is known exactly; only edges are warped.

        Args:
            keypoints: (18, 3), the target pose. Its missing parts leave no edges.

        Returns:
            (H, W, 4) uint8.
        """
        affines = estimate_affines(self.keypoints, keypoints)
        return feature_map(keypoints, merge_crops(self._crops, affines, self.size)[..., 0])


def estimate_feature_map(
    content_keypoints: np.ndarray, content_edges: np.ndarray, content_mask: np.ndarray, target_keypoints: np.ndarray
) -> np.ndarray:
    """Estimate the feature map of one target pose from one content frame: see `ContentFeatures`."""
    return ContentFeatures(content_keypoints, content_edges, content_mask).estimate(target_keypoints)


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


def _require_edges(edges: np.ndarray) -> None:
    if edges.ndim != 2 or edges.dtype != np.uint8:
        raise ValueError(f"edges have shape {edges.shape} and type {edges.dtype}, expected (H, W) and uint8")
