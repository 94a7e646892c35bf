"""Turns a folder of videos into a clip dataset, on Ray Data.

A clip is named by its content and the settings that make it. So preparing again makes what is not there yet and
no more, and what goes wrong with one video, down to the death of the process that reads it, costs that video only.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from orchestration.data.clip_preparer import (
    ClipResult,
    PrepareSettings,
    clip_steps,
    rejection_of_clip,
)
from orchestration.data.clip_sheets import SHEETS, sheet_name
from orchestration.data.incremental import ClipBuild, delete_clip, describe_changes
from orchestration.data.preparation_page import PAGE, clip_of_key, write_preparation_page
from orchestration.data.rejections import REJECTED, REJECTED_BEFORE, Rejection, load_rejections, save_rejections
from orchestration.data.video_contents import CONTENTS, VideoContent, load_contents, save_contents, stamp_of
from orchestration.data.video_files import VideoFile, find_videos
from orchestration.runtime.progress import ProgressCallback, ignore_progress
from orchestration.runtime.ray_data import RowWork
from posegen.datasets.clip_files import INDEX_FILE, ClipInfo
from posegen.datasets.clips import DatasetInfo, load_dataset_info
from posegen.datasets.dataset import assign_splits
from posegen.errors import DatasetError, counted
from posegen.io.storage import StorageFolder
from posegen.weights import download as weights

_NUMBERS = re.compile(r"\d[\d.,]*")
_NAMED = 6  # actions or videos that are named in one line


@dataclass(frozen=True)
class PrepareSummary:
    """Summary of a prepared dataset."""

    dataset: StorageFolder
    num_clips: int
    num_frames: int
    num_usable: int
    """Frames with a pose that a body can be taken apart by."""
    num_made: int
    """Clips that were made now; the others were there."""
    num_removed: int
    """Clips that went because their video did, or was changed or is no longer accepted."""
    rejections: list[Rejection]
    """Videos of the folder that gave no clip, with those that were refused earlier and have not changed."""
    splits: dict[str, list[str]]
    """``train`` and ``test``: the actions, or persons, of each."""
    notes: tuple[str, ...] = ()
    """Changes and guesses made for the clips that were made now, and files that were passed over."""

    def lines(self) -> list[str]:
        """Return the splits, what was rejected and why, and the notes, for people to read."""
        by_reason: dict[str, list[str]] = {}
        for one in self.rejections:
            by_reason.setdefault(_NUMBERS.sub("…", one.reason), []).append(one.source)
        first = {_NUMBERS.sub("…", one.reason): one.reason for one in reversed(self.rejections)}
        rejected = [
            f"rejected: {_few_of([_short(source) for source in sources])}: {first[kind]}"
            for kind, sources in by_reason.items()
        ]
        return [*self.split_lines(_NAMED), *rejected, *self.notes]

    def split_lines(self, most: int) -> list[str]:
        """Return a line about the content of each split, with at most so many names."""
        return [f"{split}: {_few_of(groups, most)}" for split, groups in self.splits.items()]

    def __str__(self) -> str:
        share = 100 * self.num_usable / max(self.num_frames, 1)
        frames = f"{counted(self.num_frames, 'frame')}, {share:.1f} % with a usable pose"
        changes = describe_changes(self.num_made, self.num_removed)
        text = f"{counted(self.num_clips, 'clip')} ({frames}) in {self.dataset}, {changes}"
        if self.rejections:
            text += f", {len(self.rejections):,} rejected (see {REJECTED})"
        return text


def _few_of(names: Sequence[str], most: int = _NAMED) -> str:
    """Names in one line: all of a few, and how many more there are."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more:,} more" if more > 0 else "") or "none"


def _short(source: str) -> str:
    """The last two parts of a path, which tell a person and an action."""
    return "/".join(Path(source).parts[-2:])


