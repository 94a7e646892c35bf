"""Recolors the clothes of every clip, on Ray Data.

Each clip gets one file, which records the settings that made it: asking for the same again does nothing.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa

from orchestration.errors import reason_of
from orchestration.runtime.progress import ProgressCallback, ignore_progress
from orchestration.runtime.ray_data import Row, RowWork, Step, map_rows
from posegen.color.recoloring import GarmentRegion, RecoloringSettings, Scope, plan_clip, recolor_clip
from posegen.datasets.clip_files import METADATA_KEY, RECOLORING_SCHEMA, Clip, ClipFile, RecoloringEntry, RecoloringFile
from posegen.datasets.clips import ClipDataset, GarmentChoice, load_dataset_info
from posegen.datasets.frame_table import write_table
from posegen.datasets.recoloring_index import (
    load_recoloring_entries,
    load_recolorings,
    save_recoloring_entries,
)
from posegen.errors import ConfigError, DatasetError, counted
from posegen.io.images import encode_png
from posegen.io.storage import StorageFolder
from posegen.weights.shipped import shipped_sha256

if TYPE_CHECKING:
    from posegen.inference.hint_recolorer import HintRecolorer

_ALL_KINDS: tuple[tuple[Scope, GarmentRegion], ...] = (("frame", "upper"), ("frame", "lower"), ("clip", "both"))
_GPU_SHARE = 0.25  # of a GPU for a process that runs a network
RECOLORING_VERSION = 3
"""Part of what every file records: counts the changes to the code that give another picture."""


@dataclass(frozen=True, kw_only=True)
class ColorizeSettings:
    """Settings of the recolouring of clothes."""

    scope: Scope = "frame"
    """Unit of one colour: a frame (for color_encoder), or all frames of a clip (for video_generator)."""
    region: GarmentRegion = "both"
    """Garments to recolor."""
    all_kinds: bool = False
    """Make the three kinds that the stages learn from together: frames by their upper garment, frames by their lower
    one, and clips by both."""
    method: Literal["lab", "siggraph17"] = "lab"
    """Method: lab shifts a and b inside the garment, and keeps lightness and texture; siggraph17 is a network that
    colours the garment by hints on the body."""
    garments: GarmentChoice = "dataset"
    """Method that finds garments: the one that prepared the dataset, heuristic or parser."""
    colorizer: str = ""
    """Network of siggraph17: a run of the stage colorizer, or published weights by name (by default siggraph17)."""
    recolorings: int | None = None
    """Recolorings of each frame; by default 4 with scope frame, and 5 with scope clip, the first being the original."""
    seed: int = 0
    """Seed of the colours, with the clip and the frame."""
    workers: int = -1
    """Processes; -1 takes all CPUs of the cluster, 0 works in this process, without Ray."""

    def __post_init__(self) -> None:
        if self.recolorings is not None and self.recolorings < 1:
            raise ConfigError(f"recolorings must be at least 1, got {self.recolorings}")
        if self.all_kinds and (self.scope, self.region) != ("frame", "both"):
            raise ConfigError("all kinds have their own scopes and regions: leave out scope and region, or all_kinds")
        if self.colorizer and self.method != "siggraph17":
            raise ConfigError(f"method {self.method!r} takes no colorizer, got {self.colorizer!r}: use siggraph17")

    def kinds(self) -> tuple[ColorizeSettings, ...]:
        """Return the settings of each kind."""
        if not self.all_kinds:
            return (self,)
        return tuple(replace(self, all_kinds=False, scope=scope, region=region) for scope, region in _ALL_KINDS)

    @property
    def num_recolorings(self) -> int:
        """Recolorings of each frame."""
        return self.recolorings or {"frame": 4, "clip": 5}[self.scope]

    @property
    def kind(self) -> str:
        """Name of the folder inside ``colors/``."""
        return f"{self.scope}-{self.region}"

    def record(self, network: str = "") -> bytes:
        """Record of all settings that decide a clip's pictures, for the file that holds them; `network` identifies the
        network."""
        facts: dict[str, Any] = {"method": self.method, "num_variants": self.num_recolorings, "seed": self.seed}
        if self.garments == "parser":  # files from before the parser do not say it
            facts["garments"] = shipped_sha256("person_parser")
        return json.dumps(
            {"version": RECOLORING_VERSION, **facts, **({"network": network} if network else {})}
        ).encode()


@dataclass(frozen=True)
class RecolorResult:
    """Result of one clip."""

    file: str
    """``KIND/CLIP``: the kind of recoloring, and the clip's id."""
    num_images: int = 0
    num_bytes: int = 0
    """Size of the file of its recolorings."""
    reason: str = ""
    """Reason why it was not recolored; empty if it was."""
    seconds: float = 0.0


