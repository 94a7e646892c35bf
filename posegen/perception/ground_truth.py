"""Ground truth of the studio's own videos: poses, masks and edges, from the file beside the video."""

from __future__ import annotations

import cv2
import numpy as np

from posegen.errors import PerceptionError, counted
from posegen.io.video_reader import Footage
from posegen.perception import Poses
from posegen.perception.keypoint_maps import drop_outside, map_keypoints
from posegen.synthetic.studio import Truth, read_truth, truth_path


class TruthPoses:
    """Pose estimator that reads true poses. Raises PosegenError for a video without a ``.truth.parquet`` file."""

    def __call__(self, footage: Footage) -> Poses:
        """Return the true joints inside the picture, with the score 1 in every frame."""
        truth = _read(footage)
        keypoints = map_keypoints(truth.keypoints[footage.indices], footage.transform)
        keypoints = drop_outside(keypoints, *footage.images.shape[1:3]).astype(np.float32)
        return Poses(keypoints, np.ones(len(keypoints), np.float32))


class TruthEdges:
    """Edge detector that reads the rendered edges."""

    def __call__(self, footage: Footage) -> np.ndarray:
        """Return (T, H, W) uint8 edges."""
        return _warp(_read(footage).edges, footage)


class TruthMasks:
    """Person segmenter that reads the rendered masks."""

    def __call__(self, footage: Footage, poses: Poses) -> np.ndarray:
        """Return (T, H, W) uint8 masks, 0 or 255; `poses` are not used."""
        return np.where(_warp(_read(footage).masks, footage) > 127, 255, 0).astype(np.uint8)


def _read(footage: Footage) -> Truth:
    file = truth_path(footage.source)
    if not file.is_file():
        raise PerceptionError(
            f"no true poses of {footage.source}: {file.name} is missing beside it, expected a video made by the studio"
        )
    truth = read_truth(file)
    if footage.indices.max() >= len(truth.keypoints):
        raise PerceptionError(
            f"{file} has {counted(len(truth.keypoints), 'frame')}, but frame "
            f"{footage.indices.max()} of {footage.source} "
            f"was read: they do not belong together"
        )
    return truth


def _warp(images: np.ndarray, footage: Footage) -> np.ndarray:
    """Bring (S, h, w) uint8 images of the source's frames into the footage: (T, H, W)."""
    height, width = footage.images.shape[1:3]
    return np.stack([cv2.warpAffine(images[i], footage.transform, (width, height)) for i in footage.indices])