def prepare_videos(
    videos: StorageFolder | Path | str,
    out: StorageFolder | str,
    settings: PrepareSettings,
    *,
    on_progress: ProgressCallback = ignore_progress,
) -> PrepareSummary:
    """Make the clips of all videos in a folder, except those that are there, and delete those of vanished videos.

    Clips in the dataset that come from other folders stay. Without anything to make, Ray is not started and neither a
    video nor a clip is opened: a video whose size and time are known has the content that is known.

    Args:
        videos: Folder of videos, a path or an address such as ``s3://bucket/videos``, see `find_videos`.
        out: Folder of the dataset; made if need be.
        settings: How.
        on_progress: Called after every video.

    Raises:
        PosegenError: There are no videos.
        DatasetError: The dataset was made with other settings, or none of the videos gives a clip.
        WeightsError: Weights of a backend cannot be had.
    """
    folder, dataset = StorageFolder(videos), StorageFolder(out)
    found = find_videos(folder, settings.pattern)
    if settings.restart:
        _clear(dataset)
    _check_same_settings(dataset, settings)
    build, refused, before = ClipBuild(dataset), load_rejections(dataset), load_contents(dataset)
    stamps = {video.source: stamp_of(video, beside=settings.reads_beside) for video in found.sources}
    known = {source: before[source] for source in stamps if source in before and before[source].stamp == stamps[source]}
    plan = _make_plan(_describe(found.sources, known, settings), folder, build, refused, settings)
    todo = [video for video in found.sources if video.source not in known or video.source in plan.todo]
    results = _make_clips(todo, build, refused, settings, on_progress)
    for result in results:
        if result.sha256:
            source = result.source
            known[source] = VideoContent(source, stamps[source], result.sha256, result.beside_sha256)
    plan = _make_plan(_describe(found.sources, known, settings), folder, build, refused, settings)
    failures = _reject_failures(results, plan, settings)
    unaccepted = _delete_stale(build, plan, settings)
    rejections = sorted([*found.rejections, *plan.rejections, *failures, *unaccepted], key=lambda one: one.source)
    info = _describe_dataset(build, settings)
    build.finish(info)
    others = [one for one in refused if not folder.contains(one.source)]
    save_rejections(dataset, [*others, *rejections])
    elsewhere = {source: content for source, content in before.items() if not folder.contains(source)}
    if elsewhere | known != before:
        save_contents(dataset, (elsewhere | known).values())
    notes = _lines_of(*(result.notes for result in results), found.passed_over)
    summary = _summarize(build, info.splits, rejections, notes)
    if todo or build.num_removed or not dataset.exists(PAGE):
        _write_page(build, [*others, *rejections], summary)
    if not build.entries.keys() & plan.wanted.keys():
        some = "; ".join(f"{Path(rejection.source).name}: {rejection.reason}" for rejection in rejections[:3])
        raise DatasetError(f"none of the videos in {folder} gives a clip ({some}); see {dataset}/{PAGE}")
    return summary


def _summarize(
    build: ClipBuild, splits: dict[str, list[str]], rejections: list[Rejection], notes: tuple[str, ...]
) -> PrepareSummary:
    kept = build.entries.values()
    return PrepareSummary(
        dataset=build.folder,
        num_clips=len(kept),
        num_frames=sum(entry.info.num_frames for entry in kept),
        num_usable=sum(entry.num_usable for entry in kept),
        num_made=build.num_made,
        num_removed=build.num_removed,
        rejections=rejections,
        splits=splits,
        notes=notes,
    )


def _lines_of(*texts: str) -> tuple[str, ...]:
    """The lines of some texts, each once."""
    return tuple(dict.fromkeys(line for text in texts for line in text.splitlines()))


