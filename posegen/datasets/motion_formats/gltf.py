"""Motions as ``.glb``: glTF 2.0 in one file, an animated skeleton with a simple body around its bones.

Blender, three.js and game engines open it. Metres, y up, as glTF has them; a node a joint, named as SMPL-24 names them,
and one clip. A bone is a double pyramid, bound to its joint alone.
"""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np

from posegen.datasets.motion_formats.source import as_tensor
from posegen.errors import MotionError
from posegen.io.storage import StorageFolder
from posegen.motion import rotations
from posegen.motion.motion import Motion
from posegen.skeletons import SMPL_24, SMPL_24_PARENTS

_FLOAT, _BYTE, _SHORT = 5126, 5121, 5123
_VERTICES, _INDICES = 34962, 34963  # what a part of the buffer is for
_WAIST = 0.25  # of a bone: where it is thickest
_THICK = 0.12  # of its length
_TIP = 0.05  # metres: the bone of a joint at the end of a limb
_FACES = np.array([[0, 1, 2], [0, 2, 3], [0, 3, 4], [0, 4, 1], [5, 2, 1], [5, 3, 2], [5, 4, 3], [5, 1, 4]], np.uint16)


def write_glb(folder: StorageFolder, name: str, motion: Motion) -> None:
    """Write a motion as a binary glTF file, whole or not at all.

    Raises:
        MotionError: It has no rotations.
    """
    if motion.rot6d is None or motion.rest is None:
        raise MotionError("rot6d or rest is missing, which glTF needs: find rotations first")
    buffer = _Buffer()
    nodes = _nodes(motion.rest)
    content = {
        "asset": {"version": "2.0", "generator": "posegen"},
        "scene": 0,
        "scenes": [{"nodes": [0, len(SMPL_24)]}],
        "nodes": [*nodes, {"name": "body", "mesh": 0, "skin": 0}],
        "meshes": [{"name": "body", "primitives": [_mesh(buffer, motion.rest)]}],
        "materials": [{"name": "body", "pbrMetallicRoughness": {"baseColorFactor": [0.35, 0.5, 0.75, 1.0]}}],
        "skins": [_skin(buffer, motion.rest)],
        "animations": [_animation(buffer, motion)],
    }
    folder.write_bytes(name, _pack(content, buffer))


