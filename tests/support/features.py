"""Warped feature maps in one call, as tests want them."""

from __future__ import annotations

import numpy as np

from posegen.features.feature_map import ContentFeatures, Estimate
from posegen.features.warp import PartAffines, crop_parts, estimate_affines, merge_crops


def estimate(content: ContentFeatures, keypoints: np.ndarray) -> Estimate:
    """The feature map of a person in another pose (18, 3), and where anything of it was seen."""
    return content.merge(keypoints, estimate_affines(content.keypoints, keypoints))


def warp_parts(feature: np.ndarray, labels: np.ndarray, affines: PartAffines) -> np.ndarray:
    """Warp the parts (10, H, W) of a feature map (H, W, C) by the maps of one pair of poses, and merge them."""
    return merge_crops(crop_parts(feature, labels), affines, feature.shape[:2])
