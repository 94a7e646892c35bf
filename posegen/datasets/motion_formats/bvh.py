"""BVH, read and written. Places of joints are the file's own; its rotations are about its own bones at rest.

A small reader of posegen's own: 174 files of Bandai-Namco's, 31,914 frames, are read and posed in 2.2 s. `bvhio`, which
poses one joint of one frame at a time in single precision, takes 18 s for the same places (to 2e-6 m).
"""

from __future__ import annotations

import codecs
import io
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from posegen.datasets.motion_formats.axes import TO_Y_UP, tell_up
from posegen.datasets.motion_formats.bvh_names import END_SITE, Naming, is_smpl_tree, understand
from posegen.datasets.motion_formats.source import (
    ImportOptions,
    MotionSource,
    Probe,
    as_tensor,
    check_height,
    known_fps,
    rate_notes,
)
from posegen.errors import MissingRateError, MotionError, counted
from posegen.io.storage import StorageFolder
from posegen.motion import rotations
from posegen.motion.anatomy import REST
from posegen.motion.completion import complete_body
from posegen.motion.kinematics import forward_kinematics
from posegen.motion.motion import MAX_FRAMES, Motion
from posegen.skeletons import SMPL_24, SMPL_24_PARENTS

MAX_JOINTS = 1000
"""A file with more is refused."""
CENTIMETRES = 0.01
"""Metres of the unit in which files are written."""

_CHANNELS = tuple(f"{axis}{kind}" for kind in ("position", "rotation") for axis in "XYZ")
_MOST_BYTES = 2**28
_DIGITS = 8  # with which people write rates, the point included
_FRAMES_OFF = 1  # by how many frames a file may be wrong about itself
_LONGEST_FRAME = 5.0  # seconds
_USUAL_RATES = (10, 12, 12.5, 15, 20, 24000 / 1001, 24, 25, 30000 / 1001, 30, 48, 50, 60000 / 1001, 60, 72, 75, 90, 100,
                120, 125, 144, 150, 180, 200, 240, 250)  # fmt: skip
_TPOSE = 0.8  # cosine between a bone at rest and that of a T-pose


@dataclass(frozen=True)
class Joint:
    """A joint as the file's hierarchy has it."""

    name: str
    parent: int
    offset: tuple[float, ...]
    channels: tuple[str, ...]
    """None at the end of a bone."""


@dataclass(frozen=True)
class Bvh:
    """A file as it is."""

    joints: tuple[Joint, ...]
    values: np.ndarray
    """(T, number of channels) float64: degrees and the file's unit."""
    fps: float
    notes: tuple[str, ...] = ()
    """Changes and guesses made while reading it."""

    @property
    def parents(self) -> list[int]:
        """Of each joint, -1 for the root."""
        return [joint.parent for joint in self.joints]


@dataclass(frozen=True)
class PosedBvh:
    """Posed skeleton of the file."""

    places: np.ndarray
    """(T, J, 3) of each joint, in the file's unit."""
    local: np.ndarray
    """(T, J, 3, 3) of each joint in its parent's axes."""


# ---- Reading


def is_bvh(probe: Probe) -> bool:
    """Return True if a file starts as BVH does."""
    if not probe.path.is_file():
        return False
    with probe.path.open("rb") as file:
        start = file.read(256)
    return _decode(start).lstrip().upper().startswith("HIERARCHY")


def find_bvh(path: Path, options: ImportOptions) -> list[MotionSource]:
    """One motion."""
    return [MotionSource(name=path.stem, source=str(path), files=(path,), load=partial(load_bvh, path, options))]


def load_bvh(path: Path, options: ImportOptions) -> Motion:
    """Read a file as a motion: SMPL-24's joints in metres, with rotations where the skeleton is SMPL's in a T-pose.

    Raises:
        MotionError: It is damaged, its joints are not understood, or nobody is as tall. One line with file and field.
    """
    try:
        return _motion_of(read_bvh(path), path, options)
    except MissingRateError:
        raise
    except MotionError as error:
        raise MotionError(f"{path}: {str(error).removeprefix(f'{path}: ')}") from None


