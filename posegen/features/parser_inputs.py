"""Inputs of the person parser: a crop around the person, joint maps and a first guess of the classes."""

from __future__ import annotations

import cv2
import numpy as np

from posegen.features.parts import torso_size
from posegen.features.stick_figure import require_one_pose
from posegen.skeletons import joint_indices

NO_LABEL = 255
"""In a crop of a label map: outside the picture, where nothing is known."""
_ABOVE, _BELOW, _BESIDE = 0.45, 0.35, 0.4  # torso lengths around the joints: hair, shoes, elbows and bags
_ANKLES, _KNEES, _HIPS = (
    joint_indices([f"{side}_{joint}" for side in ("right", "left")]) for joint in ("ankle", "knee", "hip")
)
_LEG_BELOW = ((_KNEES, 1.3), (_HIPS, 2.2))  # torso lengths down to the ground
_LEAST_SCALE = 0.5  # below which a picture is halved before it is sampled
_JOINT_SPREAD = 0.025  # standard deviation of a joint's heat, of the crop's height


def person_region(keypoints: np.ndarray, size: tuple[int, int]) -> tuple[float, float, float, float]:
    """Return the region around a pose in which hair, clothes and shoes are to be expected.

    Args:
        keypoints: (18, 3).
        size: (H, W) of the picture.

    Returns:
        x, y of its centre, width and height in pixels. The whole picture for a pose of fewer than two joints. It may
        reach beyond the picture.
    """
    require_one_pose(keypoints)
    height, width = size
    points = keypoints[keypoints[:, 2] > 0, :2].astype(np.float64)
    if len(points) < 2:
        return (width - 1) / 2, (height - 1) / 2, float(width), float(height)
    low, high = points.min(axis=0), points.max(axis=0)
    unit = max(float(torso_size(keypoints)), 0.2 * float((high - low).max()), 1.0)
    x0, y0 = low - unit * np.array([_BESIDE, _ABOVE])
    x1, y1 = high + unit * np.array([_BESIDE, _BELOW])
    if not (keypoints[_ANKLES, 2] > 0).any():  # wide trousers and skirts hide them
        for joints, below in _LEG_BELOW:
            seen = keypoints[joints, 2] > 0
            if seen.any():
                y1 = max(y1, float(keypoints[joints][seen, 1].max()) + below * unit)
    return (x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0


def crop_affine(region: tuple[float, float, float, float], size: tuple[int, int]) -> np.ndarray:
    """Return the (2, 3) affine from a picture to a crop (H, W) that holds a region in its middle, aspect kept."""
    x, y, across, down = region
    height, width = size
    scale = min(width / across, height / down)
    return np.array([[scale, 0, (width - 1) / 2 - scale * x], [0, scale, (height - 1) / 2 - scale * y]])


def warp_picture(image: np.ndarray, affine: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Sample a picture (H, W, 3) in a crop; beyond the picture, its border is repeated."""
    scale = float(np.sqrt(abs(np.linalg.det(affine[:, :2]))))
    while scale < _LEAST_SCALE and min(image.shape[:2]) > 1:  # every second pixel would be overlooked
        height, width = image.shape[:2]
        smaller = max(width // 2, 1), max(height // 2, 1)
        factors = np.array([width / smaller[0], height / smaller[1]])
        image = cv2.resize(image, smaller, interpolation=cv2.INTER_AREA)
        linear = affine[:, :2] * factors
        affine = np.column_stack([linear, affine[:, 2] + affine[:, :2] @ ((factors - 1) / 2)])
        scale *= 2
    return cv2.warpAffine(image, affine, (size[1], size[0]), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def warp_labels(labels: np.ndarray, affine: np.ndarray, size: tuple[int, int], outside: int = 0) -> np.ndarray:
    """Sample labels (H, W) uint8 in a crop, each pixel of which has one of them, or `outside`."""
    return cv2.warpAffine(
        labels, affine, (size[1], size[0]), flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=outside
    )


def warp_mask(mask: np.ndarray, affine: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Sample a map of probabilities (H, W) uint8 in a crop; beyond the picture there is nobody."""
    return cv2.warpAffine(mask, affine, (size[1], size[0]), flags=cv2.INTER_LINEAR)


def joint_heat(keypoints: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return a Gaussian around every joint of (18, 3): (18, H, W) float32 in [0, 1], 0 for a missing joint."""
    height, width = size
    spread = _JOINT_SPREAD * height
    x, y = keypoints[:, 0, None], keypoints[:, 1, None]
    across = np.exp(-(((np.arange(width) - x) / spread) ** 2) / 2).astype(np.float32)  # (18, W)
    down = np.exp(-(((np.arange(height) - y) / spread) ** 2) / 2).astype(np.float32)  # (18, H)
    down *= keypoints[:, 2:] > 0
    return down[:, :, None] * across[:, None, :]


def parser_inputs(image: np.ndarray, keypoints: np.ndarray, mask: np.ndarray, garments: np.ndarray) -> np.ndarray:
    """Put together what the network sees.

    Args:
        image: (H, W, 3) uint8 RGB.
        keypoints: (18, 3) in pixels of the image.
        mask: (H, W) uint8, probability × 255 of the person; zeros where it is unknown.
        garments: (H, W) uint8, 1 on the upper and 2 on the lower garment by the first guess.

    Returns:
        (24, H, W) float32: colours in [-1, 1], heat of the joints, person, upper and lower garment in [0, 1].
    """
    size = image.shape[:2]
    guess = np.stack([mask.astype(np.float32) / 255, garments == 1, garments == 2])
    colors = image.transpose(2, 0, 1).astype(np.float32) / 127.5 - 1
    return np.concatenate([colors, joint_heat(keypoints, (size[0], size[1])), guess]).astype(np.float32)
