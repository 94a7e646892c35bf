"""The files of a clip dataset: a clip, one row a frame, and its recoloured frames."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from posegen.datasets.dataset import Split
from posegen.errors import DatasetError, ImageError, first_line
from posegen.features.parts import is_usable
from posegen.io.images import decode_png, encode_png
from posegen.io.records import check_size, parse_json
from posegen.io.storage import StorageFolder

CLIP_SCHEMA = pa.schema(
    [
        ("frame", pa.int32()),
        ("time", pa.float64()),
        ("image", pa.binary()),
        ("keypoints", pa.list_(pa.float32(), 54)),
        ("edges", pa.binary()),
        ("mask", pa.binary()),
    ]
)
# Parquet cannot read fixed-size lists back where some are null, so (a, b) is a plain list of two.
RECOLORING_SCHEMA = pa.schema(
    [
        ("frame", pa.int32()),
        ("variant", pa.int32()),
        ("image", pa.binary()),
        ("upper_ab", pa.list_(pa.float32())),
        ("lower_ab", pa.list_(pa.float32())),
        ("seed", pa.int64()),
    ]
)
INDEX_FILE = "index.parquet"
"""The file, in a dataset's folder, that says what its clips are, see `posegen.datasets.clip_index`."""
METADATA_KEY = b"posegen"
"""Under which a Parquet file says how it was made."""
_ROW_GROUP = 16  # frames that are read together: small enough for random access, large enough for a stream
_LEAST_PNG = 64  # bytes: no PNG is smaller, and each row has one
_FARTHEST = 1e5  # pixels from the corner of a picture in which a joint may be missing but not lie
_REMEDY = "prepare or colorize the clip again"


@dataclass(frozen=True, kw_only=True)
class ClipInfo:
    """What is known of a clip as a whole."""

    clip_id: str
    person: str
    action: str
    fps: float
    source: str
    """Where the video was when it was prepared."""
    source_sha256: str
    num_frames: int
    size: tuple[int, int]
    """Height and width in pixels."""


@dataclass(frozen=True, kw_only=True)
class _RecordedInfo(ClipInfo):
    """What a clip's file says of it: those that version 0.1 wrote have the split, too."""

    split: Split | None = None


@dataclass(frozen=True, kw_only=True)
class ClipEntry:
    """What an index holds of a clip: all that a build or a training has to know before it reads frames."""

    info: ClipInfo
    num_usable: int
    """Frames with a pose that a body can be taken apart by, see `posegen.features.parts.is_usable`."""
    num_bytes: int
    """Size of the file."""


@dataclass(frozen=True)
class Clip:
    """A decoded clip."""

    info: ClipInfo
    frames: np.ndarray
    """(T,) int32: numbers of the frames in the source video."""
    times: np.ndarray
    """(T,) float64: seconds since the clip's start."""
    images: np.ndarray
    """(T, H, W, 3) uint8 RGB."""
    keypoints: np.ndarray
    """(T, 18, 3) float32: x, y in pixels, confidence; (0, 0, 0) where a joint was not seen."""
    edges: np.ndarray
    """(T, H, W) uint8: P(edge) × 255."""
    masks: np.ndarray
    """(T, H, W) uint8: 255 on the person, else 0."""

    def __len__(self) -> int:
        return len(self.images)


def write_clip(dataset: StorageFolder, clip: Clip) -> ClipEntry:
    """Write one clip, atomically, and return its entry for the index; a clip of the same id is replaced."""
    table = pa.table(
        {
            "frame": pa.array(clip.frames, pa.int32()),
            "time": pa.array(clip.times, pa.float64()),
            "image": [encode_png(image) for image in clip.images],
            "keypoints": list(clip.keypoints.reshape(len(clip), 54).astype(np.float32)),
            "edges": [encode_png(edges) for edges in clip.edges],
            "mask": [encode_png(mask) for mask in clip.masks],
        },
        schema=CLIP_SCHEMA,
    )
    metadata = json.dumps(asdict(clip.info), ensure_ascii=False).encode()
    num_bytes = write_table(
        dataset / "clips",
        f"{clip.info.clip_id}.parquet",
        table.replace_schema_metadata({METADATA_KEY: metadata}),
    )
    return ClipEntry(info=clip.info, num_usable=int(is_usable(clip.keypoints).sum()), num_bytes=num_bytes)