def _write_page(build: ClipBuild, rejections: Sequence[Rejection], summary: PrepareSummary) -> None:
    """Write the page of what is there now, and delete the sheets of what is not."""
    entries = [build.entries[clip_id] for clip_id in sorted(build.entries)]
    known = {sheet_name(name) for name in (*build.entries, *(clip_of_key(one.key) for one in rejections))}
    sheets = build.folder / SHEETS
    for name in set(sheets.files(".jpg")) - known:
        sheets.delete(name)
    clips = [
        (entry.info, f"{counted(entry.info.num_frames, 'frame')}, {entry.num_usable:,} with a usable pose")
        for entry in entries
    ]
    splits = summary.split_lines(sys.maxsize)
    content = (
        f"{counted(summary.num_clips, 'clip')}, {counted(summary.num_frames, 'frame')}, "
        f"{summary.num_usable:,} with a usable pose"
    )
    write_preparation_page(build.folder, clips, rejections, content, [*splits, *summary.notes])


# ---- What is there, and what is wanted


@dataclass(frozen=True)
class _Plan:
    wanted: dict[str, _Wanted]
    """Wanted clips that can be made, by id."""
    foreign: set[str]
    """Ids of the clips that came into the dataset from other folders."""
    todo: set[str]
    """Sources of what is `wanted`, and is neither there nor refused."""
    rejections: list[Rejection]
    """Duplicates, and what was refused earlier."""


class _Wanted(NamedTuple):
    """The clip of a video whose content is known."""

    clip_id: str
    source: str
    sha256: str


def _make_plan(
    contents: Sequence[_Wanted],
    videos: StorageFolder,
    build: ClipBuild,
    earlier: Sequence[Rejection],
    settings: PrepareSettings,
) -> _Plan:
    ids = {one.clip_id for one in contents}
    foreign = {
        info.clip_id: info for info in build.infos() if info.clip_id not in ids and not videos.contains(info.source)
    }
    unique, rejections = _drop_duplicates(contents, foreign.values())
    refused = {rejection.key: rejection for rejection in earlier if rejection.key}
    wanted = {}
    for one in unique:
        if before := refused.get(_key(one.clip_id, settings)):
            rejections.append(replace(before, source=one.source))
        else:
            wanted[one.clip_id] = one
    todo = {one.source for clip_id, one in wanted.items() if clip_id not in build.entries}
    return _Plan(wanted, set(foreign), todo, rejections)


def _describe(
    videos: Sequence[VideoFile], contents: Mapping[str, VideoContent], settings: PrepareSettings
) -> list[_Wanted]:
    """The clips of all videos whose content is known."""
    name = settings.clip_namer()
    return [
        _Wanted(name(video.person, video.action, content), video.source, content.sha256)
        for video in videos
        if (content := contents.get(video.source))
    ]


def _drop_duplicates(contents: Sequence[_Wanted], foreign: Iterable[ClipInfo]) -> tuple[list[_Wanted], list[Rejection]]:
    """Take each content once, or training and test could share it under two names."""
    first = {info.source_sha256: info.source for info in foreign}
    unique, rejections = [], []
    for one in contents:
        if one.sha256 in first:
            rejections.append(Rejection(one.source, f"the same video as {first[one.sha256]}"))
        else:
            first[one.sha256] = one.source
            unique.append(one)
    return unique, rejections


def _key(clip_id: str, settings: PrepareSettings) -> str:
    """Names a content, the settings that make its clip and those that accept or refuse it."""
    return f"{clip_id}/{settings.max_frames}/{settings.min_usable}"


def _make_clips(
    videos: Sequence[VideoFile],
    build: ClipBuild,
    refused: Sequence[Rejection],
    settings: PrepareSettings,
    on_progress: ProgressCallback,
) -> list[ClipResult]:
    """Make clips, except those that are there or refused under another name, and return what became of each."""
    if videos:
        for backend in settings.backends().values():
            weights.fetch(backend.weights)  # here, where an error is one line, and once
    known = {clip_of_key(one.key) for one in refused if one.key == _key(clip_of_key(one.key), settings)}
    work = RowWork(clip_steps(build.folder, settings, known | build.entries.keys()), key="source")
    rows = [asdict(video) for video in videos]
    return [ClipResult(**result) for result in build.make(rows, work, settings.workers, on_progress)]


