"""Common parts of all importers: the source of a motion, the user's options, and axes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from posegen.datasets.dataset import Split
from posegen.datasets.motion_formats.arrays import array_names
from posegen.datasets.motion_formats.axes import UpAxis
from posegen.datasets.motion_formats.contents import TORCH_SUFFIXES, read_content
from posegen.errors import MissingRateError, MotionError, PickleError
from posegen.io.pickles import read_pickle
from posegen.motion.anatomy import HEIGHT, body_height
from posegen.motion.floor import floor_height
from posegen.motion.motion import Motion
from posegen.skeletons import SMPL_24

CAMERA_TO_WORLD: np.ndarray = np.diag((1.0, -1.0, -1.0))
"""From a camera's axes (x right, y down, z away from it) to the world's, where people face the viewer along +z."""


@dataclass(frozen=True, kw_only=True)
class ImportOptions:
    """Options for values that files do not state."""

    fps: float | None = None
    """Frames per second of what has no rate of its own."""
    overrule: bool = True
    """True if `fps` overrides the rate that a file states; False if it is given for several files."""
    root: Literal["zero", "weak-camera"] = "zero"
    """Root of an estimator's motion: at one place, or at the position of the camera that was fitted to each frame. The
    camera's depth is known up to the focal length alone, and jumps as boxes do."""
    unit: float | None = None
    """Metres of a BVH file's unit; by default the usual one that the body's height tells."""
    height: float | None = None
    """Metres: of the body, which then tells the unit of a BVH file or of joints without one."""
    guess_height: bool = False
    """True to take a body of implausible height in every unit for one of 1.70 m, instead of raising an error."""
    up: UpAxis = ""
    """The axis that is up in files that stand in the world; by default the body tells."""
    joints: Mapping[str, str] = field(default_factory=dict)
    """Of a BVH file: names of joints by those of SMPL-24, where they are not understood."""


@dataclass(frozen=True, kw_only=True)
class MotionSource:
    """A motion that lies in a file and is not read yet."""

    name: str
    """Tells it from others of the same file."""
    source: str
    """The file, and where in it."""
    files: tuple[Path, ...]
    """All files that it is read from: while they are the same, so is what `load` gives for the same options."""
    load: Callable[[], Motion]
    """Reads it. Raises MotionError, in one line with file and field, where it is broken."""
    person: str | None = None
    action: str | None = None
    """Action, if the file or its name states it."""
    split: Split | None = None
    """Split, if the publisher of the data states it."""


class Probe:
    """A file or folder whose format is to be told. What is in it is read once, whoever asks."""

    def __init__(self, path: Path):
        self.path = path

    @cached_property
    def arrays(self) -> set[str]:
        """Names of the arrays of an ``.npz``, none for anything else."""
        return array_names(self.path) if self.path.is_file() else set()

    @cached_property
    def pickled(self) -> Any:
        """Content of a pickle, None for other files. Raises MotionError if it would run code."""
        return self.content if self.path.suffix.lower() not in (".npy", *TORCH_SUFFIXES) and not self.arrays else None

    @cached_property
    def content(self) -> Any:
        """Content of a file of arrays, see `read_content`."""
        return read_content(self.path)


@dataclass(frozen=True)
class Format:
    """A format of motion files."""

    summary: str
    """Short description."""
    matches: Callable[[Probe], bool]
    """Return True if a file or folder has this format, by its content."""
    find: Callable[[Path, ImportOptions], list[MotionSource]]
    """The motions in it. Raises MotionError where it is broken as a whole."""
    actions: tuple[str, ...] = ()
    """All actions in the order of their labels, where the format fixes them."""


def read_motion_pickle(path: Path) -> Any:
    """Return the content of a pickle of motions, see `posegen.io.pickles.read_pickle`. Raises MotionError."""
    try:
        return read_pickle(path)
    except PickleError as error:
        raise MotionError(str(error)) from None


def known_fps(options: ImportOptions, place: str, own: float | None = None) -> float:
    """Return the frames per second of a file. Raises MotionError where nobody says them."""
    if own is None:
        if options.fps is None:
            raise MissingRateError(f"{place}: fps is not in such files, say the frames per second of the video (--fps)")
        return options.fps
    return options.fps if options.fps is not None and options.overrule else own


def rate_notes(options: ImportOptions, own: float | None) -> tuple[str, ...]:
    """Return a line for people where another rate than a file's own is taken; nothing otherwise."""
    if own is None or options.fps is None or abs(options.fps - own) <= 1e-3 * own:
        return ()
    if options.overrule:
        return (f"the file has {own:g} frames a second: --fps {options.fps:g} overrules it",)
    return (f"the file has {own:g} frames a second, which is kept: --fps is for files without a rate",)