def write_table(folder: StorageFolder, name: str, table: pa.Table) -> int:
    """Write a table of images, atomically, and return its size in bytes.

    PNG does not compress twice, so Parquet does not try.
    """
    with folder.write(name) as stream:
        pq.write_table(table, stream, compression="none", row_group_size=_ROW_GROUP, use_dictionary=False)
        return stream.tell()


class ClipFile:
    """A clip in a dataset, read frame by frame. Opens its file on first use and again after pickling.

    Args:
        dataset: The dataset's folder.
        clip_id: Of the clip.
        info: What the index says of it; by default the file is opened for it.
    """

    def __init__(self, dataset: StorageFolder, clip_id: str, info: ClipInfo | None = None):
        self.dataset = dataset
        self.clip_id = clip_id
        self._indexed = info

    def __getstate__(self) -> dict[str, Any]:
        return {"dataset": self.dataset, "clip_id": self.clip_id, "_indexed": self._indexed}

    @cached_property
    def _table(self) -> _FrameTable:
        table = _FrameTable(self.dataset / "clips", f"{self.clip_id}.parquet", CLIP_SCHEMA)
        if self._indexed and self._indexed.num_frames != table.num_rows:
            listed = f"{self._indexed.num_frames} in {self.dataset}/{INDEX_FILE}"
            raise DatasetError(f"{table} has {table.num_rows} frames, but {listed}; delete the index")
        return table

    @cached_property
    def info(self) -> ClipInfo:
        """What is known of the clip as a whole. Raises DatasetError where it is not what the file holds."""
        if self._indexed:
            return self._indexed
        recorded = asdict(self._recorded)
        del recorded["split"]
        return ClipInfo(**recorded)

    @property
    def recorded_split(self) -> Split | None:
        """The split that version 0.1 wrote into the file; None in files written since."""
        return self._recorded.split

    @cached_property
    def _recorded(self) -> _RecordedInfo:
        table = self._table
        info = parse_json(_RecordedInfo, table.metadata.get(METADATA_KEY, b""), str(table), DatasetError)
        check_size(info.size, str(table), DatasetError)
        if info.clip_id != self.clip_id:  # it becomes the name of files
            raise DatasetError(f"{table} says that it is the clip {info.clip_id!r}: give it its name back")
        if info.num_frames != table.num_rows or not info.num_frames:
            raise DatasetError(f"{table} has {table.num_rows} frames and says {info.num_frames}; {_REMEDY}")
        if not (math.isfinite(info.fps) and info.fps > 0):
            raise DatasetError(f"{table} has {info.fps} frames per second; {_REMEDY}")
        return info

    @cached_property
    def keypoints(self) -> np.ndarray:
        """(T, 18, 3) float32 keypoints of all frames."""
        keypoints = self._table.numbers("keypoints").reshape(-1, 18, 3)
        if not (np.abs(keypoints) <= _FARTHEST).all():  # nor is NaN
            raise DatasetError(f"{self._table} has keypoints that are no places in a picture; {_REMEDY}")
        return keypoints

    @cached_property
    def times(self) -> np.ndarray:
        """(T,) float64 seconds since the start."""
        times = self._table.numbers("time")
        if not (np.isfinite(times).all() and (np.diff(times) > 0).all()):
            raise DatasetError(f"{self._table} has times that do not increase; {_REMEDY}")
        return times

    def image(self, row: int) -> np.ndarray:
        """(H, W, 3) uint8 RGB of one frame."""
        return self._table.picture("image", row, size=self.info.size)

    def edges(self, row: int) -> np.ndarray:
        """(H, W) uint8 P(edge) × 255 of one frame."""
        return self._table.picture("edges", row, gray=True, size=self.info.size)

    def mask(self, row: int) -> np.ndarray:
        """(H, W) uint8 person mask of one frame."""
        return self._table.picture("mask", row, gray=True, size=self.info.size)

    def read(self) -> Clip:
        """Decode the whole clip."""
        rows = range(self.info.num_frames)
        return Clip(
            info=self.info,
            frames=self._table.numbers("frame"),
            times=self.times,
            images=np.stack([self.image(row) for row in rows]),
            keypoints=self.keypoints,
            edges=np.stack([self.edges(row) for row in rows]),
            masks=np.stack([self.mask(row) for row in rows]),
        )


