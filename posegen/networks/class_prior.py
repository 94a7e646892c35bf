"""A Gaussian prior of codes for each class, fitted to what an encoder makes of the training data."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_SHRINKAGE = 1.0  # codes of all classes that count beside those of one
_JITTER = 1e-6


class ClassPrior(nn.Module):
    """Codes of a class as m + L z with z of N(0, I), where m and LLᵀ are mean and covariance of the class's codes.

    A variational autoencoder whose codes are held back little describes motions well, and its codes lie far from
    N(0, I); drawn from such a prior they are in place all the same (ex-post density estimation, Ghosh et al., 2020,
    arXiv:1903.12436, Section 4). Before `fit` it changes nothing.

    Args:
        num_classes: A.
        code_dim: Z.
    """

    def __init__(self, num_classes: int, code_dim: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(num_classes, code_dim))
        self.register_buffer("factor", torch.eye(code_dim).repeat(num_classes, 1, 1))

    @torch.no_grad()
    def fit(self, mean: Tensor, variance: Tensor, label: Tensor) -> None:
        """Fit to posteriors with means and variances (M, Z) of classes (M,) int64; a class without any stays."""
        everywhere = _covariance(mean, variance)
        for row in label.unique().tolist():
            own = label == row
            share = own.sum() / (own.sum() + _SHRINKAGE)
            covariance = share * _covariance(mean[own], variance[own]) + (1 - share) * everywhere
            covariance.diagonal().add_(_JITTER)
            self.get_buffer("mean")[row] = mean[own].mean(dim=0)
            self.get_buffer("factor")[row] = torch.linalg.cholesky(covariance)

    def place(self, z: Tensor, label: Tensor) -> Tensor:
        """Codes (N, Z) of z (N, Z) of N(0, I), of classes (N,) int64 or (N, A) weights that sum to 1."""
        mean, factor = self._of(label)
        return mean + (factor @ z[..., None])[..., 0]

    def standardize(self, codes: Tensor, label: Tensor) -> Tensor:
        """Return z (N, Z) of codes (N, Z): the reverse of `place`."""
        mean, factor = self._of(label)
        return torch.linalg.solve_triangular(factor, (codes - mean)[..., None], upper=False)[..., 0]

    def _of(self, label: Tensor) -> tuple[Tensor, Tensor]:
        mean, factor = self.get_buffer("mean"), self.get_buffer("factor")
        if label.dim() == 2:
            return label @ mean, torch.einsum("na,aij->nij", label, factor)
        return mean[label], factor[label]


def _covariance(mean: Tensor, variance: Tensor) -> Tensor:
    """Covariance (Z, Z) of codes that are drawn from posteriors, by the law of total variance."""
    centred = mean - mean.mean(dim=0)
    return centred.T @ centred / len(mean) + torch.diag(variance.mean(dim=0))
