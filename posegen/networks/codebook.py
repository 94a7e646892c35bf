"""Colour codes: how one is drawn, how they are spread after training, and which colour each stands for."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def reparameterize(mean: Tensor, logvar: Tensor, noise: Tensor) -> Tensor:
    """z = μ + σ ε, for (N, Z) each (Kingma and Welling, 2014, arXiv:1312.6114, Section 2.4)."""
    return mean + logvar.mul(0.5).exp() * noise


class Codebook(nn.Module):
    """Codes of training frames beside the colours that those frames were painted with.

    Nothing but the KL term pulls the codes to N(0, I), since stage I never decodes a random one (Section 3.1), so
    codes are sampled from a diagonal Gaussian that is fitted to the training codes.

    Args:
        latent_dim: Z.
        capacity: Codes that it holds, K.
    """

    def __init__(self, latent_dim: int, capacity: int = 512):
        super().__init__()
        self.codes: Tensor
        self.ab: Tensor
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("codes", torch.zeros(capacity, latent_dim))
        self.register_buffer("ab", torch.full((capacity, 2), torch.nan))
        self.register_buffer("mean", torch.zeros(latent_dim))
        self.register_buffer("std", torch.ones(latent_dim))

    @property
    def is_fitted(self) -> bool:
        """Whether `fit` has been called, on this object or on the one whose state it loaded."""
        return bool(torch.isfinite(self.ab).any())

    def fit(self, codes: Tensor, ab: Tensor) -> None:
        """Remember codes (M, Z) of frames painted with the LAB colours ab (M, 2), NaN where a frame was not.

        Of more than K codes the first K are kept; the Gaussian is fitted to all of them.
        """
        self.mean.copy_(codes.mean(0))
        self.std.copy_(codes.std(0))
        painted = torch.isfinite(ab).all(1)
        kept, count = codes[painted][: len(self.ab)], min(int(painted.sum()), len(self.ab))
        self.ab.fill_(torch.nan)
        self.codes.zero_()
        self.codes[:count] = kept
        self.ab[:count] = ab[painted][:count]

    def nearest(self, ab: Tensor, count: int = 1) -> tuple[Tensor, Tensor]:
        """The code (Z,) of the colour nearest to ab (2,), and that colour (2,).

        The code is the mean over the `count` nearest: frames of one colour differ in what else is on them.
        """
        if not self.is_fitted:
            raise ValueError("the colour encoder has seen no painted frames: train it for at least one epoch")
        distances = torch.nan_to_num((self.ab - ab).norm(dim=1), nan=torch.inf)  # (K,)
        nearest = distances.topk(min(count, len(distances)), largest=False).indices
        nearest = nearest[torch.isfinite(distances[nearest])]
        return self.codes[nearest].mean(0), self.ab[nearest].mean(0)

    def sample(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Codes (count, Z) from the fitted Gaussian."""
        noise = torch.randn(count, len(self.mean), generator=generator)
        return self.mean + self.std * noise.to(self.mean)
