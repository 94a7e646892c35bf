"""A motion: joints in the world over time, in memory and as ``.npz`` without pickles.

Fields of the file, those with * optional:

=========== ================ ===================================================================
joints      (T, 24, 3) float metres, SMPL-24, world axes, the ground at y = 0 where it is known
valid       (T,) bool        False where an estimator saw nothing and the joints are filled in
fps         float            frames per second
rot6d*      (T, 24, 6) float first two rows of each joint's rotation in its parent's axes
rest*       (24, 3) float    the skeleton that `rot6d` poses, the pelvis at the origin
trans       (T, 3) float     where the root is, the same as ``joints[:, 0]``
label*      int              the action
label_name* str              the action's name
camera*     str              JSON: the projection that the motion came from
meta        str              JSON: an object with where the motion came from
=========== ================ ===================================================================
"""

from __future__ import annotations

import io
import json
import math
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import IO, Any

import numpy as np
import torch

from posegen.errors import MotionError, counted, first_line
from posegen.io.records import parse_json
from posegen.io.storage import StorageFolder
from posegen.motion import rotations
from posegen.motion.cameras import Camera, PinholeCamera, WeakCamera
from posegen.motion.kinematics import forward_kinematics
from posegen.skeletons import SMPL_24

MAX_FRAMES = 100_000
"""An hour at 27 frames per second. A file that claims more is refused before it fills the memory."""

ARCHIVE_ERRORS = (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, OSError)
"""Exceptions that Python raises for a broken ``.npz``."""

_FARTHEST = 1e5  # metres
_AGREEMENT = 1e-3  # metres between the root and its joint
_LARGEST = MAX_FRAMES * len(SMPL_24) * 6 * 8  # bytes of a field: rotations in double precision
_ROTATION = 1e-3  # how far rows may be from unit length and orthogonal


@dataclass(frozen=True, kw_only=True, eq=False)
class Motion:
    """One person's motion. Raises MotionError, naming the field, where it cannot be one."""

    joints: np.ndarray
    """(T, 24, 3) float32 metres in the world, in the order of SMPL-24."""
    valid: np.ndarray
    """(T,) bool: False where joints are filled in, not seen."""
    fps: float
    rot6d: np.ndarray | None = None
    """(T, 24, 6) float32: first two rows of each joint's rotation in its parent's axes; the root's in the world's."""
    rest: np.ndarray | None = None
    """(24, 3) float32 metres: the skeleton that `rot6d` poses, the pelvis at the origin."""
    label: int | None = None
    label_name: str | None = None
    """The action's name."""
    camera: Camera | None = None
    """The projection that the motion came from."""
    meta: dict[str, Any] = field(default_factory=dict)
    """Origin of the motion: source, checkpoint hash, seed, command, in values that JSON can hold."""
    notes: tuple[str, ...] = ()
    """Changes and guesses made while reading it, one line each. They are not written to files."""

    def __post_init__(self) -> None:
        frames = len(self.joints) if np.ndim(self.joints) else 0
        if not 1 <= frames <= MAX_FRAMES:
            raise MotionError(f"joints has {counted(frames, 'frame')}, expected 1 to {MAX_FRAMES:,}")
        for name, shape in _SHAPES.items():
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, _checked(name, value, (frames, *shape)))
        if self.rest is not None:
            object.__setattr__(self, "rest", _checked("rest", self.rest, (len(SMPL_24), 3)))
        if self.rot6d is not None:
            _check_rows(self.rot6d)
        if not (math.isfinite(self.fps) and self.fps > 0):
            raise MotionError(f"fps is {self.fps}, expected a positive number of frames per second")
        if self.label is not None and self.label < 0:
            raise MotionError(f"label is {self.label}, expected 0 or more")

    def __len__(self) -> int:
        return len(self.joints)

    @property
    def trans(self) -> np.ndarray:
        """(T, 3): where the root is, in metres."""
        return self.joints[:, 0]

    @property
    def duration(self) -> float:
        """Seconds from the first frame to the last."""
        return (len(self) - 1) / self.fps

    @classmethod
    def from_joints(cls, joints: np.ndarray, fps: float) -> Motion:
        """Make a motion of joints (T, 24, 3) in metres that were all seen."""
        return cls(joints=joints, valid=np.ones(len(joints), bool), fps=fps)

    @classmethod
    def from_rotations(cls, rot6d: np.ndarray, trans: np.ndarray, rest: np.ndarray, fps: float) -> Motion:
        """Make a motion of rotations (T, 24, 6), the root's places (T, 3) and a rest skeleton (24, 3) in metres.

        Six numbers that are no rows of a rotation, as a network gives them, become the nearest that are.
        """
        matrices = rotations.rot6d_rows_to_matrix(torch.as_tensor(rot6d))
        skeleton = torch.as_tensor(rest, dtype=matrices.dtype)
        joints = forward_kinematics(matrices, skeleton, torch.as_tensor(trans, dtype=matrices.dtype)).joints
        rows = rotations.matrix_to_rot6d_rows(matrices).numpy()
        return replace(cls.from_joints(joints.numpy(), fps), rot6d=rows, rest=rest)


