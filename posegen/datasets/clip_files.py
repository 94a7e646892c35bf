"""The files of a clip dataset: a clip, one row a frame, and its recoloured frames."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from posegen.datasets.dataset import Split
from posegen.datasets.frame_table import REMEDY, FrameTable, write_table
from posegen.errors import DatasetError
from posegen.features.parts import is_usable
from posegen.io.images import encode_png
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
_FARTHEST = 1e5  # pixels from the corner of a picture in which a joint may be missing but not lie


@dataclass(frozen=True, kw_only=True)
class ClipInfo:
    """Description of a clip as a whole."""

    clip_id: str
    person: str
    action: str
    fps: float
    source: str
    """Path of the video when it was prepared."""
    source_sha256: str
    num_frames: int
    size: tuple[int, int]
    """Height and width in pixels."""


@dataclass(frozen=True, kw_only=True)
class _RecordedInfo(ClipInfo):
    """Description in a clip's file; files of version 0.1 have the split, too."""

    split: Split | None = None


@dataclass(frozen=True, kw_only=True)
class ClipEntry:
    """Entry of a clip in an index: all that a build or a training needs before it reads frames."""

    info: ClipInfo
    usable: str
    """Frames with a pose that a body can be taken apart by, see `encode_usable`."""
    num_bytes: int
    """Size of the file."""

    @property
    def num_usable(self) -> int:
        """Number of these frames."""
        return int(self.usable_frames().sum())

    def usable_frames(self) -> np.ndarray:
        """(T,) bool: the inverse of `encode_usable`."""
        bits = np.frombuffer(bytes.fromhex(self.usable), np.uint8)
        return np.unpackbits(bits, count=self.info.num_frames).astype(bool)


def encode_usable(keypoints: np.ndarray) -> str:
    """Encode which frames (T, 18, 3) have a usable pose, see `posegen.features.parts.is_usable`: a bit each, the first
    one the highest of its byte, as hexadecimal digits."""
    return np.packbits(is_usable(keypoints)).tobytes().hex()


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
    return ClipEntry(info=clip.info, usable=encode_usable(clip.keypoints), num_bytes=num_bytes)


class ClipFile:
    """A clip in a dataset, read frame by frame. Opens its file on first use and again after pickling.

    Args:
        dataset: The dataset's folder.
        clip_id: Of the clip.
        entry: What the index says of it; by default the file is opened for it.
    """

    def __init__(self, dataset: StorageFolder, clip_id: str, entry: ClipEntry | None = None):
        self.dataset = dataset
        self.clip_id = clip_id
        self._indexed = entry

    def __getstate__(self) -> dict[str, Any]:
        return {"dataset": self.dataset, "clip_id": self.clip_id, "_indexed": self._indexed}

    @cached_property
    def _table(self) -> FrameTable:
        table = FrameTable(self.dataset / "clips", f"{self.clip_id}.parquet", CLIP_SCHEMA)
        if self._indexed and self._indexed.info.num_frames != table.num_rows:
            listed = f"{self._indexed.info.num_frames} in {self.dataset}/{INDEX_FILE}"
            raise DatasetError(f"{table} has {table.num_rows} frames, but {listed}; delete the index")
        return table

    @cached_property
    def info(self) -> ClipInfo:
        """Description of the clip as a whole. Raises DatasetError if it is not that of the file."""
        if self._indexed:
            return self._indexed.info
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
            raise DatasetError(f"{table} contains the clip {info.clip_id!r}: rename it back to that")
        if info.num_frames != table.num_rows or not info.num_frames:
            raise DatasetError(f"{table} has {table.num_rows} frames, expected {info.num_frames}; {REMEDY}")
        if not (math.isfinite(info.fps) and info.fps > 0):
            raise DatasetError(f"{table} has {info.fps} frames per second; {REMEDY}")
        return info

    @property
    def usable_rows(self) -> np.ndarray:
        """(U,) int64: the frames that have both hips and both shoulders. Without opening the file where it is known."""
        return np.flatnonzero(self._indexed.usable_frames() if self._indexed else is_usable(self.keypoints))

    @property
    def keypoints(self) -> np.ndarray:
        """(T, 18, 3) float32 keypoints of all frames."""
        return self._table.remember("keypoints", self._read_keypoints)

    def _read_keypoints(self) -> np.ndarray:
        keypoints = self._table.numbers("keypoints").reshape(-1, 18, 3)
        if not (np.abs(keypoints) <= _FARTHEST).all():  # nor is NaN
            raise DatasetError(f"{self._table} has keypoints that are no places in a picture; {REMEDY}")
        return keypoints

    @property
    def times(self) -> np.ndarray:
        """(T,) float64 seconds since the start."""
        return self._table.remember("times", self._read_times)

    def _read_times(self) -> np.ndarray:
        times = self._table.numbers("time")
        if not (np.isfinite(times).all() and (np.diff(times) > 0).all()):
            raise DatasetError(f"{self._table} has times that do not increase; {REMEDY}")
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


