"""Turns Human3.6M's extracted files into pictures, an annotation, motions and clips, on Ray Data.

Layout of ``OUT/``::

    extracted/…            what `posegen data h36m extract` made
    metadata.xml           of the dataset's own code: how files are called, and the cameras
    processed/all/…        pictures and annot_export.h5, as published code has them
    processed/views/       the annotation's rows, view by view
    motions/  clips/       datasets for the stages behavior and shape_posture
    rejected.json          what was left out

Whatever is there is not made again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from orchestration.data.clip_datasets import check_clips, describe_backends
from orchestration.data.h36m_video import MOTIONS, VIEWS, MotionMaker, ViewPlan, ViewProcessor
from orchestration.data.incremental import ClipBuild
from orchestration.data.rejections import REJECTED, Rejection, first_of, save_rejections
from orchestration.option_types import FrameSize
from orchestration.runtime.progress import ProgressCallback, ignore_progress
from orchestration.runtime.ray_data import Row, RowWork, Step, map_rows
from posegen.datasets.clip_files import ClipInfo
from posegen.datasets.clips import DatasetInfo
from posegen.datasets.dataset import Split
from posegen.datasets.motion_build import NamedMotion, write_motions
from posegen.datasets.motions import MotionDatasetInfo
from posegen.datasets.published.h36m_annotation import ANNOTATION_FILE, Annotation, decode_columns, write_annotation
from posegen.datasets.published.h36m_cameras import Metadata, read_metadata
from posegen.datasets.published.h36m_names import (
    CAMERAS,
    CORRUPT,
    H36M_ACTIONS,
    H36M_FPS,
    H36M_SUBJECTS,
    IMAGE_POSES,
    POSES,
    TEST_SUBJECTS,
    VIDEOS,
    WORLD_POSES,
    CameraView,
    Take,
    find_name,
    names_of,
    takes,
)
from posegen.errors import ConfigError, DatasetError, counted
from posegen.io.storage import StorageFolder, expand_home
from posegen.motion.motion import read_motion

_DATASET = "Human3.6M"
_METADATA = "metadata.xml"


@dataclass(frozen=True, kw_only=True)
class ProcessSettings:
    """Settings that turn sequences into pictures, motions and clips."""

    size: FrameSize = (256, 256)
    """Height and width of the clips' frames, to which whole pictures are shrunk."""
    fps: float = 25.0
    """Frames per second of motions and clips: 50 divided by a whole number."""
    metadata: Path | None = None
    """metadata.xml of the dataset's code; by default OUT/metadata.xml, if it is there."""
    annotations: Path | None = None
    """An annotation to use instead of a new one, such as the published annot_export.h5."""
    split_by: Literal["person", "action"] = "person"
    """Unit of the split: no person, or no action, is both in training and in test."""
    test: tuple[str, ...] = TEST_SUBJECTS
    """People, or actions, of the test split."""
    workers: int = -1
    """Processes that work on sequences; -1 takes all CPUs of the cluster, 0 works in this process, without Ray."""

    def __post_init__(self) -> None:
        if not self.fps > 0 or H36M_FPS % self.fps:
            raise ConfigError(f"fps must be {H36M_FPS:g} divided by a whole number, such as 25 or 10, got {self.fps:g}")
        if min(self.size) < 32:
            raise ConfigError(f"size must be at least 32 x 32 (height x width), got {self.size}")
        known = H36M_SUBJECTS if self.split_by == "person" else tuple(H36M_ACTIONS.values())
        unknown = [name for name in self.test if name not in known]
        if unknown or not self.test:
            raise ConfigError(f"test must name some of {', '.join(known)}, got {', '.join(unknown) or 'none'}")

    def side(self, group: str) -> Split:
        """Return the split of a person, or of an action, as `split_by` says."""
        return "test" if group in self.test else "train"


@dataclass(frozen=True)
class Processed:
    """Summary of the processing."""

    out: Path
    annotation: Path
    num_views: int
    num_pictures: int
    motions: MotionDatasetInfo
    clips: list[ClipInfo]
    rejections: list[Rejection]

    def __str__(self) -> str:
        held_out = sum(entry.split == "test" for entry in self.motions.motions)
        text = (
            f"{self.num_views:,} views with {counted(self.num_pictures, 'picture')}, annotated in {self.annotation}; "
            f"{counted(len(self.motions.motions), 'motion')} in {self.out}/motions, {held_out:,} held out; "
            f"{counted(len(self.clips), 'clip')} in {self.out}/clips"
        )
        if self.rejections:
            text += f"; {len(self.rejections):,} left out, see {self.out}/{REJECTED}: {first_of(self.rejections)}"
        return text


