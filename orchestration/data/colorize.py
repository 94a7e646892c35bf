"""Recolors the clothes of every clip, on Ray Data.

Each clip gets one file, which records the settings that made it: asking for the same again does nothing.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa

from orchestration.errors import reason_of
from orchestration.runtime.progress import ProgressCallback, ignore_progress
from orchestration.runtime.ray_data import Row, RowWork, map_rows
from posegen.color.recoloring import GarmentRegion, RecoloringSettings, Scope, plan_clip, recolor_clip
from posegen.datasets.clip_files import METADATA_KEY, RECOLORING_SCHEMA, ClipFile, RecoloringEntry, RecoloringFile
from posegen.datasets.clips import ClipDataset, GarmentChoice, load_dataset_info
from posegen.datasets.frame_table import write_table
from posegen.datasets.recoloring_index import (
    load_recoloring_entries,
    load_recolorings,
    save_recoloring_entries,
)
from posegen.errors import ConfigError, DatasetError
from posegen.io.images import encode_png
from posegen.io.storage import StorageFolder
from posegen.weights.shipped import shipped_sha256

if TYPE_CHECKING:
    from posegen.inference.hint_recolorer import HintRecolorer

RECOLORING_VERSION = 3
"""Part of what every file records: counts the changes to the code that give another picture."""


@dataclass(frozen=True, kw_only=True)
class ColorizeSettings:
    """How clothes are recolored."""

    scope: Scope = "frame"
    """What shares a colour: a frame (for color_encoder), or all frames of a clip (for video_generator)."""
    region: GarmentRegion = "both"
    """Garments to recolor."""
    method: Literal["lab", "siggraph17"] = "lab"
    """Method: lab shifts a and b inside the garment, and keeps lightness and texture; siggraph17 is a network that
    colours the garment by hints on the body."""
    garments: GarmentChoice = "dataset"
    """How garments are found: as the dataset was prepared, or by heuristic or parser."""
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
        if self.colorizer and self.method != "siggraph17":
            raise ConfigError(f"method {self.method!r} takes no colorizer, got {self.colorizer!r}: use siggraph17")

    @property
    def num_recolorings(self) -> int:
        """Recolorings of each frame."""
        return self.recolorings or {"frame": 4, "clip": 5}[self.scope]

    @property
    def kind(self) -> str:
        """Name of the folder inside ``colors/``."""
        return f"{self.scope}-{self.region}"

    def record(self, network: str = "") -> bytes:
        """What decides the pictures of a clip, for the file that holds them; `network` identifies the network."""
        facts: dict[str, Any] = {"method": self.method, "num_variants": self.num_recolorings, "seed": self.seed}
        if self.garments == "parser":  # files from before the parser do not say it
            facts["garments"] = shipped_sha256("person_parser")
        return json.dumps(
            {"version": RECOLORING_VERSION, **facts, **({"network": network} if network else {})}
        ).encode()


@dataclass(frozen=True)
class RecolorResult:
    """What became of one clip."""

    clip_id: str
    num_images: int = 0
    num_bytes: int = 0
    """Size of the file of its recolorings."""
    reason: str = ""
    """Why it was not recolored; empty if it was."""
    seconds: float = 0.0


@dataclass(frozen=True)
class ColorizeSummary:
    """What is in a dataset after it was recolored."""

    folder: StorageFolder
    num_clips: int
    num_images: int
    num_made: int
    """Clips that were recolored now; the others were there."""
    failures: list[RecolorResult]

    def __str__(self) -> str:
        text = f"{self.num_images:,} images of {self.num_clips:,} clips in {self.folder}, {self.num_made:,} clips new"
        for failure in self.failures[:3]:
            text += f"\n{failure.clip_id}: {failure.reason}"
        return text + (f"\n{len(self.failures)} clips failed" if self.failures else "")


class ClipRecolorer:
    """Recolors one clip at a time."""

    def __init__(self, dataset: StorageFolder, settings: ColorizeSettings):
        self.dataset = dataset
        self.settings = settings
        self.recolorer = _load_recolorer(settings)
        self.record = settings.record(self.recolorer.identity if self.recolorer else "")

    def __call__(self, row: Row) -> Row:
        """Recolor a clip and write the file of its recolorings. Whatever goes wrong becomes its reason.

        Args:
            row: ``clip_id``.

        Returns:
            The fields of a `RecolorResult`.
        """
        start = time.perf_counter()
        result = RecolorResult(row["clip_id"])
        try:
            table = self.recolor(row["clip_id"]).replace_schema_metadata({METADATA_KEY: self.record})
            folder = self.dataset / "colors" / self.settings.kind
            num_bytes = write_table(folder, f"{row['clip_id']}.parquet", table)
            result = replace(result, num_images=table.num_rows, num_bytes=num_bytes)
        except Exception as error:
            result = replace(result, reason=reason_of(error))
        return asdict(replace(result, seconds=time.perf_counter() - start))

    def recolor(self, clip_id: str) -> pa.Table:
        """Return all recolorings of a clip, of `RECOLORING_SCHEMA`; a frame that shows no garment stays as it is."""
        from posegen.perception.garments import label_garments

        clip = ClipFile(self.dataset, clip_id).read()
        method = load_dataset_info(self.dataset).garment_method(self.settings.garments)
        garments = label_garments(clip.images, clip.keypoints, clip.masks, method)
        settings = RecoloringSettings(
            scope=self.settings.scope,
            region=self.settings.region,
            num_recolorings=self.settings.num_recolorings,
            seed=self.settings.seed,
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


def recolor_dataset(
    dataset: StorageFolder | str, settings: ColorizeSettings, *, on_progress: ProgressCallback = ignore_progress
) -> ColorizeSummary:
    """Recolor the clips of a dataset that are not recolored yet, or with other settings.

    Without anything to recolor, Ray is not started.

    Args:
        dataset: Folder of a clip dataset.
        settings: How.
        on_progress: Called after every clip.

    Raises:
        DatasetError: There is no dataset, no clip in it, or none could be recolored.
        CheckpointError, WeightsError: The network cannot be had.
    """
    data = ClipDataset(dataset)
    if not data.clips:
        raise DatasetError(f"{data.folder} has no clips; make them with `posegen prepare`")
    folder = data.folder / "colors" / settings.kind
    settings = _fix_network(replace(settings, garments=data.info.garment_method(settings.garments)))
    recolorer = _load_recolorer(settings)
    record = settings.record(recolorer.identity if recolorer else "")
    index = _Index(data.folder, settings, record)
    todo = [{"clip_id": clip.clip_id} for clip in data.clips if clip.clip_id not in index.entries]
    work = RowWork(ClipRecolorer, (data.folder, settings), key="clip_id")
    answers = map_rows(todo, work, manifest=data.folder, workers=settings.workers, on_progress=on_progress)
    results = [RecolorResult(**answer) for answer in answers]
    index.add(results)
    for place in (data.folder, folder):
        place.sweep()
    failures = [result for result in results if result.reason]
    recolored = [clip for clip in data.clips if clip.clip_id not in {failure.clip_id for failure in failures}]
    if not recolored:
        raise DatasetError(f"no clip of {data.folder} could be recolored: {failures[0].reason}")
    return ColorizeSummary(
        folder=folder,
        num_clips=len(recolored),
        num_images=sum(clip.info.num_frames for clip in recolored) * settings.num_recolorings,
        num_made=len(todo) - len(failures),
        failures=failures,
    )


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
        made = {result.clip_id: self._entry(result.clip_id, result.num_bytes) for result in results if result.num_bytes}
        self.entries |= made
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
    """What a file says of how it was made; nothing if it is damaged, so that it is made again."""
    try:
        return file.record
    except DatasetError:
        return b""