@dataclass(frozen=True)
class ColorizeSummary:
    """Summary of a recolored dataset."""

    folder: StorageFolder
    num_clips: int
    num_images: int
    num_made: int
    """Clips that were recolored now; the others were there."""
    failures: list[RecolorResult]

    def __str__(self) -> str:
        text = (
            f"{counted(self.num_images, 'image')} of {counted(self.num_clips, 'clip')} in "
            f"{self.folder}, {counted(self.num_made, 'clip')} new"
        )
        for failure in self.failures[:3]:
            text += f"\n{failure.file}: {failure.reason}"
        return text + (f"\n{counted(len(self.failures), 'clip')} failed" if self.failures else "")


class ClipRecolorer:
    """Recolors one clip at a time, in one of several ways.

    Args:
        dataset: Where the clips are.
        ways: By kind, how they are recolored; with the same network.
    """

    def __init__(self, dataset: StorageFolder, ways: dict[str, ColorizeSettings]):
        self.dataset, self.ways = dataset, ways
        self.recolorer = _load_recolorer(next(iter(ways.values())))
        self._last: tuple[str, Clip, np.ndarray] | None = None

    def __call__(self, row: Row) -> Row:
        """Recolor a clip and write the file of its recolorings. Whatever goes wrong becomes its reason.

        Args:
            row: ``file``, see `RecolorResult`.

        Returns:
            The fields of a `RecolorResult`.
        """
        start = time.perf_counter()
        result = RecolorResult(row["file"])
        try:
            kind, clip_id = row["file"].split("/")
            record = self.ways[kind].record(self.recolorer.identity if self.recolorer else "")
            table = self.recolor(clip_id, self.ways[kind]).replace_schema_metadata({METADATA_KEY: record})
            num_bytes = write_table(self.dataset / "colors" / kind, f"{clip_id}.parquet", table)
            result = replace(result, num_images=table.num_rows, num_bytes=num_bytes)
        except Exception as error:
            result = replace(result, reason=reason_of(error))
        return asdict(replace(result, seconds=time.perf_counter() - start))

    def recolor(self, clip_id: str, way: ColorizeSettings) -> pa.Table:
        """Return all recolorings of a clip, of `RECOLORING_SCHEMA`; a frame that shows no garment stays as it is."""
        clip, garments = self._read(clip_id, way)
        settings = RecoloringSettings(
            scope=way.scope, region=way.region, num_recolorings=way.num_recolorings, seed=way.seed
        )
        plan = plan_clip(clip.images, garments, settings, clip_id)
        recolored = (
            recolor_clip(clip.images, garments, plan)
            if self.recolorer is None
            else self.recolorer.recolor_clip(clip.images, garments, clip.keypoints, plan)
        )
        rows = [
            {
                "frame": recoloring.frame,
                "variant": recoloring.recoloring,
                "image": encode_png(recoloring.image),
                "upper_ab": recoloring.upper_ab,
                "lower_ab": recoloring.lower_ab,
                "seed": recoloring.seed,
            }
            for recoloring in recolored
        ]
        return pa.Table.from_pylist(rows, RECOLORING_SCHEMA)

    def _read(self, clip_id: str, way: ColorizeSettings) -> tuple[Clip, np.ndarray]:
        """A clip and its garments, which are the same for all kinds."""
        if self._last is None or self._last[0] != clip_id:
            from posegen.perception.garments import label_garments

            clip = ClipFile(self.dataset, clip_id).read()
            method = load_dataset_info(self.dataset).garment_method(way.garments)
            self._last = clip_id, clip, label_garments(clip.images, clip.keypoints, clip.masks, method)
        return self._last[1:]