class RecoloringFile:
    """The recoloured frames of one clip.

    Args:
        dataset: The dataset's folder.
        kind: Name of the folder inside ``colors/``.
        clip_id: Of the clip.
        size: Height and width of its frames, where pictures are looked at.
    """

    def __init__(self, dataset: StorageFolder, kind: str, clip_id: str, size: tuple[int, int] | None = None):
        self.dataset = dataset
        self.kind = kind
        self.clip_id = clip_id
        self.size = size

    def __getstate__(self) -> dict[str, Any]:
        return {"dataset": self.dataset, "kind": self.kind, "clip_id": self.clip_id, "size": self.size}

    @cached_property
    def _table(self) -> _FrameTable:
        return _FrameTable(self.dataset / "colors" / self.kind, f"{self.clip_id}.parquet", RECOLORING_SCHEMA)

    @cached_property
    def rows(self) -> dict[tuple[int, int], int]:
        """Row number by (row of the frame in its clip, recoloring)."""
        frames, recolorings = self._table.numbers("frame").tolist(), self._table.numbers("variant").tolist()
        rows = _Rows(str(self._table), zip(zip(frames, recolorings, strict=True), range(len(frames)), strict=True))
        num_recolorings = len({recoloring for _, recoloring in rows})
        whole = len(rows) == len(frames) == len(set(frames)) * num_recolorings
        if not rows or not whole or {recoloring for _, recoloring in rows} != set(range(num_recolorings)):
            raise DatasetError(f"{self._table} lacks recolorings of its frames, or has some twice; {_REMEDY}")
        return rows

    @cached_property
    def num_recolorings(self) -> int:
        """Number of recolorings of each frame."""
        return max(recoloring for _, recoloring in self.rows) + 1

    @cached_property
    def upper_ab(self) -> list[list[float] | None]:
        """The designated (a, b) of the upper garment in every row, None where it was left as it was."""
        return self._colors("upper_ab")

    @cached_property
    def lower_ab(self) -> list[list[float] | None]:
        """The designated (a, b) of the lower garment in every row, None where it was left as it was."""
        return self._colors("lower_ab")

    @property
    def record(self) -> bytes:
        """What decided these pictures, as `posegen colorize` noted it."""
        return self._table.metadata.get(METADATA_KEY, b"")

    def image(self, frame: int, recoloring: int) -> np.ndarray:
        """(H, W, 3) uint8 RGB of one recoloured frame; `frame` is a row of the clip."""
        return self._table.picture("image", self.rows[frame, recoloring], size=self.size)

    def _colors(self, column: str) -> list[list[float] | None]:
        colors = self._table.values(column)
        for ab in colors:
            if ab is not None and not (len(ab) == 2 and all(x is not None and math.isfinite(x) for x in ab)):
                raise DatasetError(f"{self._table} has {ab} as {column}, expected a and b; {_REMEDY}")
        return colors


class _Rows(dict[tuple[int, int], int]):
    """Row numbers in a file, which says so where it has none."""

    def __init__(self, place: str, rows: Iterable[tuple[tuple[int, int], int]]):
        super().__init__(rows)
        self._place = place

    def __missing__(self, key: tuple[int, int]) -> int:
        raise DatasetError(f"{self._place} has no recoloring {key[1]} of frame {key[0]}; {_REMEDY}")


