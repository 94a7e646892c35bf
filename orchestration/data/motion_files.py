"""Finds the motions in files and folders, of any format that is known."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from orchestration.data.rejections import Rejection
from orchestration.data.video_files import compile_pattern
from orchestration.errors import reason_of
from posegen.datasets.motion_formats import FORMATS, ImportOptions, MotionSource, detect, read
from posegen.datasets.motion_formats.axes import UpAxis
from posegen.datasets.motion_formats.contents import TORCH_SUFFIXES
from posegen.errors import ConfigError, MotionError, PosegenError
from posegen.io.pickles import SUFFIXES
from posegen.io.records import parse_json
from posegen.io.storage import StorageFolder, expand_home
from posegen.motion.motion import Motion

MOTION_SUFFIXES = frozenset((".bvh", ".npz", ".npy", *TORCH_SUFFIXES, *SUFFIXES))
"""Files in folders with these endings are taken for motions; all others are passed over."""

if TYPE_CHECKING:
    FormatName = str
else:
    FormatName = Literal["", *FORMATS]
"""A format of motion files, or nothing where their content decides."""

_WHOLE = ("dataset", "ntu13", "uestc")  # formats of folders


@dataclass(frozen=True)
class ReadSettings:
    """Settings of reading files of motions."""

    format: FormatName = ""
    """Format of the files; by default it is recognised by their content."""
    fps: float | None = None
    """Frames per second of files without a frame rate: VIBE's, PARE's, HumanAct12's. Where one file is given, it
    overrules the rate that the file states; of several, those that state one keep it."""
    root: Literal["zero", "weak-camera"] = "zero"
    """Place of an estimator's person: the origin, or where each frame's weak-perspective camera puts them, which jumps
    and has a depth only up to the focal length."""
    unit: float | None = None
    """Metres of a BVH file's unit; by default metres, centimetres, millimetres, inches, CMU's unit, decimetres or feet,
    by the body's height."""
    height: float | None = None
    """Metres: height of the body, such as 1.7, which tells the unit where none of them fits."""
    up: UpAxis = ""
    """Axis that points up in the file: x, y or z; by default the body tells, from hips to head with the feet below."""
    joints: Path | None = None
    """JSON file with names of a BVH file's joints by SMPL's, {"left_hip": "bone_7", …}, for those not understood."""

    def __post_init__(self) -> None:
        for name in ("fps", "unit", "height"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise ConfigError(f"{name} is {value}, expected a positive number")

    @property
    def options(self) -> ImportOptions:
        """Options for importers. Raises ConfigError if the file of joints is invalid."""
        return ImportOptions(
            fps=self.fps,
            root=self.root,
            unit=self.unit,
            height=self.height,
            up=self.up,
            joints=_read_joints(self.joints),
        )


def _read_joints(path: Path | None) -> dict[str, str]:
    """Names of joints by those of SMPL-24."""
    if path is None:
        return {}
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--joints {path} cannot be read: {error}") from None
    return parse_json(dict[str, str], text, f"--joints {path}", ConfigError)


@dataclass(frozen=True)
class FoundMotion:
    """A motion of one of the files, with its format."""

    format: str
    motion: MotionSource


@dataclass(frozen=True)
class FoundMotions:
    """Motions found in files and folders."""

    motions: list[FoundMotion]
    rejections: list[Rejection]
    """Of files that are broken."""
    inputs: frozenset[Path]
    """The files that motions are in, or should be, and folders that are broken as a whole."""
    overrule: bool = True
    """True if a single file or dataset was given, whose own frame rate `ReadSettings.fps` overrides."""


def find_motions(
    paths: Sequence[Path], settings: ReadSettings, pattern: str = "", leave_out: StorageFolder | None = None
) -> FoundMotions:
    """Find the motions in files and folders.

    A folder is a dataset that an importer knows, or it is searched for files of motions; in it, what is broken is a
    rejection, and a file that is named is not.

    Args:
        paths: Files and folders.
        settings: How they are read.
        pattern: How paths below a folder, or names of files that are given, tell person and action, see
            `orchestration.data.video_files.find_videos`.
        leave_out: A folder that is not searched: what was converted earlier.

    Raises:
        FileNotFoundError: There is nothing at one of the paths.
        MotionError: A named file is broken, or there are no motions at all.
    """
    parse = compile_pattern(pattern) if pattern else None
    outside = Path(leave_out.uri).resolve() if leave_out and leave_out.is_local else None
    found: list[FoundMotion] = []
    rejections: list[Rejection] = []
    broken: list[Path] = []
    alone = len(paths) == 1 and _is_one(expand_home(paths[0]), settings)
    options = replace(settings.options, overrule=alone)
    for path in map(expand_home, paths):
        if path.is_dir() and _is_one(path, settings):
            found += _read(path, settings.format, options)
        elif not path.is_dir():
            found += _rename(_read(path, settings.format, options), path, path.name, parse)
        else:
            for inside in _walk(path, outside):
                try:
                    motions = _read(inside, settings.format, options)
                    found += _rename(motions, inside, inside.relative_to(path).as_posix(), parse)
                except (PosegenError, OSError) as error:
                    rejections.append(Rejection(str(inside), reason_of(error)))
                    broken.append(inside)
    if not found:
        some = f": {rejections[0].reason}" if rejections else ""
        raise MotionError(f"no motions in {', '.join(map(str, paths))}{some}")
    files = {file for one in found for file in one.motion.files}
    return FoundMotions(found, rejections, frozenset(files.union(broken)), alone)


def read_some(paths: Sequence[Path], settings: ReadSettings, most: int) -> list[tuple[str, Motion]]:
    """Read the first motions of files and folders, with their names. Raises ValueError where one of them is broken."""
    found = find_motions(paths, settings).motions
    return [(one.motion.name, one.motion.load()) for one in found[:most]]


def _is_one(path: Path, settings: ReadSettings) -> bool:
    """Return True if a path is a file, or a folder that is one dataset or motion."""
    return not path.is_dir() or settings.format in _WHOLE or bool(_format_of(path))


def _read(path: Path, format: FormatName, options: ImportOptions) -> list[FoundMotion]:
    name = format or detect(path)
    motions = read(path, options, name)
    return [FoundMotion(str(name), motion) for motion in motions]


def _format_of(folder: Path) -> str | None:
    """The format of a folder as a whole; None where only its files can have one."""
    with suppress(MotionError):  # a file inside is broken, which is told when it is read
        return detect(folder)
    return None


def _walk(folder: Path, leave_out: Path | None) -> Iterator[Path]:
    """Files of motions, and folders that are one motion or a dataset, below a folder."""
    for name, folders, files in os.walk(folder):
        parent = Path(name)
        folders[:] = sorted(
            inside for inside in folders if not inside.startswith(".") and (parent / inside).resolve() != leave_out
        )
        whole = [inside for inside in folders if _format_of(parent / inside)]
        yield from (parent / inside for inside in whole)
        folders[:] = [inside for inside in folders if inside not in whole]
        paths = (parent / file for file in sorted(files) if not file.startswith("."))
        yield from (path for path in paths if path.suffix.lower() in MOTION_SUFFIXES)


def _rename(found: list[FoundMotion], path: Path, relative: str, pattern: re.Pattern[str] | None) -> list[FoundMotion]:
    """Give motions the person and the action that a pattern reads from a path. Raises MotionError where it does not."""
    if pattern is None:
        return found
    match = pattern.fullmatch(unicodedata.normalize("NFC", relative))
    if match is None:
        raise MotionError(f"{path}: its name does not match the pattern")
    person, action = match.groupdict().get("person"), match["action"]
    return [
        replace(one, motion=replace(one.motion, person=person or one.motion.person, action=action)) for one in found
    ]