def process_h36m(
    out: Path,
    settings: ProcessSettings,
    *,
    on_progress: ProgressCallback = ignore_progress,
) -> Processed:
    """Make pictures, annotation, motions and clips of all that was extracted; what is broken is listed and left out.

    Args:
        out: Folder of the dataset.
        settings: How.
        on_progress: Called after every view, and then after every motion.

    Raises:
        DatasetError: Nothing was extracted, the cameras are not known, or no sequence can be used.
        DatasetError: Clips of another size are there.
    """
    out = expand_home(out).absolute()
    metadata = _find_metadata(out, settings)
    given = None if settings.annotations is None else expand_home(settings.annotations).absolute()
    plans, rejections = _plan_given(out, given, metadata) if given else _plan(out, metadata)
    check_clips(StorageFolder(out / "clips"), settings.size, _DATASET)
    build = ClipBuild(StorageFolder(out / "clips"))
    arguments = (out, settings.size, settings.fps, metadata.cameras if metadata else {}, given)
    work = RowWork((Step(ViewProcessor, arguments),), key="view")
    results = build.make([plan.row() for plan in plans.values()], work, settings.workers, on_progress)
    done, broken = _sort_out(plans, results)
    rejections += broken
    if not done:
        save_rejections(StorageFolder(out), rejections)
        raise DatasetError(f"none of the sequences in {out} can be used: {first_of(rejections)}")
    annotation = given or _write_annotation(out)
    motions, broken = _make_motions(out, annotation, settings, on_progress)
    rejections += broken
    _finish_clips(build, list(done.values()), settings)
    save_rejections(StorageFolder(out), rejections)
    num_pictures = sum(result["num_frames"] for result in done.values())
    return Processed(out, annotation, len(done), num_pictures, motions, build.infos(), rejections)


# ---- What there is


def _find_metadata(out: Path, settings: ProcessSettings) -> Metadata | None:
    path = out / _METADATA if settings.metadata is None else expand_home(settings.metadata)
    if settings.metadata is None and not path.exists():
        return None
    return read_metadata(path)


def _plan(out: Path, metadata: Metadata | None) -> tuple[dict[str, ViewPlan], list[Rejection]]:
    """Plan the results of extracted files, by the names of views, and list missing files."""
    extracted = out / "extracted"
    subjects = [subject for subject in H36M_SUBJECTS if (extracted / subject).is_dir()]
    if not subjects:
        raise DatasetError(f"nothing is extracted in {extracted}: posegen data h36m extract ARCHIVES {out}")
    for subject in subjects:
        measured = all((extracted / subject / kind).is_dir() for kind in (WORLD_POSES, IMAGE_POSES))
        if metadata is None and not measured:
            raise DatasetError(
                f"the cameras of {subject} are not known: give --metadata metadata.xml, which comes with the dataset's "
                f"code, or --annotations annot_export.h5, or extract its {WORLD_POSES} and {IMAGE_POSES}, too"
            )
    plans, rejections = {}, []
    for subject in subjects:
        files = _Files(extracted / subject, metadata)
        for view in (CameraView(take, camera) for take in takes(subject) for camera in CAMERAS):
            plan = ViewPlan(
                view,
                video=files.find(VIDEOS, view),
                positions=files.find(POSES, view),
                keypoints=files.find(IMAGE_POSES, view),
                world=files.find(WORLD_POSES, view),
            )
            if reason := _rejection_of_view(plan, extracted / subject):
                rejections.append(Rejection(str(view), reason))
            else:
                plans[view.name] = plan
    return plans, rejections


def _rejection_of_view(plan: ViewPlan, folder: Path) -> str:
    """Return the reason why a view is left out; empty if it is not."""
    if plan.view in CORRUPT:
        return "its published video is damaged"
    names = " or ".join(f"'{name}.{plan.view.camera}" for name in names_of(plan.view.take))
    for path, kind, ending in ((plan.positions, POSES, "cdf"), (plan.video, VIDEOS, "mp4")):
        if not path:
            return f"{names}.{ending}' is missing in {folder.name}/{kind}"
    return ""


def _plan_given(out: Path, path: Path, metadata: Metadata | None) -> tuple[dict[str, ViewPlan], list[Rejection]]:
    """Plan the results of an annotation's views."""
    views = sorted(Annotation(path).views)
    files = {subject: _Files(out / "extracted" / subject, metadata) for subject in H36M_SUBJECTS}
    plans = {
        view.name: ViewPlan(view, video=files[view.take.subject].find(VIDEOS, view))
        for view in views
        if view not in CORRUPT
    }
    return plans, [Rejection(str(view), "its published video is damaged") for view in views if view in CORRUPT]