@dataclass
class _FrameTable:
    """One Parquet file of frames; keeps the row group that was read last, since reads come in runs.

    Raises DatasetError for a file that is damaged or of something else, when it is first looked into.
    """

    folder: StorageFolder
    name: str
    schema: pa.Schema
    _groups: dict[str, tuple[int, Sequence[bytes]]] = field(default_factory=dict)
    _opened: tuple[int, pq.ParquetFile] | None = None

    def __str__(self) -> str:
        return f"{self.folder}/{self.name}"

    @property
    def _file(self) -> pq.ParquetFile:
        """The open file, of this process alone: a loader that was forked must not share a connection."""
        process = os.getpid()
        if self._opened is None or self._opened[0] != process:
            self._opened = process, self._open()
        return self._opened[1]

    def _open(self) -> pq.ParquetFile:
        with self._reading():
            filesystem, path = self.folder.resolve(self.name)
            stream = filesystem.open_input_file(path)
            file = pq.ParquetFile(stream)
            self._check_schema(file.schema_arrow)
            self._check_rows(file.metadata, stream.size())
        return file

    def _check_schema(self, found: pa.Schema) -> None:
        for wanted in self.schema:
            index = found.get_field_index(wanted.name)  # -1 where it is missing or there twice
            if index < 0 or found.field(index).type != wanted.type:
                got = "it once" if index < 0 else f"{found.field(index).type}"
                raise DatasetError(f"{self} has not {wanted.name} as {wanted.type} ({got}); {_REMEDY}")

    def _check_rows(self, metadata: pq.FileMetaData, num_bytes: int) -> None:
        """Rows are found by counting, and what claims more of them than fit into the file would fill the memory."""
        counts = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
        left = metadata.num_rows - _ROW_GROUP * max(len(counts) - 1, 0)
        regular = counts == [_ROW_GROUP] * (len(counts) - 1) + [left] * bool(counts) and 0 <= left <= _ROW_GROUP
        if not regular or metadata.num_rows * _LEAST_PNG > num_bytes:
            raise DatasetError(f"{self} is not divided into groups of {_ROW_GROUP} rows; {_REMEDY}")

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Turn what Arrow says of a broken file into one reason."""
        try:
            yield
        except (pa.ArrowException, OSError, MemoryError) as error:
            raise DatasetError(f"{self} cannot be read: {first_line(error)}; {_REMEDY}") from error

    @property
    def metadata(self) -> dict[bytes, bytes]:
        return self._file.schema_arrow.metadata or {}

    @property
    def num_rows(self) -> int:
        return self._file.metadata.num_rows

    def values(self, column: str) -> list[Any]:
        return self._read(column).to_pylist()

    def numbers(self, column: str) -> np.ndarray:
        values = self._read(column).combine_chunks()
        if values.null_count == 0 and pa.types.is_fixed_size_list(values.type):
            values = values.flatten()
        if values.null_count:
            raise DatasetError(f"{self} lacks numbers in {column}; {_REMEDY}")
        return values.to_numpy(zero_copy_only=False)

    def cell(self, column: str, row: int) -> bytes:
        group, offset = divmod(row, _ROW_GROUP)
        cached = self._groups.get(column)
        if cached is None or cached[0] != group:
            file = self._file
            with self._reading():
                # A few pictures are read sooner by this thread than they are handed to others.
                cached = (group, file.read_row_group(group, [column], use_threads=False)[column].to_pylist())
            self._groups[column] = cached
        return cached[1][offset]

    def picture(self, column: str, row: int, *, size: tuple[int, int] | None, gray: bool = False) -> np.ndarray:
        try:
            return decode_png(self.cell(column, row), gray=gray, size=size)
        except ImageError as error:
            raise DatasetError(f"{self}, row {row}, {column}: {error}; {_REMEDY}") from error

    def _read(self, column: str) -> pa.ChunkedArray:
        file = self._file
        with self._reading():
            values = file.read([column])[column]
            values.validate(full=True)
        if len(values) != self.num_rows:
            raise DatasetError(f"{self} has {len(values)} rows of {column}, expected {self.num_rows}; {_REMEDY}")
        return values
