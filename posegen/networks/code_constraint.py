"""Numbers of a window that are given, as a constraint on its linear code: in-painting without training for it.

What a network takes for the clean code at a level of noise is uncertain, and moves to where it and the given numbers
are most likely together (pseudoinverse guidance: Song et al., 2023, ICLR; a linear code and Gaussians make it exact).
The less noise is left, the less it moves: codes stay where those of motions are.
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
        """Codes (N, K) between what is given and codes z (N, K) of variances (N, K): the less sure, the nearer."""
        missing = self._given - z.double() @ self._matrix.T  # (N, R)
        spread = variance.double().sqrt()  # (N, K)
        wanted = spread * (missing @ self._matrix)  # (N, K)
        moved = torch.empty_like(wanted)
        for own in spread.unique(dim=0):  # one for each action
            rows = (spread == own).all(dim=1)
            gram = own[:, None] * self._gram * own + torch.eye(len(own), dtype=own.dtype, device=own.device)  # (K, K)
            moved[rows] = torch.linalg.solve(gram, wanted[rows].T).T
        return z + (spread * moved).to(z)