def recolor_dataset(
    dataset: StorageFolder | str, settings: ColorizeSettings, *, on_progress: ProgressCallback = ignore_progress
) -> ColorizeSummary:
    """Recolor the clips of a dataset that are not recolored yet, or with other settings.

    Without anything to recolor, Ray is not started.

    Args:
        dataset: Folder of a clip dataset.
        settings: How.
        on_progress: Called after every clip of a kind.

    Raises:
        DatasetError: There is no dataset, no clip in it, or none could be recolored.
        CheckpointError, WeightsError: The network cannot be had.
    """
    data = ClipDataset(dataset)
    if not data.clips:
        raise DatasetError(f"{data.folder} has no clips; make them with `posegen prepare`")
    settings = _fix_network(replace(settings, garments=data.info.garment_method(settings.garments)))
    recolorer = _load_recolorer(settings)
    ways = {way.kind: way for way in settings.kinds()}
    network = recolorer.identity if recolorer else ""
    indexes = {kind: _Index(data.folder, way, way.record(network)) for kind, way in ways.items()}
    files = [f"{kind}/{clip.clip_id}" for clip in data.clips for kind in ways]  # clips that are read are used at once
    todo = [{"file": file} for file in files if _clip_of(file) not in indexes[_kind_of(file)].entries]
    step = Step(ClipRecolorer, (data.folder, ways), gpus=_GPU_SHARE if recolorer else 0.0)
    work = RowWork((step,), key="file")
    answers = map_rows(todo, work, out=data.folder, workers=settings.workers, on_progress=on_progress)
    results = [RecolorResult(**answer) for answer in answers]
    for kind, index in indexes.items():
        index.add([result for result in results if _kind_of(result.file) == kind])
        (data.folder / "colors" / kind).sweep()
    data.folder.sweep()
    failures = [result for result in results if result.reason]
    lost = {failure.file for failure in failures}
    there = [file for file in files if file not in lost]
    if not there:
        raise DatasetError(f"no clip of {data.folder} could be recolored: {failures[0].reason}")
    num_frames = {clip.clip_id: clip.info.num_frames for clip in data.clips}
    return ColorizeSummary(
        folder=data.folder / ("colors" if settings.all_kinds else f"colors/{settings.kind}"),
        num_clips=len({_clip_of(file) for file in there}),
        num_images=sum(num_frames[_clip_of(file)] * ways[_kind_of(file)].num_recolorings for file in there),
        num_made=len({_clip_of(row["file"]) for row in todo if row["file"] not in lost}),
        failures=failures,
    )


def _kind_of(file: str) -> str:
    return file.partition("/")[0]


def _clip_of(file: str) -> str:
    return file.partition("/")[2]


def _fix_network(settings: ColorizeSettings) -> ColorizeSettings:
    """Name the network in full: of a run its newest checkpoint, the same for all processes while the run goes on."""
    if settings.method == "lab":
        return settings
    from posegen.checkpoints.checkpoint import find_checkpoint
    from posegen.inference.hint_recolorer import PUBLISHED_COLORIZERS

    colorizer = settings.colorizer or PUBLISHED_COLORIZERS[0]
    return replace(
        settings, colorizer=colorizer if colorizer in PUBLISHED_COLORIZERS else find_checkpoint(colorizer).uri
    )


def _load_recolorer(settings: ColorizeSettings) -> HintRecolorer | None:
    """The network that recolors, None for the method that needs none."""
    if settings.method == "lab":
        return None
    from posegen.inference.hint_recolorer import HintRecolorer, load_colorizer

    return HintRecolorer(load_colorizer(settings.colorizer))


class _Index:
    """The index of the recolorings that there are, see `posegen.datasets.recoloring_index`.

    Args:
        dataset: Folder of the dataset.
        settings: Which recolorings.
        record: What decides their pictures. Files with another one are to be made again, and leave the index before.
    """

    def __init__(self, dataset: StorageFolder, settings: ColorizeSettings, record: bytes):
        self._dataset, self._settings, self._record = dataset, settings, record
        files = load_recolorings(dataset, settings.kind)
        sizes = (dataset / "colors" / settings.kind).sizes(".parquet")
        self.entries = {
            clip_id: self._entry(clip_id, sizes[f"{clip_id}.parquet"])
            for clip_id, file in files.items()
            if f"{clip_id}.parquet" in sizes and _record_of(file) == record
        }
        """By clip, of files that need not be made again."""
        if self.entries != load_recoloring_entries(dataset, settings.kind):
            self._save()

    def add(self, results: Sequence[RecolorResult]) -> None:
        """Take in what was made."""
        made = [self._entry(_clip_of(result.file), result.num_bytes) for result in results if result.num_bytes]
        self.entries |= {entry.clip_id: entry for entry in made}
        if made:
            self._save()

    def _entry(self, clip_id: str, num_bytes: int) -> RecoloringEntry:
        return RecoloringEntry(
            clip_id=clip_id,
            num_recolorings=self._settings.num_recolorings,
            record=self._record,
            num_bytes=num_bytes,
        )

    def _save(self) -> None:
        save_recoloring_entries(self._dataset, self._settings.kind, self.entries.values())


def _record_of(file: RecoloringFile) -> bytes:
    """Return a file's record of its settings; empty if the file is damaged, so that it is made again."""
    try:
        return file.record
    except DatasetError:
        return b""
