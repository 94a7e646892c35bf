"""A studio clip on disk: the video, and beside it a Parquet file with everything that is true of its frames."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from posegen.datasets.frame_table import write_table
from posegen.errors import DatasetError
from posegen.io.images import decode_png, encode_png
from posegen.io.records import parse_json
from posegen.io.storage import StorageFolder
from posegen.io.video_writer import write_video
from posegen.synthetic.studio.render import StudioClip

_CRF = 12  # nearly transparent: what training sees should be the rendering, not the codec
_METADATA_KEY = b"posegen"
_IMAGES = ("masks", "garments", "edges")
_COLUMNS = ("mask", "garments", "edges")
_SCHEMA = pa.schema(
    [("frame", pa.int32()), ("keypoints", pa.list_(pa.float32(), 54)), *((name, pa.binary()) for name in _COLUMNS)]
)


@dataclass(frozen=True)
class Truth:
    """Ground truth of a studio video, frame by frame; shapes and values as in `StudioClip`."""

    keypoints: np.ndarray
    """(T, 18, 3) float32."""
    masks: np.ndarray
    """(T, H, W) uint8."""
    garments: np.ndarray
    """(T, H, W) uint8."""
    edges: np.ndarray
    """(T, H, W) uint8."""
    upper_lab: tuple[float, float, float]
    lower_lab: tuple[float, float, float]
    size: tuple[int, int]
    """Height and width of the rendered frames."""


@dataclass(frozen=True)
class _Facts:
    """Ground truth of the video as a whole."""

    person: str
    action: str
    fps: float
    width: int
    height: int
    upper_lab: tuple[float, float, float]
    lower_lab: tuple[float, float, float]
    seed: int


def truth_path(video: Path) -> Path:
    """Return where the truth about a studio video lies: ``ACTION.truth.parquet`` beside ``ACTION.mp4``."""
    return video.with_suffix(".truth.parquet")


def write_studio_clip(clip: StudioClip, folder: Path) -> Path:
    """Write ``folder/PERSON/ACTION.mp4`` and its truth, and return the video's path.

    Both appear whole or not at all, the truth before the video.
    """
    video = folder / clip.person / f"{clip.action}.mp4"
    video.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table(
        {
            "frame": np.arange(len(clip.images), dtype=np.int32),
            "keypoints": list(clip.keypoints.reshape(-1, 54)),
            **{
                column: [encode_png(image) for image in getattr(clip, field)]
                for column, field in zip(_COLUMNS, _IMAGES, strict=True)
            },
        },
        schema=_SCHEMA.with_metadata({_METADATA_KEY: json.dumps(_describe(clip)).encode()}),
    )
    write_table(StorageFolder(video.parent), truth_path(video).name, table)
    write_video(video, clip.images, fps=clip.fps, crf=_CRF)
    return video


def _describe(clip: StudioClip) -> dict[str, object]:
    height, width = clip.images.shape[1:3]
    return {
        "person": clip.person,
        "action": clip.action,
        "fps": clip.fps,
        "width": width,
        "height": height,
        "upper_lab": clip.upper_lab,
        "lower_lab": clip.lower_lab,
        "seed": clip.seed,
    }


def read_truth(path: Path) -> Truth:
    """Read a file that `write_studio_clip` wrote beside a video; DatasetError for any other Parquet file."""
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise DatasetError(f"{path} is not a file of the studio: {error}") from error
    metadata = (table.schema.metadata or {}).get(_METADATA_KEY)
    if metadata is None or not set(_SCHEMA.names) <= set(table.schema.names):
        raise DatasetError(f"{path} has columns {table.schema.names}, expected the truth about a studio video")
    facts = parse_json(_Facts, metadata, str(path))
    size = facts.height, facts.width
    images = {
        field: np.stack([decode_png(content, gray=True, size=size) for content in table[column].to_pylist()])
        for column, field in zip(_COLUMNS, _IMAGES, strict=True)
    }
    try:
        keypoints = np.array(table["keypoints"].to_pylist(), np.float32).reshape(-1, 18, 3)
    except TypeError as error:
        raise DatasetError(f"{path} has keypoints that are no numbers") from error
    if not np.isfinite(keypoints).all():
        raise DatasetError(f"{path} has keypoints that are no numbers")
    return Truth(keypoints=keypoints, upper_lab=facts.upper_lab, lower_lab=facts.lower_lab, size=size, **images)
