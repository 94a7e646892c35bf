"""Turns one view of Human3.6M into pictures, rows of the annotation and clips. No Ray here, so it can be debugged."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from orchestration.data.clip_datasets import posed_clip
from orchestration.errors import reason_of
from posegen.datasets.clip_files import ClipEntry, ClipInfo, write_clip
from posegen.datasets.clip_index import encode_entries
from posegen.datasets.clips import derive_clip_id
from posegen.datasets.published.h36m_annotation import (
    Annotation,
    ViewRows,
    encode_columns,
    motion_of_view,
    picture_path,
    view_columns,
)
from posegen.datasets.published.h36m_cameras import LensCamera, calibrate
from posegen.datasets.published.h36m_names import H36M_ACTIONS, H36M_FPS, CameraView, Take
from posegen.datasets.published.h36m_poses import read_poses
from posegen.errors import ArchiveError, counted
from posegen.io.storage import StorageFolder
from posegen.io.video_reader import iterate_frames, read_image
from posegen.motion.editing import find_rotations, resample
from posegen.motion.motion import write_motion

VERSION = 1
"""Part of every clip's id: counts the changes to the code that make another clip of the same view."""

VIEWS = "processed/views"
"""Folder, inside the dataset's, of the annotation's rows of each view."""

MOTIONS = "processed/motions"
"""Folder, inside the dataset's, of motions that are ready."""

_JPEG = [cv2.IMWRITE_JPEG_QUALITY, 92]
_PIECE = 500  # frames of a clip: a minute of pictures is more than a small machine's memory
_FOLDERS = ("imageSequence", "ImageSequence")  # published code says the one, its README the other


@dataclass(frozen=True)
class ViewPlan:
    """Files of a view."""

    view: CameraView
    video: str
    """Empty where there is none."""
    positions: str = ""
    """Empty where an annotation has them."""
    keypoints: str = ""
    world: str = ""
    """Empty where they were not measured."""

    def row(self) -> dict[str, Any]:
        """Return the same as Arrow has it."""
        take = self.view.take
        return {
            "view": self.view.name,
            "subject": take.subject,
            "action": take.action,
            "subaction": take.subaction,
            "camera": self.view.camera,
            **{name: getattr(self, name) for name in ("video", "positions", "keypoints", "world")},
        }

    @classmethod
    def of(cls, row: dict[str, Any]) -> ViewPlan:
        """Return the inverse of `row`."""
        view = CameraView(Take(row["subject"], row["action"], row["subaction"]), row["camera"])
        return cls(view, row["video"], row["positions"], row["keypoints"], row["world"])


class ViewProcessor:
    """Makes what is not there yet of one view after the other.

    Args:
        out: Folder of the dataset.
        size: Height and width of the clips' frames.
        fps: Frames per second of the clips.
        cameras: By person and camera; empty where they are not known.
        annotation: A file that has the rows; None makes them.
    """

    def __init__(
        self,
        out: Path,
        size: tuple[int, int],
        fps: float,
        cameras: dict[tuple[str, str], LensCamera],
        annotation: Path | None,
    ):
        self.out, self.size, self.fps, self.cameras = out, size, fps, cameras
        self.annotation = None if annotation is None else Annotation(annotation)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Process a view. What goes wrong becomes its reason: one view must not stop the others."""
        plan = ViewPlan.of(row)
        done = {"view": row["view"], "num_frames": 0, "source": "", "clips": [], "entries": "[]", "reason": ""}
        try:
            rows, pictures = self._describe(plan)
            clips, entries = self._make_clips(plan.view, rows, pictures)
            facts = {"num_frames": len(rows), "source": str(pictures[0].parent)}
            return done | facts | {"clips": clips, "entries": encode_entries(entries)}
        except Exception as error:
            return done | {"reason": reason_of(error)}

    def _describe(self, plan: ViewPlan) -> tuple[ViewRows, list[Path]]:
        """Return the rows of a view, from the annotation or from the view's own files, and its pictures."""
        view = plan.view
        if self.annotation:
            rows = self.annotation.read(view)
            return rows, self._pictures(plan, rows.frames)
        positions = read_poses(Path(plan.positions))
        keypoints = _read_measured(plan.keypoints, 2, len(positions))
        world = _read_measured(plan.world, 3, len(positions))
        frames = np.arange(1, len(positions) + 1)
        pictures = self._pictures(plan, frames)
        found = calibrate(positions, self.cameras.get((view.take.subject, view.camera)), keypoints, world)
        rows = ViewRows(
            world=found.world,
            intrinsics=found.intrinsics,
            extrinsics=found.extrinsics,
            size=_read_picture(pictures[0]).shape[:2],
            frames=frames,
            measured=world is not None,
        )
        columns = view_columns(view, found.keypoints, positions, rows)
        StorageFolder(self.out / VIEWS).write_bytes(f"{view.name}.npz", encode_columns(columns))
        return rows, pictures

    def _pictures(self, plan: ViewPlan, frames: np.ndarray) -> list[Path]:
        """The picture of every frame, taken from the video if it is not there."""
        spellings = [[self.out / picture_path(plan.view, frame, folder) for frame in frames] for folder in _FOLDERS]
        pictures = next((paths for paths in spellings if paths[0].is_file()), spellings[0])
        missing = {frame: path for frame, path in zip(frames.tolist(), pictures, strict=True) if not path.is_file()}
        if missing and not plan.video:
            first = next(iter(missing.values()))
            raise ArchiveError(f"{first} is missing, as are {len(missing) - 1:,} more, and there is no video of them")
        if missing:
            self._take_pictures(Path(plan.video), missing)
        return pictures

    def _take_pictures(self, video: Path, missing: dict[int, Path]) -> None:
        """Write frames of a video by their numbers, which count from 1."""
        count, last = 0, max(missing)
        StorageFolder(missing[last].parent).sweep()
        for index, _, frame in iterate_frames(video):
            count = index + 1
            if path := missing.get(count):
                _, content = cv2.imencode(".jpg", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), _JPEG)
                StorageFolder(path.parent).write_bytes(path.name, content.tobytes())
            if count == last:
                return
        raise ArchiveError(f"{video} has {counted(count, 'frame')}, its poses {last:,}")

    def _make_clips(self, view: CameraView, rows: ViewRows, pictures: list[Path]) -> tuple[list[str], list[ClipEntry]]:
        """Write a view's clips, those that are not there; return the ids of all and what was written."""
        chosen = np.arange(0, len(rows), round(H36M_FPS / self.fps))
        if len(chosen) < 2:
            raise ArchiveError(
                f"{view} has {counted(len(chosen), 'frame')} at {self.fps:g} a second, expected at least 2"
            )
        keypoints = fit_to(rows.keypoints()[chosen], rows.size, self.size)
        content = hashlib.sha256(b"".join(part.tobytes() for part in (rows.world, rows.intrinsics, rows.extrinsics)))
        pieces = np.array_split(np.arange(len(chosen)), math.ceil(len(chosen) / _PIECE))
        folder, ids, written = StorageFolder(self.out / "clips"), [], []
        for number, piece in enumerate(pieces):
            making = {"version": VERSION, "size": list(self.size), "fps": self.fps, "view": view.name, "piece": number}
            person, action = view.take.subject, H36M_ACTIONS[view.take.action]
            clip_id = derive_clip_id(person, action, content.hexdigest(), making)
            ids.append(clip_id)
            if folder.exists(f"clips/{clip_id}.parquet"):
                continue
            info = ClipInfo(
                clip_id=clip_id,
                person=person,
                action=action,
                fps=self.fps,
                source=str(pictures[0].parent),
                source_sha256=content.hexdigest(),
                num_frames=len(piece),
                size=self.size,
            )
            paths = [pictures[index] for index in chosen[piece]]
            images = np.stack([*_shrink(paths, rows.size, self.size)])
            written.append(write_clip(folder, posed_clip(info, chosen[piece], images, keypoints[piece])))
        return ids, written