class _Files:
    """The extracted files of a person, found by what they show."""

    def __init__(self, folder: Path, metadata: Metadata | None):
        self.folder = folder
        self.names: dict[Take, str] = metadata.names if metadata else {}
        self.known = {
            kind: {path.name for path in (folder / kind).iterdir()} if (folder / kind).is_dir() else set()
            for kind in (POSES, VIDEOS, WORLD_POSES, IMAGE_POSES)
        }

    def find(self, kind: str, view: CameraView) -> str:
        """The path of a view's file, empty where there is none."""
        ending = ".mp4" if kind == VIDEOS else ".cdf"
        if kind != WORLD_POSES:
            ending = f".{view.camera}{ending}"
        names = {name.removesuffix(ending) for name in self.known[kind] if name.endswith(ending)}
        name = find_name(view.take, names, self.names.get(view.take))
        return str(self.folder / kind / f"{name}{ending}") if name else ""


# ---- What is made of it


def _sort_out(plans: dict[str, ViewPlan], results: Sequence[Row]) -> tuple[dict[CameraView, Row], list[Rejection]]:
    """Separate the results of processed views from the rejected ones."""
    done, rejections = {}, []
    for result in results:
        view = plans[result["view"]].view
        if result["reason"]:
            rejections.append(Rejection(str(view), result["reason"]))
        else:
            done[view] = result
    return dict(sorted(done.items())), rejections


def _write_annotation(out: Path) -> Path:
    """Write the annotation of all views that were ever processed."""
    folder = StorageFolder(out / VIEWS)
    folder.sweep()
    StorageFolder(out / "processed" / "all").sweep()
    path = out / "processed" / "all" / ANNOTATION_FILE
    write_annotation(path, (decode_columns(folder.read(name)) for name in folder.files(".npz")))
    return path


def _make_motions(
    out: Path, annotation: Path, settings: ProcessSettings, on_progress: ProgressCallback
) -> tuple[MotionDatasetInfo, list[Rejection]]:
    """Write the dataset of motions: of each take as the first of its cameras has it."""
    views: dict[Take, CameraView] = {}
    for view in sorted(Annotation(annotation).views, reverse=True):
        views[view.take] = view
    plans = {view.name: ViewPlan(view, video="") for view in views.values()}
    rows = [plan.row() for plan in plans.values()]
    work = RowWork((Step(MotionMaker, (out, annotation, settings.fps)),), key="view")
    results = map_rows(rows, work, out=StorageFolder(out), workers=settings.workers, on_progress=on_progress)
    done, rejections = _sort_out(plans, list(results))
    if not done:
        raise DatasetError(f"none of the takes in {annotation} is a motion: {first_of(rejections)}")
    shown = {view.take.action for view in done}
    info = write_motions(
        StorageFolder(out / "motions"),
        (_named_motion(out, view, result["file"], settings) for view, result in done.items()),
        settings=_recorded(settings),
        actions=[name for action, name in H36M_ACTIONS.items() if action in shown],
    )
    return info, rejections


def _named_motion(out: Path, view: CameraView, file: str, settings: ProcessSettings) -> NamedMotion:
    person, action, source = view.take.subject, H36M_ACTIONS[view.take.action], f"{_DATASET} {view}"
    motion = replace(read_motion(StorageFolder(out / MOTIONS), file), label_name=action, meta={"source": source})
    return NamedMotion(
        motion, person, action, source, settings.side(person if settings.split_by == "person" else action)
    )


def _finish_clips(build: ClipBuild, done: Sequence[Row], settings: ProcessSettings) -> None:
    """Finish the dataset of clips, without those that were once made of the same pictures otherwise."""
    wanted = {clip for result in done for clip in result["clips"]}
    sources = {result["source"] for result in done}
    build.delete([info.clip_id for info in build.infos() if info.source in sources and info.clip_id not in wanted])
    build.finish(
        DatasetInfo(
            size=settings.size,
            settings=_recorded(settings),
            backends=describe_backends(pose="human3.6m"),
            split_by=settings.split_by,
            splits=build.split_groups(settings.split_by, settings.side),
        )
    )


def _recorded(settings: ProcessSettings) -> dict[str, Any]:
    """Return the settings that datasets record."""
    return {"dataset": _DATASET, "fps": settings.fps, "test": list(settings.test)}
