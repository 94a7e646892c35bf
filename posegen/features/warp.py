"""Moves the parts of a body from one pose to another (Yang et al., 2020, Section 2.3).

Each part has an affine map of its own, the least-squares fit between corresponding points of the two poses. Maps
lead from target to source pixels, because that is how an image is resampled.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np

from posegen.errors import ConfigError
from posegen.features.parts import FACE_JOINTS, HEAD, TORSO, TORSO_JOINTS, limb_quads, torso_size
from posegen.skeletons import PARTS, joint_indices, swap_left_right

_SHOULDERS = joint_indices(["right_shoulder", "left_shoulder"])
_HEAD_JOINTS = np.concatenate([FACE_JOINTS, _SHOULDERS])
_MIRRORED_LIMBS = np.array([PARTS.index(swap_left_right(part)) for part in PARTS[2:]]) - 2
_OUTER_EXTENSION = 0.3  # of calves and forearms; their shapes reach further than the fit, as in Deformable GAN
_SINGULAR = 1e-9


class PartAffines(NamedTuple):
    """Affine map from each part of a target pose to the source."""

    matrices: np.ndarray
    """(..., 10, 2, 3) float64: (x, y) in the source is M @ (x, y, 1) in the target; zeros where not valid."""
    valid: np.ndarray
    """(..., 10) bool: the part is seen in both poses, and its map can be inverted."""
    sources: np.ndarray
    """(..., 10) int: part of the source to sample, in the order of `PARTS`; the mirrored limb where its own is not
    seen."""


class PartCrop(NamedTuple):
    """One part of a feature map, cut out at its label's bounding box."""

    image: np.ndarray
    """(h, w, C), zeros outside the label; h and w are 0 where the label is empty."""
    left: int
    """Column of the first pixel in the feature map."""
    top: int
    """Row of the first pixel in the feature map."""


def estimate_affines(source: np.ndarray, target: np.ndarray) -> PartAffines:
    """Fit the map of each part by ordinary least squares (Yang et al., 2020, Section 2.3).

    Correspondences are those of Deformable GAN (Siarohin et al., 2018, Section 3.2), since the two joints of a limb
    leave an affine map open: the corners of the torso; the face joints seen in both poses with both shoulders; the
    corners of the rectangle around a limb. A limb that the source does not show is taken from the other side of the
    body. A target with no torso to measure its limbs by has the source's.

    Args:
        source: (..., 18, 3).
        target: (..., 18, 3); leading dimensions broadcast, so that one source can serve many targets.
    """
    source, target = np.broadcast_arrays(np.asarray(source, np.float64), np.asarray(target, np.float64))
    shape = (*source.shape[:-2], len(PARTS), len(_HEAD_JOINTS))  # the head has the most points
    points = _Points(np.zeros((*shape, 2)), np.zeros((*shape, 2)), np.zeros(shape))
    _match_joints(points, source, target)
    limbs = _match_limbs(points, source, target)
    matrices, valid = fit_affines(*points)
    own = np.broadcast_to([TORSO, HEAD], (*limbs.shape[:-1], 2))
    return PartAffines(matrices, valid, np.concatenate([own, limbs + 2], axis=-1))


class _Points(NamedTuple):
    """Corresponding points of all parts."""

    target: np.ndarray  # (..., 10, K, 2)
    source: np.ndarray  # (..., 10, K, 2)
    weights: np.ndarray  # (..., 10, K), 1 for a point that counts


def _match_joints(points: _Points, source: np.ndarray, target: np.ndarray) -> None:
    """Set the points of torso and head."""
    for side, pose in ((points.target, target), (points.source, source)):
        side[..., TORSO, : len(TORSO_JOINTS), :] = pose[..., TORSO_JOINTS, :2]
        side[..., HEAD, :, :] = pose[..., _HEAD_JOINTS, :2]
    common = (source[..., 2] > 0) & (target[..., 2] > 0)  # (..., 18)
    points.weights[..., TORSO, : len(TORSO_JOINTS)] = common[..., TORSO_JOINTS].all(-1, keepdims=True)
    has_face = common[..., FACE_JOINTS].any(-1, keepdims=True)
    has_shoulders = common[..., _SHOULDERS].all(-1, keepdims=True)
    points.weights[..., HEAD, :] = common[..., _HEAD_JOINTS] & has_face & has_shoulders


