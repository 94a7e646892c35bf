"""Rotations as matrices, axis-angles, quaternions and six numbers, in torch: batched and differentiable.

Six numbers are the first two *rows* of a matrix, as in ACTOR (Petrovich et al., 2021) and PyTorch3D. VIBE, SPIN and
Zhou et al. (2019) take columns; mixing them transposes every rotation, hence the names of the functions.

roma is imported where it is called: it loads PyTorch's compiler, which takes as long as PyTorch itself.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def axis_angle_to_matrix(axis_angle: Tensor) -> Tensor:
    """Return rotation matrices (..., 3, 3) of axis-angles (..., 3) in radians."""
    import roma

    return roma.rotvec_to_rotmat(axis_angle)


def matrix_to_axis_angle(matrix: Tensor) -> Tensor:
    """Return axis-angles (..., 3) of angles up to π of rotation matrices (..., 3, 3). At π both signs mean the same."""
    import roma

    return roma.rotmat_to_rotvec(matrix)


def quaternion_to_matrix(quaternion: Tensor) -> Tensor:
    """Return rotation matrices (..., 3, 3) of quaternions (..., 4), the real part first, of any length but 0."""
    import roma

    return roma.unitquat_to_rotmat(roma.quat_wxyz_to_xyzw(F.normalize(quaternion, dim=-1)))


def matrix_to_quaternion(matrix: Tensor) -> Tensor:
    """Return unit quaternions (..., 4), the real part first, of rotation matrices (..., 3, 3), either sign."""
    import roma

    return roma.quat_xyzw_to_wxyz(roma.rotmat_to_unitquat(matrix))


def matrix_to_euler_zxy(matrix: Tensor) -> Tensor:
    """Return intrinsic z-x-y Euler angles (..., 3) in degrees, in this order, of rotation matrices (..., 3, 3)."""
    import roma

    return roma.rotmat_to_euler("ZXY", matrix, degrees=True)


def matrix_to_rot6d_rows(matrix: Tensor) -> Tensor:
    """Return the first two rows (..., 6) of rotation matrices (..., 3, 3)."""
    return matrix[..., :2, :].flatten(-2)


def rot6d_rows_to_matrix(rot6d: Tensor) -> Tensor:
    """Return the rotation matrices (..., 3, 3) whose first two rows are nearest to six numbers (..., 6).

    Gram-Schmidt (Zhou et al., 2019, Section 4): the first row keeps its direction.
    """
    first, second = rot6d[..., :3], rot6d[..., 3:]
    x = F.normalize(first, dim=-1)
    y = F.normalize(second - (x * second).sum(dim=-1, keepdim=True) * x, dim=-1)
    return torch.stack([x, y, torch.linalg.cross(x, y)], dim=-2)


def slerp(start: Tensor, end: Tensor, share: Tensor) -> Tensor:
    """Return what lies between rotations (..., 3, 3) on the shortest way, at constant speed.

    Args:
        start: What `share` 0 gives.
        end: What `share` 1 gives.
        share: In [0, 1], of any shape that fits the rotations' leading dimensions.
    """
    turn = matrix_to_axis_angle(start.mT @ end)
    return start @ axis_angle_to_matrix(share[..., None] * turn)


def swing(source: Tensor, target: Tensor) -> Tensor:
    """Return the smallest rotations (..., 3, 3) that turn one direction (..., 3) to another, of any lengths.

    Between opposite directions there is none that is smaller than the others; any is returned.
    """
    source, target = F.normalize(source, dim=-1), F.normalize(target, dim=-1)
    real = 1 + (source * target).sum(dim=-1, keepdim=True)
    opposite = real < 1e-6
    other = torch.eye(3, dtype=source.dtype, device=source.device)[source.abs().argmin(dim=-1)]
    axis = torch.where(opposite, torch.linalg.cross(source, other), torch.linalg.cross(source, target))
    return quaternion_to_matrix(torch.cat([torch.where(opposite, 0.0, real), axis], dim=-1))


def twist(axis: Tensor, angle: Tensor) -> Tensor:
    """Return rotations (..., 3, 3) about axes (..., 3) of any length by angles (...) in radians."""
    return axis_angle_to_matrix(F.normalize(axis, dim=-1) * angle[..., None])


def registration(source: Tensor, target: Tensor) -> Tensor:
    """Return the rotations (..., 3, 3) that turn vectors (..., N, 3) nearest to others, in least squares (Kabsch)."""
    import roma

    return roma.rigid_vectors_registration(source, target)
