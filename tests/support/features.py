"""Feature maps of other poses in one call, as tests want them."""

from __future__ import annotations

import numpy as np

from posegen.features.feature_map import ContentFeatures, Estimate
from posegen.features.warp import estimate_affines


def estimate(content: ContentFeatures, keypoints: np.ndarray) -> Estimate:
    """The feature map of a person in another pose (18, 3), and where anything of it was seen."""
    return content.merge(keypoints, estimate_affines(content.keypoints, keypoints))
