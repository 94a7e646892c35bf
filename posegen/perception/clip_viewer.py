"""Sees a clip at its own resolution, and says it in the pixels of a dataset, whose frames may be much smaller."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import cv2
import numpy as np

from posegen.io.video_reader import DetailedFootage, Footage
from posegen.perception import BACKENDS, Poses
from posegen.perception.keypoint_maps import drop_outside, map_keypoints

_EDGE_SIDE = 384  # pixels of the longer side in which edges are found: as many as in frames of the usual size
_EDGE_FRAMES = 16  # that are looked at together


class ClipViewer:
    """Finds poses, edges and masks.

    Args:
        names: Of the backends of ``pose``, ``edges`` and ``mask``. Those without weights read files, and are given the
            small frames; the others see the detailed ones.
    """

    def __init__(self, names: Mapping[str, str]):
        self._backends = {kind: table[names[kind]] for kind, table in BACKENDS.items()}
        self._made: dict[str, Any] = {}

    def reads_files(self, *kinds: str) -> bool:
        """Return whether one of these backends reads files beside the video."""
        return any(not self._backends[kind].weights for kind in kinds)

    def _backend(self, kind: str) -> Any:
        """The backend, which is loaded when it is needed first."""
        if kind not in self._made:
            self._made[kind] = self._backends[kind].make()
        return self._made[kind]

    def find_poses(self, footage: DetailedFootage) -> Poses:
        """Find the poses; their masks have the size in which they were found."""
        seen = self._choose("pose", footage)
        poses: Poses = self._backend("pose")(seen)
        if seen is footage.small:
            return poses
        keypoints = drop_outside(map_keypoints(poses.keypoints, footage.to_small), *footage.small.images.shape[1:3])
        return replace(poses, keypoints=keypoints.astype(np.float32))

    def find_edges(self, footage: DetailedFootage) -> np.ndarray:
        """Find edges: (T, H, W) uint8 in the small frames."""
        size = footage.small.images.shape[1:3]
        seen = self._choose("edges", footage)
        if seen is footage.small:
            return np.asarray(self._backend("edges")(seen))
        own = round(max(seen.images.shape[1:3]) / float(seen.transform[0, 0]))  # an enlarged frame has no more edges
        longest = max(min(_EDGE_SIDE, own), *size)
        edges = []
        for start in range(0, len(seen.images), _EDGE_FRAMES):
            rows = slice(start, start + _EDGE_FRAMES)
            found = self._backend("edges")(_shrunk(seen, rows, longest))
            edges += [_resize(one, size) for one in found]
        return np.stack(edges)

    def find_masks(self, footage: DetailedFootage, poses: Poses) -> np.ndarray:
        """Find the person's pixels: (T, H, W) uint8, 0 or 255, in the small frames."""
        seen = self._choose("mask", footage)
        masks = self._backend("mask")(seen, poses)
        if seen is footage.small:
            return np.asarray(masks)
        size = footage.small.images.shape[1:3]
        return np.stack([np.where(_resize(mask, size) > 127, 255, 0).astype(np.uint8) for mask in masks])

    def _choose(self, kind: str, footage: DetailedFootage) -> Footage:
        return footage.small if self.reads_files(kind) else footage.detail


def _shrunk(footage: Footage, rows: slice, longest: int) -> Footage:
    """Some frames of footage, no larger than given; their transform is that of the larger ones."""
    images = footage.images[rows]
    height, width = images.shape[1:3]
    scale = min(longest / max(height, width), 1)
    size = (max(round(height * scale), 1), max(round(width * scale), 1))
    return replace(footage, images=np.stack([_resize(image, size) for image in images]), indices=footage.indices[rows])


def _resize(image: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Resize a picture (H, W[, C]) to height and width."""
    if image.shape[:2] == tuple(size):
        return image
    shrinks = size[0] < image.shape[0] or size[1] < image.shape[1]
    return cv2.resize(image, (size[1], size[0]), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