def _motion_of(bvh: Bvh, path: Path, options: ImportOptions) -> Motion:
    offsets = np.array([joint.offset for joint in bvh.joints])
    naming = understand([joint.name for joint in bvh.joints], bvh.parents, offsets, options.joints)
    at_rest = _rest_frames(offsets[None], bvh.parents)
    rest = _body(bvh, at_rest, naming)[0]
    posed = pose(bvh)
    places = _body(bvh, posed.places, naming)
    up = tell_up(places, "y", options.up, rest)
    unit, notes = check_height(places, options, str(path))
    turn = TO_Y_UP[up.axis]
    fps = known_fps(options, str(path), bvh.fps)
    meta: dict[str, Any] = {
        "source": str(path), "unit": unit, "up": f"{up.axis}, {up.reason}",
        "invented_joints": [name for name in SMPL_24 if name not in naming.joints],
    }  # fmt: skip
    notes = (*bvh.notes, *notes, *([f"up: {up.note}"] if up.note else []), *rate_notes(options, bvh.fps))
    motion = Motion.from_joints(places @ turn.T * unit, fps)
    if is_smpl_tree(naming, bvh.parents):
        order = [naming.joints[name] for name in SMPL_24]
        upright = TO_Y_UP[tell_up(rest[None], "y").axis]  # of the bones at rest, whose axes may be others
        bones = _rest([bvh.joints[index].offset for index in order]) @ upright.T * unit
        still = all(len(joint.channels) < 6 or joint.parent < 0 for joint in bvh.joints)
        if still and _is_tpose(bones):
            local = posed.local[:, order]
            local = np.concatenate([turn @ local[:, :1], upright @ local[:, 1:]], axis=1) @ upright.T
            rows = local[:, :, :2].reshape(-1, len(SMPL_24), 6)
            motion = Motion.from_rotations(rows, motion.trans, bones, fps)
    return replace(motion, meta=meta, notes=notes)


def read_bvh(path: Path) -> Bvh:
    """Read a file. Raises MotionError, in one line with file and field, where it is no BVH."""
    if path.stat().st_size > _MOST_BYTES:
        raise MotionError(f"{path} has {path.stat().st_size:,} bytes, expected at most {_MOST_BYTES:,}")
    try:
        text = _decode(path.read_bytes())
        hierarchy, motion = re.split(r"^\s*MOTION\s*$", text, maxsplit=1, flags=re.MULTILINE | re.IGNORECASE)
    except ValueError:
        raise MotionError(f"{path}: MOTION is missing, expected HIERARCHY and MOTION") from None
    try:
        joints = tuple(_parse_hierarchy(_split_words(hierarchy)))
        return Bvh(joints, *_parse_motion(motion, sum(len(joint.channels) for joint in joints)))
    except MotionError as error:
        raise MotionError(f"{path}: {error}") from None


_BOMS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


def _decode(content: bytes) -> str:
    """The text of a file: UTF-8 or UTF-16 where it begins with a mark of it, and otherwise what has no wrong bytes."""
    for mark, encoding in _BOMS.items():
        if content.startswith(mark):
            return content.decode(encoding, errors="replace").replace("\r\n", "\n").replace("\r", "\n")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        text = content.decode("latin1")
    return text.replace("\r\n", "\n").replace("\r", "\n")


_WORD = re.compile(
    r"(?P<kind>ROOT|JOINT)(?![^\s{])[ \t]*\n?[ \t]*(?P<name>[^\n{]*[^\s{])|(?P<end>End)(?![^\s{])[^\n{]*|[{}]|[^\s{}]+",
    re.IGNORECASE,
)


def _split_words(text: str) -> Iterator[str]:
    """The words of a hierarchy. Names are words of their own: they go on to the end of their line or to a bracket."""
    for match in _WORD.finditer(text):
        if match["kind"]:
            yield from (match["kind"], match["name"].strip())
        else:
            yield match["end"] or match[0]


