"""The steps that turn one video into one clip: read, see, check, write. No Ray here, so they run under a debugger.

A video shows one person, and is rejected where it shows several of comparable size. Smaller bystanders do no harm:
the backends follow the largest and most central person of the first frame that shows anybody. Where the usual window
shows nobody, or somebody who is small in it, the person is looked for in the whole picture before it is rejected.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np

from orchestration.data.clip_sheets import draw_clip, draw_frames, write_sheet
from orchestration.data.video_contents import VideoContent, hash_beside, hash_video, on_this_machine
from orchestration.errors import reason_of
from orchestration.option_types import FrameSize
from orchestration.runtime.ray_data import Row, Step
from posegen.color.garment_segmentation import GarmentMethod
from posegen.datasets.clip_files import Clip, ClipInfo, write_clip
from posegen.datasets.clip_index import encode_entries
from posegen.datasets.clips import derive_clip_id
from posegen.errors import ConfigError, DatasetError, PosegenError, counted, first_line
from posegen.features.parts import is_usable
from posegen.io.storage import StorageFolder
from posegen.io.video_reader import Box, DetailedFootage, iterate_frames, read_with_detail
from posegen.perception import BACKENDS, POSE_ESTIMATORS, Backend, Poses
from posegen.perception.clip_viewer import ClipViewer

PERCEPTION_VERSION = 3
"""Part of every clip's id: counts the changes to the code that make another clip of the same video."""

_BOX_STEP = 8  # frames from one that is searched for the person's box to the next
_LEAST_SCORE = 0.7  # of BlazePose, in half of the frames: people have 0.9 and more, trees and coats less
_LEAST_HEIGHT = 0.2  # of the frame's; a smaller person has no limbs that a network could learn
_GPU_SHARE = 0.25  # of a GPU for a process that finds poses or edges: each waits for its CPU now and then
_Files = Literal["files", "beside"]
_BESIDE: dict[bool, tuple[_Files, ...]] = {True: ("beside",), False: ()}  # what who reads them, or not, has to have
_STREAKS = 0.25  # of the frame that is its continued border, from which people are told of it


@dataclass(frozen=True, kw_only=True)
class PrepareSettings:
    """Settings of the preparation of videos."""

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
    """Method by which colorize, generate and the metrics find garments: heuristic, by colours and places; or parser, a
    network that also knows hair, skin, dresses, shoes and bags."""
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
        """Backends that analyse the frames, by purpose: ``pose``, ``edges``, ``mask``, and ``crop`` if it looks for
        people."""
        used = {kind: table[getattr(self, kind)] for kind, table in BACKENDS.items()}
        return used | ({"crop": POSE_ESTIMATORS["blazepose"]} if self.crop == "person" else {})

    @property
    def reads_beside(self) -> bool:
        """True if a backend reads files beside the video."""
        return any(not backend.weights for backend in self.backends().values())

    def record_backends(self) -> dict[str, dict[str, Any]]:
        """Names of the backends and the sha256 of their weights."""
        return {
            kind: {"name": getattr(self, kind), "weights": backend.identity()}
            for kind, backend in self.backends().items()
        }

    def clip_namer(self) -> Callable[[str, str, VideoContent], str]:
        """Return the function that names clips, by person, action and content of the video, and by all settings of the
        result."""
        making = {
            "version": PERCEPTION_VERSION,
            "size": list(self.size),
            "crop": self.crop,
            "backends": self.record_backends(),
        }

        def name(person: str, action: str, content: VideoContent) -> str:
            return derive_clip_id(person, action, content.sha256, {**making, "beside": content.beside_sha256})

        return name

    def viewer(self) -> ClipViewer:
        """Viewer of the frames, loaded at the first use."""
        return ClipViewer({kind: getattr(self, kind) for kind in BACKENDS})


@dataclass(frozen=True)
class ClipResult:
    """Result of one video."""

    source: str
    sha256: str = ""
    """Of the video; empty if it was not read."""
    beside_sha256: str = ""
    """Of the files beside it."""
    clip_id: str = ""
    entries: str = "[]"
    """Index entries of the clip, see `posegen.datasets.clip_index.encode_entries`; none without a clip."""
    reason: str = ""
    """Reason for the missing clip; empty if there is one."""
    is_final: bool = False
    """True if another try would give the same result."""
    notes: str = ""
    """Changes and guesses made, in lines."""
    seconds: float = 0.0


class RefusedClipError(DatasetError):
    """A video that is not accepted, with what was seen in it."""

    def __init__(self, reason: str, footage: DetailedFootage | None = None, keypoints: np.ndarray | None = None):
        super().__init__(reason)
        self.footage, self.keypoints = footage, keypoints


