"""Turns one video into one clip: read, perceive, check, write. No Ray here, so it runs under a debugger.

A video shows one person, and is rejected where it shows several of comparable size. Smaller bystanders do no harm:
the backends follow the largest and most central person of the first frame that shows anybody.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np

from orchestration.errors import reason_of
from orchestration.option_types import FrameSize
from posegen.color.garment_segmentation import GarmentMethod
from posegen.datasets.clip_files import Clip, ClipInfo, write_clip
from posegen.datasets.clip_index import encode_entries
from posegen.errors import ConfigError, DatasetError, PosegenError
from posegen.features.parts import is_usable
from posegen.io.storage import StorageFolder
from posegen.io.video_reader import Footage, iterate_frames, read_video
from posegen.perception import BACKENDS, EDGE_DETECTORS, POSE_ESTIMATORS, SEGMENTERS, Backend

PERCEPTION_VERSION = 1
"""Part of every clip's id: counts the changes to the code that make another clip of the same video."""

_BOX_STEP = 8  # frames from one that is searched for the person's box to the next


@dataclass(frozen=True, kw_only=True)
class PrepareSettings:
    """How videos become clips."""

    size: FrameSize = (384, 256)
    """Height and width of the frames, in pixels."""
    crop: Literal["center", "person", "none"] = "center"
    """Part of the picture to keep: its centre, a box around the person, or all of it, with repeated borders."""
    pose: str = "blazepose"
    """Pose backend: blazepose; or openpose_json (JSON of OpenPose, DWPose, MMPose, AlphaPose) or truth, which read
    files beside the video."""
    edges: str = "hed"
    """Edge backend: hed or truth."""
    mask: str = "blazepose"
    """Mask backend, for the person's pixels: blazepose, selfie or truth."""
    garments: GarmentMethod = "heuristic"
    """How colorize, generate and the metrics find garments: heuristic, by colours and places; or parser, a network that
    also knows hair, skin, dresses, shoes and bags."""
    pattern: str = ""
    """Pattern of person and action in paths, such as '{person}_{action}'; by default PERSON/ACTION.mp4."""
    split_by: Literal["action", "person"] = "action"
    """Unit of the split: no action, or no person, is both in training and in test."""
    train_fraction: float = 10 / 16
    """Share of the actions, or persons, in the training split."""
    seed: int = 0
    """Seed of the split."""
    max_frames: int = 3000
    """Frames of a video at most; longer ones are rejected: cut them into actions first."""
    min_usable: float = 0.1
    """Share of the frames that must show both shoulders and both hips; other videos are rejected."""
    workers: int = -1
    """Processes that prepare clips; -1 takes all CPUs of the cluster, 0 works in this process, without Ray."""
    restart: bool = False
    """Delete the dataset first, and start anew."""

    def __post_init__(self) -> None:
        if min(self.size) < 32:
            raise ConfigError(f"size must be at least 32 x 32 (height x width), got {self.size}")
        for name, value in (("train_fraction", self.train_fraction), ("min_usable", self.min_usable)):
            if not 0 <= value <= 1:
                raise ConfigError(f"{name} must be between 0 and 1, got {value}")
        if self.max_frames < 2:
            raise ConfigError(f"max_frames must be at least 2, got {self.max_frames}")
        for kind, table in BACKENDS.items():
            if getattr(self, kind) not in table:
                raise ConfigError(f"unknown {kind} {getattr(self, kind)!r}, expected one of {sorted(table)}")

    def backends(self) -> dict[str, Backend[Any]]:
        """What sees the frames, by its use: ``pose``, ``edges``, ``mask``, and ``crop`` where it looks for people."""
        used = {kind: table[getattr(self, kind)] for kind, table in BACKENDS.items()}
        return used | ({"crop": POSE_ESTIMATORS["blazepose"]} if self.crop == "person" else {})

    def record_backends(self) -> dict[str, dict[str, Any]]:
        """Names of the backends and the sha256 of their weights."""
        return {
            kind: {"name": getattr(self, kind), "weights": backend.identity()}
            for kind, backend in self.backends().items()
        }