def _parse_hierarchy(words: Iterator[str]) -> Iterator[Joint]:
    """The joints, parents first. Raises MotionError."""
    if _next(words).upper() != "HIERARCHY":
        raise MotionError("HIERARCHY is missing at its start")
    names: list[str] = []
    parents: list[int] = []
    offsets: dict[int, tuple[float, ...]] = {}
    channels: dict[int, tuple[str, ...]] = {}
    open_joints: list[int] = []
    for word in words:
        match word.upper():
            case "ROOT" | "JOINT" | "END":  # a name is a word of its own, whatever is in it
                parents.append(open_joints[-1] if open_joints else -1)
                names.append(_next(words) if word.upper() != "END" else END_SITE)
            case "{":
                open_joints.append(len(names) - 1)
            case "}" if open_joints:
                open_joints.pop()
            case "OFFSET" if open_joints:
                offsets[open_joints[-1]] = tuple(_number(_next(words), "OFFSET") for _ in range(3))
            case "CHANNELS" if open_joints:
                count = _number(_next(words), "CHANNELS")
                channels[open_joints[-1]] = tuple(_channel(_next(words)) for _ in range(min(int(count), 6)))
            case _:
                raise MotionError(f"HIERARCHY has {word[:40]!r}, expected ROOT, JOINT, End Site, OFFSET or CHANNELS")
    if open_joints:
        raise MotionError("HIERARCHY is cut off: brackets are open")
    if not 1 <= len(names) <= MAX_JOINTS or parents.count(-1) != 1:
        found = f"{counted(len(names), 'joint')} and {counted(parents.count(-1), 'root')}"
        raise MotionError(f"HIERARCHY has {found}, expected one root and at most {MAX_JOINTS} joints")
    for index, name in enumerate(names):
        if index not in offsets:
            raise MotionError(f"{name} has no OFFSET")
        yield Joint(name, parents[index], offsets[index], channels.get(index, ()))


def _next(words: Iterator[str]) -> str:
    word = next(words, None)
    if word is None:
        raise MotionError("HIERARCHY is cut off")
    return word


def _number(word: str, field: str) -> float:
    try:
        value = float(word)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise MotionError(f"{field} has {word[:40]!r}, expected a number")
    return value


def _channel(word: str) -> str:
    name = word.capitalize()
    if name not in _CHANNELS:
        raise MotionError(f"CHANNELS has {word[:40]!r}, expected one of {', '.join(_CHANNELS)}")
    return name


_HEAD = re.compile(r"\s*Frames\s*:?\s*(\S+)\s+Frame\s*Time\s*:?\s*(\S+)(.*)", re.IGNORECASE | re.DOTALL)


def _parse_motion(text: str, num_channels: int) -> tuple[np.ndarray, float, tuple[str, ...]]:
    """Values (T, channels), frames per second, and notes. Raises MotionError."""
    head = _HEAD.fullmatch(text)
    if head is None:
        raise MotionError("Frames or Frame Time is missing behind MOTION")
    frames, time = _number(head[1], "Frames"), _number(head[2].replace(",", "."), "Frame Time")
    if not (1 <= frames <= MAX_FRAMES and frames == int(frames)):
        raise MotionError(f"Frames is {head[1]}, expected 1 to {MAX_FRAMES:,}")
    if not 1e-5 < time < 1e3:
        raise MotionError(f"Frame Time is {head[2]}, expected seconds, more than 0")
    try:
        values = np.array(head[3].split(), np.float64)
    except ValueError as error:
        raise MotionError(f"MOTION has something else than numbers: {error}") from None
    count, rest = divmod(len(values), max(num_channels, 1))
    if rest or not count or abs(count - frames) > _FRAMES_OFF:
        raise MotionError(
            f"MOTION has {counted(len(values), 'number')}, expected {counted(int(frames), 'frame')} "
            f"of {num_channels}: is it cut off?"
        )
    values = values.reshape(count, num_channels)
    bad = ~np.isfinite(values).all(axis=1)
    if bad.any():
        raise MotionError(f"MOTION has numbers that are not finite, first in frame {bad.argmax()}")
    notes = () if count == frames else (f"Frames is {int(frames)}, and there are {count}: all are taken",)
    fps, note = _tell_rate(time)
    return values, fps, (*notes, *note)


