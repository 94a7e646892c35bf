"""Numbers of a window that are given, as a constraint on its linear code: in-painting without training for it.

What a network takes for the clean code at a level of noise moves the least way to where the given numbers come out
(Chung et al., 2022, arXiv:2206.00941, project alike; a linear code makes it exact). The components that the given
numbers say nothing of stay as the network has them, and follow at the next level.
"""

from __future__ import annotations

import torch
from torch import Tensor

from posegen.networks.motion_denoiser import MotionCode


class CodeConstraint:
    """Moves codes to where given numbers come out, by ridge regression.

    Args:
        code: The linear code.
        weights: (T, C) how much each number counts, 1 / tolerance in its own unit; 0 for what is free.
        values: (N, T, C) what is given; where weights are 0 it counts nothing.
    """

    def __init__(self, code: MotionCode, weights: Tensor, values: Tensor):
        rows = weights.flatten().nonzero()[:, 0]  # of R given numbers
        strength = weights.flatten()[rows]
        scale = code.get_buffer("scale")
        per_number = (scale[:, None] * code.get_buffer("basis").flatten(1)[:, rows]) / self._weights_of(code)[rows]
        self._matrix = (per_number * strength).T.double()  # (R, K)
        self._given = ((values - code.get_buffer("mean")).flatten(1)[:, rows] * strength).double()  # (N, R)
        self._gram = self._matrix.T @ self._matrix  # (K, K)

    @staticmethod
    def _weights_of(code: MotionCode) -> Tensor:
        weights = code.get_buffer("weights")
        return weights.expand(len(code.get_buffer("mean")), -1).flatten()

    def __call__(self, z: Tensor, variance: Tensor) -> Tensor:
        """Codes (N, K) near those given (N, K), which are as uncertain as `variance` (N, K) says."""
        missing = self._given - z.double() @ self._matrix.T  # (N, R)
        spread = variance.double().sqrt()  # (N, K)
        rows, which = torch.unique(spread, dim=0, return_inverse=True)
        gram = rows[:, :, None] * self._gram * rows[:, None, :]  # (U, K, K)
        factor = torch.linalg.cholesky(gram + torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device))
        wanted = spread * (missing @ self._matrix)  # (N, K)
        moved = torch.empty_like(wanted)
        for row in range(len(rows)):
            own = which == row
            moved[own] = torch.cholesky_solve(wanted[own].T, factor[row]).T
        return z + (spread * moved).to(z)
