"""Poses of SMPL, SMPL-H and SMPL-X bodies under the names that programs give them: AMASS, GVHMR, WHAM and others.

A layout is an entry of `SMPL_LAYOUTS`: what its fields are called, and which axis is usually up. One reader takes all:
from an ``.npz``, a pickle, ``.npy`` or ``.pt``, of one person or several, with all joints in one field or the root in
another. Rotations are axis-angles, matrices or six numbers. The first 22 joints of all bodies are those of SMPL; hands
are left as they are at rest. Betas make a body from SMPL's data, which posegen does not have: the body is its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from posegen.datasets.motion_formats.axes import set_upright
from posegen.datasets.motion_formats.contents import NpzFields
from posegen.datasets.motion_formats.smpl_poses import read_pose
from posegen.datasets.motion_formats.source import (
    ImportOptions,
    MotionSource,
    Probe,
    check_numbers,
    known_fps,
    put_on_floor,
    rate_notes,
    to_array,
)
from posegen.datasets.motion_formats.tracks import Track, join_tracks
from posegen.errors import MotionError, counted
from posegen.motion.anatomy import REST
from posegen.motion.motion import Motion
from posegen.skeletons import SMPL_24


@dataclass(frozen=True)
class SmplLayout:
    """Field names of a program."""

    pose: str
    """Rotations of the joints; with those of the root where `root` is empty."""
    root: str = ""
    """Rotation of the root."""
    trans: tuple[str, ...] = ()
    """Field of the root's position, in metres; the first that exists. Without one the root stays in place."""
    up: str = "y"
    """The axis that is up, usually: ``-y`` in a camera's axes."""
    scale: str = ""
    """Field that `trans` is divided by."""
    needed: tuple[str, ...] = ()
    """Other fields that tell it from others."""

    def fits(self, fields: Any) -> bool:
        """Return True if an object has these fields."""
        names = [name for name in (self.pose, self.root, *self.needed) if name]
        return isinstance(fields, Mapping) and all(fields.get(name) is not None for name in names)


_TRANS = ("transl", "trans", "translation", "root_trans", "pred_trans")
SMPL_LAYOUTS: dict[str, SmplLayout] = {
    "WHAM, in the world": SmplLayout("pose_world", trans=("trans_world",), needed=("trans_world",)),
    "AIST++": SmplLayout("smpl_poses", trans=("smpl_trans",), scale="smpl_scaling", needed=("smpl_trans",)),
    "AMASS": SmplLayout("poses", trans=("trans",), up="z", needed=("trans",)),
    "HuMoR, SLAHMR, AMASS in parts": SmplLayout("pose_body", root="root_orient", trans=_TRANS, up="z"),
    "SMPL-X's names": SmplLayout("body_pose", root="global_orient", trans=_TRANS, up="-y"),
    "TRAM": SmplLayout("pred_rotmat", trans=("pred_trans",), up="-y"),
    "ROMP": SmplLayout("smpl_thetas", trans=("cam_trans",), up="-y"),
}
"""Layouts by the program that writes them; the first that fits is taken."""

_WORLD_FIRST = ("smpl_params_global", "pred_smpl_params_global", "smpl_params_incam", "pred_smpl_params_incam")
_Y_UP = _WORLD_FIRST[:2]  # GVHMR's world
_RATES = ("mocap_framerate", "mocap_frame_rate", "fps", "frame_rate", "framerate")
_FRAMES = ("frame_ids", "frame_id", "frame")
_DEEPEST = 3  # levels of dicts in which bodies are looked for
_MOST = 64  # bodies of a file
_AXIS_ANGLES, _SIX, _NINE = (3, 63, 66, 69, 72, 156, 165), (6, 126, 132, 138, 144), (9, 189, 198, 207, 216)


@dataclass(frozen=True)
class _Body:
    """A body in a file."""

    name: str
    """Location in the file: the keys that lead to it."""
    layout: SmplLayout
    fields: Mapping[str, Any]
    up: str
    person: int | None = None
    """Index of the person, if several are in the same arrays."""


def is_smpl(probe: Probe) -> bool:
    """Return True if a file has the fields of one of `SMPL_LAYOUTS`, at its top or in dicts inside."""
    return next(_find_bodies(probe.content), None) is not None


