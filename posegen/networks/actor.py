"""ACTOR: motions of an action and back (Petrovich et al., 2021, arXiv:2104.05670, Section 3 and published code).

A motion has T frames of J rows of C numbers. In the paper these are the rotations of SMPL's 24 joints, each as the
first two rows of its matrix (C = 6), and in a 25th row the root's translation since the first frame, in metres, and
three zeros. A mask (N, T) is True where a motion has a frame, so that motions of several lengths fit into a batch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True, kw_only=True)
class ActorSize:
    """Size of encoder and decoder; by default as published."""

    num_joints: int = 25
    """J, rows of a frame."""
    num_features: int = 6
    """C, numbers of a row."""
    latent_dim: int = 256
    """Z, even: size of the code and of every token."""
    num_layers: int = 8
    """Transformer layers."""
    num_heads: int = 4
    """Attention heads of a layer; they divide Z."""
    feedforward_dim: int = 1024
    """Width of each layer's perceptron."""
    dropout: float = 0.1
    """Share of activations that training drops."""
    norm_first: bool = False
    """Normalize what goes into each part of a layer (Xiong et al., 2020, arXiv:2002.04745) instead of what comes out,
    as published, and once more behind the last layer: it learns in fewer steps, and takes larger ones."""

    @property
    def layer_options(self) -> dict[str, Any]:
        """Arguments of PyTorch's transformer layers."""
        return {
            "d_model": self.latent_dim,
            "nhead": self.num_heads,
            "dim_feedforward": self.feedforward_dim,
            "dropout": self.dropout,
            "activation": _gelu,
            "batch_first": True,
            "norm_first": self.norm_first,
        }

    def last_norm(self) -> nn.Module:
        """Make what stands behind the last layer."""
        return nn.LayerNorm(self.latent_dim) if self.norm_first else nn.Identity()


_PUBLISHED = ActorSize()


class ActorEncoder(nn.Module):
    """Reads the code of a motion: the posterior q(z | motion, action) = N(mean, exp(logvar)) (Section 3).

    Two learned tokens of the action stand before the frames; what the transformer makes of them is mean and logvar.

    Args:
        num_actions: A.
        size: Of motions and layers.
    """

    def __init__(self, num_actions: int, size: ActorSize = _PUBLISHED):
        super().__init__()
        self.mean_tokens = nn.Parameter(torch.randn(num_actions, size.latent_dim))
        self.logvar_tokens = nn.Parameter(torch.randn(num_actions, size.latent_dim))
        self.embedding = nn.Linear(size.num_joints * size.num_features, size.latent_dim)
        self.dropout = nn.Dropout(size.dropout)
        self.layers = nn.ModuleList(nn.TransformerEncoderLayer(**size.layer_options) for _ in range(size.num_layers))
        self.norm = size.last_norm()

    def forward(self, motion: Tensor, action: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Motion (N, T, J, C), action (N,) int64 in [0, A) and mask (N, T) bool to mean and logvar (N, Z).

        What stands behind the mask changes neither, as long as it is finite.
        """
        frames = self.embedding(motion.flatten(2))  # (N, T, Z)
        tokens = torch.stack([self.mean_tokens[action], self.logvar_tokens[action]], dim=1)  # (N, 2, Z)
        x = torch.cat([tokens, frames], dim=1)  # (N, 2 + T, Z)
        x = self.dropout(x + sinusoidal_positions(x))  # (N, 2 + T, Z)
        padding = torch.cat([mask.new_zeros(len(mask), 2), ~mask], dim=1)  # (N, 2 + T)
        for layer in self.layers:
            x = layer(x, src_key_padding_mask=padding)  # (N, 2 + T, Z)
        x = self.norm(x[:, :2])  # (N, 2, Z)
        return x[:, 0], x[:, 1]  # (N, Z), (N, Z)


class ActorDecoder(nn.Module):
    """Draws a motion of an action from a code: p(motion | z, action) (Section 3).

    Frames start as their positions alone, look at each other, and at the one token that the code and the action's
    bias make together. With one token there is nothing to choose: queries and keys of that attention are idle, and
    are kept because the published network has them. Arguments are those of the encoder.
    """

    def __init__(self, num_actions: int, size: ActorSize = _PUBLISHED):
        super().__init__()
        self.num_features = size.num_features
        self.action_biases = nn.Parameter(torch.randn(num_actions, size.latent_dim))
        self.dropout = nn.Dropout(size.dropout)
        self.layers = nn.ModuleList(nn.TransformerDecoderLayer(**size.layer_options) for _ in range(size.num_layers))
        self.norm = size.last_norm()
        self.head = nn.Linear(size.latent_dim, size.num_joints * size.num_features)

    def forward(self, z: Tensor, action: Tensor, mask: Tensor) -> Tensor:
        """Code (N, Z), action and mask (N, T) bool to a motion (N, T, J, C) that is exactly 0 behind the mask.

        Args:
            z: (N, Z).
            action: (N,) int64 in [0, A), or (N, A) weights that sum to 1: a motion between actions.
            mask: (N, T), any T: every length is decoded in one pass.
        """
        bias = action @ self.action_biases if action.dim() == 2 else self.action_biases[action]  # (N, Z)
        memory = (z + bias).unsqueeze(1)  # (N, 1, Z)
        x = z.new_zeros(*mask.shape, z.shape[1])  # (N, T, Z)
        x = self.dropout(x + sinusoidal_positions(x))  # (N, T, Z)
        for layer in self.layers:
            x = layer(x, memory, tgt_key_padding_mask=~mask)  # (N, T, Z)
        motion = self.head(self.norm(x)).unflatten(2, (-1, self.num_features))  # (N, T, J, C)
        return motion.masked_fill(~mask[..., None, None], 0.0)  # (N, T, J, C)


def sinusoidal_positions(x: Tensor) -> Tensor:
    """Positions (T, Z) of the tokens x (N, T, Z), sines and cosines in turn (Vaswani et al., 2017, Section 3.5).

    They are worked out in float32 whatever x is, as the published weights were trained with them.
    """
    position = torch.arange(x.shape[1], device=x.device, dtype=torch.float32).unsqueeze(1)  # (T, 1)
    even = torch.arange(0, x.shape[2], 2, device=x.device, dtype=torch.float32)  # (Z / 2,)
    angle = position * torch.exp(even * (-math.log(10000.0) / x.shape[2]))  # (T, Z / 2)
    return torch.stack([angle.sin(), angle.cos()], dim=2).flatten(1).to(x.dtype)  # (T, Z)


def frame_mask(lengths: Tensor, num_frames: int) -> Tensor:
    """Mask (N, num_frames) bool of motions with so many frames each, (N,) int64."""
    return torch.arange(num_frames, device=lengths.device) < lengths.unsqueeze(1)  # (N, T)


def _gelu(x: Tensor) -> Tensor:
    """The exact GELU, as a function of ours.

    PyTorch swaps whole layers with its own one for a kernel that is no faster here and that, on CUDA, approximates
    it by tanh: codes would change with whether gradients are asked for.
    """
    return F.gelu(x)