def _match_limbs(points: _Points, source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Set the points of the limbs, and return which limb of the source each of them samples, (..., 8) int."""
    poses = np.stack([source, target])
    sizes = torso_size(poses)
    sizes[1] = np.where(sizes[1] > 0, sizes[1], sizes[0])
    (source_quads, target_quads), (seen, wanted) = limb_quads(poses, sizes, _OUTER_EXTENSION)
    limbs = np.where(seen, np.arange(len(_MIRRORED_LIMBS)), _MIRRORED_LIMBS)  # (..., 8)
    points.target[..., 2:, :4, :] = target_quads
    points.source[..., 2:, :4, :] = np.take_along_axis(source_quads, limbs[..., None, None], axis=-3)
    points.weights[..., 2:, :4] = (wanted & np.take_along_axis(seen, limbs, axis=-1))[..., None]
    return limbs


def disturb_affines(affines: PartAffines, *, drop: float, jitter: float, rng: np.random.Generator) -> PartAffines:
    """Spoil maps of one pair of poses, for a network to learn what to do about missing and misplaced parts.

    Args:
        affines: Of one pair of poses.
        drop: Probability of a part to be left out, in [0, 1].
        jitter: Largest distance in pixels of the target by which a part is moved along x and along y.
        rng: Decides which and how far.
    """
    shifts = rng.uniform(-jitter, jitter, (len(PARTS), 2, 1))
    matrices = affines.matrices.copy()
    matrices[..., 2:] -= matrices[..., :2] @ shifts
    return affines._replace(matrices=matrices, valid=affines.valid & (rng.random(len(PARTS)) >= drop))


def fit_affines(target: np.ndarray, source: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fit affine maps from target to source points by weighted least squares, in closed form.

    Args:
        target: (..., K, 2).
        source: (..., K, 2).
        weights: (..., K), 0 or 1.

    Returns:
        (..., 2, 3) float64 matrices, and (...,) bool where they exist and can be inverted. The others are 0: too
        few points, or all of them on one line in either pose.
    """
    count = np.maximum(weights.sum(axis=-1), 1)[..., None, None]
    target_mean = weights[..., None, :] @ target / count  # (..., 1, 2)
    source_mean = weights[..., None, :] @ source / count
    x = weights[..., None] * (target - target_mean)  # centred, so the normal equations are 2 × 2
    y = weights[..., None] * (source - source_mean)
    xx, yx = x.swapaxes(-1, -2) @ x, y.swapaxes(-1, -2) @ x
    a, b, d = xx[..., 0, 0], xx[..., 0, 1], xx[..., 1, 1]
    determinant = a * d - b * b
    solvable = determinant > _SINGULAR * (a + d) ** 2
    adjugate = np.stack([np.stack([d, -b], axis=-1), np.stack([-b, a], axis=-1)], axis=-2)
    linear = yx @ adjugate / np.where(solvable, determinant, 1.0)[..., None, None]  # (..., 2, 2)
    scale = linear[..., 0, 0] * linear[..., 1, 1] - linear[..., 0, 1] * linear[..., 1, 0]
    valid = solvable & (np.abs(scale) > _SINGULAR)
    offset = source_mean.swapaxes(-1, -2) - linear @ target_mean.swapaxes(-1, -2)
    matrices = np.concatenate([linear, offset], axis=-1)
    return np.where(valid[..., None, None], matrices, 0.0), valid


def crop_parts(feature: np.ndarray, labels: np.ndarray) -> list[PartCrop]:
    """Cut a feature map (H, W, C) into its labelled parts (10, H, W), which `merge_crops` can warp many times.

    Raises:
        ConfigError: The labels are of another size than the feature map, or not bool.
    """
    if feature.ndim != 3 or labels.shape != (len(PARTS), *feature.shape[:2]) or labels.dtype != bool:
        raise ConfigError(
            f"got a feature map of shape {feature.shape} and {labels.dtype} labels of shape {labels.shape}, "
            f"expected (H, W, C) and bool labels of shape ({len(PARTS)}, H, W)"
        )
    crops = []
    for label in labels:
        left, top, width, height = cv2.boundingRect(label.view(np.uint8))
        image = feature[top : top + height, left : left + width]
        if image.size:
            masked = cv2.copyTo(image, label.view(np.uint8)[top : top + height, left : left + width])
            image = masked.reshape(image.shape)  # OpenCV drops the axis of a single channel
        crops.append(PartCrop(image, left, top))
    return crops


def merge_crops(crops: list[PartCrop], affines: PartAffines, size: tuple[int, ...]) -> np.ndarray:
    """Warp each part of a source on its own onto a canvas of `size` (H, W), and merge them by maximum.

    Equation 1 of Yang et al. (2020), within the regions that a part can reach. Interpolation is bilinear and everything
    outside a label is 0, so 0 has to mean "nothing there".
    """
    canvas = np.zeros((*size, crops[0].image.shape[2]), crops[0].image.dtype)
    for region, part in _warped(crops, affines, canvas):
        np.maximum(region, part, out=region)
    return canvas


def warp_crops(crops: list[PartCrop], affines: PartAffines, background: np.ndarray) -> np.ndarray:
    """Warp the parts of a source and lay them over a picture, one after another in the order of `PARTS`.

    Args:
        crops: Red, green, blue, and 255 for the opacity, all uint8.
        affines: Of one pair of poses.
        background: (H, W, 3) uint8.

    Returns:
        (H, W, 3) uint8.
    """
    canvas = background.copy()
    for region, part in _warped(crops, affines, canvas):
        # Outside its label a crop is 0, so a resampled colour has been multiplied by the opacity.
        shown = cv2.multiply(region, cv2.merge([255 - part[..., 3]] * 3), scale=1 / 255)
        cv2.add(part[..., :3], shown, dst=region)
    return canvas


def _warped(crops: list[PartCrop], affines: PartAffines, canvas: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The parts that reach a canvas (H, W, ·): the region of it, as a view, and the part as it looks there."""
    for matrix, valid, source in zip(*affines, strict=True):
        crop = crops[source]
        if not valid or not crop.image.size:
            continue
        left, top, right, bottom = _reach(crop, matrix, canvas.shape)
        if left < right and top < bottom:
            region = canvas[top:bottom, left:right]
            shifted = matrix.copy()  # from pixels of the region to pixels of the crop
            shifted[:, 2] += matrix[:, :2] @ (left, top) - (crop.left, crop.top)
            yield region, _warp(crop.image, shifted, region.shape[:2])


def _reach(crop: PartCrop, matrix: np.ndarray, size: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of the target pixels that a crop can colour; interpolation adds a pixel around."""
    height, width = crop.image.shape[:2]
    xs = np.array([crop.left - 1, crop.left + width] * 2)
    ys = np.repeat([crop.top - 1, crop.top + height], 2)
    corners = np.linalg.solve(matrix[:, :2], np.stack([xs, ys]) - matrix[:, 2:])  # (2, 4), on the target
    left, top = np.maximum(np.floor(corners.min(axis=1)), 0).astype(int)
    right, bottom = np.minimum(np.ceil(corners.max(axis=1)) + 1, (size[1], size[0])).astype(int)
    return left, top, right, bottom


def _warp(image: np.ndarray, matrix: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Bilinear resampling of (h, w, C) to `size` by a map from target to source, zeros outside."""
    channels = image.shape[2]
    if channels not in (1, 3, 4):  # OpenCV rounds positions to 1/32 pixel for other counts
        planes = [_warp(image[..., c : c + 1], matrix, size) for c in range(channels)]
        return np.concatenate(planes, axis=2)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(image, matrix, size[::-1], flags=flags).reshape(*size, channels)
