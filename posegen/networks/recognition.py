"""Networks that classify the action of a motion: what accuracy, FID, diversity and multimodality are measured with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from posegen.errors import ConfigError
from posegen.networks.synced_norm import SyncedBatchNorm1d, SyncedBatchNorm2d
from posegen.weights import download as weights


class ActionPrediction(NamedTuple):
    """Prediction of a recogniser for a batch."""

    logits: Tensor
    """(N, A), one per action."""
    features: Tensor
    """(N, D), what the logits are read from: the space in which motions are compared."""


class GRURecognizer(nn.Module):
    """Recognises actions by joint positions (Guo et al., 2020, "Action2Motion", arXiv:2007.15240, published code).

    Layers have their published names.

    Args:
        num_actions: A.
        num_joints: J: 24 of SMPL for HumanAct12, 18 for NTU13.
    """

    hidden_dim = 128
    num_layers = 2
    feature_dim = 30

    def __init__(self, num_actions: int, num_joints: int = 24):
        super().__init__()
        self.recurrent = nn.GRU(num_joints * 3, self.hidden_dim, self.num_layers, batch_first=True)
        self.linear1 = nn.Linear(self.hidden_dim, self.feature_dim)
        self.linear2 = nn.Linear(self.feature_dim, num_actions)

    @classmethod
    def from_state_dict(cls, state: Mapping[str, Tensor]) -> GRURecognizer:
        """Build the network of its weights, in evaluation mode.

        Raises KeyError or RuntimeError where they are not such a network's.
        """
        num_actions, num_inputs = len(state["linear2.bias"]), state["recurrent.weight_ih_l0"].shape[1]
        network = cls(num_actions, num_inputs // 3)
        network.load_state_dict(state)
        return network.eval()

    @classmethod
    def pretrained(cls, name: str = "gru-humanact12") -> GRURecognizer:
        """Load weights of the table `posegen.weights.registry`. Raises WeightsError where they cannot be had."""
        with weights.loaded(name) as tensors:
            return cls.from_state_dict(tensors)

    def random_state(self, num_motions: int, generator: torch.Generator) -> Tensor:
        """Return a state to start from, (2, N, 128) of N(0, 1), where the network is; drawn where the generator is.

        The published code draws one at every call, also when it measures, and its published numbers hold that noise.
        """
        shape = (self.num_layers, num_motions, self.hidden_dim)
        return torch.randn(shape, generator=generator, device=generator.device).to(self.linear1.weight)

    def forward(self, joints: Tensor, lengths: Tensor, initial_state: Tensor | None = None) -> ActionPrediction:
        """Tell the actions of a batch.

        Args:
            joints: (N, T, J, 3) in metres. The published weights take them minus the first frame's root.
            lengths: (N,) int64 in [1, T]: frames of each motion. What comes after them counts nothing.
            initial_state: (2, N, 128), as `random_state` draws it; zeros by default, which measure the same each time.
        """
        states, _ = self.recurrent(joints.flatten(2), initial_state)  # (N, T, 128)
        last = states[torch.arange(len(states), device=states.device), lengths - 1]  # (N, 128)
        features = self.linear1(last).tanh()  # (N, 30)
        return ActionPrediction(self.linear2(features), features)  # (N, A), (N, 30)


class STGCN(nn.Module):
    """Recognises actions by joint rotations on the skeleton's graph (Yan et al., 2018, arXiv:1801.07455, Section 3).

    As ACTOR measures UESTC with it (Petrovich et al., 2021, arXiv:2104.05670, published code).

    Args:
        num_actions: A.
        parents: The parent of each of the J joints; -1 for the root, which comes first.
        num_features: C, numbers of a joint.
    """

    feature_dim = 256

    def __init__(self, num_actions: int, parents: Sequence[int], num_features: int = 6):
        super().__init__()
        adjacency = spatial_partition(parents)  # (3, J, J)
        self.register_buffer("adjacency", adjacency, persistent=False)
        self.norm = SyncedBatchNorm1d(len(parents) * num_features)
        channels = [num_features, 64, 64, 64, 64, 128, 128, 128, 256, 256, self.feature_dim]
        self.blocks = nn.ModuleList(
            _GraphBlock(channels[i], channels[i + 1], adjacency.shape, stride=2 if i in (4, 7) else 1, shortcut=i > 0)
            for i in range(len(channels) - 1)
        )
        self.head = nn.Linear(self.feature_dim, num_actions)

    def forward(self, rotations: Tensor) -> ActionPrediction:
        """Local rotations (N, T, J, 6), the first two rows of each matrix, without translation."""
        x = self.norm(rotations.flatten(2).transpose(1, 2))  # (N, J C, T)
        x = x.unflatten(1, rotations.shape[2:]).permute(0, 2, 3, 1)  # (N, C, T, J)
        for block in self.blocks:
            x = block(x, self.get_buffer("adjacency"))  # (N, 64 … 256, T … T / 4, J)
        features = x.mean(dim=(2, 3))  # (N, 256)
        return ActionPrediction(self.head(features), features)  # (N, A), (N, 256)


class _GraphBlock(nn.Module):
    """A convolution over the edges of the graph, then one over nine frames, and perhaps a shortcut past both."""

    def __init__(self, in_channels: int, out_channels: int, graph: Sequence[int], *, stride: int, shortcut: bool):
        super().__init__()
        self.importance = nn.Parameter(torch.ones(*graph))
        self.spatial = nn.Conv2d(in_channels, graph[0] * out_channels, kernel_size=1)
        self.temporal = nn.Sequential(
            SyncedBatchNorm2d(out_channels),
            nn.ReLU(),
            nn.Conv2d(out_channels, out_channels, kernel_size=(9, 1), stride=(stride, 1), padding=(4, 0)),
            SyncedBatchNorm2d(out_channels),
        )
        self.shortcut: nn.Module | None = nn.Identity() if shortcut else None
        if shortcut and in_channels != out_channels:  # as where time is halved
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, kernel_size=1, stride=(stride, 1)), SyncedBatchNorm2d(out_channels)
            )

    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
        edges = adjacency * self.importance  # (K, J, J), from the second index to the third
        messages = self.spatial(x).unflatten(1, (len(edges), -1))  # (N, K, D, T, J)
        y = torch.einsum("nkdtv, kvw -> ndtw", messages, edges)  # (N, D, T, J)
        y = self.temporal(y)  # (N, D, T / stride, J)
        return F.relu(y if self.shortcut is None else y + self.shortcut(x))  # (N, D, T / stride, J)


def spatial_partition(parents: Sequence[int]) -> Tensor:
    """Weights of a skeleton's edges in three sets (Yan et al., 2018, "Partition Strategies", and published code).

    The sets hold each joint's edge to itself, its edges from joints no nearer to the root, and from joints nearer.
    The published code measures distances no further than to neighbours, so that those beyond the root's own are
    all equally far.

    Args:
        parents: The parent of each of the J joints; -1 for the root, which comes first.

    Returns:
        (3, J, J) float32, from joint v to joint w at [:, v, w]; what arrives at a joint has weights that sum to 1.

    Raises:
        ConfigError: A joint's parent is no joint, or the first joint is not the only root.
    """
    count = len(parents)
    if not parents or parents[0] != -1 or not all(0 <= parent < count for parent in parents[1:]):
        raise ConfigError(f"got parents {list(parents)}, expected -1 and then numbers of joints")
    children = torch.arange(1, count)
    linked = torch.eye(count, dtype=torch.bool)
    linked[children, torch.tensor(parents[1:], dtype=torch.long)] = True
    linked |= linked.T.clone()
    distance = torch.where(linked[0], 1.0, torch.inf)
    distance[0] = 0.0
    weight = linked / linked.sum(dim=0)  # (J, J)
    to_itself = torch.eye(count, dtype=torch.bool)
    nearer = distance[:, None] < distance  # (J, J), v than w
    sets = torch.stack([to_itself, ~to_itself & ~nearer, nearer])  # (3, J, J)
    return weight * sets
