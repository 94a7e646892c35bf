"""HumanAct12 (Guo et al., 2020): ACTOR's pickle with SMPL poses, or a file of joints alone, in a camera's axes.

The pickle holds lists, one entry a clip: ``poses`` (T, 72) axis-angle, ``joints3D`` (T, 24, 3) metres, ``y`` 0 … 11.
The other file holds ``joints`` (N, 24, 3) of all clips, their ``lengths``, ``names`` and ``label``. Names are
``P##G##R##F####T####A####``: subject, group, repetition, first and last frame, action. Neither tells the frame rate.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from posegen.datasets.motion_formats.action_names import HUMANACT12
from posegen.datasets.motion_formats.arrays import read_arrays
from posegen.datasets.motion_formats.estimators import find_rest
from posegen.datasets.motion_formats.smpl_poses import read_pose
from posegen.datasets.motion_formats.source import (
    CAMERA_TO_WORLD,
    ImportOptions,
    MotionSource,
    Probe,
    check_lists,
    check_numbers,
    known_fps,
    pose_body,
    put_on_floor,
    read_motion_pickle,
)
from posegen.errors import MotionError, counted
from posegen.motion.motion import MAX_FRAMES, Motion

_LISTS = {"poses", "joints3D", "y"}
_ARRAYS = {"joints", "lengths", "names", "label"}
_NAME = re.compile(r"(P\d+)G\d+R\d+F\d+T\d+A\d+")


def is_humanact12(probe: Probe) -> bool:
    """Return True if a file is one of the two."""
    return probe.arrays >= _ARRAYS or (isinstance(probe.pickled, dict) and probe.pickled.keys() >= _LISTS)


def find_humanact12(path: Path, options: ImportOptions) -> list[MotionSource]:
    """Find all clips. Raises MotionError where the lists do not fit together."""
    return _find_joints(path, options) if path.suffix == ".npz" else _find_poses(path, options)


def _find_poses(path: Path, options: ImportOptions) -> list[MotionSource]:
    content = read_motion_pickle(path)
    missing = _LISTS - content.keys() if isinstance(content, dict) else _LISTS
    if missing:
        raise MotionError(f"{path}: {', '.join(sorted(missing))} is missing, expected poses, joints3D and y")
    check_lists({name: content[name] for name in sorted(_LISTS)}, str(path))
    return [
        _source(path, f"{index:04}", label, partial(_load_poses, pose, joints, label, f"{path}: clip {index}", options))
        for index, (pose, joints, label) in enumerate(
            zip(content["poses"], content["joints3D"], content["y"], strict=True)
        )
    ]


def _source(path: Path, name: str, label: Any, load: partial[Motion]) -> MotionSource:
    match = _NAME.fullmatch(name)
    action = HUMANACT12[int(label)] if _is_label(label) else None
    return MotionSource(
        name=name,
        source=f"{path}: {name}",
        files=(path,),
        load=load,
        person=match[1] if match else None,
        action=action,
    )


def _is_label(label: Any) -> bool:
    return isinstance(label, int | np.integer) and 0 <= int(label) < len(HUMANACT12)


def _load_poses(pose: Any, joints: Any, label: Any, place: str, options: ImportOptions) -> Motion:
    rotations = read_pose(pose, place, "poses")
    seen = check_numbers(joints, (len(rotations), 24, 3), place, "joints3D")
    rest, residual = find_rest(rotations, seen)
    motion = pose_body(rotations, seen[:, 0], rest, known_fps(options, place))
    return _labelled(replace(motion, meta={"source": place, "rest_residual": residual}), label, place)


def _labelled(motion: Motion, label: Any, place: str) -> Motion:
    if not _is_label(label):
        raise MotionError(f"{place}: label is {label!r}, expected 0 to {len(HUMANACT12) - 1}")
    return replace(put_on_floor(motion), label=int(label), label_name=HUMANACT12[int(label)])


def _find_joints(path: Path, options: ImportOptions) -> list[MotionSource]:
    arrays = read_arrays(path, _ARRAYS)
    joints, lengths, names, labels = (arrays[name] for name in ("joints", "lengths", "names", "label"))
    if lengths.dtype.kind not in "iu" or lengths.ndim != 1 or lengths.min(initial=0) < 0:
        raise MotionError(f"{path}: lengths has shape {lengths.shape} of {lengths.dtype}, expected numbers of frames")
    if joints.ndim != 3 or joints.shape[1:] != (24, 3) or len(joints) != lengths.sum():
        raise MotionError(f"{path}: joints has shape {joints.shape}, expected ({lengths.sum()}, 24, 3)")
    if not names.shape == labels.shape == lengths.shape:
        raise MotionError(f"{path}: names has {names.shape}, label {labels.shape} entries, expected {lengths.shape}")
    parts = np.split(joints, np.cumsum(lengths)[:-1])
    return [
        _source(path, str(name), label, partial(_load_joints, part, label, f"{path}: {name}", options))
        for part, name, label in zip(parts, names, labels, strict=True)
    ]


def _load_joints(joints: np.ndarray, label: Any, place: str, options: ImportOptions) -> Motion:
    if not 1 <= len(joints) <= MAX_FRAMES:
        raise MotionError(f"{place}: joints has {counted(len(joints), 'frame')}, expected 1 to {MAX_FRAMES:,}")
    seen = check_numbers(joints, (None, 24, 3), place, "joints")
    motion = Motion.from_joints(seen @ CAMERA_TO_WORLD, known_fps(options, place))
    return _labelled(replace(motion, meta={"source": place}), label, place)