def _tell_rate(time: float) -> tuple[float, tuple[str, ...]]:
    """Frames per second of what a file has as seconds from frame to frame, and a note where it cannot be seconds."""
    if time < _LONGEST_FRAME:
        rate, digits = _rate(time), len(repr(time).partition(".")[2])
        meant = [usual for usual in _USUAL_RATES if round(1 / usual, digits) == time]
        nearest = min(meant, key=lambda usual: abs(rate - usual), default=rate)
        if abs(rate - nearest) <= 1e-3 * nearest:
            return rate, ()
        return rate, (
            f"Frame Time is {time:g}, {rate:.4g} frames a second: where {nearest:.4g} is meant, say --fps {nearest:g}",
        )
    usual = min(abs(time - rate) / rate for rate in _USUAL_RATES) < 0.005
    fps, unit = (time, "frames a second") if usual else (_snapped(1000 / time), "milliseconds")
    return fps, (
        f"Frame Time is {time:g}, which cannot be seconds: taken for {unit}, {fps:g} frames a second; "
        "--fps overrules it",
    )


def _snapped(rate: float) -> float:
    """The usual rate that a rate of few digits stands for, or itself."""
    nearest = min(_USUAL_RATES, key=lambda usual: abs(rate - usual))
    return nearest if abs(rate - nearest) < 1e-3 * nearest else rate


def _rate(time: float) -> float:
    """Frames per second of the seconds between two, which are often written with few digits."""
    rate = 1 / time
    near = (rate, math.nextafter(rate, 0), math.nextafter(rate, math.inf))
    exact = min((value for value in near if 1 / value == time), key=lambda value: len(repr(value)), default=rate)
    if len(repr(exact)) <= _DIGITS:
        return exact
    for likely in (float(round(rate)), 1000 * math.ceil(rate) / 1001):  # 30, and 30000 / 1001 of television
        if likely > 0 and abs(rate - likely) < 1e-5 * likely:
            return likely
    return exact


def pose(bvh: Bvh) -> PosedBvh:
    """Pose the file's skeleton in all frames. A joint's position channels take the place of its offset."""
    frames, count = len(bvh.values), len(bvh.joints)
    offsets = np.broadcast_to([joint.offset for joint in bvh.joints], (frames, count, 3)).copy()
    groups: dict[str, tuple[list[int], list[list[int]]]] = {}  # joints by the order of their rotations
    column = 0
    for index, joint in enumerate(bvh.joints):
        turns = ""
        columns = []
        for channel in joint.channels:
            if channel.endswith("position"):
                offsets[:, index, "XYZ".index(channel[0])] = bvh.values[:, column]
            else:
                turns += channel[0]
                columns.append(column)
            column += 1
        members, places = groups.setdefault(turns, ([], []))
        members.append(index)
        places.append(columns)
    local = torch.eye(3, dtype=torch.float64).repeat(frames, count, 1, 1)
    for turns, (members, places) in groups.items():
        for step, axis in enumerate(turns):
            angles = as_tensor(np.radians(bvh.values[:, [columns[step] for columns in places]]))
            local[:, members] = local[:, members] @ rotations.twist(torch.eye(3).double()["XYZ".index(axis)], angles)
    rest = _rest_frames(offsets, bvh.parents)
    posed = forward_kinematics(local, as_tensor(rest), as_tensor(rest[:, 0]), bvh.parents)
    return PosedBvh(posed.joints.numpy(), local.numpy())


def _rest_frames(offsets: np.ndarray, parents: Sequence[int]) -> np.ndarray:
    """Joints at rest (T, J, 3) from their offsets to their parents."""
    rest = offsets.copy()
    for joint, parent in enumerate(parents):
        if parent >= 0:
            rest[:, joint] += rest[:, parent]
    return rest


def _rest(offsets: Sequence[Sequence[float]]) -> np.ndarray:
    """SMPL-24's rest skeleton (24, 3), the pelvis at the origin."""
    moved = np.array([(0.0, 0.0, 0.0), *offsets[1:]])
    return _rest_frames(moved[None], SMPL_24_PARENTS)[0]


