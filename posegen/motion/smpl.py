"""The surface of SMPL's body, for those who have the model (Loper et al., 2015; licensed at smpl.is.tue.mpg.de).

Read are the arrays of its own file, as `.npz`. The package ``smplx`` is not taken for this: of SMPL it reads pickles
alone, which may hold code and want chumpy, its last release is of 2021, and its licence is not a free one.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from posegen.errors import SmplError
from posegen.io.storage import StorageFolder
from posegen.motion.kinematics import forward_kinematics
from posegen.skeletons import SMPL_24_PARENTS

_JOINTS = len(SMPL_24_PARENTS)
# By name in the file: the shape, V being the number of vertices.
_SHAPES: dict[str, tuple[int | str, ...]] = {
    "v_template": ("V", 3),
    "posedirs": ("V", 3, 9 * (_JOINTS - 1)),
    "weights": ("V", _JOINTS),
    "J_regressor": (_JOINTS, "V"),
    "kintree_table": (2, _JOINTS),
}


class SmplBody(NamedTuple):
    """SMPL's mean body, float32: what its vertices need when the shape is the mean one (all betas 0)."""

    template: Tensor
    """(V, 3) metres: the vertices at rest."""
    joints: Tensor
    """(24, 3) metres: the joints at rest."""
    corrections: Tensor
    """(207, 3 V) metres: how rotations change the surface before it is turned."""
    weights: Tensor
    """(V, 24): how much of each joint a vertex follows; they sum to 1."""

    def to(self, device: torch.device) -> SmplBody:
        """Return the same on a device."""
        return SmplBody(*(tensor.to(device) for tensor in self))


def read_smpl(file: str) -> SmplBody:
    """Read SMPL's model from a file ``.npz`` with its arrays `v_template`, `posedirs`, `weights`, `J_regressor` and
    `kintree_table`, none of them an object; others are left alone. Raises SmplError, in one line, for another one.
    """
    place, _, name = file.rpartition("/")
    try:
        content = StorageFolder(place or ".").read(name)
    except OSError:
        raise SmplError(f"there is no file {file}, expected SMPL's neutral model as .npz") from None
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in _SHAPES}
    except (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error):
        raise SmplError(
            f"{file} is no SMPL model as .npz; write {', '.join(_SHAPES)} of the .pkl by numpy.savez, as plain arrays"
        ) from None
    _check(file, arrays)
    template, posedirs, weights, regressor = (
        torch.from_numpy(arrays[name].astype(np.float32))
        for name in ("v_template", "posedirs", "weights", "J_regressor")
    )
    return SmplBody(template, regressor @ template, posedirs.flatten(0, 1).T.contiguous(), weights)


def _check(file: str, arrays: dict[str, np.ndarray]) -> None:
    """Raise SmplError where arrays are not those of SMPL's tree and of one surface."""
    vertices = len(arrays["v_template"]) if arrays["v_template"].ndim else 0
    for name, wanted in _SHAPES.items():
        shape = tuple(vertices if size == "V" else size for size in wanted)
        if arrays[name].shape != shape or arrays[name].dtype.kind not in "fiu":
            raise SmplError(f"{file}: {name} is {arrays[name].dtype} {arrays[name].shape}, expected numbers {shape}")
        if not np.isfinite(arrays[name]).all():
            raise SmplError(f"{file}: {name} has numbers that are not finite")
    parents = arrays["kintree_table"][0, 1:].tolist()
    if parents != list(SMPL_24_PARENTS[1:]):
        raise SmplError(f"{file}: kintree_table has the parents {parents}, expected those of SMPL's 24 joints")


def pose_surface(body: SmplBody, local: Tensor, root: Tensor) -> Tensor:
    """Return the vertices (..., V, 3) of a posed body, in metres (Loper et al., 2015, Equations 2 to 9).

    Args:
        body: As `read_smpl` gives it.
        local: (..., 24, 3, 3) rotation of each joint in its parent's axes; the root's in the world's.
        root: (..., 3) where the root goes from where it is at rest.
    """
    eye = torch.eye(3, dtype=local.dtype, device=local.device)
    bent = (local[..., 1:, :, :] - eye).flatten(-3)  # (..., 207)
    shaped = body.template + (bent @ body.corrections).unflatten(-1, body.template.shape)  # (..., V, 3)
    joints, turns = forward_kinematics(local, body.joints, body.joints[0] + root)
    shifts = joints - (turns @ body.joints[..., None])[..., 0]  # (..., 24, 3)
    blended = body.weights @ torch.cat([turns.flatten(-2), shifts], dim=-1)  # (..., V, 12)
    turn, shift = blended[..., :9].unflatten(-1, (3, 3)), blended[..., 9:]
    return (turn @ shaped[..., None])[..., 0] + shift  # (..., V, 3)
