"""Diffusion of whole windows of motion in a linear code: the code, the network that denoises it, and the sampler.

A window of T frames of C numbers is K principal components, each scaled to unit variance. Codes z of an action have a
mean m and variances v; noise of standard deviation σ is added to them. The network predicts what the Gaussian of the
action does not know of z (Karras et al., 2022, arXiv:2206.00364, Section 5, with σ_data² = v for each component):

    D(z; σ) = m + v / (v + σ²) (z − m) + σ (v / (v + σ²))^½ F(z / (1 + σ²)^½, σ)

so that a network that has learned nothing samples the Gaussian of its action.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_LEAST_SCALE = 1e-6
_SHRINKAGE = 10.0  # windows of all actions that count beside those of one
_LEAST_VARIANCE = 0.01

Denoise = Callable[[Tensor, Tensor], Tensor]
"""From noisy codes (N, K) and the noise's standard deviation, a scalar, to clean codes (N, K)."""


class MotionCode(nn.Module):
    """Principal components of windows (..., T, C), and where the codes of each action lie.

    A component is a direction in which weighted windows vary; weights (C,) say which numbers have to be right.

    Args:
        code_dim: K. Where `fit` gets fewer windows, the last components stay without use.
        num_frames: T.
        num_features: C.
        num_actions: A.
    """

    def __init__(self, code_dim: int, num_frames: int, num_features: int, num_actions: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(num_frames, num_features))
        self.register_buffer("weights", torch.ones(num_features))
        self.register_buffer("basis", torch.zeros(code_dim, num_frames, num_features))
        self.register_buffer("scale", torch.ones(code_dim))
        self.register_buffer("action_mean", torch.zeros(num_actions, code_dim))
        self.register_buffer("action_variance", torch.ones(num_actions, code_dim))

    @torch.no_grad()
    def fit(self, windows: Tensor, actions: Tensor, weights: Tensor) -> None:
        """Find the components of windows (M, T, C) by weights (C,), and their statistics by action, (M,) int64."""
        mean = windows.mean(dim=0)
        self.get_buffer("weights").copy_(weights)
        centred = ((windows - mean) * weights).flatten(1)  # (M, T · C)
        count = min(len(self.get_buffer("scale")), *centred.shape)
        with torch.random.fork_rng([]):
            torch.manual_seed(0)
            _, singular, vectors = torch.svd_lowrank(centred, q=min(count + 16, *centred.shape), niter=3)
        signs = vectors.gather(0, vectors.abs().argmax(dim=0, keepdim=True)).sign()  # which no library decides
        self.get_buffer("mean").copy_(mean)
        self.get_buffer("basis").zero_()[:count] = (vectors * signs).T[:count].view(count, *mean.shape)
        self.get_buffer("scale").fill_(_LEAST_SCALE)[:count] = singular[:count] / len(windows) ** 0.5
        codes = self.encode(windows)
        for action in range(len(self.get_buffer("action_mean"))):
            own = codes[actions == action]
            share = len(own) / (len(own) + _SHRINKAGE)
            if len(own):
                self.get_buffer("action_mean")[action] = share * own.mean(dim=0)
                variance = share * own.var(dim=0, unbiased=False) + (1 - share)
                self.get_buffer("action_variance")[action] = variance.clamp_min(_LEAST_VARIANCE)

    def encode(self, windows: Tensor) -> Tensor:
        """Windows (N, T, C) to codes (N, K)."""
        basis, scale = self.get_buffer("basis"), self.get_buffer("scale")
        weighted = (windows - self.get_buffer("mean")) * self.get_buffer("weights")
        return weighted.flatten(1) @ basis.flatten(1).T / scale.clamp_min(_LEAST_SCALE)

    def decode(self, codes: Tensor) -> Tensor:
        """Codes (N, K) to windows (N, T, C)."""
        return self.get_buffer("mean") + self.decode_difference(codes)

    def decode_difference(self, codes: Tensor, rows: slice = slice(None)) -> Tensor:
        """Differences of codes (N, K) to those of windows, of some of the C numbers: (N, T, c)."""
        basis = self.get_buffer("basis")[:, :, rows]  # (K, T, c)
        weighted = ((codes * self.get_buffer("scale")) @ basis.flatten(1)).unflatten(1, basis.shape[1:])
        return weighted / self.get_buffer("weights")[rows]

    def blend(self, codes: Tensor, action: Tensor, strength: float) -> Tensor:
        """Draw codes around codes (N, K) of actions (N,): a smoothed bootstrap (Silverman and Young, 1987).

        The difference of two others of the same action is added, so many times, and the action's spread is kept. It is
        drawn from the codes themselves, with the global generator; a code that is alone stays in place.
        """
        count = torch.bincount(action, minlength=len(self.get_buffer("action_mean")))  # (A,)
        first, order = count.cumsum(0) - count, action.argsort()
        one, other = (
            codes[order[first[action] + (torch.rand_like(codes[:, 0]) * count[action]).long()]] for _ in range(2)
        )
        mean = self.get_buffer("action_mean")[action]
        return mean + (codes - mean + strength * (one - other) / 2**0.5) / (1 + strength**2) ** 0.5

    def gaussian(self, action: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variances (N, K) of codes of actions: (N,) int64, −1 for any, or (N, A) weights that sum to 1."""
        mean, variance = self.get_buffer("action_mean"), self.get_buffer("action_variance")
        if action.dim() == 2:
            return action @ mean, action @ variance
        known = (action >= 0)[:, None]
        row = action.clamp_min(0)
        return mean[row] * known, torch.where(known, variance[row], 1.0)

    def uncertainty(self, action: Tensor, sigma: Tensor) -> Tensor:
        """Variances (N, K) of clean codes about what is expected of noisy ones, by the Gaussian of each action.

        Args:
            action: See `gaussian`.
            sigma: () standard deviation of the noise.
        """
        _, variance = self.gaussian(action)
        return variance * sigma.square() / (variance + sigma.square())


class MotionDenoiser(nn.Module):
    """Cleans noisy codes: F of this module's first lines, and D, see there.

    Args:
        num_actions: A.
        code_dim: K.
        width: Of the hidden layers.
        num_blocks: Residual blocks of two layers each.
        dropout: Share of activations that training drops.
    """

    condition_dim = 128

    def __init__(self, num_actions: int, code_dim: int, width: int, num_blocks: int, dropout: float):
        super().__init__()
        self.actions = nn.Embedding(num_actions + 1, self.condition_dim)  # the last one: no action in particular
        self.noise = nn.Linear(64, self.condition_dim)
        self.length = nn.Linear(32, self.condition_dim)
        self.condition = nn.Linear(self.condition_dim, self.condition_dim)
        self.enter = nn.Linear(code_dim, width)
        blocks = [ModulatedBlock(width, self.condition_dim, dropout) for _ in range(num_blocks)]
        self.blocks = nn.ModuleList(blocks)
        self.leave = nn.Linear(width, code_dim)
        for layer in (self.leave, *(block.second for block in blocks)):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, z: Tensor, sigma: Tensor, action: Tensor, length: Tensor) -> Tensor:
        """F of inputs (N, K) of unit variance.

        Args:
            z: (N, K).
            sigma: (N,) standard deviations of the noise.
            action: (N,) int64, −1 for no action in particular, or (N, A) weights that sum to 1.
            length: (N,) frames of the motion.
        """
        names = self.actions.weight
        label = action @ names[:-1] if action.dim() == 2 else names[action]  # (N, E); −1 is the last row
        noise = self.noise(waves(sigma.log() / 4, 0.3, 30.0, 32))  # (N, E)
        frames = self.length(waves(length.to(z.dtype), 0.02, 1.0, 16))  # (N, E)
        condition = F.silu(self.condition(F.silu(label + noise + frames)))  # (N, E)
        x = self.enter(z)  # (N, H)
        for block in self.blocks:
            x = block(x, condition)  # (N, H)
        return self.leave(x)  # (N, K)


class ModulatedBlock(nn.Module):
    """A residual block whose normalized input is scaled and shifted by the condition (Peebles and Xie, 2023)."""

    def __init__(self, width: int, condition_dim: int, dropout: float):
        super().__init__()
        self.modulation = nn.Linear(condition_dim, 2 * width)
        self.first = nn.Linear(width, width)
        self.second = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        scale, shift = self.modulation(condition).chunk(2, dim=1)  # (N, H), (N, H)
        y = F.layer_norm(x, x.shape[1:]) * (1 + scale) + shift  # (N, H)
        return x + self.second(self.dropout(F.silu(self.first(y))))  # (N, H)


class Denoised(NamedTuple):
    """Output of a network for noisy codes."""

    code: Tensor
    """D, (N, K)."""
    output: Tensor
    """F, (N, K)."""
    scale: Tensor
    """(N, K) what F is multiplied with in D."""


def denoise(
    network: MotionDenoiser, gaussian: tuple[Tensor, Tensor], z: Tensor, sigma: Tensor, condition: tuple[Tensor, Tensor]
) -> Denoised:
    """Clean noisy codes: D and F of this module's first lines.

    Args:
        network: F.
        gaussian: m and v, see `MotionCode.gaussian`.
        z: (N, K).
        sigma: (N,).
        condition: Actions and lengths, see `MotionDenoiser.forward`.
    """
    mean, variance = gaussian
    square = sigma.square()[:, None]
    share = variance / (variance + square)  # (N, K)
    output = network(z * (1 + square).rsqrt(), sigma, *condition)
    scale = sigma[:, None] * share.sqrt()
    return Denoised(mean + share * (z - mean) + scale * output, output, scale)


def noise_levels(steps: int, least: float = 0.02, most: float = 30.0, rho: float = 7.0) -> Tensor:
    """Standard deviations (steps + 1,) that fall from the most to 0 (Karras et al., 2022, Equation 5)."""
    share = torch.linspace(0, 1, steps)
    levels = (most ** (1 / rho) + share * (least ** (1 / rho) - most ** (1 / rho))) ** rho
    return F.pad(levels, (0, 1))


def sample_codes_heun(clean: Denoise, noise: Tensor, levels: Tensor) -> Tensor:
    """Follow the probability flow from noise (N, K) of N(0, I) to codes, by Heun's method (Karras et al., Algorithm 1).

    Without randomness of its own: equal noise gives equal codes, and near noise near ones.
    """
    z = noise * levels[0]
    for sigma, below in pairwise(levels):
        slope = (z - clean(z, sigma)) / sigma
        step = below - sigma
        ahead = z + step * slope
        z = ahead if below == 0 else z + step * (slope + (ahead - clean(ahead, below)) / below) / 2
    return z


def waves(x: Tensor, slowest: float, fastest: float, count: int) -> Tensor:
    """Sines and cosines (N, 2 · count) of numbers (N,), of frequencies evenly spread on a logarithmic scale."""
    rates = torch.logspace(math.log10(slowest), math.log10(fastest), count, device=x.device, dtype=x.dtype)
    angles = x[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1)
