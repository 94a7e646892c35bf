"""A normalizing flow between codes and N(0, I) (Blattmann et al., 2021, arXiv:2103.04677, Section 3.3).

Blocks of an activation norm (Kingma and Dhariwal, 2018, arXiv:1807.03039), two affine couplings (Dinh et al., 2017,
arXiv:1605.08803) and a fixed permutation. Written here and not taken from zuko: the published coupling has networks of
their own for scale and shift, with a tanh behind the scale, and an activation norm, and zuko has neither.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

_EPSILON = 1e-6  # of the activation norm's standard deviation, as published


class Flow(nn.Module):
    """An invertible map of vectors with a density: x = codes, z = noise.

    Args:
        dim: Z, even.
        hidden_dim: Width of the networks in the couplings.
        depth: Their hidden layers after the first.
        num_blocks: Blocks.
        seed: Decides the permutations, which a checkpoint holds.
    """

    def __init__(self, dim: int = 1024, hidden_dim: int = 512, depth: int = 2, num_blocks: int = 8, seed: int = 0):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.blocks = nn.ModuleList(
            FlowBlock(dim, hidden_dim, depth, torch.randperm(dim, generator=generator, device="cpu"))
            for _ in range(num_blocks)
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Codes (N, Z) to noise (N, Z), and the logarithm (N,) of the Jacobian's determinant there."""
        logdet = x.new_zeros(len(x))  # (N,)
        for block in self.blocks:
            x, added = block(x)  # (N, Z), (N,)
            logdet = logdet + added
        return x, logdet

    def inverse(self, z: Tensor) -> Tensor:
        """Noise (N, Z) to codes (N, Z)."""
        for block in reversed(self._chain()):
            z = block.inverse(z)
        return z

    @torch.no_grad()
    def fit_norms(self, x: Tensor) -> None:
        """Set the activation norms so that, of codes (N, Z), each gives means of 0 and standard deviations of 1."""
        for block in self._chain():
            block.norm.fit(x)
            x, _ = block(x)

    def _chain(self) -> list[FlowBlock]:
        return [block for block in self.blocks if isinstance(block, FlowBlock)]


class FlowBlock(nn.Module):
    """Activation norm, two couplings and a permutation (Z,) int64: place k takes what was at permutation[k].

    The second half is changed as the first one says, and then the first as the second; they come out in other order.
    """

    permutation: Tensor

    def __init__(self, dim: int, hidden_dim: int, depth: int, permutation: Tensor):
        super().__init__()
        self.norm = ActivationNorm(dim)
        self.to_second = AffineCoupling(dim // 2, hidden_dim, depth)
        self.to_first = AffineCoupling(dim // 2, hidden_dim, depth)
        self.register_buffer("permutation", permutation)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(N, Z) to (N, Z) and the logarithm (N,) of the Jacobian's determinant."""
        x, of_norm = self.norm(x)  # (N, Z), (N,)
        first, second = x.chunk(2, dim=1)  # (N, Z / 2) each
        second, of_second = self.to_second(second, first)  # (N, Z / 2), (N,)
        first, of_first = self.to_first(first, second)  # (N, Z / 2), (N,)
        z = torch.cat([second, first], dim=1)[:, self.permutation]  # (N, Z)
        return z, of_norm + of_second + of_first

    def inverse(self, z: Tensor) -> Tensor:
        """(N, Z) to (N, Z)."""
        second, first = z[:, self.permutation.argsort()].chunk(2, dim=1)  # (N, Z / 2) each
        first = self.to_first.inverse(first, second)  # (N, Z / 2)
        second = self.to_second.inverse(second, first)  # (N, Z / 2)
        return self.norm.inverse(torch.cat([first, second], dim=1))  # (N, Z)


class AffineCoupling(nn.Module):
    """Scales and shifts one half of a vector as the other half says; scales are within a factor of e."""

    def __init__(self, dim: int, hidden_dim: int, depth: int):
        super().__init__()
        self.log_scale = nn.Sequential(_perceptron(dim, hidden_dim, depth), nn.Tanh())
        self.shift = _perceptron(dim, hidden_dim, depth)

    def forward(self, x: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
        """Halves (N, Z / 2) to the changed first one, and the logarithm (N,) of the Jacobian's determinant."""
        log_scale = self.log_scale(other)  # (N, Z / 2)
        return x * log_scale.exp() + self.shift(other), log_scale.sum(dim=1)

    def inverse(self, y: Tensor, other: Tensor) -> Tensor:
        """Return the first half (N, Z / 2) that `forward` changed to y."""
        return (y - self.shift(other)) * (-self.log_scale(other)).exp()


class ActivationNorm(nn.Module):
    """Shifts and scales each number; `fit` makes it standardize what it first sees."""

    def __init__(self, dim: int):
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(dim))
        self.scale = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(N, Z) to (N, Z), and the logarithm (N,) of the Jacobian's determinant."""
        return self.scale * (x + self.shift), self.scale.abs().log().sum().expand(len(x))

    def inverse(self, y: Tensor) -> Tensor:
        """(N, Z) to (N, Z)."""
        return y / self.scale - self.shift

    @torch.no_grad()
    def fit(self, x: Tensor) -> None:
        """Take mean and standard deviation from vectors (N, Z), N at least 2."""
        self.shift.copy_(-x.mean(dim=0))
        self.scale.copy_(1 / (x.std(dim=0) + _EPSILON))


def _perceptron(dim: int, hidden_dim: int, depth: int) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Linear(dim, hidden_dim), nn.LeakyReLU(0.01)]
    for _ in range(depth):
        layers += [nn.Linear(hidden_dim, hidden_dim), nn.LeakyReLU(0.01)]
    return nn.Sequential(*layers, nn.Linear(hidden_dim, dim))