_SHAPES: dict[str, tuple[int, ...]] = {"joints": (len(SMPL_24), 3), "valid": (), "rot6d": (len(SMPL_24), 6)}
"""Of the arrays with one entry a frame."""


def _checked(name: str, value: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The array as the motion holds it. Raises MotionError where it cannot."""
    expected = np.bool_ if name == "valid" else np.float32
    if np.shape(value) != shape:
        raise MotionError(f"{name} has shape {np.shape(value)}, expected {shape}")
    if value.dtype.kind != ("b" if name == "valid" else "f"):
        raise MotionError(f"{name} has values of type {value.dtype}, expected {expected.__name__}")
    bad = ~(np.abs(value) <= _FARTHEST).reshape(len(value), -1).all(axis=1)  # NaN is, too
    if bad.any():
        raise MotionError(
            f"{name} has rows, the first is {bad.argmax()}, with numbers that are not finite or too large"
        )
    return np.ascontiguousarray(value, expected)


def _check_rows(rot6d: np.ndarray) -> None:
    """Raise MotionError where six numbers are not two rows of a rotation."""
    first, second = rot6d[..., :3], rot6d[..., 3:]
    products = [(a * b).sum(axis=-1) for a, b in ((first, first), (second, second), (first, second))]
    off = np.abs(np.stack(products, axis=-1) - (1.0, 1.0, 0.0)).max()
    if off > _ROTATION:
        raise MotionError(f"rot6d is off by {off:.3g} from two rows of rotations, expected at most {_ROTATION}")


def write_motion(folder: StorageFolder, name: str, motion: Motion) -> None:
    """Write a motion to a file, whole or not at all."""
    folder.write_bytes(name, encode_motion(motion))


def encode_motion(motion: Motion) -> bytes:
    """Return the content of a motion's file. The same motion gives the same bytes."""
    arrays: dict[str, Any] = {name: getattr(motion, name) for name in _KINDS}
    arrays["camera"] = None if motion.camera is None else json.dumps(asdict(motion.camera))
    arrays["meta"] = json.dumps(motion.meta, allow_nan=False)
    content = io.BytesIO()
    present: dict[str, Any] = {name: np.asarray(value) for name, value in arrays.items() if value is not None}
    np.savez_compressed(content, **present)
    return content.getvalue()


def read_motion(folder: StorageFolder, name: str) -> Motion:
    """Read a motion that anyone may have written.

    Raises:
        FileNotFoundError: There is no such file.
        MotionError: It is not one of a motion. The message is one line with the file and the field.
    """
    place = str(folder / name)
    try:
        arrays = _read_arrays(folder.read(name))
        camera = _text(arrays, "camera")
        meta = _text(arrays, "meta")
        motion = Motion(
            joints=arrays["joints"],
            valid=arrays["valid"],
            fps=float(arrays["fps"]),
            rot6d=arrays.get("rot6d"),
            rest=arrays.get("rest"),
            label=int(arrays["label"]) if "label" in arrays else None,
            label_name=_text(arrays, "label_name"),
            camera=None if camera is None else _read_camera(camera),
            meta=parse_json(dict[str, Any], meta or "", "meta", MotionError),
        )
        if np.shape(arrays["trans"]) != motion.trans.shape or not np.allclose(
            arrays["trans"], motion.trans, rtol=0, atol=_AGREEMENT
        ):
            raise MotionError("trans is not where the root joint is, expected the same as joints[:, 0]")
    except MotionError as error:
        raise MotionError(f"{place}: {error}") from None
    return motion


_CAMERAS: dict[str, type[Camera]] = {"weak": WeakCamera, "pinhole": PinholeCamera}
# By field: the kinds of numbers, as numpy calls them, that it may have.
_KINDS = {
    "joints": "f", "valid": "b", "fps": "fiu", "rot6d": "f", "rest": "f", "trans": "f", "label": "iu",
    "label_name": "U", "camera": "U", "meta": "U",
}  # fmt: skip
_OPTIONAL = {"rot6d", "rest", "label", "label_name", "camera"}
_SCALARS = {"fps", "label", "label_name", "camera", "meta"}


def _read_arrays(content: bytes) -> dict[str, np.ndarray]:
    """All fields of a file. Raises MotionError before anything is unpacked that does not belong there."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = {entry.removesuffix(".npy"): entry for entry in archive.namelist()}
            for name in names:
                if name not in _KINDS:
                    raise MotionError(f"{name!r} is no field of a motion, expected {sorted(_KINDS)}")
            missing = _KINDS.keys() - _OPTIONAL - names.keys()
            if missing:
                raise MotionError(f"{', '.join(sorted(missing))} is missing")
            return {name: _read_array(archive, entry, name) for name, entry in names.items()}
    except ARCHIVE_ERRORS as error:
        raise MotionError(f"this is not an .npz file: {error}") from None


def _read_array(archive: zipfile.ZipFile, entry: str, name: str) -> np.ndarray:
    """One field. What it claims to be is looked at before it is unpacked."""
    try:
        with archive.open(entry) as stream:
            shape, dtype = read_array_header(stream)
        if dtype.kind not in _KINDS[name]:
            raise MotionError(f"{name} has values of type {dtype}, expected one of the kinds {_KINDS[name]!r}")
        if name in _SCALARS and shape != ():
            raise MotionError(f"{name} has shape {shape}, expected one value")
        if math.prod(shape) * dtype.itemsize > _LARGEST:
            raise MotionError(f"{name} has shape {shape}, more than the {MAX_FRAMES:,} frames that a motion may have")
        with archive.open(entry) as stream:
            return np.lib.format.read_array(stream, allow_pickle=False)
    except MotionError:
        raise
    except (ValueError, SyntaxError, TypeError) as error:  # what numpy raises for headers and too few bytes
        raise MotionError(f"{name} is damaged: {error}") from None


def read_array_header(stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and type of an array in a ``.npy`` file. Raises MotionError, SyntaxError or TypeError where it is none."""
    version = np.lib.format.read_magic(stream)
    if version not in _HEADERS:
        raise MotionError(f"its format is {version}, expected one of {sorted(_HEADERS)}")
    try:
        shape, _, dtype = _HEADERS[version](stream)
    except tokenize.TokenError as error:  # which numpy passes on where brackets or quotes stay open
        raise MotionError(f"its header is damaged: {first_line(error)}") from None
    return shape, dtype


_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def _text(arrays: Mapping[str, np.ndarray], name: str) -> str | None:
    return str(arrays[name]) if name in arrays else None


def _read_camera(text: str) -> Camera:
    kind = str(parse_json(dict[str, Any], text, "camera", MotionError).get("kind"))
    if kind not in _CAMERAS:
        raise MotionError(f"camera is of kind {kind!r}, expected one of {sorted(_CAMERAS)}")
    return parse_json(_CAMERAS[kind], text, "camera", MotionError)