class _Buffer:
    """The numbers of a file, and where each array of them is."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.views: list[dict[str, int]] = []
        self.accessors: list[dict[str, Any]] = []

    def add(self, values: np.ndarray, shape: str, *, target: int = 0, bounds: bool = False) -> int:
        """Add an array, one element a row; returns the number of its accessor."""
        kinds = {"float32": _FLOAT, "uint8": _BYTE, "uint16": _SHORT}
        view = {"buffer": 0, "byteOffset": len(self.data), "byteLength": values.nbytes}
        accessor: dict[str, Any] = {
            "bufferView": len(self.views),
            "componentType": kinds[values.dtype.name],
            "count": len(values),
            "type": shape,
        }
        if bounds:
            rows = values.reshape(len(values), -1)
            accessor |= {"min": rows.min(axis=0).tolist(), "max": rows.max(axis=0).tolist()}
        self.views.append(view | {"target": target} if target else view)
        self.accessors.append(accessor)
        self.data += values.tobytes()
        self.data += bytes(-len(self.data) % 4)
        return len(self.accessors) - 1


def _nodes(rest: np.ndarray) -> list[dict[str, Any]]:
    """Return a node a joint, where its bone begins at rest."""
    nodes = []
    for joint, parent in enumerate(SMPL_24_PARENTS):
        offset = rest[joint] - rest[parent] if parent >= 0 else rest[joint]
        node: dict[str, Any] = {"name": SMPL_24[joint], "translation": offset.astype(float).tolist()}
        if children := [child for child, above in enumerate(SMPL_24_PARENTS) if above == joint]:
            node["children"] = children
        nodes.append(node)
    return nodes


def _mesh(buffer: _Buffer, rest: np.ndarray) -> dict[str, Any]:
    """Make a double pyramid for each bone, whose corners move with the joint at which it begins."""
    corners, joints = [], []
    for joint in range(len(SMPL_24)):
        ends = [rest[child] for child, above in enumerate(SMPL_24_PARENTS) if above == joint]
        if not ends:
            along = rest[joint] - rest[SMPL_24_PARENTS[joint]]
            ends = [rest[joint] + _TIP * along / max(float(np.linalg.norm(along)), 1e-6)]
        for end in ends:
            corners.append(_bone(rest[joint], end))
            joints += [joint] * len(corners[-1])
    count = len(corners[0])
    faces = np.concatenate([_FACES + count * index for index in range(len(corners))])
    bound = np.zeros((len(joints), 4), np.uint8)
    bound[:, 0] = joints
    weights = np.zeros((len(joints), 4), np.float32)
    weights[:, 0] = 1
    places = np.concatenate(corners).astype(np.float32)
    return {
        "attributes": {
            "POSITION": buffer.add(places, "VEC3", target=_VERTICES, bounds=True),
            "JOINTS_0": buffer.add(bound, "VEC4", target=_VERTICES),
            "WEIGHTS_0": buffer.add(weights, "VEC4", target=_VERTICES),
        },
        "indices": buffer.add(faces.reshape(-1).astype(np.uint16), "SCALAR", target=_INDICES),
        "material": 0,
    }


def _bone(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Return the six corners (6, 3) of a bone: its ends, and four around its waist."""
    along = (end - start).astype(np.float64)
    length = max(float(np.linalg.norm(along)), 1e-6)
    aside = np.cross(along, np.eye(3)[np.abs(along).argmin()])
    aside = _THICK * length * aside / max(float(np.linalg.norm(aside)), 1e-12)
    across = np.cross(along, aside) / length
    waist = start + _WAIST * along
    return np.stack([start, waist + aside, waist + across, waist - aside, waist - across, end])


def _skin(buffer: _Buffer, rest: np.ndarray) -> dict[str, Any]:
    """Return the skin: what takes the body at rest into the axes of each joint, matrices column by column."""
    back = np.tile(np.eye(4, dtype=np.float32), (len(SMPL_24), 1, 1))
    back[:, 3, :3] = -rest
    return {
        "joints": list(range(len(SMPL_24))),
        "skeleton": 0,
        "inverseBindMatrices": buffer.add(back.reshape(len(back), 16), "MAT4"),
    }


def _animation(buffer: _Buffer, motion: Motion) -> dict[str, Any]:
    """Return rotations of all joints and the way of the root, at every frame."""
    assert motion.rot6d is not None
    times = buffer.add((np.arange(len(motion)) / motion.fps).astype(np.float32), "SCALAR", bounds=True)
    turns = rotations.matrix_to_quaternion(rotations.rot6d_rows_to_matrix(as_tensor(motion.rot6d))).numpy()
    turns = turns[..., [1, 2, 3, 0]]  # the real part comes last
    turned = (turns[1:] * turns[:-1]).sum(axis=-1) < 0  # the same rotation, on the far side
    turns[1:] *= np.where(np.cumsum(turned, axis=0) % 2, -1, 1)[..., None]
    curves = [(0, "translation", buffer.add(motion.trans.astype(np.float32), "VEC3"))]
    for joint in range(len(SMPL_24)):
        curves.append((joint, "rotation", buffer.add(turns[:, joint].astype(np.float32), "VEC4")))
    return {
        "name": motion.label_name or "motion",
        "samplers": [{"input": times, "output": output, "interpolation": "LINEAR"} for _, _, output in curves],
        "channels": [
            {"sampler": index, "target": {"node": joint, "path": path}} for index, (joint, path, _) in enumerate(curves)
        ],
    }


def _pack(content: dict[str, Any], buffer: _Buffer) -> bytes:
    """Join a file of two chunks: JSON, and the numbers."""
    content |= {"accessors": buffer.accessors, "bufferViews": buffer.views}
    content |= {"buffers": [{"byteLength": len(buffer.data)}]}
    text = json.dumps(content, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(buffer.data), b"BIN\0")
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks) + len(buffer.data)) + chunks + bytes(buffer.data)
