"""Turns DeepFashion and Market, as the VUNet has them, into datasets of clips, on Ray Data.

A clip is all pictures of one person in the same clothes. What is there is not made again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from orchestration.data.clip_datasets import check_clips, describe_backends, posed_clip
from orchestration.data.incremental import ClipBuild
from orchestration.data.rejections import REJECTED, Rejection, first_of, save_rejections
from orchestration.errors import reason_of
from orchestration.option_types import FrameSize
from orchestration.runtime.progress import ProgressCallback, ignore_progress
from orchestration.runtime.ray_data import Row, RowWork, Step
from posegen.datasets.clip_files import Clip, ClipEntry, ClipInfo, write_clip
from posegen.datasets.clip_index import encode_entries
from posegen.datasets.clips import DatasetInfo, derive_clip_id
from posegen.datasets.dataset import Split, assign_splits
from posegen.datasets.published.vunet_index import INDEX_PICKLE, DatasetName, IndexedImage, read_index
from posegen.errors import ConfigError, DatasetError, PosegenError, counted
from posegen.features.parts import is_usable
from posegen.io.storage import StorageFolder, expand_home
from posegen.io.video_reader import read_image

TITLES: dict[DatasetName, str] = {"deepfashion": "DeepFashion", "market": "Market"}

_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class IndexSettings:
    """Settings that turn pictures into clips."""

    size: FrameSize = (256, 256)
    """Height and width of the frames; pictures of other proportions are padded by repeating their borders."""
    train_fraction: float = 0.0
    """Share of the people in the training split; by default that of the index, and people in both splits train."""
    workers: int = -1
    """Processes that read pictures; -1 takes all CPUs of the cluster, 0 works in this process, without Ray."""

    def __post_init__(self) -> None:
        if min(self.size) < 32:
            raise ConfigError(f"size must be at least 32 x 32 (height x width), got {self.size}")
        if not 0 <= self.train_fraction < 1:
            raise ConfigError(f"train_fraction must be at least 0 and less than 1, got {self.train_fraction}")


@dataclass(frozen=True)
class Indexed:
    """Summary of an indexed dataset."""

    folder: StorageFolder
    clips: list[ClipInfo]
    held_out: set[str]
    """People of the test split."""
    num_new: int
    num_both: int
    """People whom the index has among those to learn from and those to test with, and who are learned from."""
    num_anonymous: int
    """Pictures whose names have no person id."""
    rejections: list[Rejection]

    def __str__(self) -> str:
        people = {info.person for info in self.clips}
        images = sum(info.num_frames for info in self.clips)
        text = (
            f"{counted(len(self.clips), 'clip')} ({counted(images, 'picture')}) of "
            f"{counted(len(people), 'person')} in {self.folder}, "
            f"{self.num_new:,} new, {counted(len(self.held_out), 'person')} held out"
        )
        if self.num_both:
            text += f"; {self.num_both:,} people are in both splits of the index, and train (--train-fraction)"
        if self.num_anonymous:
            text += f"; {counted(self.num_anonymous, 'picture')} without a person id, each a clip of its own"
        if self.rejections:
            count = len(self.rejections)
            text += f"; {counted(count, 'picture')} left out, see {self.folder}/{REJECTED}: {first_of(self.rejections)}"
        return text


def convert_index(
    index: Path,
    out: StorageFolder | str,
    dataset: DatasetName,
    settings: IndexSettings,
    *,
    on_progress: ProgressCallback = ignore_progress,
) -> Indexed:
    """Make a dataset of clips. Pictures that are missing, broken or show no torso are listed and left out.

    Args:
        index: Folder with ``index.p`` and the pictures.
        out: Folder of the dataset.
        dataset: Which one it is.
        settings: How.
        on_progress: Called after every clip.

    Raises:
        ArchiveError: The index is missing, damaged or of another dataset.
        DatasetError: No picture can be used, or `out` has clips of something else.
    """
    source, folder = expand_home(index).absolute(), StorageFolder(out)
    images = read_index(source, dataset)
    check_clips(folder, settings.size, TITLES[dataset])
    usable, rejections = _sort_out(images, source)
    if not usable:
        raise DatasetError(f"none of the pictures of {source / INDEX_PICKLE} can be used: {first_of(rejections)}")
    sides, num_both = _sides(usable, settings)
    clips = _plan(usable, source, settings)
    build = ClipBuild(folder)
    todo = [clip for clip in clips if clip["clip_id"] not in build.entries]
    pictures = {clip["clip_id"]: clip["images"] for clip in todo}
    work = RowWork((Step(_ClipMaker, (source, folder, settings.size)),), key="clip_id")
    for result in build.make(todo, work, settings.workers, on_progress):
        lost = result.get("lost") or dict.fromkeys(pictures[result["clip_id"]], result.get("reason", ""))
        rejections += [Rejection(path, reason) for path, reason in lost.items() if reason]
    wanted = {clip["clip_id"] for clip in clips}
    stale = [info for info in build.infos() if info.clip_id not in wanted and Path(info.source).is_relative_to(source)]
    build.delete(info.clip_id for info in stale)
    before = build.split_before()
    splits = build.split_groups("person", lambda person: sides.get(person) or before(person))
    build.finish(
        DatasetInfo(
            size=settings.size,
            settings={"dataset": TITLES[dataset], "train_fraction": settings.train_fraction},
            backends=describe_backends(pose=INDEX_PICKLE),
            split_by="person",
            splits=splits,
        )
    )
    save_rejections(folder, rejections)
    if not build.entries:
        raise DatasetError(f"none of the pictures of {source / INDEX_PICKLE} can be used: {first_of(rejections)}")
    num_anonymous = sum(image.is_anonymous for image in usable)
    return Indexed(folder, build.infos(), set(splits["test"]), build.num_made, num_both, num_anonymous, rejections)


def _sort_out(images: Sequence[IndexedImage], source: Path) -> tuple[list[IndexedImage], list[Rejection]]:
    """The pictures that are there and show a person's torso, and why others are not used."""
    usable, rejections = [], []
    for image in images:
        reason = ""
        if not image.person:
            reason = "shows no distinct person"
        elif not is_usable(image.joints):
            reason = "no torso: both shoulders and both hips are not seen"
        elif not (source / image.path).is_file():
            reason = f"is missing in {source}"
        if reason:
            rejections.append(Rejection(image.path, reason))
        else:
            usable.append(image)
    return usable, rejections


