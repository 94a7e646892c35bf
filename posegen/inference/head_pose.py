"""Head position and rotation from the five landmarks of the face."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from posegen.motion import rotations
from posegen.motion.anatomy import FACE

_FACE = np.array(list(FACE.values()))  # (5, 3) metres
_FEWEST = 3  # points that tell how a head is turned; four where their depths are not known


class HeadPose(NamedTuple):
    """Position and rotation of a head."""

    origin: np.ndarray
    """(3,) the head joint, from which `posegen.motion.anatomy.FACE` is measured."""
    axes: np.ndarray
    """(3, 3): the head's axes as columns: left, up, forward."""
    scale: float
    """Units of the points per metre of a body of `posegen.motion.anatomy.HEIGHT`."""


def find_head(face: np.ndarray) -> HeadPose | None:
    """Fit a head like `FACE` to points (5, 3) in the viewer's axes, NaN where they are not known.

    Where depths are known the fit is rigid (Umeyama, 1991); otherwise it is the rotation nearest to the affine map
    from the face to the picture, and the origin has the depth NaN. None where too few points are known.
    """
    flat, deep = np.isfinite(face[:, :2]).all(axis=1), np.isfinite(face).all(axis=1)
    if deep.sum() >= _FEWEST:
        return _fit_rigid(_FACE[deep], face[deep])
    if flat.sum() > _FEWEST:
        return _fit_picture(_FACE[flat], face[flat, :2])
    return None


def _fit_rigid(rest: np.ndarray, seen: np.ndarray) -> HeadPose:
    start, end = rest - rest.mean(axis=0), seen - seen.mean(axis=0)
    axes = rotations.registration(torch.from_numpy(start), torch.from_numpy(end)).numpy()
    turned = start @ axes.T
    scale = float((turned * end).sum() / (start**2).sum())
    return HeadPose(seen.mean(axis=0) - scale * axes @ rest.mean(axis=0), axes, scale)


def _fit_picture(rest: np.ndarray, seen: np.ndarray) -> HeadPose:
    start, end = rest - rest.mean(axis=0), seen - seen.mean(axis=0)
    rows = np.linalg.lstsq(start, end, rcond=None)[0].T  # (2, 3)
    left, sizes, right = np.linalg.svd(rows, full_matrices=False)
    first, second = left @ right
    axes = np.stack([first, second, np.cross(first, second)])
    scale = float(sizes.mean())
    origin = seen.mean(axis=0) - scale * axes[:2] @ rest.mean(axis=0)
    return HeadPose(np.append(origin, np.nan), axes, scale)
