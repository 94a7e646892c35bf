"""Turns one video into one clip: read, perceive, check, write. No Ray here, so it runs under a debugger.

A video shows one person, and is rejected where it shows several of comparable size. Smaller bystanders do no harm:
the backends follow the largest and most central person of the first frame that shows anybody. Where the usual window
shows nobody, or somebody who is small in it, the person is looked for in the whole picture before it is rejected.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np

from orchestration.data.clip_sheets import draw_clip, draw_frames, write_sheet
from orchestration.errors import reason_of
from orchestration.option_types import FrameSize
from posegen.color.garment_segmentation import GarmentMethod
from posegen.datasets.clip_files import Clip, ClipInfo, write_clip
from posegen.datasets.clip_index import encode_entries
from posegen.errors import ConfigError, DatasetError, PosegenError
from posegen.features.parts import is_usable
from posegen.io.storage import StorageFolder
from posegen.io.video_reader import Box, DetailedFootage, iterate_frames, read_with_detail
from posegen.perception import BACKENDS, POSE_ESTIMATORS, Backend
from posegen.perception.clip_viewer import ClipViewer

PERCEPTION_VERSION = 2
"""Part of every clip's id: counts the changes to the code that make another clip of the same video."""

_BOX_STEP = 8  # frames from one that is searched for the person's box to the next
_LEAST_SCORE = 0.7  # of BlazePose, in half of the frames: people have 0.9 and more, trees and coats less
_LEAST_HEIGHT = 0.2  # of the frame's; a smaller person has no limbs that a network could learn
_STREAKS = 0.25  # of the frame that is its continued border, from which people are told of it


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
    """What had to be changed or guessed, in lines."""
    seconds: float = 0.0


@dataclass(frozen=True)
class PreparedClip:
    """A clip, and what had to be changed or guessed to make it."""

    clip: Clip
    notes: tuple[str, ...] = ()


class RefusedClipError(DatasetError):
    """A video that is not accepted, with what was seen in it."""

    def __init__(self, reason: str, footage: DetailedFootage | None = None, keypoints: np.ndarray | None = None):
        super().__init__(reason)
        self.footage, self.keypoints = footage, keypoints