def _sides(images: Sequence[IndexedImage], settings: IndexSettings) -> tuple[dict[str, Split], int]:
    """The split of every person, and of how many the index has pictures on both sides."""
    people = {image.person for image in images}
    if settings.train_fraction:
        learned = set(assign_splits(people, settings.train_fraction, seed=0)["train"])
        return {person: "train" if person in learned else "test" for person in people}, 0
    learned = {image.person for image in images if image.train}
    both = {image.person for image in images if not image.train} & learned
    return {person: "train" if person in learned else "test" for person in people}, len(both)


def _plan(images: Sequence[IndexedImage], source: Path, settings: IndexSettings) -> list[Row]:
    """Plan the clips, one row each."""
    groups: dict[tuple[str, str], list[IndexedImage]] = {}
    for image in images:
        groups.setdefault((image.person, image.clothes), []).append(image)
    rows = []
    for (person, clothes), group in sorted(groups.items()):
        sha256 = _content(group, source)
        making = {"version": _VERSION, "size": list(settings.size)}
        rows.append(
            {
                "clip_id": derive_clip_id(person, clothes, sha256, making),
                "person": person,
                "clothes": clothes,
                "sha256": sha256,
                "images": [image.path for image in group],
                "joints": np.concatenate([image.joints.ravel() for image in group]).tolist(),
            }
        )
    return rows


def _content(images: Sequence[IndexedImage], source: Path) -> str:
    """Names pictures by their names, sizes and joints: to read tens of thousands takes as long as to make clips."""
    digest = hashlib.sha256()
    for image in images:
        digest.update(f"{image.path}\0{(source / image.path).stat().st_size}\0".encode() + image.joints.tobytes())
    return digest.hexdigest()


class _ClipMaker:
    """Makes one clip after the other."""

    def __init__(self, source: Path, folder: StorageFolder, size: tuple[int, int]):
        self.source, self.folder, self.size = source, folder, size

    def __call__(self, row: Row) -> Row:
        """Make a clip; what is wrong with its pictures is in the result by their paths."""
        lost: dict[str, str] = {}
        try:
            return {"clip_id": row["clip_id"], "entries": encode_entries(self._make(row, lost)), "lost": lost}
        except Exception as error:
            return {"clip_id": row["clip_id"], "reason": reason_of(error)}

    def _make(self, row: Row, lost: dict[str, str]) -> list[ClipEntry]:
        """Make a clip and return its entry, none where no picture can be read."""
        frames, poses = [], []
        joints = np.array(row["joints"], np.float32).reshape(-1, 18, 3)
        for path, shares in zip(row["images"], joints, strict=True):
            try:
                image, keypoints = self._read(self.source / path, shares)
            except PosegenError as error:
                lost[path] = str(error).removeprefix(f"{self.source / path}: ")
                continue
            frames.append(image)
            poses.append(keypoints)
        if not frames:
            return []
        return [write_clip(self.folder, self._clip(row, np.stack(frames), np.stack(poses)))]

    def _read(self, path: Path, shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """A picture at the dataset's size, and its keypoints (18, 3)."""
        height, width = read_image(path, size=None, crop="none").images.shape[1:3]
        footage = read_image(path, size=self.size, crop="none")
        places = shares[:, :2] * (width, height) - 0.5  # pixel centres are at integers
        moved = places @ footage.transform[:, :2].T + footage.transform[:, 2]
        keypoints = np.where(shares[:, 2:] > 0, np.concatenate([moved, shares[:, 2:]], axis=1), 0)
        return footage.images[0], keypoints.astype(np.float32)

    def _clip(self, row: Row, images: np.ndarray, poses: np.ndarray) -> Clip:
        info = ClipInfo(
            clip_id=row["clip_id"],
            person=row["person"],
            action=row["clothes"],
            fps=1.0,
            source=str(self.source / row["images"][0]),
            source_sha256=row["sha256"],
            num_frames=len(images),
            size=self.size,
        )
        return posed_clip(info, np.arange(len(images)), images, poses)