def is_amass(probe: Probe) -> bool:
    """Return True if a file is an ``.npz`` with AMASS' arrays."""
    return probe.arrays >= {"poses", "trans"}


def is_wham(probe: Probe) -> bool:
    """Return True if a file has WHAM's tracks with their positions in the world."""
    return any(body.layout.needed == ("trans_world",) for body in _find_bodies(probe.content))


def find_smpl(path: Path, options: ImportOptions) -> list[MotionSource]:
    """One motion of each body; of AMASS' files the folder is the person, as AMASS sorts them."""
    bodies = _bodies(path)
    if not bodies:
        raise MotionError(f"{path} has no fields of {', '.join(SMPL_LAYOUTS)}")
    person = path.parent.name if bodies[0].layout is SMPL_LAYOUTS["AMASS"] else None
    name = path.parent.name if path.stem in _GENERIC else path.stem
    return [
        MotionSource(
            name=name
            if len(bodies) == 1
            else f"{name}-{body.name or 'person'}{'' if body.person is None else body.person}",
            source=str(path) if len(bodies) == 1 else f"{path}: {body.name or body.person}",
            files=(path,),
            load=partial(_load_body, path, index, options),
            person=person,
        )
        for index, body in enumerate(bodies)
    ]


_GENERIC = (
    "wham_output",
    "hmr4d_results",
    "results",
    "output",
)  # files that are called so in a folder of the video's name


def _bodies(path: Path) -> list[_Body]:
    return [one for body in _find_bodies(Probe(path).content) for one in _split_people(body, str(path))]


def _load_body(path: Path, index: int, options: ImportOptions) -> Motion:
    """Read one of a file's bodies. The file is read again, so that a folder's are not in memory at once."""
    return _load(_bodies(path)[index], str(path), options)


def _find_bodies(content: Any, name: str = "", up: str = "", depth: int = 0) -> Iterator[_Body]:
    if not isinstance(content, Mapping):
        return
    layout = next((layout for layout in SMPL_LAYOUTS.values() if layout.fits(content)), None)
    if layout is not None:
        yield _Body(name, layout, content, up or layout.up)
        return
    world = next((key for key in _WORLD_FIRST if key in content), None)
    inside = [world] if world else content.objects() if isinstance(content, NpzFields) else list(content)
    if depth < _DEEPEST and len(inside) <= _MOST:
        for key in inside:
            axis = "y" if world in _Y_UP else up
            yield from _find_bodies(content[key], f"{name}.{key}".lstrip("."), axis, depth + 1)


def _split_people(body: _Body, place: str) -> Iterator[_Body]:
    """A body for each person where arrays hold several, (people, frames, …)."""
    pose = to_array(body.fields[body.layout.pose], place, body.layout.pose)
    if not _has_people(pose):
        yield body
    elif len(pose) == 1:
        yield replace(body, person=0)
    else:
        yield from (replace(body, person=person) for person in range(len(pose)))


def _has_people(pose: np.ndarray) -> bool:
    """Return True if the first axis of rotations is that of people."""
    if pose.shape[-2:] == (3, 3):
        return pose.ndim == 5
    return pose.ndim == 4 or (pose.ndim == 3 and pose.shape[-1] in (*_AXIS_ANGLES[1:], *_SIX[1:]))


def _load(body: _Body, place: str, options: ImportOptions) -> Motion:
    if body.name:
        place = f"{place}: {body.name}"
    layout, fields = body.layout, body.fields

    def take(name: str) -> np.ndarray:
        array = to_array(fields[name], place, name)
        return array if body.person is None else array[body.person]

    rotations = [_per_joint(take(name), place, name) for name in (layout.root, layout.pose) if name]
    local = read_pose(_as_smpl(rotations, place, layout), place, layout.pose)
    trans = _read_trans(take, fields, layout, place, len(local))
    own = _read_rate(fields, place)
    fps = known_fps(options, place, own)
    numbers = next((name for name in _FRAMES if name in fields and np.shape(fields[name]) == (len(local),)), None)
    frames = np.arange(len(local))
    if numbers:
        frames = np.asarray(fields[numbers]).astype(np.int64)
        if (np.diff(frames) <= 0).any():
            raise MotionError(f"{place}: {numbers} are not whole numbers that increase")
    filled = join_tracks([Track(frames=frames, rotations=local, others={"trans": trans})], place)
    rows = filled.track.rotations[..., :2, :].reshape(-1, len(SMPL_24), 6)
    # `trans` moves SMPL's origin, which is above the pelvis by a constant that the betas make.
    motion = Motion.from_rotations(rows, filled.track.others["trans"], REST, fps)
    motion = replace(motion, valid=filled.valid, meta={"source": place}, notes=rate_notes(options, own))
    return put_on_floor(set_upright(motion, body.up, options.up))