class ClipPreparer:
    """Makes clips of videos. Holds the backends, which are loaded once."""

    def __init__(self, dataset: StorageFolder, settings: PrepareSettings):
        self.dataset = dataset
        self.settings = settings
        self.viewer = ClipViewer({kind: getattr(settings, kind) for kind in BACKENDS})

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Make and write one clip, and a sheet of it or of what was refused.

        Whatever goes wrong becomes its reason: one video must not stop the others.

        Args:
            row: ``clip_id, source, source_sha256, person, action``.

        Returns:
            The fields of a `ClipResult`.
        """
        start = time.perf_counter()
        result = ClipResult(row["clip_id"])
        try:
            made = self.make_clip(row)
            write_sheet(self.dataset, row["clip_id"], draw_clip(made.clip))  # first: a clip that is there is not redone
            entries = [write_clip(self.dataset, made.clip)]
            result = replace(result, entries=encode_entries(entries), notes="\n".join(made.notes), is_final=True)
        except PosegenError as error:
            if isinstance(error, RefusedClipError) and error.footage is not None:
                sheet = draw_frames(error.footage.detail.images, error.footage.small.images.shape[1:3], error.keypoints)
                write_sheet(self.dataset, row["clip_id"], sheet)
            result = replace(result, reason=str(error).removeprefix(f"{row['source']}: "), is_final=True)
        except Exception as error:
            result = replace(result, reason=reason_of(error))
        return asdict(replace(result, seconds=time.perf_counter() - start))

    def make_clip(self, row: dict[str, Any]) -> PreparedClip:
        """Read a video and see what is in it, in the usual window and, where that shows nobody, around the person.

        Raises VideoError; RefusedClipError for a video that is not accepted; or PerceptionError where a backend finds
        no data.
        """
        crop = self.settings.crop
        try:
            return self._make_clip(row, crop)
        except RefusedClipError as refused:
            # Several people stay several; and with poses from files there is no network that finds people.
            if crop == "person" or self.settings.pose != "blazepose" or str(refused).startswith(_COMPANY):
                raise
            try:
                made = self._make_clip(row, "person")
            except PosegenError:
                raise refused from None
            note = f"{row['source']}: cropped to the person, since otherwise there is {refused}"
            return replace(made, notes=(*made.notes, note))

    def _make_clip(self, row: dict[str, Any], crop: Literal["center", "person", "none"]) -> PreparedClip:
        footage = self._read(Path(row["source"]), crop)
        poses = self.viewer.find_poses(footage)
        num_frames, height = footage.small.images.shape[:2]
        reason = (
            rejection_of_company(poses.others)
            or rejection_of_clip(num_frames, int(is_usable(poses.keypoints).sum()), self.settings)
            or (rejection_of_track(poses.scores) if self.settings.pose == "blazepose" else "")
            or rejection_of_height(poses.keypoints, height)
        )
        if reason:  # before edges and masks, which cost the most
            raise RefusedClipError(reason, footage, poses.keypoints)
        small = footage.small
        clip = Clip(
            info=ClipInfo(**row, fps=small.fps, num_frames=num_frames, size=self.settings.size),
            frames=small.indices,
            times=small.times,
            images=small.images,
            keypoints=poses.keypoints,
            edges=self.viewer.find_edges(footage),
            masks=self.viewer.find_masks(footage, poses),
        )
        streaks = small.padded_share
        notes = (*small.notes, *poses.notes)
        if streaks > _STREAKS:
            text = f"{row['source']}: {streaks:.0%} of the frame is beyond the picture, whose border goes on there"
            notes = (*notes, text)
        return PreparedClip(clip, notes)

    def _read(self, path: Path, crop: Literal["center", "person", "none"]) -> DetailedFootage:
        size, limit = self.settings.size, self.settings.max_frames
        box: Literal["center", "none"] | Box | None
        if crop == "person":
            from posegen.perception.person_box import person_box

            frames = (frame for _, _, frame in iterate_frames(path, max_frames=limit))
            box = person_box(islice(frames, 0, None, _BOX_STEP), aspect=size[1] / size[0])
            if box is None:
                raise RefusedClipError("no person: nobody is seen in any frame")
        else:
            box = crop
        return read_with_detail(path, size=size, crop=box, max_frames=limit)


_COMPANY = "several people"


def rejection_of_company(others: np.ndarray) -> str:
    """Return why a video with `others` (T,), see `Poses`, beside its person is not accepted; empty if it is."""
    looked = others[others >= 0]
    shared = int((looked > 0).sum())
    if shared and 2 * shared >= len(looked):
        return (
            f"{_COMPANY}: in {shared} of {len(looked)} frames that were looked at there is another person "
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


def rejection_of_track(scores: np.ndarray) -> str:
    """Return why what BlazePose followed, with `scores` (T,), is not accepted as a person; empty if it is."""
    seen = scores[scores > 0]
    score = float(np.median(seen)) if len(seen) else 0.0
    if score < _LEAST_SCORE:
        return f"no person: what is followed is hardly one ({score:.2f} of 1, expected at least {_LEAST_SCORE:g})"
    return ""


def rejection_of_height(keypoints: np.ndarray, height: int) -> str:
    """Return why poses (T, 18, 3) in frames of a height are too small; empty if they are not."""
    poses = keypoints[is_usable(keypoints)]
    rows = np.where(poses[..., 2] > 0, poses[..., 1], np.nan)
    tall = float(np.median(np.nanmax(rows, axis=1) - np.nanmin(rows, axis=1)))
    if tall < _LEAST_HEIGHT * height:
        return (
            f"a small person: {tall:.0f} of the frame's {height} pixels high, expected at least "
            f"{_LEAST_HEIGHT * height:.0f}; choose --crop person, or a larger --size"
        )
    return ""
