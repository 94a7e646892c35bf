"""A dataset of pairs of pictures of one person, to train the refiner: one Parquet file a pair, and a manifest.

Layout of ``DATASET/``::

    refinement.json     settings, and one entry a pair
    pairs/ID.parquet    one row: pictures, maps and poses as raw arrays, compressed by Parquet

A pair is a picture A, what the layers of its person show in the pose of a picture B, and B itself. The manifest is
written last and names what counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from posegen.datasets.dataset import Split
from posegen.datasets.picture_dataset import PictureDataset, check_entries, read_row
from posegen.errors import DatasetError
from posegen.features.body_pose import BodyPoses
from posegen.features.layer_drawing import LayeredFrame
from posegen.io.records import parse_json
from posegen.io.storage import StorageFolder

REFINEMENT_MANIFEST = "refinement.json"
"""The file that says what is in a dataset."""
_VERSION = 1
_STEPS = 32  # per pixel, in which positions are stored
_UNKNOWN = np.iinfo(np.int16).min
_IMAGES = ("source", "target", "background", "composed")
_MAPS = ("classes", "opacity", "layers", "sure", "mask", "visible")
_POSITIONS = ("positions", "truth")
_OF_TARGET = (*_IMAGES[1:], *_MAPS[1:], *_POSITIONS)
_POSES = (("keypoints", (2, 18, 3)), ("depths", (2, 18)), ("toes", (2, 2, 3)))
_SCHEMA = pa.schema(
    [
        *((name, pa.binary()) for name in (*_IMAGES, *_MAPS, *_POSITIONS)),
        *((name, pa.list_(pa.float32(), int(np.prod(shape)))) for name, shape in _POSES),
        ("scale", pa.float32()),
    ]
)
_REMEDY = "make the pairs again with `posegen data pairs`"


@dataclass(frozen=True, kw_only=True)
class PairEntry:
    """Entry of a pair in the manifest."""

    pair_id: str
    subject: str
    """Subject of the pictures; all pairs of a subject are in one split."""
    split: Split
    size: tuple[int, int]
    """Height and width in pixels."""

    @property
    def file_id(self) -> str:
        return self.pair_id


@dataclass(frozen=True, kw_only=True)
class RefinementInfo:
    """The content of ``refinement.json``."""

    settings: dict[str, Any]
    """Settings that made the dataset."""
    pairs: list[PairEntry]
    schema_version: int = _VERSION


@dataclass(frozen=True)
class RefinementPair:
    """A picture A, its layers in the pose of a picture B, and B."""

    source: np.ndarray
    """(H, W, 3) uint8 RGB: A."""
    target: np.ndarray
    """(H, W, 3) uint8 RGB: B."""
    background: np.ndarray
    """(H, W, 3) uint8 RGB without the person."""
    composed: np.ndarray
    """(H, W, 3) uint8 RGB: what the layers show."""
    classes: np.ndarray
    """(H, W) uint8 of `PersonClass`: of A."""
    opacity: np.ndarray
    """(H, W) uint8, of `LayeredFrame`."""
    layers: np.ndarray
    """(H, W) uint8: 1 + the number of the layer, 0 where there is none."""
    sure: np.ndarray
    """(H, W) uint8, 0 or 1, of `LayeredFrame`."""
    mask: np.ndarray
    """(H, W) uint8: opacity × 255 of the person in B."""
    visible: np.ndarray
    """(H, W) uint8: 1 where A shows what B shows there, as far as that is known."""
    positions: np.ndarray
    """(H, W, 2) float32, of `LayeredFrame`."""
    truth: np.ndarray
    """(H, W, 2) float32: where A has what B shows; NaN where it is not known."""
    poses: BodyPoses
    """Of A and B."""
    scale: float = 1.0
    """Size of the person in B relative to A."""

    def cropped(self, window: tuple[slice, slice]) -> RefinementPair:
        """Return the part of B in rows and columns, and of what layers show of A there; A itself stays whole."""
        rows, columns = window
        shift = np.array([columns.start or 0, rows.start or 0], np.float32)
        keypoints, toes = self.poses.keypoints.copy(), self.poses.toes.copy()
        for joints in (keypoints[1], toes[1]):
            joints[:, :2] = np.where(joints[:, 2:] > 0, joints[:, :2] - shift, 0)
        parts = {name: getattr(self, name)[window] for name in _OF_TARGET}
        return replace(self, **parts, poses=BodyPoses(keypoints, self.poses.depths, toes))


def pair_of_frame(
    source: np.ndarray, classes: np.ndarray, background: np.ndarray, frame: LayeredFrame
) -> dict[str, Any]:
    """Return those arguments of `RefinementPair` that a picture and its layers in another pose give."""
    return {
        "source": source,
        "classes": classes,
        "background": background,
        "composed": frame.image,
        "opacity": frame.opacity,
        "layers": (frame.layers + 1).astype(np.uint8),
        "sure": frame.sure.astype(np.uint8),
        "positions": frame.positions,
    }


class RefinementDataset(PictureDataset[PairEntry]):
    """A folder of pairs, opened for reading."""

    def __init__(self, folder: StorageFolder | str):
        self.folder = StorageFolder(folder)
        if not self.folder.exists(REFINEMENT_MANIFEST):
            raise DatasetError(
                f"no pairs in {self.folder}: {REFINEMENT_MANIFEST} is missing; make them with `posegen data pairs`"
            )
        self.info = _load_info(self.folder)

    @property
    def entries(self) -> list[PairEntry]:
        return self.info.pairs

    def read(self, entry: PairEntry) -> RefinementPair:
        """Read a pair. Raises DatasetError where it is missing, damaged or not what the manifest says."""
        return _read_pair(self.folder, entry)


def write_pair(folder: StorageFolder, pair_id: str, pair: RefinementPair) -> None:
    """Write one pair, atomically."""
    columns: dict[str, Any] = {
        name: [np.ascontiguousarray(getattr(pair, name), np.uint8).tobytes()] for name in (*_IMAGES, *_MAPS)
    }
    columns |= {name: [_pack(getattr(pair, name)).tobytes()] for name in _POSITIONS}
    columns |= {name: [getattr(pair.poses, name).astype(np.float32).ravel()] for name, _ in _POSES}
    columns["scale"] = [pair.scale]
    with (folder / "pairs").write(f"{pair_id}.parquet") as stream:
        pq.write_table(pa.table(columns, schema=_SCHEMA), stream, compression="zstd", use_dictionary=False)


def write_refinement_manifest(
    folder: StorageFolder, pairs: Sequence[PairEntry], settings: dict[str, Any]
) -> RefinementInfo:
    """Write the manifest, by which the pairs become a dataset."""
    info = RefinementInfo(settings=settings, pairs=sorted(pairs, key=lambda entry: entry.pair_id))
    folder.write_json(REFINEMENT_MANIFEST, asdict(info))
    return info


def _pack(positions: np.ndarray) -> np.ndarray:
    limit = np.iinfo(np.int16).max
    packed = np.nan_to_num(positions * _STEPS).round().clip(-limit, limit).astype(np.int16)
    packed[~np.isfinite(positions)] = _UNKNOWN
    return packed


def _read_pair(folder: StorageFolder, entry: PairEntry) -> RefinementPair:
    row = read_row(folder, f"pairs/{entry.pair_id}.parquet", _SCHEMA, _REMEDY)
    try:
        arrays = {name: np.frombuffer(row[name], np.uint8).reshape(*entry.size, 3) for name in _IMAGES}
        arrays |= {name: np.frombuffer(row[name], np.uint8).reshape(entry.size) for name in _MAPS}
        packed = {name: np.frombuffer(row[name], np.int16).reshape(*entry.size, 2) for name in _POSITIONS}
        poses = BodyPoses(**{name: np.array(row[name], np.float32).reshape(shape) for name, shape in _POSES})
    except (ValueError, TypeError) as error:
        raise DatasetError(
            f"{folder}/pairs/{entry.pair_id}.parquet has arrays of other sizes than {entry.size}; {_REMEDY}"
        ) from error
    arrays |= {
        name: np.where(values == _UNKNOWN, np.nan, values.astype(np.float32) / _STEPS).astype(np.float32)
        for name, values in packed.items()
    }
    return RefinementPair(**arrays, poses=poses, scale=float(row["scale"]))


def _load_info(folder: StorageFolder) -> RefinementInfo:
    """Read the manifest. Raises DatasetError for one of another version, or that is none."""
    place = f"{folder}/{REFINEMENT_MANIFEST}"
    info = parse_json(RefinementInfo, folder.read(REFINEMENT_MANIFEST), place, DatasetError)
    if info.schema_version != _VERSION:
        raise DatasetError(f"{place} has schema version {info.schema_version}, expected {_VERSION}")
    check_entries(info.pairs, place)
    return info
