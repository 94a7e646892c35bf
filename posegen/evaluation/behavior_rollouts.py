"""What a behaviour net makes of windows: from which the protocol of `posegen.evaluation.behavior` measures it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from posegen.errors import DatasetError
from posegen.motion.editing import posture_placement
from posegen.networks.behavior import BehaviorNet
from posegen.samples import BehaviorWindows
from posegen.skeletons import H36M_17
from posegen.stages import BehaviorFlow
from posegen.stages.behavior_stage import BehaviorStage

Kind = Literal["reconstruction", "transfer", "prior", "flow"]
_BATCH = 256  # motions that are drawn at once


@dataclass(frozen=True)
class Windows:
    """Windows (N, T + 1, 17, 3) in metres with companions, as the net's coordinates have them."""

    joints: Tensor
    labels: Tensor
    """(N,): the place of their actions."""
    targets: Tensor
    """Of another action and, where there is one, of another person."""
    target_labels: Tensor
    same: Tensor
    """Of the same action."""


@dataclass(frozen=True)
class Drawn:
    """Motions that a net drew."""

    starts: Tensor
    """(N, 17, 3) metres."""
    joints: Tensor
    """(N, T, 17, 3) metres: what follows them."""

    @property
    def with_starts(self) -> Tensor:
        """(N, T + 1, 17, 3) metres."""
        return torch.cat([self.starts[:, None], self.joints], dim=1)

    def codes(self, network: BehaviorNet) -> Tensor:
        """The mean codes (N, Z) that the net finds in them."""
        return encode(network, self.with_starts)


@dataclass(frozen=True)
class Played:
    """What a net makes of windows."""

    windows: Windows
    codes: Tensor
    """(N, Z): the means."""
    drawn: dict[Kind, Drawn]
    """From the windows' own first postures, but transfers from their targets'."""


def choose_windows(samples: BehaviorWindows, count: int, rng: np.random.Generator) -> Windows:
    """Choose about so many windows, the same number of every action, and companions for each.

    Raises DatasetError where there are fewer than two actions: nothing can be transferred.
    """
    labels, people = samples.labels, samples.people
    present = np.unique(labels)
    if len(present) < 2:
        raise DatasetError(
            f"{samples.dataset.folder} has windows of {samples.actions[present[0]]!r} alone, "
            "expected two actions or more: transfers are between different ones"
        )
    each = max(count // len(present), 1)
    chosen = np.concatenate([_choose(np.flatnonzero(labels == label), each, rng) for label in present])
    targets, same = np.empty_like(chosen), np.empty_like(chosen)
    for label, person in np.unique(np.stack([labels[chosen], people[chosen]], axis=1), axis=0):
        rows = (labels[chosen] == label) & (people[chosen] == person)
        others = np.flatnonzero((labels != label) & (people != person))
        others = others if len(others) else np.flatnonzero(labels != label)
        targets[rows] = rng.choice(others, rows.sum())
        same[rows] = rng.choice(np.flatnonzero(labels == label), rows.sum())
    return Windows(
        joints=read_windows(samples, chosen),
        labels=torch.from_numpy(labels[chosen]),
        targets=read_windows(samples, targets),
        target_labels=torch.from_numpy(labels[targets]),
        same=read_windows(samples, same),
    )


def _choose(numbers: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """So many of them; some more than once only where there are fewer."""
    return rng.choice(numbers, count, replace=len(numbers) < count)


def read_windows(samples: BehaviorWindows, numbers: np.ndarray) -> Tensor:
    """The joints (N, T + 1, 17, 3) of windows in metres."""
    return torch.from_numpy(np.stack([samples.window(int(number)) for number in numbers]))


def play(stage: BehaviorStage, windows: Windows, generator: torch.Generator) -> Played:
    """Reconstruct windows, transfer their behaviour to their targets, and draw random futures of their starts."""
    codes = encode(stage.network, windows.joints)
    own, others = windows.joints[:, 0], windows.targets[:, 0]
    drawn: dict[Kind, Drawn] = {
        "reconstruction": decode(stage, codes, own),
        "transfer": decode(stage, codes, others),
        **{kind: decode(stage, x, own) for kind, x in random_codes(stage, len(codes), generator).items()},
    }
    return Played(windows, codes, drawn)


def random_codes(stage: BehaviorStage, count: int, generator: torch.Generator) -> dict[Kind, Tensor]:
    """Codes (count, Z) of the prior N(0, I) and, if the stage has one, of the flow."""
    codes: dict[Kind, Tensor] = {"prior": BehaviorStage.sample_codes(stage, count, generator).to(stage.device)}
    if isinstance(stage, BehaviorFlow):
        codes["flow"] = stage.sample_codes(count, generator)
    return codes


@torch.no_grad()
def encode(network: BehaviorNet, windows: Tensor) -> Tensor:
    """The mean codes (N, Z) of windows (N, T + 1, 17, 3), without their last frame, as in training."""
    device = network.mean.device
    return torch.cat([network.encode(some[:, :-1].to(device))[0] for some in windows.split(_BATCH)])


@torch.no_grad()
def decode(stage: BehaviorStage, codes: Tensor, starts: Tensor) -> Drawn:
    """Go on from postures (N, 17, 3) as codes (N, Z) say, for as many frames as in training."""
    starts = starts.to(stage.device)
    num_frames = stage.config.num_frames
    pairs = zip(codes.split(_BATCH), starts.split(_BATCH), strict=True)
    return Drawn(starts, torch.cat([stage.network.decode(code, start, num_frames) for code, start in pairs]))


def late_starts(stage: BehaviorStage, windows: Tensor, rng: np.random.Generator) -> Tensor:
    """A random posture (N, 17, 3) of each window between its half and three quarters, where the net has its origin."""
    num_frames = stage.config.num_frames
    frames = rng.integers(num_frames // 2, 3 * num_frames // 4 + 1, len(windows))
    postures = windows[torch.arange(len(windows)), torch.from_numpy(frames)].numpy()
    if not stage.config.canonical:
        return torch.from_numpy(postures)
    placed = [posture_placement(posture, H36M_17).to_canonical(posture) for posture in postures]
    return torch.from_numpy(np.stack(placed))
