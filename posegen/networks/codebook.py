"""Colour codes: their sampling, their distribution after training, and the colour that each stands for."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from posegen.errors import ConfigError

_RIDGE = 1e-3  # per sample; the features lie in [-1, 1]
_POWERS = [(i, j, k) for i in range(4) for j in range(4 - i) for k in range(4 - i - j)]  # of L, a, b: up to cubic


def reparameterize(mean: Tensor, logvar: Tensor, noise: Tensor) -> Tensor:
    """z = μ + σ ε, for (N, Z) each (Kingma and Welling, 2014, arXiv:1312.6114, Section 2.4)."""
    return mean + logvar.mul(0.5).exp() * noise


class Codebook(nn.Module):
    """Distribution of the codes of training frames, and a regression from garment colours to codes.

    Nothing but the KL term pulls the codes to N(0, I), since stage I never decodes a random one (Section 3.1), so
    codes are sampled from a diagonal Gaussian that is fitted to the training codes. The code of a colour comes from
    a ridge regression on the monomials of (L, a, b) up to the third degree: without L, by which recoloured garments of
    one (a, b) differ, codes cannot be predicted.

    Args:
        latent_dim: Z.
    """

    def __init__(self, latent_dim: int):
        super().__init__()
        self.mean: Tensor
        self.std: Tensor
        self.lowest: Tensor
        self.highest: Tensor
        self.weight: Tensor
        self.register_buffer("mean", torch.zeros(latent_dim))
        self.register_buffer("std", torch.ones(latent_dim))
        self.register_buffer("lowest", torch.zeros(3))
        self.register_buffer("highest", torch.zeros(3))
        self.register_buffer("weight", torch.zeros(len(_POWERS), latent_dim))

    @property
    def is_fitted(self) -> bool:
        """True if `fit` was given recoloured frames, on this object or on the one whose state it loaded."""
        return bool((self.highest > self.lowest).any())

    def fit(self, codes: Tensor, lab: Tensor) -> None:
        """Fit to codes (M, Z) of frames whose garments have L, a, b (M, 3), NaN where one was not recoloured.

        The Gaussian is fitted to all codes, the regression to those of recoloured frames.
        """
        self.mean.copy_(codes.mean(0))
        self.std.copy_(codes.std(0))
        recolored = torch.isfinite(lab).all(1)
        if not recolored.any():
            return
        lab, codes = lab[recolored], codes[recolored]
        self.lowest.copy_(lab.amin(0))
        self.highest.copy_(lab.amax(0))
        features = self._features(lab).double()  # (M, 20)
        gram = features.T @ features + _RIDGE * len(lab) * torch.eye(len(_POWERS), dtype=torch.float64).to(lab.device)
        self.weight.copy_(torch.linalg.solve(gram, features.T @ codes.double()))

    def predict(self, lab: Tensor) -> Tensor:
        """Return the codes (..., Z) of the colours L, a, b (..., 3).

        What lies outside the range of the training colours is moved to its edge: a polynomial says nothing there.
        Raises ConfigError if it was fitted to no recoloured frames.
        """
        if not self.is_fitted:
            raise ConfigError("the colour encoder was trained on no recoloured frames: train it for at least one epoch")
        return self._features(lab) @ self.weight

    def sample(self, count: int, generator: torch.Generator | None = None, *, prior: bool = False) -> Tensor:
        """Random codes (count, Z) from the fitted Gaussian, or with `prior` from N(0, I)."""
        noise = torch.randn(count, len(self.mean), generator=generator).to(self.mean)
        return noise if prior else self.mean + self.std * noise

    def _features(self, lab: Tensor) -> Tensor:
        """(..., 3) to the monomials (..., 20) of colours scaled to [-1, 1]."""
        scale = (self.highest - self.lowest).clamp_min(1e-6)
        x = (2 * (lab - self.lowest) / scale - 1).clamp(-1, 1)  # (..., 3)
        return (x[..., None, :] ** torch.tensor(_POWERS, device=x.device)).prod(-1)