def _is_tpose(rest: np.ndarray) -> bool:
    """Return True if the bones of a skeleton at rest have the directions of a T-pose: its rotations are SMPL's."""
    bones, usual = (joints[1:] - joints[list(SMPL_24_PARENTS[1:])] for joints in (rest, REST))
    lengths = np.linalg.norm(bones, axis=-1) * np.linalg.norm(usual, axis=-1)
    return bool(((bones * usual).sum(axis=-1) > _TPOSE * lengths).all())


def _body(bvh: Bvh, places: np.ndarray, naming: Naming) -> np.ndarray:
    """SMPL-24's joints (T, 24, 3) of the file's (T, J, 3), in its unit, those that it lacks invented."""
    found = {name: places[:, index] for name, index in naming.joints.items()}
    for name, ends in _AT_ENDS.items():
        if name not in found and ends in naming.joints:
            end = _end(bvh, places, naming.joints[ends])
            found |= {} if end is None else {name: end}
    return complete_body(found)


_AT_ENDS = {
    f"{side}_{end}": f"{side}_{joint}"
    for side in ("left", "right")
    for end, joint in (("hand", "wrist"), ("foot", "ankle"))
}
_AT_ENDS["head"] = "neck"


def _end(bvh: Bvh, places: np.ndarray, joint: int) -> np.ndarray | None:
    """Return the end (T, 3) of the bone from a joint; None without a length."""
    for index in np.flatnonzero(np.array(bvh.parents) == joint):
        if np.abs(bvh.joints[index].offset).max() > 0:
            return places[:, index]
    return None


# ---- Writing


def write_bvh(folder: StorageFolder, name: str, motion: Motion) -> None:
    """Write a motion with SMPL-24's hierarchy, in centimetres, whole or not at all.

    Raises:
        MotionError: It has no rotations.
    """
    if motion.rot6d is None or motion.rest is None:
        raise MotionError("rot6d or rest is missing, which BVH needs: find rotations first")
    content = io.StringIO()
    order = _write_hierarchy(content, motion.rest / CENTIMETRES)
    matrices = rotations.rot6d_rows_to_matrix(as_tensor(motion.rot6d))[:, order]
    angles = rotations.matrix_to_euler_zxy(matrices).numpy().reshape(len(motion), -1)
    values = np.concatenate([motion.trans / CENTIMETRES, angles], axis=1)
    content.write(f"MOTION\nFrames: {len(motion)}\nFrame Time: {1 / motion.fps!r}\n")
    np.savetxt(content, values, fmt="%.6f")
    folder.write_bytes(name, content.getvalue().encode())


def _write_hierarchy(content: io.StringIO, rest: np.ndarray, joint: int = 0, depth: int = 0) -> list[int]:
    """Write a joint and what hangs on it. Returns them in the order of their channels."""
    parent = SMPL_24_PARENTS[joint]
    offset = rest[joint] - rest[parent] if parent >= 0 else np.zeros(3)
    children = [child for child, above in enumerate(SMPL_24_PARENTS) if above == joint]
    tab = "\t" * depth
    turns = "Zrotation Xrotation Yrotation"
    channels = f"3 {turns}" if parent >= 0 else f"6 Xposition Yposition Zposition {turns}"
    head = "HIERARCHY\nROOT" if parent < 0 else f"{tab}JOINT"
    content.write(f"{head} {SMPL_24[joint]}\n{tab}{{\n{tab}\tOFFSET {_triple(offset)}\n{tab}\tCHANNELS {channels}\n")
    order = [joint]
    for child in children:
        order += _write_hierarchy(content, rest, child, depth + 1)
    if not children:
        content.write(f"{tab}\tEnd Site\n{tab}\t{{\n{tab}\t\tOFFSET {_triple(np.zeros(3))}\n{tab}\t}}\n")
    content.write(f"{tab}}}\n")
    return order


def _triple(numbers: np.ndarray) -> str:
    return " ".join(f"{number:.6f}" for number in numbers)
