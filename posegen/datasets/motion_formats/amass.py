"""AMASS (Mahmood et al., 2019): an ``.npz`` a sequence, with the poses of SMPL-H or SMPL-X bodies, z up.

``poses`` (T, 156 or 165) or SMPL's (T, 72) axis-angle, ``trans`` (T, 3) metres, ``mocap_framerate``. The first 22
joints are those of SMPL; hands are left as they are at rest. ``betas`` make a body from SMPL's data, which posegen
does not have: the body is its own.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from posegen.datasets.motion_formats.arrays import read_arrays
from posegen.datasets.motion_formats.smpl_poses import read_pose
from posegen.datasets.motion_formats.source import (
    ImportOptions,
    MotionSource,
    Probe,
    check_numbers,
    known_fps,
    pose_body,
    put_on_floor,
)
from posegen.errors import MotionError
from posegen.motion.anatomy import REST
from posegen.motion.motion import Motion

_RATES = ("mocap_framerate", "mocap_frame_rate")
_WIDTHS = (72, 156, 165)
_BODY = 22 * 3  # numbers of the joints that all of them have
_Z_UP = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])  # (x, y, z) goes to (x, z, -y)


def is_amass(probe: Probe) -> bool:
    """Whether a file has AMASS' arrays."""
    return probe.arrays >= {"poses", "trans"}


def find_amass(path: Path, options: ImportOptions) -> list[MotionSource]:
    """One motion; its folder is the person, as AMASS sorts them."""
    load = partial(_load, path, options)
    return [MotionSource(name=path.stem, source=str(path), files=(path,), load=load, person=path.parent.name)]


def _load(path: Path, options: ImportOptions) -> Motion:
    place = str(path)
    arrays = read_arrays(path, ["poses", "trans"], optional=[*_RATES, "gender"])
    poses = check_numbers(arrays["poses"], (None, None), place, "poses")
    if poses.shape[1] not in _WIDTHS:
        raise MotionError(f"{place}: poses has shape {poses.shape}, expected (n, 72), (n, 156) or (n, 165)")
    trans = check_numbers(arrays["trans"], (len(poses), 3), place, "trans")
    body = np.concatenate([poses[:, :_BODY], np.zeros((len(poses), 72 - _BODY))], axis=1)
    local = read_pose(body, place, "poses")
    fps = known_fps(options, place, _rate(arrays, place))
    root = _Z_UP @ local[:, :1]
    turned = np.concatenate([root, local[:, 1:]], axis=1)
    motion = pose_body(turned, trans @ _Z_UP.T, REST, fps, from_camera=False)
    # `trans` moves SMPL's origin, which is above the pelvis by a constant that the betas make.
    return put_on_floor(replace(motion, meta={"source": place}))


def _rate(arrays: dict[str, np.ndarray], place: str) -> float | None:
    for name in _RATES:
        if name in arrays:
            rate = arrays[name]
            if rate.size != 1 or rate.dtype.kind not in "fiu" or not (np.isfinite(rate).all() and rate.item() > 0):
                raise MotionError(f"{place}: {name} is {rate}, expected a positive number of frames per second")
            return float(rate.item())
    return None