def _per_joint(array: np.ndarray, place: str, field: str) -> np.ndarray:
    """Rotations as (T, J, 3), (T, J, 6) or (T, J, 3, 3), of whatever shape. Raises MotionError for other shapes."""
    if array.ndim >= 2 and array.dtype.kind in "fiu":
        if array.shape[-2:] == (3, 3) and array.ndim in (3, 4):
            return array.reshape(len(array), -1, 3, 3)
        if array.ndim == 3 and array.shape[-1] in (3, 6):
            return array
        if array.ndim == 2 or (array.ndim == 3 and array.shape[1] == 1):
            flat = array.reshape(len(array), -1)
            for widths, shape in ((_AXIS_ANGLES, (3,)), (_SIX, (6,)), (_NINE, (3, 3))):
                if flat.shape[1] in widths:
                    return flat.reshape(len(flat), -1, *shape)
    raise MotionError(
        f"{place}: {field} has shape {array.shape}, expected (n, 72), (n, 156) or (n, 165), or of a part of the joints "
        "(n, 63), (n, J, 3), (n, J, 3, 3) or (n, J, 6)"
    )


def _as_smpl(parts: list[np.ndarray], place: str, layout: SmplLayout) -> np.ndarray:
    """All joints (T, 24, …): the first 22 of SMPL-H and SMPL-X, whose hands are at rest."""
    first = parts[0]
    if any(part.shape[2:] != first.shape[2:] or len(part) != len(first) for part in parts):
        shapes = " and ".join(str(part.shape) for part in parts)
        raise MotionError(
            f"{place}: {layout.root} and {layout.pose} are {shapes}, expected the same frames and rotations"
        )
    joints = np.concatenate(parts, axis=1)
    if joints.shape[1] == len(SMPL_24):
        return joints
    if joints.shape[1] < _BODY:
        raise MotionError(
            f"{place}: {layout.pose} has rotations of {counted(joints.shape[1], 'joint')}, expected {_BODY} or more"
        )
    rest = {(3,): np.zeros(3), (6,): np.eye(3)[:2].ravel(), (3, 3): np.eye(3)}[joints.shape[2:]]
    if joints.shape[2:] == (6,) and _are_columns(joints):
        rest = np.eye(3)[:, :2].ravel()
    return np.concatenate([joints[:, :_BODY], np.broadcast_to(rest, (len(joints), 2, *rest.shape))], axis=1)


def _are_columns(joints: np.ndarray) -> bool:
    """Return True if six numbers (T, J, 6) are columns of rotations, not rows."""
    rows = joints.reshape(*joints.shape[:-1], 2, 3)
    return bool(np.abs(rows @ rows.swapaxes(-1, -2) - np.eye(2)).max() > 0.05)


_BODY = 22  # joints that all of them have


def _read_trans(take: Any, fields: Mapping[str, Any], layout: SmplLayout, place: str, frames: int) -> np.ndarray:
    name = next((name for name in layout.trans if fields.get(name) is not None), None)
    if name is None:
        return np.zeros((frames, 3))
    value = take(name)
    trans = check_numbers(value.reshape(len(value), -1) if value.ndim == 3 else value, (frames, 3), place, name)
    if layout.scale and fields.get(layout.scale) is not None:
        scale = np.ravel(to_array(fields[layout.scale], place, layout.scale))
        if scale.size != 1 or not scale[0] > 0:
            raise MotionError(f"{place}: {layout.scale} is {scale}, expected a positive number")
        trans = trans / scale[0]
    return trans


def _read_rate(fields: Mapping[str, Any], place: str) -> float | None:
    for name in _RATES:
        if fields.get(name) is not None:
            rate = to_array(fields[name], place, name)
            if rate.size != 1 or rate.dtype.kind not in "fiu" or not (np.isfinite(rate).all() and rate.item() > 0):
                raise MotionError(f"{place}: {name} is {rate}, expected a positive number of frames per second")
            return float(rate.item())
    return None