@dataclass(frozen=True)
class ClipResult:
    """What became of one video."""

    clip_id: str
    entries: str = "[]"
    """What the index says of the clip, see `posegen.datasets.clip_index.encode_entries`; none without a clip."""
    reason: str = ""
    """Why there is no clip; empty if there is one."""
    is_final: bool = False
    """Whether trying again gives the same."""
    notes: str = ""
    """What had to be changed or guessed, a line each."""
    seconds: float = 0.0


class ClipPreparer:
    """Makes clips of videos. Holds the backends, which are loaded once."""

    def __init__(self, dataset: StorageFolder, settings: PrepareSettings):
        self.dataset = dataset
        self.settings = settings
        self.estimate_poses = POSE_ESTIMATORS[settings.pose].make()
        self.detect_edges = EDGE_DETECTORS[settings.edges].make()
        self.segment = SEGMENTERS[settings.mask].make()

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Make and write one clip. Whatever goes wrong becomes its reason: one video must not stop the others.

        Args:
            row: ``clip_id, source, source_sha256, person, action``.

        Returns:
            The fields of a `ClipResult`.
        """
        start = time.perf_counter()
        result = ClipResult(row["clip_id"])
        try:
            clip, notes = self.make_clip(row)
            reason = rejection_of_clip(len(clip), int(is_usable(clip.keypoints).sum()), self.settings)
            entries = [] if reason else [write_clip(self.dataset, clip)]
            result = replace(
                result, entries=encode_entries(entries), reason=reason, is_final=True, notes="\n".join(notes)
            )
        except PosegenError as error:
            result = replace(result, reason=str(error).removeprefix(f"{row['source']}: "), is_final=True)
        except Exception as error:
            result = replace(result, reason=reason_of(error))
        return asdict(replace(result, seconds=time.perf_counter() - start))

    def make_clip(self, row: dict[str, Any]) -> tuple[Clip, tuple[str, ...]]:
        """Read a video and see what is in it. Returns the clip, and what had to be changed or guessed.

        Raises VideoError, or DatasetError where a backend finds no data or the video shows several people.
        """
        footage = self._read(Path(row["source"]))
        poses = self.estimate_poses(footage)
        reason = rejection_of_company(poses.others)
        if reason:
            raise DatasetError(reason)  # before edges and masks, which cost the most
        clip = Clip(
            info=ClipInfo(**row, fps=footage.fps, num_frames=len(footage.images), size=self.settings.size),
            frames=footage.indices,
            times=footage.times,
            images=footage.images,
            keypoints=poses.keypoints,
            edges=self.detect_edges(footage),
            masks=self.segment(footage, poses),
        )
        return clip, (*footage.notes, *poses.notes)

    def _read(self, path: Path) -> Footage:
        size, crop, limit = self.settings.size, self.settings.crop, self.settings.max_frames
        if crop != "person":
            return read_video(path, size=size, crop=crop, max_frames=limit)
        from posegen.perception.person_box import person_box

        frames = (frame for _, _, frame in iterate_frames(path, max_frames=limit))
        box = person_box(islice(frames, 0, None, _BOX_STEP))
        if box is None:
            raise DatasetError("no person: nobody is seen in any frame")
        return read_video(path, size=size, crop=box, max_frames=limit)


def rejection_of_company(others: np.ndarray) -> str:
    """Return why a video with `others` (T,), see `Poses`, beside its person is not accepted; empty if it is."""
    looked = others[others >= 0]
    shared = int((looked > 0).sum())
    if shared and 2 * shared >= len(looked):
        return (
            f"several people: in {shared} of {len(looked)} frames that were looked at there is another person "
            f"of comparable size; crop the video to one of them, or choose --crop person"
        )
    return ""


def rejection_of_clip(num_frames: int, num_usable: int, settings: PrepareSettings) -> str:
    """Return why a clip is not accepted; empty if it is."""
    if num_frames > settings.max_frames:
        return f"{num_frames} frames, expected at most {settings.max_frames}"
    if num_usable < max(settings.min_usable * num_frames, 1):
        return (
            f"no person: both shoulders and both hips are seen in {num_usable} of {num_frames} frames, "
            f"expected at least {settings.min_usable:.0%}"
        )
    return ""
