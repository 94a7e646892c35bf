"""From what a clip holds to what a network takes, and back."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from posegen.datasets.clip_files import ClipFile, RecoloringFile
from posegen.features.feature_map import ContentFeatures

REGIONS = ("upper", "lower")
"""The garments, in the order in which codes and region masks have them."""


def content_features(clip: ClipFile, row: int) -> ContentFeatures:
    """Return the source of feature maps of other poses, from a frame of a clip."""
    return ContentFeatures(clip.keypoints[row], clip.edges(row), clip.mask(row))


def usable_rows(clip: ClipFile) -> np.ndarray:
    """Rows of the frames that have both hips and both shoulders."""
    return clip.usable_rows


def count_used(recolorings: RecoloringFile, most: int) -> int:
    """Count the recolourings to use: at most `most`, or all if `most` is 0."""
    return min(most or recolorings.num_recolorings, recolorings.num_recolorings)


def to_network(image: np.ndarray) -> np.ndarray:
    """uint8 (H, W, C) to float32 (C, H, W) in [-1, 1]."""
    return np.ascontiguousarray(image.transpose(2, 0, 1), np.float32) / 127.5 - 1.0


def to_unit(image: np.ndarray) -> np.ndarray:
    """uint8 (H, W, C) to float32 (C, H, W) in [0, 1]."""
    return np.ascontiguousarray(image.transpose(2, 0, 1), np.float32) / 255.0


def to_image(tensor: Tensor) -> np.ndarray:
    """(3, H, W) in [-1, 1] to uint8 (H, W, 3)."""
    scaled = (tensor.detach().float().clamp(-1, 1) + 1) * 127.5
    return scaled.round().byte().permute(1, 2, 0).cpu().numpy()