@dataclass(frozen=True, kw_only=True)
class RecoloringEntry:
    """Entry of a clip's recoloured frames in an index."""

    clip_id: str
    num_recolorings: int
    """Of each frame."""
    record: bytes
    """Settings that decided the pictures, as `posegen colorize` recorded them."""
    num_bytes: int
    """Size of the file."""


class RecoloringFile:
    """The recoloured frames of one clip. Opens its file on first use and again after pickling.

    Args:
        dataset: The dataset's folder.
        kind: Name of the folder inside ``colors/``.
        clip_id: Of the clip.
        size: Height and width of its frames, where pictures are looked at.
        entry: What the index says of it; by default the file is opened for it.
    """

    def __init__(
        self,
        dataset: StorageFolder,
        kind: str,
        clip_id: str,
        size: tuple[int, int] | None = None,
        entry: RecoloringEntry | None = None,
    ):
        self.dataset = dataset
        self.kind = kind
        self.clip_id = clip_id
        self.size = size
        self._indexed = entry

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_table"}

    @cached_property
    def _table(self) -> FrameTable:
        return FrameTable(self.dataset / "colors" / self.kind, f"{self.clip_id}.parquet", RECOLORING_SCHEMA)

    @property
    def rows(self) -> RecoloringRows:
        """Row number by (row of the frame in its clip, recoloring)."""
        return self._table.remember("rows", self._read_rows)

    def _read_rows(self) -> RecoloringRows:
        rows = RecoloringRows(str(self._table), self._table.numbers("frame"), self._table.numbers("variant"))
        if self._indexed and self._indexed.num_recolorings != rows.num_recolorings:
            listed = f"{self._indexed.num_recolorings} in the index; delete {self.dataset}/colors/{self.kind}.parquet"
            raise DatasetError(f"{self._table} has {rows.num_recolorings} recolorings of each frame, but {listed}")
        return rows

    @property
    def num_recolorings(self) -> int:
        """Number of recolorings of each frame. Without opening the file where it is known."""
        return self._indexed.num_recolorings if self._indexed else self.rows.num_recolorings

    @property
    def upper_ab(self) -> list[list[float] | None]:
        """The designated (a, b) of the upper garment in every row, None where it was left as it was."""
        return self._table.remember("upper_ab", lambda: self._colors("upper_ab"))

    @property
    def lower_ab(self) -> list[list[float] | None]:
        """The designated (a, b) of the lower garment in every row, None where it was left as it was."""
        return self._table.remember("lower_ab", lambda: self._colors("lower_ab"))

    @property
    def record(self) -> bytes:
        """Settings that decided these pictures, as `posegen colorize` recorded them."""
        return self._indexed.record if self._indexed else self._table.metadata.get(METADATA_KEY, b"")

    def image(self, frame: int, recoloring: int) -> np.ndarray:
        """(H, W, 3) uint8 RGB of one recoloured frame; `frame` is a row of the clip."""
        return self._table.picture("image", self.rows[frame, recoloring], size=self.size)

    def _colors(self, column: str) -> list[list[float] | None]:
        colors = self._table.values(column)
        for ab in colors:
            if ab is not None and not (len(ab) == 2 and all(x is not None and math.isfinite(x) for x in ab)):
                raise DatasetError(f"{self._table} has {ab} as {column}, expected a and b; {REMEDY}")
        return colors


class RecoloringRows(Mapping[tuple[int, int], int]):
    """Row numbers of a file by frame and recoloring.

    Raises DatasetError where a frame lacks a recoloring or has one twice, and for the row of one that is not there.

    Args:
        place: The file, for messages.
        frames: (R,) the frame of every row.
        recolorings: (R,) its recoloring.
    """

    def __init__(self, place: str, frames: np.ndarray, recolorings: np.ndarray):
        self._place = place
        self._frames, positions = np.unique(frames, return_inverse=True)
        self.num_recolorings = len(frames) // max(len(self._frames), 1)
        """Recolorings of each frame."""
        self._rows = np.full((len(self._frames), self.num_recolorings), -1)
        if ((recolorings >= 0) & (recolorings < self.num_recolorings)).all():
            self._rows[positions, recolorings] = np.arange(len(frames))
        if not len(frames) or self._rows.size != len(frames) or (self._rows < 0).any():
            raise DatasetError(f"{place} lacks recolorings of its frames, or has some twice; {REMEDY}")

    def __getitem__(self, key: tuple[int, int]) -> int:
        frame, recoloring = key
        position = int(np.searchsorted(self._frames, frame))
        there = position < len(self._frames) and self._frames[position] == frame
        if not there or not 0 <= recoloring < self.num_recolorings:
            raise DatasetError(f"{self._place} has no recoloring {recoloring} of frame {frame}; {REMEDY}")
        return int(self._rows[position, recoloring])

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return itertools.product(self._frames.tolist(), range(self.num_recolorings))

    def __len__(self) -> int:
        return self._rows.size

    @property
    def nbytes(self) -> int:
        """Bytes that they take in the memory."""
        return self._frames.nbytes + self._rows.nbytes