def _reject_failures(results: Sequence[ClipResult], plan: _Plan, settings: PrepareSettings) -> list[Rejection]:
    """The videos that gave no clip now. What another try would give, too, has a key, and is not tried again."""
    duplicates = {one.source for one in plan.rejections}
    return [
        Rejection(result.source, result.reason, _key(result.clip_id, settings) if result.is_final else "")
        for result in results
        if result.reason and result.source not in duplicates
    ]


# ---- The dataset as a whole


def _delete_stale(build: ClipBuild, plan: _Plan, settings: PrepareSettings) -> list[Rejection]:
    """Delete clips that are not wanted or that the limits of length and usable frames refuse now: return the latter."""
    refused = []
    stale = [clip_id for clip_id in build.entries if clip_id not in plan.wanted.keys() | plan.foreign]
    for clip_id, one in plan.wanted.items():
        entry = build.entries.get(clip_id)
        if entry and (reason := rejection_of_clip(entry.info.num_frames, entry.num_usable, settings)):
            refused.append(Rejection(one.source, reason, _key(clip_id, settings)))
            stale.append(clip_id)
    build.delete(stale)
    build.move_sources({clip_id: one.source for clip_id, one in plan.wanted.items() if clip_id in build.entries})
    return refused


def _describe_dataset(build: ClipBuild, settings: PrepareSettings) -> DatasetInfo:
    groups = (getattr(info, settings.split_by) for info in build.infos())
    return DatasetInfo(
        size=settings.size,
        settings=_recorded(settings),
        backends=settings.record_backends(),
        split_by=settings.split_by,
        splits=assign_splits(groups, settings.train_fraction, settings.seed),
    )


def _recorded(settings: PrepareSettings) -> dict[str, Any]:
    """The settings that change what comes out, beside size and backends."""
    names = ("crop", "garments", "pattern", "train_fraction", "seed", "max_frames", "min_usable")
    return {name: getattr(settings, name) for name in names}


def _check_same_settings(dataset: StorageFolder, settings: PrepareSettings) -> None:
    """Raise DatasetError where clips are there that were made otherwise: they do not go together."""
    if not dataset.exists("dataset.json") or not (dataset / "clips").files(".parquet"):
        return
    before = load_dataset_info(dataset)
    pairs = {
        "size": (before.size, settings.size),
        "crop": (before.settings.get("crop"), settings.crop),
    }
    for kind, now in settings.record_backends().items():
        then = before.backends.get(kind, {})
        pairs[kind] = (then.get("name"), now["name"])
        pairs[f"weights of {kind}"] = (then.get("weights"), now["weights"])
    changes = [f"{name} {_show(then)}, now {_show(now)}" for name, (then, now) in pairs.items() if then != now]
    if changes:
        raise DatasetError(
            f"{dataset} was prepared with other settings ({'; '.join(changes)}): "
            "choose another folder, or --restart to make it anew"
        )


def _show(value: Any) -> str:
    if isinstance(value, tuple):
        return "x".join(map(str, value))
    if isinstance(value, dict):
        return " ".join(sha256[:8] for sha256 in value.values()) or "none"
    return str(value)


def _clear(dataset: StorageFolder) -> None:
    """Delete a dataset, and no file that is not of it."""
    for name in (dataset / "clips").files(".parquet"):
        delete_clip(dataset, name.removesuffix(".parquet"))
    for name in (dataset / SHEETS).files(".jpg"):
        (dataset / SHEETS).delete(name)
    for name in ("dataset.json", INDEX_FILE, CONTENTS, REJECTED, REJECTED_BEFORE, PAGE):
        if dataset.exists(name):
            dataset.delete(name)
