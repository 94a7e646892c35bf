"""Places of joints alone, in an array whose shape tells the skeleton: HumanML3D, MDM, MotionBERT, Action2Motion."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from posegen.datasets.motion_formats.axes import set_upright
from posegen.datasets.motion_formats.humanml3d import (
    HUMANML3D_FEATURES,
    HUMANML3D_FPS,
    HUMANML3D_JOINTS,
    joints_of_features,
)
from posegen.datasets.motion_formats.source import (
    ImportOptions,
    MotionSource,
    Probe,
    check_height,
    check_numbers,
    known_fps,
    put_on_floor,
    rate_notes,
)
from posegen.errors import MotionError
from posegen.motion.completion import complete_body
from posegen.motion.motion import Motion
from posegen.motion.to_h36m import smpl_joints
from posegen.skeletons import H36M_17, SMPL_24

_MOTIONBERT_17: tuple[str, ...] = (
    "pelvis", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle", "spine", "neck_base",
    "nose", "head_top", "left_shoulder", "left_elbow", "left_wrist", "right_shoulder", "right_elbow", "right_wrist",
)  # fmt: skip


@dataclass(frozen=True)
class JointLayout:
    """An array of joints that a program writes."""

    summary: str
    shape: tuple[int, ...]
    """Behind the frames."""
    to_smpl: Callable[[np.ndarray], np.ndarray]
    """From (T, …) to SMPL-24's joints (T, 24, 3)."""
    up: str = "y"
    """The axis that is up, usually."""
    fps: float | None = None
    """Frames a second of all such files, where they are alike."""


def _from_smpl_22(joints: np.ndarray) -> np.ndarray:
    return complete_body({name: joints[:, index] for index, name in enumerate(SMPL_24[: joints.shape[1]])})


def _from_h36m(joints: np.ndarray) -> np.ndarray:
    return smpl_joints(joints[:, [_MOTIONBERT_17.index(name) for name in H36M_17]])


def _from_features(features: np.ndarray) -> np.ndarray:
    joints = joints_of_features(features)
    if not 0.3 < np.median(joints[:, 0, 1]) < 1.5:
        raise MotionError("its features are normalised, expected those of new_joint_vecs: multiply by Std and add Mean")
    return _from_smpl_22(joints)


JOINT_LAYOUTS: tuple[JointLayout, ...] = (
    JointLayout("HumanML3D's joints", (HUMANML3D_JOINTS, 3), _from_smpl_22),
    JointLayout("SMPL's joints: Action2Motion, HumanAct12", (len(SMPL_24), 3), lambda joints: joints, "-y"),
    JointLayout("MotionBERT's joints", (17, 3), _from_h36m, "-y"),
    JointLayout("HumanML3D's features", (HUMANML3D_FEATURES,), _from_features, fps=HUMANML3D_FPS),
)
"""Layouts by the shape of an array's entry per frame."""

REFUSED: dict[tuple[int, ...], str] = {
    (251,): "KIT-ML's 251 features: make joints of them (recover_from_ric) of SMPL's 22 or 24 joints",
    (21, 3): "KIT-ML's 21 joints, or SMPL-X's body without its root: write SMPL's 22 or 24 joints",
    (25, 6): "rotations of MDM or ACTOR: write joints, (n, 22, 3)",
    (18, 3): "Action2Motion's 18 joints of NTU: write SMPL's 24 joints, or take the files that NTU13 is made of",
}
"""Known shapes that are not read, with advice."""


def _layout_of(value: Any) -> JointLayout | None:
    shape = getattr(value, "shape", ())
    return next((layout for layout in JOINT_LAYOUTS if shape[1:] == layout.shape), None)


def _arrays(content: Any) -> dict[str, np.ndarray]:
    """The motions of a file by name, (T, …) each, and those of MDM cut to their lengths."""
    if isinstance(content, np.ndarray):
        return {"": content}
    if isinstance(content, Mapping) and "motion" in content and "lengths" in content:
        motions, lengths = np.asarray(content["motion"]), np.ravel(np.asarray(content["lengths"]))
        if motions.ndim == 4 and len(lengths) == len(motions):
            moved = np.moveaxis(motions, -1, 1)  # (N, T, J, 3)
            return {
                f"{index:03}": one[: int(size)] for index, (one, size) in enumerate(zip(moved, lengths, strict=True))
            }
    return {}


def is_joint_array(probe: Probe) -> bool:
    """Return True if a file is an array of joints, or MDM's results."""
    arrays = _arrays(probe.content)
    return bool(arrays) and (_layout_of(next(iter(arrays.values()))) is not None)


def refusal(probe: Probe) -> str:
    """Explain why a known array is not read, with advice; empty for unknown ones."""
    arrays = _arrays(probe.content)
    shape = next(iter(arrays.values())).shape if arrays else ()
    return REFUSED.get(shape[1:], "")


def find_joint_arrays(path: Path, options: ImportOptions) -> list[MotionSource]:
    """One motion of each array."""
    arrays = _arrays(Probe(path).content)
    found = []
    for name, array in arrays.items():
        layout = _layout_of(array)
        if layout is None:
            raise MotionError(
                f"{path} has shape {array.shape}, expected {', '.join(str(one.shape) for one in JOINT_LAYOUTS)}"
            )
        place = f"{path}: motion {name}" if name else str(path)
        load = partial(_load, path, name, layout, options)
        found.append(MotionSource(name=f"{path.stem}-{name}".rstrip("-"), source=place, files=(path,), load=load))
    return found


def _load(path: Path, name: str, layout: JointLayout, options: ImportOptions) -> Motion:
    place = f"{path}: motion {name}" if name else str(path)
    values = check_numbers(_arrays(Probe(path).content)[name], (None, *layout.shape), place, "the array")
    try:
        joints = np.asarray(layout.to_smpl(values), np.float64)
    except MotionError as error:
        raise MotionError(f"{place}: {error}") from None
    unit, notes = check_height(joints, options, place)
    motion = Motion.from_joints(joints * unit, known_fps(options, place, layout.fps))
    motion = replace(motion, meta={"source": place}, notes=(*notes, *rate_notes(options, layout.fps)))
    return put_on_floor(set_upright(motion, layout.up, options.up))