@dataclass
class Draft:
    """A video on its way from step to step."""

    video: Row
    result: ClipResult
    is_done: bool = False
    """True if no step has anything left to do with it."""
    path: Path | None = None
    """Of the video on this machine, or of what was its copy there."""
    footage: DetailedFootage | None = None
    keypoints: np.ndarray | None = None
    masks: np.ndarray | None = None
    clip: Clip | None = None
    sheet: np.ndarray | None = None
    """Preview picture."""

    def update(self, **facts: Any) -> None:
        """Note facts of the result."""
        self.result = replace(self.result, **facts)

    def say(self, text: str) -> str:
        """Name the video as people know it."""
        return text.replace(str(self.path), self.result.source)

    @contextmanager
    def on_this_machine(self, *kinds: _Files) -> Iterator[Path]:
        """Give the path of the video, which has its own files, or those beside it, there."""
        files = [name for kind in kinds for name in self.video[kind]]
        name = StorageFolder(self.result.source).name
        with on_this_machine(StorageFolder(self.video["folder"]), name, files) as self.path:
            if self.footage:  # which may be of an earlier copy
                small, detail = (replace(one, source=self.path) for one in (self.footage.small, self.footage.detail))
                self.footage = DetailedFootage(small, detail)
            yield self.path


class _ClipStep(ABC):
    """A step from a video to its clip. Whatever goes wrong becomes its reason: one video must not stop the others."""

    def __call__(self, draft: Draft) -> Draft:
        """Go on with a video, unless nothing is left to do."""
        if draft.is_done or draft.result.reason:
            return draft
        start = time.perf_counter()
        try:
            self.work(draft)
        except PosegenError as error:
            if isinstance(error, RefusedClipError) and error.footage is not None:
                size = error.footage.small.images.shape[1:3]
                draft.sheet = draw_frames(error.footage.detail.images, size, error.keypoints)
            reason = draft.say(str(error)).removeprefix(f"{draft.result.source}: ")
            draft.update(reason=reason, is_final=True)
        except Exception as error:
            draft.update(reason=draft.say(reason_of(error)))
        if draft.result.reason:
            draft.footage = draft.clip = None
        draft.update(seconds=draft.result.seconds + time.perf_counter() - start)
        return draft

    @abstractmethod
    def work(self, draft: Draft) -> None:
        """Do it, and note in the draft what came of it."""


class VideoReader(_ClipStep):
    """Hashes and decodes videos.

    Args:
        settings: How.
        known: Ids of clips that are there or refused: of their videos nothing more than the hashes is wanted.
    """

    def __init__(self, settings: PrepareSettings, known: frozenset[str]):
        self._settings, self._known, self._name_clip = settings, known, settings.clip_namer()

    def __call__(self, row: Row) -> Draft:  # type: ignore[override]  # the first gets no draft yet
        """Read a video: the fields of a `VideoFile`."""
        return super().__call__(Draft(row, ClipResult(row["source"])))

    def work(self, draft: Draft) -> None:
        kinds: tuple[_Files, ...] = ("files", "beside") if self._settings.reads_beside else ("files",)
        try:
            with draft.on_this_machine(*kinds) as path:
                own, *beside = (draft.video[kind] for kind in kinds)
                content = VideoContent(
                    source=draft.result.source,
                    stamp="",
                    sha256=hash_video(path.parent, own),
                    beside_sha256=hash_beside(path.parent, *beside),
                )
                clip_id = self._name_clip(draft.video["person"], draft.video["action"], content)
                draft.update(sha256=content.sha256, beside_sha256=content.beside_sha256, clip_id=clip_id)
                draft.is_done = clip_id in self._known
                if not draft.is_done:
                    draft.footage = _read(path, self._settings.crop, self._settings)
        except OSError as error:
            if draft.result.clip_id:
                raise
            draft.update(reason=f"cannot be read ({error.strerror or first_line(error)})")


class PoseFinder(_ClipStep):
    """Finds poses and masks, in the usual window and, where that shows nobody, around the person.

    A video that is not accepted goes no further: edges cost the most.
    """

    def __init__(self, settings: PrepareSettings):
        self._settings, self._viewer = settings, settings.viewer()

    def work(self, draft: Draft) -> None:
        assert draft.footage is not None
        with draft.on_this_machine(*_BESIDE[self._viewer.reads_files("pose", "mask")]):
            notes: tuple[str, ...] = ()
            try:
                poses = self._accept(draft.footage)
            except RefusedClipError as refused:
                # Several people stay several; and with poses from files there is no network that finds people.
                crop, pose = self._settings.crop, self._settings.pose
                if crop == "person" or pose != "blazepose" or str(refused).startswith(_COMPANY):
                    raise
                try:
                    with draft.on_this_machine("files") as path:
                        draft.footage = _read(path, "person", self._settings)
                    poses = self._accept(draft.footage)
                except PosegenError:
                    raise refused from None
                notes = (f"{draft.path}: cropped to the person, since otherwise there is {refused}",)
            small = draft.footage.small
            if small.padded_share > _STREAKS:
                share = f"{small.padded_share:.0%} of the frame is beyond the picture, whose border goes on there"
                notes = (f"{draft.path}: {share}", *notes)
            draft.update(notes=draft.say("\n".join((*small.notes, *poses.notes, *notes))))
            draft.keypoints, draft.masks = poses.keypoints, self._viewer.find_masks(draft.footage, poses)

    def _accept(self, footage: DetailedFootage) -> Poses:
        poses = self._viewer.find_poses(footage)
        num_frames, height = footage.small.images.shape[:2]
        reason = (
            rejection_of_company(poses.others)
            or rejection_of_clip(num_frames, int(is_usable(poses.keypoints).sum()), self._settings)
            or (rejection_of_track(poses.scores) if self._settings.pose == "blazepose" else "")
            or rejection_of_height(poses.keypoints, height)
        )
        if reason:
            raise RefusedClipError(reason, footage, poses.keypoints)
        return poses


