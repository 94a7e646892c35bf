"""Datasets of clips that are not made from videos but from pictures whose poses are known: what they share."""

from __future__ import annotations

from typing import Any

import numpy as np

from posegen.datasets.clip_files import Clip, ClipInfo
from posegen.datasets.clips import load_dataset_info
from posegen.errors import DatasetError
from posegen.features.parts import part_shapes
from posegen.io.storage import StorageFolder


def posed_clip(info: ClipInfo, frames: np.ndarray, images: np.ndarray, keypoints: np.ndarray) -> Clip:
    """Return a clip of which nothing but the pose was seen: no edges, and the person is where the body's parts are.

    Args:
        info: What it is.
        frames: (T,) their numbers, `ClipInfo.fps` of them in a second.
        images: (T, H, W, 3) uint8.
        keypoints: (T, 18, 3).
    """
    return Clip(
        info=info,
        frames=frames.astype(np.int32),
        times=np.arange(len(frames)) / info.fps,
        images=images,
        keypoints=keypoints,
        edges=np.zeros(images.shape[:3], np.uint8),
        masks=np.stack([part_shapes(pose, info.size).any(axis=0) * np.uint8(255) for pose in keypoints]),
    )


def check_clips(folder: StorageFolder, size: tuple[int, int], dataset: str) -> None:
    """Raise DatasetError where clips of another size, or of something else, are there: they do not go together."""
    if not folder.exists("dataset.json"):
        return
    before = load_dataset_info(folder)
    found = before.size, before.settings.get("dataset", "something else")
    if found != (size, dataset):
        told, asked = (f"{width}×{height} pixels of {name}" for (height, width), name in (found, (size, dataset)))
        raise DatasetError(f"{folder} has clips of {told}, asked for were {asked}: choose another folder, or delete it")


def describe_backends(pose: str) -> dict[str, dict[str, Any]]:
    """Return `DatasetInfo.backends` of datasets of posed clips with keypoints from `pose`."""
    names = {"pose": pose, "edges": "none", "mask": "parts"}
    return {kind: {"weights": {}, "name": name} for kind, name in names.items()}
