"""The protocol of ACTOR that measures generated motions (Petrovich et al., 2021, arXiv:2104.05670, published code).

It is repeated with several seeds. Each repeat samples windows of the real motions in random order; generates a motion
of the same action and length for each of them; and samples the real motions a second time, whose FID to the first
sample is the best that generated ones can reach. One action classifier sees all of them, posed on one body.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from posegen.errors import ConfigError
from posegen.inference.action_classifiers import ActionClassifier
from posegen.metrics.motion import accuracy, amplitude, diversity, frechet_distance, multimodality
from posegen.motion.pose_features import pose_features
from posegen.samples import Batch, MotionCrops, fixed_batch

MOTION_METRICS = ("fid", "accuracy", "diversity", "multimodality", "amplitude")
MotionSet = Literal["real", "learned", "generated"]
"""Real motions, real motions of the people that a generator learned from, and what it generates."""
GenerateMotions = Callable[[Tensor, Tensor, torch.Generator], Tensor]
"""From actions (N,) int64, as indices of the samples' own list, lengths (N,) and the generator of random codes to
motions (N, T, 25, 6)."""
ComparedMotions = GenerateMotions | MotionCrops
"""Where motions come from that are compared with real ones: a generator, or other real ones."""


@dataclass(frozen=True, kw_only=True)
class MotionProtocol:
    """How motions are measured."""

    seeds: int = 20
    """Repeats, each with other windows, codes and pairs."""
    max_motions: int = 3000
    """Motions of each set at most."""
    batch_size: int = 64
    """Motions at a time."""
    random_state: bool = False
    """Start published classifiers from random states, as published; otherwise from zeros, which adds no noise."""

    def __post_init__(self) -> None:
        for name, least in (("seeds", 2), ("max_motions", 2), ("batch_size", 1)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name} must be at least {least}, got {getattr(self, name)}")


@dataclass(frozen=True)
class _Predictions:
    """What the classifier predicts for a set of motions."""

    features: np.ndarray
    """(N, D)."""
    logits: np.ndarray
    """(N, A) of the samples' own actions."""
    labels: np.ndarray
    """(N,) indices of the true actions."""
    amplitude: float
    """Metres, mean over the set."""


def score_motions(
    samples: MotionCrops,
    recognizer: ActionClassifier,
    sources: Mapping[MotionSet, ComparedMotions],
    rest: Tensor,
    protocol: MotionProtocol,
    *,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[MotionSet, dict[str, list[float]]]:
    """Measure real motions and others beside them: every metric of `MOTION_METRICS`, once for each seed.

    ``fid`` of real motions is between two samples of their windows; that of others is between them and the real ones,
    whose actions and lengths generated ones have. ``accuracy`` is in [0, 1]; ``diversity`` and ``multimodality`` are in
    units of the classifier's features; ``amplitude`` is in metres.

    Args:
        samples: The real motions; their window decides lengths.
        recognizer: The action classifier, which must know all of the samples' actions.
        sources: What is measured besides.
        rest: (24, 3) metres, the body on which all motions are posed.
        protocol: How to measure.
        on_progress: Called with the number of seeds that are done and the number of all.

    Raises:
        PosegenError: The classifier does not know an action, or there are fewer than two motions.
    """
    columns = recognizer.labels(samples.actions, samples.dataset.rate())
    scores: dict[MotionSet, dict[str, list[float]]] = {}
    for seed in range(protocol.seeds):
        on_progress(seed, protocol.seeds)
        windows, others = (list(_batches(samples, 2 * seed + half, protocol)) for half in (0, 1))
        real = _predict(windows, recognizer, columns, rest, protocol, seed)
        again = _predict(others, recognizer, columns, rest, protocol, seed + protocol.seeds)
        sets: dict[MotionSet, tuple[_Predictions, float]] = {
            "real": (real, frechet_distance(real.features, again.features))
        }
        for name, source in sources.items():
            motions = (
                _batches(source, 2 * seed, protocol)
                if isinstance(source, MotionCrops)
                else _generate_like(windows, source, seed)
            )
            found = _predict(motions, recognizer, columns, rest, protocol, seed)
            sets[name] = (found, frechet_distance(found.features, real.features))
        for name, (predictions, fid) in sets.items():
            values = _measure(predictions, fid, seed)
            for metric in MOTION_METRICS:
                scores.setdefault(name, {}).setdefault(metric, []).append(values[metric])
    on_progress(protocol.seeds, protocol.seeds)
    return scores


def _measure(predictions: _Predictions, fid: float, seed: int) -> dict[str, float]:
    rng = np.random.default_rng(seed)
    return {
        "fid": fid,
        "accuracy": accuracy(predictions.logits, predictions.labels),
        "diversity": diversity(predictions.features, rng),
        "multimodality": multimodality(predictions.features, predictions.labels, rng),
        "amplitude": predictions.amplitude,
    }


def _batches(samples: MotionCrops, epoch: int, protocol: MotionProtocol) -> list[Batch]:
    return fixed_batch(samples, protocol.max_motions, protocol.batch_size, epoch=epoch)


def _generate_like(real: Sequence[Batch], generate: GenerateMotions, seed: int) -> Iterable[Batch]:
    """For each real motion a generated one of its action and length."""
    generator = torch.Generator().manual_seed(seed)
    for batch in real:
        motion = generate(batch["action"], batch["length"], generator).to(batch["motion"])
        missing = batch["motion"].shape[1] - motion.shape[1]  # the longest may be shorter than the window
        yield {**batch, "motion": F.pad(motion, (0, 0, 0, 0, 0, missing))}


@torch.no_grad()
def _predict(
    batches: Iterable[Batch],
    recognizer: ActionClassifier,
    columns: Tensor,
    rest: Tensor,
    protocol: MotionProtocol,
    seed: int,
) -> _Predictions:
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
    mean_amplitude = float(np.mean(amplitudes))
    return _Predictions(np.concatenate(features), np.concatenate(logits), np.concatenate(labels), mean_amplitude)


def _fill(batch: Batch) -> Batch:
    """Repeat the last frame up to the end of the window, as classifiers of fixed windows were trained."""
    count = batch["motion"].shape[1]
    rows = torch.minimum(torch.arange(count), batch["length"][:, None] - 1)  # (N, T)
    filled = batch["motion"][torch.arange(len(rows))[:, None], rows]
    return {"motion": filled, "length": torch.full_like(batch["length"], count)}
