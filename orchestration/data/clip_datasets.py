"""Datasets of clips that are not made from videos: what they share when they are finished."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from orchestration.data.video_files import Rejection
from posegen.datasets.clip_files import Clip, ClipFile, ClipInfo, write_clip
from posegen.datasets.clips import DatasetInfo, load_dataset_info, save_dataset_info
from posegen.datasets.dataset import Split
from posegen.errors import DatasetError
from posegen.features.parts import part_shapes
from posegen.io.storage import StorageFolder

REJECTED = "rejected.json"
"""The list of what was left out, and why."""


def posed_clip(info: ClipInfo, frames: np.ndarray, images: np.ndarray, keypoints: np.ndarray) -> Clip:
    """A clip of which nothing but the pose was seen: no edges, and the person is where the body's parts are.

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


def finish_clips(
    folder: StorageFolder,
    side: Callable[[ClipInfo], Split],
    is_stale: Callable[[ClipInfo], bool],
    *,
    size: tuple[int, int],
    settings: dict[str, Any],
    pose: str,
    split_by: Literal["person", "action"],
) -> list[ClipInfo]:
    """Delete clips that no longer hold, divide the others, and write what is known of the dataset as a whole.

    Args:
        folder: The dataset.
        side: The split of a clip; all of a person, or of an action, have the same.
        is_stale: Whether a clip was made of the same source otherwise.
        size: Height and width of the frames.
        settings: How the clips were made.
        pose: What told the pose of a `posed_clip`.
        split_by: What is either learned from or held out, as a whole.
    """
    infos = []
    for name in (folder / "clips").files(".parquet"):
        file = ClipFile(folder, name.removesuffix(".parquet"))
        if is_stale(file.info):
            folder.delete(f"clips/{name}")
            continue
        info = replace(file.info, split=side(file.info))
        if info != file.info:
            write_clip(folder, replace(file.read(), info=info))
        infos.append(info)
    splits: dict[str, list[str]] = {
        split: sorted({getattr(info, split_by) for info in infos if info.split == split}) for split in ("train", "test")
    }
    backends: dict[str, dict[str, Any]] = {
        kind: {"weights": {}, "name": name} for kind, name in (("pose", pose), ("edges", "none"), ("mask", "parts"))
    }
    save_dataset_info(folder, DatasetInfo(size, settings, backends, split_by, splits))
    for place in (folder, folder / "clips"):
        place.sweep()
    return infos


def write_rejections(folder: StorageFolder, rejections: Sequence[Rejection]) -> None:
    """Write the list of what was left out; without any, there is none."""
    if rejections:
        found = sorted(rejections, key=lambda one: one.source)
        folder.write_json(REJECTED, [{"source": one.source, "reason": one.reason} for one in found])
    elif folder.exists(REJECTED):
        folder.delete(REJECTED)


def some_of(rejections: Sequence[Rejection], most: int = 3) -> str:
    """The first of what was left out, for one line."""
    shown = "; ".join(f"{one.source}: {one.reason}" for one in rejections[:most])
    return f"{shown}; …" if len(rejections) > most else shown
