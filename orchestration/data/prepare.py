"""Turns a folder of videos into a clip dataset, on Ray Data.

A clip is named by its content and the settings that make it. So preparing again makes what is not there yet and
no more, and what goes wrong with one video, down to the death of the process that reads it, costs that video only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from orchestration.data.clip_preparer import PERCEPTION_VERSION, ClipPreparer, ClipResult, PrepareSettings, judge
from orchestration.data.video_files import Rejection, VideoContent, find_videos, read_contents
from orchestration.runtime.ray_data import Row, map_clips
from posegen.datasets.clip_files import ClipFile, ClipInfo, write_clip
from posegen.datasets.clips import DatasetInfo, derive_clip_id, load_dataset_info, save_dataset_info
from posegen.datasets.dataset import Split, assign_splits
from posegen.errors import DatasetError, first_line
from posegen.features.parts import is_usable
from posegen.io.storage import StorageFolder, expand_home
from posegen.weights import download as weights

_REJECTED_SCHEMA = pa.schema([("source", pa.string()), ("reason", pa.string()), ("key", pa.string())])

Progress = Callable[[int, int, ClipResult], object]
"""Called with the number of videos that are done, the number that there are to do, and what became of the last."""


@dataclass(frozen=True)
class PrepareSummary:
    """What is in a dataset after its preparation."""

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

    def __str__(self) -> str:
        share = 100 * self.num_usable / max(self.num_frames, 1)
        frames = f"{self.num_frames:,} frames, {share:.1f} % with a usable pose"
        text = f"{self.num_clips:,} clips ({frames}) in {self.dataset}, {self.num_made:,} new"
        if self.num_removed:
            text += f", {self.num_removed:,} removed"
        if self.rejections:
            text += f", {len(self.rejections):,} rejected (see rejected.parquet)"
        return text


def prepare(
    videos: Path, out: StorageFolder | str, settings: PrepareSettings, *, on_progress: Progress | None = None
) -> PrepareSummary:
    """Make the clips of all videos in a folder, except those that are there, and delete those of vanished videos.

    Clips in the dataset that come from other folders stay. Without anything to make, Ray is not started.

    Args:
        videos: Folder of videos, see `find_videos`.
        out: Folder of the dataset; made if need be.
        settings: How.
        on_progress: Hears of every video that is done.

    Raises:
        PosegenError: There are no videos.
        DatasetError: The dataset was made with other settings, or none of the videos gives a clip.
        WeightsError: Weights of a backend cannot be had.
    """
    videos, dataset = expand_home(videos).absolute(), StorageFolder(out)
    sources, rejections = find_videos(videos, settings.pattern)
    if settings.restart:
        _clear(dataset)
    _check_same_settings(dataset, settings)
    beside = any(not backend.weights for backend in settings.backends().values())
    contents, unread = read_contents(sources, beside=beside)
    plan = _make_plan(contents, videos, dataset, settings)
    results = _make_clips(plan.todo, dataset, settings, on_progress)
    failures = [
        Rejection(
            plan.wanted[result.clip_id]["source"],
            result.reason,
            _key(result.clip_id, settings) if result.is_final else "",
        )
        for result in results
        if result.reason
    ]
    rejections += unread + plan.rejections + failures
    return _finish(plan, rejections, videos, dataset, settings, num_made=len(results) - len(failures))


# ---- What is there, and what is wanted


@dataclass(frozen=True)
class _Plan:
    wanted: dict[str, Row]
    """By clip id: what the clips of these videos are, if they can be made."""
    foreign: set[str]
    """Ids of the clips that came into the dataset from other folders."""
    todo: list[Row]
    """The rows of `wanted` that are neither there nor refused."""
    rejections: list[Rejection]
    """Duplicates, and what was refused earlier."""


def _make_plan(
    contents: Sequence[VideoContent], videos: Path, dataset: StorageFolder, settings: PrepareSettings
) -> _Plan:
    present = {clip.clip_id: clip.info for clip in _clips(dataset)}
    rows = _describe(contents, settings)
    ids = {row["clip_id"] for row in rows}
    foreign = {
        clip_id: info
        for clip_id, info in present.items()
        if clip_id not in ids and not Path(info.source).is_relative_to(videos)
    }
    unique, rejections = _drop_duplicates(rows, foreign.values())
    refused = {rejection.key: rejection for rejection in _load_rejections(dataset) if rejection.key}
    hopeful = []
    for row in unique:
        earlier = refused.get(_key(row["clip_id"], settings))
        if earlier:
            rejections.append(replace(earlier, source=row["source"]))
        else:
            hopeful.append(row)
    side = _sides([*map(asdict, foreign.values()), *hopeful], settings)
    wanted = {row["clip_id"]: {**row, "split": side[row[settings.split_by]]} for row in hopeful}
    todo = [row for clip_id, row in wanted.items() if clip_id not in present]
    return _Plan(wanted, set(foreign), todo, rejections)


def _describe(contents: Sequence[VideoContent], settings: PrepareSettings) -> list[Row]:
    making = {
        "version": PERCEPTION_VERSION,
        "size": list(settings.size),
        "crop": settings.crop,
        "backends": settings.record_backends(),
    }
    return [
        {
            "clip_id": derive_clip_id(
                content.source.person,
                content.source.action,
                content.sha256,
                {**making, "beside": content.beside_sha256},
            ),
            "source": str(content.source.path),
            "source_sha256": content.sha256,
            "person": content.source.person,
            "action": content.source.action,
        }
        for content in contents
    ]


def _drop_duplicates(rows: Sequence[Row], foreign: Iterable[ClipInfo]) -> tuple[list[Row], list[Rejection]]:
    """Take each content once, or training and test could share it under two names."""
    first = {info.source_sha256: info.source for info in foreign}
    unique, rejections = [], []
    for row in rows:
        if row["source_sha256"] in first:
            rejections.append(Rejection(row["source"], f"the same video as {first[row['source_sha256']]}"))
        else:
            first[row["source_sha256"]] = row["source"]
            unique.append(row)
    return unique, rejections


def _sides(clips: Iterable[Row], settings: PrepareSettings) -> dict[str, str]:
    """The split of every action, or person, that these clips show."""
    groups = (clip[settings.split_by] for clip in clips)
    splits = assign_splits(groups, settings.train_fraction, settings.seed)
    return {group: split for split, members in splits.items() for group in members}


def _key(clip_id: str, settings: PrepareSettings) -> str:
    """Names a content, the settings that make its clip and those that judge it."""
    return f"{clip_id}/{settings.max_frames}/{settings.min_usable}"


def _make_clips(
    rows: Sequence[Row], dataset: StorageFolder, settings: PrepareSettings, on_progress: Progress | None
) -> list[ClipResult]:
    """Make clips, and return what became of each."""
    if not rows:
        return []
    for backend in settings.backends().values():
        weights.fetch(backend.weights)  # here, where an error is one line, and once
    results = []
    for answer in map_clips(rows, ClipPreparer, (dataset, settings), manifest=dataset, workers=settings.workers):
        results.append(ClipResult(**answer))
        if on_progress:
            on_progress(len(results), len(rows), results[-1])
    return results


# ---- The dataset as a whole


def _finish(
    plan: _Plan,
    rejections: list[Rejection],
    videos: Path,
    dataset: StorageFolder,
    settings: PrepareSettings,
    *,
    num_made: int,
) -> PrepareSummary:
    """Delete what is not wanted, settle the split, and write what is known of the dataset as a whole."""
    kept, unaccepted, num_removed = _weed(dataset, plan, settings)
    rejections = sorted([*rejections, *unaccepted], key=lambda rejection: rejection.source)
    _settle_splits(dataset, [info for info, _ in kept], plan.wanted, settings)
    _save_rejections(dataset, rejections, videos)
    for place in (dataset, dataset / "clips"):
        place.sweep()
    if not any(info.clip_id in plan.wanted for info, _ in kept):
        some = "; ".join(f"{Path(rejection.source).name}: {rejection.reason}" for rejection in rejections[:3])
        raise DatasetError(f"none of the videos in {videos} gives a clip ({some}); see {dataset}/rejected.parquet")
    return PrepareSummary(
        dataset=dataset,
        num_clips=len(kept),
        num_frames=sum(info.num_frames for info, _ in kept),
        num_usable=sum(num_usable for _, num_usable in kept),
        num_made=num_made,
        num_removed=num_removed,
        rejections=rejections,
    )


def _weed(
    dataset: StorageFolder, plan: _Plan, settings: PrepareSettings
) -> tuple[list[tuple[ClipInfo, int]], list[Rejection], int]:
    """Delete clips that are not wanted, or that settings which only judge have come to refuse.

    Returns:
        What stays, with the number of usable frames; the refused; and how many clips were deleted.
    """
    kept, refused, num_removed = [], [], 0
    for clip in _clips(dataset):
        num_usable = int(is_usable(clip.keypoints).sum())
        reason = ""
        if clip.clip_id in plan.wanted:
            reason = judge(clip.info.num_frames, num_usable, settings)
        if reason:
            refused.append(Rejection(clip.info.source, reason, _key(clip.clip_id, settings)))
        if reason or clip.clip_id not in plan.wanted.keys() | plan.foreign:
            _delete(dataset, clip.clip_id)
            num_removed += 1
        else:
            kept.append((clip.info, num_usable))
    return kept, refused, num_removed


def _settle_splits(
    dataset: StorageFolder, infos: Sequence[ClipInfo], wanted: dict[str, Row], settings: PrepareSettings
) -> None:
    """Divide the clips that there are, rewriting those that change sides or whose video has moved."""
    splits = assign_splits((getattr(info, settings.split_by) for info in infos), settings.train_fraction, settings.seed)
    for info in infos:
        split: Split = "train" if getattr(info, settings.split_by) in splits["train"] else "test"
        source = wanted[info.clip_id]["source"] if info.clip_id in wanted else info.source
        if (info.split, info.source) != (split, source):
            clip = ClipFile(dataset, info.clip_id).read()
            write_clip(dataset, replace(clip, info=replace(info, split=split, source=source)))
    save_dataset_info(
        dataset,
        DatasetInfo(
            size=settings.size,
            settings=_recorded(settings),
            backends=settings.record_backends(),
            split_by=settings.split_by,
            splits=splits,
        ),
    )


def _recorded(settings: PrepareSettings) -> dict[str, Any]:
    """The settings that change what comes out, beside size and backends."""
    names = ("crop", "pattern", "train_fraction", "seed", "max_frames", "min_usable")
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


def _clips(dataset: StorageFolder) -> Iterator[ClipFile]:
    for name in (dataset / "clips").files(".parquet"):
        yield ClipFile(dataset, name.removesuffix(".parquet"))


def _delete(dataset: StorageFolder, clip_id: str) -> None:
    """Delete a clip with its colour variants."""
    dataset.delete(f"clips/{clip_id}.parquet")
    for kind in (dataset / "colors").folders():
        if (dataset / "colors" / kind).exists(f"{clip_id}.parquet"):
            dataset.delete(f"colors/{kind}/{clip_id}.parquet")


def _clear(dataset: StorageFolder) -> None:
    """Delete a dataset, and no file that is not of it."""
    for clip in _clips(dataset):
        _delete(dataset, clip.clip_id)
    for name in ("dataset.json", "rejected.parquet"):
        if dataset.exists(name):
            dataset.delete(name)


def _load_rejections(dataset: StorageFolder) -> list[Rejection]:
    if not dataset.exists("rejected.parquet"):
        return []
    place = f"{dataset}/rejected.parquet"
    try:
        table = pq.read_table(pa.BufferReader(dataset.read("rejected.parquet")))
    except (pa.ArrowException, OSError) as error:
        raise DatasetError(f"{place} cannot be read: {first_line(error)}; delete it") from error
    rows = table.to_pylist()
    if table.schema.names != _REJECTED_SCHEMA.names or any(None in row.values() for row in rows):
        raise DatasetError(f"{place} was not written by posegen; delete it")
    return [Rejection(**{name: str(value) for name, value in row.items()}) for row in rows]


def _save_rejections(dataset: StorageFolder, rejections: Sequence[Rejection], videos: Path) -> None:
    """Write ``rejected.parquet``; the rejections of other folders stay in it."""
    others = [rejection for rejection in _load_rejections(dataset) if not Path(rejection.source).is_relative_to(videos)]
    rows = [asdict(rejection) for rejection in sorted([*others, *rejections], key=lambda r: r.source)]
    with dataset.write("rejected.parquet") as stream:
        pq.write_table(pa.Table.from_pylist(rows, _REJECTED_SCHEMA), stream)