def _read_measured(path: str, dimensions: int, count: int) -> np.ndarray | None:
    """Poses that were measured, (T, 32, `dimensions`), as many as there are positions; None where there are none."""
    if not path:
        return None
    poses = read_poses(Path(path), dimensions)
    if len(poses) != count:
        raise ArchiveError(f"{path} has {len(poses):,} poses, expected {count:,} as there are positions")
    return poses


def _shrink(pictures: list[Path], expected: tuple[int, int], size: tuple[int, int]) -> Iterator[np.ndarray]:
    """Pictures at another size, as a whole: their sides are nearly equal."""
    for path in pictures:
        image = _read_picture(path)
        if image.shape[:2] != expected:
            found, wanted = (f"{width}×{height}" for height, width in (image.shape[:2], expected))
            raise ArchiveError(f"{path} has {found} pixels, expected {wanted} as the annotation says")
        yield cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA)


def _read_picture(path: Path) -> np.ndarray:
    return read_image(path, size=None, crop="none").images[0]


def fit_to(keypoints: np.ndarray, before: tuple[int, int], after: tuple[int, int]) -> np.ndarray:
    """Keypoints (..., 18, 3) of pictures of one height and width in pixels of the same pictures at another."""
    scale = np.array(after[::-1]) / before[::-1]
    moved = np.concatenate([(keypoints[..., :2] + 0.5) * scale - 0.5, keypoints[..., 2:]], axis=-1)
    return np.where(keypoints[..., 2:] > 0, moved, 0).astype(np.float32)


class MotionMaker:
    """Makes motions, with rotations, of one take after the other.

    Args:
        out: Folder of the dataset.
        annotation: The file.
        fps: Frames per second of the motions.
    """

    def __init__(self, out: Path, annotation: Path, fps: float):
        self.folder, self.annotation, self.fps = StorageFolder(out / MOTIONS), Annotation(annotation), fps

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Make the motion of a view, if it is not there; what goes wrong becomes the reason."""
        done = {"view": row["view"], "file": "", "reason": ""}
        view = ViewPlan.of(row).view
        try:
            rows = self.annotation.read(view)
            content = hashlib.sha256(rows.world.tobytes() + bytes([rows.measured])).hexdigest()
            making = {"version": VERSION, "fps": self.fps}
            name = derive_clip_id(view.take.subject, view.take.folder, content, making) + ".npz"
            if not self.folder.exists(name):
                write_motion(self.folder, name, find_rotations(resample(motion_of_view(rows), self.fps)).motion)
            return done | {"file": name}
        except Exception as error:
            return done | {"reason": reason_of(error)}
