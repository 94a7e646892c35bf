"""Behaviour-driven synthesis: what is done, apart from who does it where (Blattmann et al., 2021, arXiv:2103.04677).

A recurrent cVAE (Section 3.1 and published code): the code b of a sequence of postures, and a start posture from which
b goes on. A second decoder reads postures out of b, so that training can take them away (Section 3.2).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from posegen.networks.actor import sinusoidal_positions
from posegen.skeletons import H36M_17

_TIME_INPUTS = 50  # of the published posture decoder: one for each of its frames
_TIME_WIDTH = 128


class BehaviorEncoder(nn.Module):
    """Reads the code of a sequence: the posterior q(b | x) = N(mean, exp(logstd)²).

    Args:
        pose_dim: D, numbers of a posture.
        latent_dim: Z, size of the code and of the recurrent state.
    """

    def __init__(self, pose_dim: int = 51, latent_dim: int = 1024):
        super().__init__()
        self.rnn = nn.LSTM(pose_dim, latent_dim, batch_first=True)
        self.mean = ScaledLinear(latent_dim)
        self.logstd = ScaledLinear(latent_dim)

    def forward(self, postures: Tensor) -> tuple[Tensor, Tensor]:
        """Postures (N, T, D), any T, to mean and logarithm of the standard deviation, (N, Z) each."""
        _, (last, _) = self.rnn(postures)  # (1, N, Z)
        return self.mean(last[0]), self.logstd(last[0])  # (N, Z), (N, Z)


class BehaviorDecoder(nn.Module):
    """Goes on from a posture as a code says: p(x | b, x₀).

    The code is hidden and cell state at the start, and there is no other way in for it. Each step sees the posture
    before it, its own one in training, too, and gives the difference to the next.
    """

    def __init__(self, pose_dim: int = 51, latent_dim: int = 1024):
        super().__init__()
        self.rnn = nn.LSTMCell(pose_dim, latent_dim)
        self.head = nn.Linear(latent_dim, pose_dim)

    def forward(self, code: Tensor, start: Tensor, num_frames: int) -> Tensor:
        """Code (N, Z) and posture (N, D) to the postures (N, num_frames, D) after it; the start is none of them."""
        posture, hidden, cell = start, code, code  # (N, D), (N, Z), (N, Z)
        postures = []
        for _ in range(num_frames):
            hidden, cell = self.rnn(posture, (hidden, cell))  # (N, Z), (N, Z)
            posture = posture + self.head(hidden)  # (N, D)
            postures.append(posture)
        return torch.stack(postures, dim=1)  # (N, L, D)


class NormalizedPostures(nn.Module, ABC):
    """Base of behaviour nets: codes of motions, motions from codes, and the scale of postures.

    Postures are joints in metres. `mean` and `std` (17, 3) hold the mean and the standard deviation of each coordinate,
    0 and 1 until they are set; probes see postures by them, and so does the published net.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, num_joints: int = len(H36M_17)):
        super().__init__()
        self.register_buffer("mean", torch.zeros(num_joints, 3))
        self.register_buffer("std", torch.ones(num_joints, 3))

    @abstractmethod
    def encode(self, joints: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Joints (N, T, 17, 3) in metres, of which the first `lengths` (N,) frames count, to their codes.

        Returns mean and logarithm of the standard deviation, (N, Z) each.
        """

    @abstractmethod
    def decode(self, code: Tensor, start: Tensor, num_frames: int) -> Tensor:
        """Code (N, Z) and joints (N, 17, 3) in metres to the joints (N, num_frames, 17, 3) in metres that follow."""

    def normalize(self, joints: Tensor) -> Tensor:
        """Joints (..., J, 3) in metres in standard deviations from the mean, (..., 3 J)."""
        return ((joints - self.mean) / self.std).flatten(-2)

    def denormalize(self, postures: Tensor) -> Tensor:
        """Return the inverse of `normalize`."""
        return postures.unflatten(-1, (-1, 3)) * self.std + self.mean


class BehaviorNet(NormalizedPostures):
    """The published net: a recurrent encoder and decoder that see normalized postures.

    Args:
        num_joints: J.
        latent_dim: Z, size of the code.
    """

    def __init__(self, num_joints: int = len(H36M_17), latent_dim: int = 1024):
        super().__init__(num_joints)
        self.encoder = BehaviorEncoder(3 * num_joints, latent_dim)
        self.decoder = BehaviorDecoder(3 * num_joints, latent_dim)

    def encode(self, joints: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """See `NormalizedPostures.encode`; all frames count, as published."""
        return self.encoder(self.normalize(joints))

    def decode(self, code: Tensor, start: Tensor, num_frames: int) -> Tensor:
        """See `NormalizedPostures.decode`."""
        return self.denormalize(self.decoder(code, self.normalize(start), num_frames))


class PostureDecoder(nn.Module):
    """Predicts the posture at a time from a code: the auxiliary decoder (Section 3.2).

    Time goes in as one of fifty, as published, where sequences have so many frames, and as sines and cosines in fifty
    numbers otherwise: the network is the same for any number of frames.

    Args:
        pose_dim: D.
        latent_dim: Z, a multiple of 4.
        num_frames: T, frames of a sequence.
    """

    def __init__(self, pose_dim: int = 51, latent_dim: int = 1024, num_frames: int = 50):
        super().__init__()
        self.num_frames = num_frames
        widths = (latent_dim, latent_dim, latent_dim // 2, latent_dim // 4)
        layers = [(nn.Linear(near, far), nn.ReLU(inplace=True)) for near, far in pairwise(widths)]
        self.code = nn.Sequential(*(module for layer in layers for module in layer))
        self.time = nn.Sequential(nn.Linear(_TIME_INPUTS, _TIME_WIDTH), nn.ReLU(inplace=True))
        self.head = nn.Linear(widths[-1] + _TIME_WIDTH, pose_dim)

    def forward(self, code: Tensor, times: Tensor) -> Tensor:
        """Code (N, Z) and times (K,) int64 in [0, T) to postures (N, K, D)."""
        seen = self.code(code).unsqueeze(1).expand(-1, len(times), -1)  # (N, K, Z / 4)
        when = self.time(self._encoding(code)[times]).expand(len(code), -1, -1)  # (N, K, 128)
        return self.head(torch.cat([seen, when], dim=2))  # (N, K, D)

    def _encoding(self, like: Tensor) -> Tensor:
        """The encoding of each time, (T, 50)."""
        if self.num_frames == _TIME_INPUTS:
            return torch.eye(_TIME_INPUTS, dtype=like.dtype, device=like.device)
        return sinusoidal_positions(like.new_zeros(1, self.num_frames, _TIME_INPUTS))


class ScaledLinear(nn.Module):
    """A linear layer of normed weights (Salimans and Kingma, 2016), then a gain and a shift of each number."""

    def __init__(self, width: int):
        super().__init__()
        self.linear = weight_norm(nn.Linear(width, width))
        self.shift = nn.Parameter(torch.zeros(width))
        self.gain = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """(N, Z) to (N, Z)."""
        return self.gain * self.linear(x) + self.shift  # (N, Z)