class EdgeFinder(_ClipStep):
    """Finds edges, after which a clip is complete."""

    def __init__(self, settings: PrepareSettings):
        self._settings, self._viewer = settings, settings.viewer()

    def work(self, draft: Draft) -> None:
        assert draft.footage is not None and draft.keypoints is not None and draft.masks is not None
        with draft.on_this_machine(*_BESIDE[self._viewer.reads_files("edges")]):
            edges = self._viewer.find_edges(draft.footage)
        small, result = draft.footage.small, draft.result
        info = ClipInfo(
            clip_id=result.clip_id,
            person=draft.video["person"],
            action=draft.video["action"],
            source=result.source,
            source_sha256=result.sha256,
            fps=small.fps,
            num_frames=len(small.images),
            size=self._settings.size,
        )
        draft.clip = Clip(
            info=info,
            frames=small.indices,
            times=small.times,
            images=small.images,
            keypoints=draft.keypoints,
            edges=edges,
            masks=draft.masks,
        )
        draft.footage = draft.masks = draft.keypoints = None  # what goes on to the next process is small


class ClipWriter(_ClipStep):
    """Writes clips, and a sheet of each or of what was refused."""

    def __init__(self, dataset: StorageFolder):
        self._dataset = dataset

    def __call__(self, draft: Draft) -> Row:  # type: ignore[override]  # the last gives no draft
        """Write a clip, and return the fields of a `ClipResult`."""
        super().__call__(draft)
        if draft.result.reason and draft.sheet is not None:
            write_sheet(self._dataset, draft.result.clip_id, draft.sheet)
        return asdict(draft.result)

    def work(self, draft: Draft) -> None:
        assert draft.clip is not None
        # The sheet comes first: a clip that is there is not made again.
        write_sheet(self._dataset, draft.result.clip_id, draw_clip(draft.clip))
        entries = [write_clip(self._dataset, draft.clip)]
        draft.update(entries=encode_entries(entries), is_final=True)


def clip_steps(dataset: StorageFolder, settings: PrepareSettings, known: Iterable[str] = ()) -> tuple[Step, ...]:
    """Return the steps that turn videos, as fields of `VideoFile`, into clips, as fields of `ClipResult`.

    Args:
        dataset: Where clips are written.
        settings: How they are made.
        known: Ids of clips that are not made.
    """
    backends = settings.backends()
    share = {kind: _GPU_SHARE if backends[kind].on_gpus else 0.0 for kind in ("pose", "edges")}
    return (
        Step(VideoReader, (settings, frozenset(known))),
        Step(PoseFinder, (settings,), gpus=share["pose"]),
        Step(EdgeFinder, (settings,), gpus=share["edges"]),
        Step(ClipWriter, (dataset,)),
    )


def _read(path: Path, crop: Literal["center", "person", "none"], settings: PrepareSettings) -> DetailedFootage:
    size, limit = settings.size, settings.max_frames
    box: Literal["center", "none"] | Box | None
    if crop == "person":
        from posegen.perception.person_box import person_box

        frames = (frame for _, _, frame in iterate_frames(path, max_frames=limit))
        box = person_box(islice(frames, 0, None, _BOX_STEP), aspect=size[1] / size[0])
        if box is None:
            raise RefusedClipError("no person is found in any frame")
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
            f"{_COMPANY}: in {shared} of {counted(len(looked), 'frame')} that were looked at there is another person "
            f"of comparable size; crop the video to one of them, or choose --crop person"
        )
    return ""


def rejection_of_clip(num_frames: int, num_usable: int, settings: PrepareSettings) -> str:
    """Return why a clip is not accepted; empty if it is."""
    if num_frames > settings.max_frames:
        return f"{counted(num_frames, 'frame')}, expected at most {settings.max_frames}"
    if num_usable < max(settings.min_usable * num_frames, 1):
        return (
            f"no person: both shoulders and both hips are seen in {num_usable} of {counted(num_frames, 'frame')}, "
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