def check_height(places: np.ndarray, options: ImportOptions, place: str) -> tuple[float, tuple[str, ...]]:
    """Return the metres of a file's unit and what people should know, from SMPL-24 joints (T, 24, 3) in the unit.

    Raises:
        MotionError: No usual unit makes the body a person, and nobody says another or its height.
    """
    if options.unit is not None:
        return options.unit, ()
    try:
        height = body_height(places)
    except MotionError as error:
        raise MotionError(f"{place}: {error}") from None
    if options.height is not None:
        return options.height / height, ()
    for (low, high), units in _HEIGHTS:
        for name, unit in units.items():
            if low <= height * unit <= high:
                return unit, (
                    (f"its unit is taken for {name}: the body is {height * unit:.2f} m tall",) * (unit not in _METRIC)
                )
    if options.guess_height:
        return HEIGHT / height, (
            f"a body of {height:.4g} units is no person's height in any usual unit: scaled to {HEIGHT:.2f} m to "
            "look at it, to convert it give --unit or --height",
        )
    raise MotionError(
        f"{place}: the joints span a body of {height:.4g} units, which is no person's height in "
        f"{', '.join(_UNITS)}: say the metres of a unit (--unit), or of the body (--height 1.7)"
    )


_UNITS = {
    "metres": 1.0, "centimetres": 0.01, "millimetres": 0.001, "inches": 0.0254,
    "CMU's unit of 1/0.45 inch": 0.0254 / 0.45, "decimetres": 0.1, "feet": 0.3048,
}  # fmt: skip
_METRIC = (1.0, 0.01, 0.001)
# Metres, and units in which people are as tall: adults are no adults in any other of the units. Children come last.
_HEIGHTS: tuple[tuple[tuple[float, float], dict[str, float]], ...] = (
    ((1.35, 2.11), _UNITS),
    ((0.7, 2.6), {name: unit for name, unit in _UNITS.items() if unit in _METRIC}),
)


def check_numbers(value: object, shape: tuple[int | None, ...], place: str, field: str) -> np.ndarray:
    """Return a field as float64. Raises MotionError where it has another shape or numbers that are not finite.

    Args:
        value: What the file has.
        shape: Expected, None for any size but 0.
        place: The file, for the message.
        field: Its name, for the message.
    """
    array = to_array(value, place, field)
    if array.dtype.kind not in "fiu":
        raise MotionError(f"{place}: {field} has values of type {array.dtype}, expected numbers")
    fits = array.ndim == len(shape) and all(b in (None, a) for a, b in zip(array.shape, shape, strict=True))
    if not fits or 0 in array.shape:
        expected = ", ".join("any" if size is None else str(size) for size in shape)
        raise MotionError(f"{place}: {field} has shape {array.shape}, expected ({expected})")
    bad = ~np.isfinite(array).reshape(len(array), -1).all(axis=1)
    if bad.any():
        raise MotionError(f"{place}: {field} has numbers that are not finite, first in row {bad.argmax()}")
    return array.astype(np.float64)


def check_lists(lists: Mapping[str, object], place: str) -> None:
    """Raise MotionError where these are no lists of equal lengths, one entry a clip."""
    lengths: dict[str, int] = {}
    for name, value in lists.items():
        if not (isinstance(value, list) or (isinstance(value, np.ndarray) and value.ndim)):
            raise MotionError(f"{place}: {name} is {type(value).__name__}, expected a list with an entry a clip")
        lengths[name] = len(value)
    if len(set(lengths.values())) > 1:
        raise MotionError(f"{place}: its lists have {lengths} entries, expected as many of each")


def to_array(value: Any, place: str, field: str) -> np.ndarray:
    """Return a field as an array. Raises MotionError where it is none, such as lists of unequal lengths."""
    try:
        return np.asarray(value)
    except ValueError:
        raise MotionError(f"{place}: {field} has rows of unequal lengths, expected an array of numbers") from None


def pose_body(
    rotations: np.ndarray, trans: np.ndarray, rest: np.ndarray, fps: float, *, from_camera: bool = True
) -> Motion:
    """Return the motion of local rotations (T, 24, 3, 3) and root places (T, 3), in a camera's axes or the world's."""
    if from_camera:
        root = CAMERA_TO_WORLD @ rotations[:, :1]
        rotations, trans = np.concatenate([root, rotations[:, 1:]], axis=1), trans @ CAMERA_TO_WORLD
    return Motion.from_rotations(rotations[..., :2, :].reshape(len(rotations), len(SMPL_24), 6), trans, rest, fps)


def put_on_floor(motion: Motion) -> Motion:
    """Lift a motion so that the floor, where its feet tell it, is y = 0: a camera's axes know no ground."""
    lift = np.array((0, floor_height(motion.joints), 0), np.float32)
    return replace(motion, joints=motion.joints - lift)


def as_tensor(array: np.ndarray) -> torch.Tensor:
    """Return an array as a tensor of double precision."""
    return torch.as_tensor(np.ascontiguousarray(array), dtype=torch.float64)
