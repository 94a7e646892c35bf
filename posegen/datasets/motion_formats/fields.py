"""List the fields of a file of motions, with shapes, types and units, as far as its readers rely on them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from posegen.datasets.motion_formats.arrays import array_headers
from posegen.datasets.motion_formats.bvh import read_bvh
from posegen.datasets.motion_formats.source import Probe

_UNITS: dict[str, str] = {
    "joints": "m", "trans": "m", "rest": "m", "fps": "1/s", "mocap_framerate": "1/s", "mocap_frame_rate": "1/s",
    "poses": "rad", "pose": "rad", "pred_pose": "rotation", "rot6d": "rotation", "joints3D": "m", "joints3d": "m",
    "smpl_joints3d": "m", "verts": "m", "smpl_vertices": "m", "bboxes": "pixels", "frame_ids": "frame",
    "orig_cam": "scale, scale, m, m", "pred_cam": "scale, m, m", "joints2d_img_coord": "pixels",
    "smpl_joints2d": "pixels", "lengths": "frames", "OFFSET": "the file's", "position": "the file's",
    "rotation": "degrees", "y": "label", "label": "label",
}  # fmt: skip
_MOST_TRACKS = 8


@dataclass(frozen=True)
class Field:
    """A field of a file."""

    name: str
    shape: str
    type: str
    unit: str


def list_fields(path: Path) -> list[Field]:
    """Return the fields of a file: arrays, a pickle's entries, or a BVH file's channels. Raises MotionError."""
    if path.is_dir():
        return []
    probe = Probe(path)
    if probe.arrays:
        headers = array_headers(path)
        return [Field(name, shape, kind, _UNITS.get(name, "")) for name, (shape, kind) in sorted(headers.items())]
    if probe.content is not None:
        return list(_entries(probe.content, ""))
    return _channels(path)


def _channels(path: Path) -> list[Field]:
    bvh = read_bvh(path)
    frames = len(bvh.values)
    fields = [Field("OFFSET", f"({len(bvh.joints)}, 3)", "text", _UNITS["OFFSET"])]
    for kind in ("position", "rotation"):
        count = sum(channel.endswith(kind) for joint in bvh.joints for channel in joint.channels)
        fields.append(Field(kind, f"({frames}, {count})", "text", _UNITS[kind]))
    return fields


def _entries(value: Any, place: str) -> Iterator[Field]:
    """The fields of dicts, one level inside the other, and what lists hold."""
    if not isinstance(value, Mapping):
        yield _field(place or "the content", value)
        return
    for index, (key, entry) in enumerate(value.items()):
        if index == _MOST_TRACKS and isinstance(entry, Mapping):
            yield Field("…", f"{len(value) - index} more", "", "")
            return
        name = f"{place}.{key}" if place else str(key)
        if isinstance(entry, Mapping):
            yield from _entries(entry, name)
        else:
            yield _field(name, entry)


def _field(name: str, value: Any) -> Field:
    key = name.rpartition(".")[2]
    unit = _UNITS.get(key, "")
    if isinstance(value, list):
        first = value[0] if value else None
        inside = f" of {_shape(first)}" if isinstance(first, np.ndarray) else ""
        return Field(name, f"{len(value)}{inside}", f"list of {_type(first)}", unit)
    if key == "pose" and getattr(value, "ndim", 0) > 2:
        unit = "rotation"
    return Field(name, _shape(value), _type(value), unit)


def _shape(value: Any) -> str:
    return str(value.shape) if isinstance(value, np.ndarray) else ""


def _type(value: Any) -> str:
    if isinstance(value, np.ndarray | np.generic):
        return str(value.dtype)
    return "nothing" if value is None else type(value).__name__
