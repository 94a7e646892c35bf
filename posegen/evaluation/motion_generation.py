"""How good generated motions are, by the protocol of ACTOR (Petrovich et al., 2021, published code).

So many times, each with its own seed: windows of all real motions in random order; a generated motion of the same
action and length for each of them; another draw of windows of the real ones, which tells what FID is at its best. One
recogniser sees all of them, posed on one body.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from posegen.errors import ConfigError
from posegen.inference.action_classifiers import Recognizer
from posegen.metrics.motion import accuracy, amplitude, diversity, frechet_distance, multimodality
from posegen.motion.pose_features import pose_features
from posegen.samples import Batch, MotionCrops, fixed_batch

METRICS = ("fid", "accuracy", "diversity", "multimodality", "amplitude")
Source = Literal["real", "generated"]
Generate = Callable[[Tensor, Tensor, torch.Generator], Tensor]
"""Actions (N,) int64 by their place in the samples' own list, lengths (N,) and what draws codes, to motions
(N, T, 25, 6)."""


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How motions are measured."""

    seeds: int = 20
    """How often, each time with other windows, codes and pairs."""
    max_motions: int = 3000
    """Motions of each set at most."""
    batch_size: int = 64
    """Motions at a time."""
    random_state: bool = False
    """Start published recognisers from random states, as published; otherwise from zeros, which adds no noise."""

    def __post_init__(self) -> None:
        for name, least in (("seeds", 2), ("max_motions", 2), ("batch_size", 1)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name} must be at least {least}, got {getattr(self, name)}")


@dataclass(frozen=True)
class _Seen:
    """What a recogniser made of a set."""

    features: np.ndarray
    """(N, D)."""
    logits: np.ndarray
    """(N, A) of the samples' own actions."""
    labels: np.ndarray
    """(N,) their places."""
    amplitude: float
    """Metres: how far joints move, mean over the set."""


def score_motions(
    samples: MotionCrops,
    recognizer: Recognizer,
    generate: Generate | None,
    rest: Tensor,
    protocol: Protocol,
    *,
    on_seed: Callable[[int, int], None] = lambda done, total: None,
) -> dict[Source, dict[str, list[float]]]:
    """Measure real motions, and generated ones if there are any: every metric, once for each seed.

    ``fid`` of the real ones is between two draws of their windows; ``accuracy`` in [0, 1]; ``diversity`` and
    ``multimodality`` in units of the recogniser's features; ``amplitude`` in metres.

    Args:
        samples: The real motions; their window decides lengths.
        recognizer: It knows all of the samples' actions.
        generate: Draws motions.
        rest: (24, 3) metres, the body on which all motions are posed.
        protocol: How.
        on_seed: Hears how many of how many seeds are done.

    Raises:
        PosegenError: The recogniser does not know an action, or there are fewer than two motions.
    """
    columns = recognizer.labels(samples.actions, samples.dataset.rate())
    found: dict[Source, dict[str, list[float]]] = {}
    for seed in range(protocol.seeds):
        on_seed(seed, protocol.seeds)
        real, again = (list(_batches(samples, 2 * seed + half, protocol)) for half in (0, 1))
        seen = _see(real, recognizer, columns, rest, protocol, seed)
        other = _see(again, recognizer, columns, rest, protocol, seed + protocol.seeds)
        sets: dict[Source, tuple[_Seen, float]] = {"real": (seen, frechet_distance(seen.features, other.features))}
        if generate is not None:
            drawn = _see(_generated(real, generate, rest, seed), recognizer, columns, rest, protocol, seed)
            sets["generated"] = (drawn, frechet_distance(drawn.features, seen.features))
        for source, (one, fid) in sets.items():
            values = _measure(one, fid, seed)
            for name in METRICS:
                found.setdefault(source, {}).setdefault(name, []).append(values[name])
    on_seed(protocol.seeds, protocol.seeds)
    return found


def _measure(seen: _Seen, fid: float, seed: int) -> dict[str, float]:
    rng = np.random.default_rng(seed)
    return {
        "fid": fid,
        "accuracy": accuracy(seen.logits, seen.labels),
        "diversity": diversity(seen.features, rng),
        "multimodality": multimodality(seen.features, seen.labels, rng),
        "amplitude": seen.amplitude,
    }


def _batches(samples: MotionCrops, epoch: int, protocol: Protocol) -> list[Batch]:
    return fixed_batch(samples, protocol.max_motions, protocol.batch_size, epoch=epoch)


def _generated(real: Sequence[Batch], generate: Generate, rest: Tensor, seed: int) -> Iterable[Batch]:
    """For each real motion one of its action and length."""
    generator = torch.Generator().manual_seed(seed)
    for batch in real:
        motion = generate(batch["action"], batch["length"], generator).to(batch["motion"])
        missing = batch["motion"].shape[1] - motion.shape[1]  # the longest may be shorter than the window
        yield {**batch, "motion": F.pad(motion, (0, 0, 0, 0, 0, missing))}


@torch.no_grad()
def _see(
    batches: Iterable[Batch], recognizer: Recognizer, columns: Tensor, rest: Tensor, protocol: Protocol, seed: int
) -> _Seen:
    generator = torch.Generator().manual_seed(seed) if protocol.random_state else None
    features, logits, labels, amplitudes = [], [], [], []
    for batch in batches:
        body = rest.to(batch["motion"]).expand(len(batch["motion"]), -1, -1)
        posed = {**_fill(batch), "rest": body}
        recognized = recognizer.recognize({name: x.to(rest.device) for name, x in posed.items()}, generator)
        features.append(recognized.features.cpu().numpy())
        logits.append(recognized.logits.cpu()[:, columns].numpy())
        labels.append(batch["action"].numpy())
        joints = pose_features(batch["motion"], body, translate=False).joints.numpy()
        amplitudes += [amplitude(x[:n]) for x, n in zip(joints, batch["length"].tolist(), strict=True)]
    return _Seen(np.concatenate(features), np.concatenate(logits), np.concatenate(labels), float(np.mean(amplitudes)))


def _fill(batch: Batch) -> Batch:
    """Repeat the last frame behind the end, as recognisers of fixed windows know it."""
    count = batch["motion"].shape[1]
    rows = torch.minimum(torch.arange(count), batch["length"][:, None] - 1)  # (N, T)
    filled = batch["motion"][torch.arange(len(rows))[:, None], rows]
    return {"motion": filled, "length": torch.full_like(batch["length"], count)}
