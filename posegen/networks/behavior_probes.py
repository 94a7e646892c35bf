"""Probes of behaviour: networks that classify actions, realism and postures (Blattmann et al., 2021, published code).

Postures are vectors of D numbers, normalized as the behaviour net sees them.
"""

from __future__ import annotations

from torch import Tensor, nn

from posegen.networks.actor import frame_mask
from posegen.networks.behavior_diffusion import MaskedConvolutions

_FEATURES = 128  # from which the action is classified
_READ = (512, 256)  # widths of the layers that read a posture


class ActionLSTM(nn.Module):
    """Tells which action a sequence of postures shows.

    Args:
        pose_dim: D.
        num_actions: A.
        hidden_dim: Size of the recurrent state; 512 as published.
    """

    def __init__(self, pose_dim: int = 51, num_actions: int = 15, hidden_dim: int = 512):
        super().__init__()
        self.rnn = nn.LSTM(pose_dim, hidden_dim, batch_first=True)
        self.features = nn.Sequential(nn.Linear(hidden_dim, _FEATURES), nn.ReLU())
        self.head = nn.Linear(_FEATURES, num_actions)

    def forward(self, postures: Tensor) -> Tensor:
        """Postures (N, T, D) to logits (N, A)."""
        _, (last, _) = self.rnn(postures)  # (1, N, H)
        return self.head(self.features(last[0]))  # (N, A)


class ActionJudge(nn.Module):
    """Tells which action a sequence of postures of any length shows, by convolutions over time.

    On held-out people of HumanAct12 it is right more often than `ActionLSTM`, in a third of the time.

    Args:
        pose_dim: D.
        num_actions: A.
        width: Channels, a multiple of 8.
    """

    def __init__(self, pose_dim: int, num_actions: int, width: int = 96):
        super().__init__()
        self.layers = MaskedConvolutions(pose_dim, width)
        self.head = nn.Sequential(nn.Dropout(0.3), nn.Linear(2 * width, num_actions))

    def forward(self, postures: Tensor, lengths: Tensor) -> Tensor:
        """Postures (N, T, D), of which the first `lengths` (N,) frames count, to logits (N, A)."""
        return self.head(self.layers(postures, frame_mask(lengths, postures.shape[1])))  # (N, A)


class RealismGRU(nn.Module):
    """Classifies sequences of postures as real or generated.

    Args:
        pose_dim: D.
        hidden_dim: Size of the recurrent state; 256 as published.
    """

    def __init__(self, pose_dim: int = 51, hidden_dim: int = 256):
        super().__init__()
        self.rnn = nn.GRU(pose_dim, hidden_dim, batch_first=True)
        self.head = nn.Linear(hidden_dim, 1)

    def forward(self, postures: Tensor) -> Tensor:
        """Postures (N, T, D) to logits (N,), positive where they look real."""
        _, last = self.rnn(postures)  # (1, N, H)
        return self.head(last[0]).squeeze(-1)  # (N,)


class PostureMLP(nn.Module):
    """Predicts one posture of a sequence from the sequence's code.

    Args:
        latent_dim: Z, size of the code.
        pose_dim: D.
    """

    def __init__(self, latent_dim: int = 1024, pose_dim: int = 51):
        super().__init__()
        first, second = _READ
        self.layers = nn.Sequential(
            nn.Linear(latent_dim, first), nn.ReLU(), nn.Linear(first, second), nn.ReLU(), nn.Linear(second, pose_dim)
        )

    def forward(self, code: Tensor) -> Tensor:
        """Code (N, Z) to posture (N, D)."""
        return self.layers(code)  # (N, D)
