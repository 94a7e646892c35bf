"""Temporal stability of a video."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from posegen.errors import ConfigError
from posegen.features.parts import part_labels
from posegen.features.warp import estimate_affines
from posegen.skeletons import PARTS

_CHUNK = 8  # frames that are compared together: a perceptual distance holds many channels of each


class ImpliedFlow(NamedTuple):
    """Optical flow implied by poses: the position of each pixel in the previous frame, for all frames but the first."""

    offsets: np.ndarray
    """(T - 1, H, W, 2) float32, in pixels: what is at (x, y) was at (x, y) + (dx, dy)."""
    valid: np.ndarray
    """(T - 1, H, W) bool: the pixel shows the same thing in both frames, as far as poses and masks can tell."""


def implied_flow(keypoints: np.ndarray, masks: np.ndarray) -> ImpliedFlow:
    """Dense flow that the poses of a clip imply, without looking at the frames.

    Each part moves by its least-squares affine map (Yang et al., 2020, Section 2.3). Where parts overlap their maps
    are averaged. The camera stands still: outside the person the flow is 0.

    Args:
        keypoints: (T, 18, 3), with T at least 2.
        masks: (T, H, W) bool, or uint8 with 0 outside the person.

    Returns:
        The flow. Not valid are pixels of the person that no part explains, pixels that come from outside of the
        frame, and those that were background and are the person now, or the other way round.

    Raises:
        ConfigError: Shapes do not fit together, or there are fewer than two frames.
    """
    if masks.ndim != 3 or keypoints.shape != (len(masks), 18, 3) or len(masks) < 2:
        raise ConfigError(
            f"got keypoints of shape {keypoints.shape} and masks of shape {masks.shape}, "
            "expected (T, 18, 3) and (T, H, W) of at least 2 frames"
        )
    affines = estimate_affines(keypoints[:-1], keypoints[1:])
    own = affines.valid & (affines.sources == np.arange(len(PARTS)))  # the other limb did not move here
    moved = [
        _blend(part_labels(pose, mask) & usable[:, None, None], matrices)
        for pose, mask, usable, matrices in zip(keypoints[1:], masks[1:], own, affines.matrices, strict=True)
    ]
    offsets, known = (np.stack(arrays) for arrays in zip(*moved, strict=True))
    pairs = zip(masks[:-1] > 0, masks[1:] > 0, offsets, known, strict=True)
    return ImpliedFlow(offsets, np.stack([_shows_the_same(*pair) for pair in pairs]))


def warp_error(frames: np.ndarray, flows: np.ndarray, valid: np.ndarray) -> float:
    """Mean |v_t − warp(v_{t−1})|, the flicker that motion does not explain, in [0, 1]; 0 is steady.

    The warping error of Lai et al. (2018, "Learning Blind Video Temporal Consistency") with absolute instead of
    squared differences: over the valid pixels and channels of each pair, then over the pairs that have any.

    Args:
        frames: (T, H, W, 3) uint8.
        flows: (T - 1, H, W, 2), as in `ImpliedFlow.offsets`.
        valid: (T - 1, H, W) bool: pixels that count.

    Raises:
        ConfigError: Shapes or types are not these, or no pixel is valid.
    """
    shape = (len(frames) - 1, *frames.shape[1:3])
    if frames.ndim != 4 or frames.dtype != np.uint8 or flows.shape != (*shape, 2) or valid.shape != shape:
        raise ConfigError(
            f"got {frames.dtype} frames of shape {frames.shape}, flows of shape {flows.shape} and valid of shape "
            f"{valid.shape}, expected uint8 (T, H, W, 3), (T - 1, H, W, 2) and (T - 1, H, W)"
        )
    counted = np.flatnonzero(valid.any(axis=(1, 2)))
    if not len(counted):
        raise ConfigError(f"none of {len(valid)} pairs of frames has a valid pixel, expected at least one")
    errors = [np.abs(frames[t + 1] - _warp_back(frames[t], flows[t]))[valid[t]].mean() for t in counted]
    return float(np.mean(errors)) / 255


def tlpips(distance: Callable[[Tensor, Tensor], Tensor], real: Tensor, fake: Tensor) -> float:
    """Mean |d(v_t, v_{t−1}) − d(r_t, r_{t−1})|: how differently two videos change from frame to frame, 0 for alike.

    Called tLP or tLPIPS (Chu et al., 2020, "Learning Temporal Coherence via Self-Supervision", TecoGAN). Unlike
    `warp_error` it also finds a video too steady: one that stands still where the real one moves.

    Args:
        distance: A perceptual distance, `LPIPS` or `STLPIPS`: pairs of (N, 3, H, W) in [0, 1] to (N,).
        real: (T, 3, H, W) in [0, 1].
        fake: The same, generated.

    Returns:
        In the unit of the distance; the paper's tables show 100 times as much.

    Raises:
        ConfigError: Shapes differ, or there are fewer than two frames.
    """
    if real.shape != fake.shape or real.dim() != 4 or len(real) < 2:
        raise ConfigError(
            f"got videos of shapes {tuple(real.shape)} and {tuple(fake.shape)}, expected both (T, 3, H, W) of at "
            "least 2 frames"
        )
    return float((_paces(distance, fake) - _paces(distance, real)).abs().mean())


@torch.no_grad()
def _paces(distance: Callable[[Tensor, Tensor], Tensor], frames: Tensor) -> Tensor:
    """Distances between neighbours, (T - 1,)."""
    pairs = zip(frames[1:].split(_CHUNK), frames[:-1].split(_CHUNK), strict=True)
    return torch.cat([distance(after, before) for after, before in pairs])


def _blend(labels: np.ndarray, matrices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Offsets (H, W, 2) by the mean map of the parts that lie on each pixel, and where any does, (H, W)."""
    weights = labels / np.maximum(labels.sum(axis=0), 1)
    moves = np.tensordot(weights, matrices - np.eye(2, 3), axes=(0, 0))  # (H, W, 2, 3)
    places = _pixels(labels.shape[1:])
    offsets = (moves[..., :2] @ places[..., None])[..., 0] + moves[..., 2]
    return offsets.astype(np.float32), np.asarray(labels.any(axis=0))


def _shows_the_same(before: np.ndarray, now: np.ndarray, offsets: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Mark pixels (H, W) that are the person in both frames and known to be, or the background in both."""
    height, width = now.shape
    x, y = np.moveaxis(np.rint(_pixels(now.shape) + offsets).astype(int), -1, 0)
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    was_person = before[y.clip(0, height - 1), x.clip(0, width - 1)]
    return inside & (was_person == now) & (known | ~now)


def _warp_back(image: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Resample (H, W, 3) at every pixel's place plus its offset (H, W, 2): bilinear, edges repeated, float32."""
    x, y = np.moveaxis(_pixels(offsets.shape[:2]) + offsets, -1, 0).astype(np.float32)
    warped = cv2.remap(image.astype(np.float32), x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(warped)


def _pixels(size: tuple[int, ...]) -> np.ndarray:
    """x and y of every pixel, (H, W, 2)."""
    return np.dstack(np.meshgrid(np.arange(size[1]), np.arange(size[0])))
