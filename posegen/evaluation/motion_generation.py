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
from posegen.metrics.motion import (
    accuracy,
    amplitude,
    coverage,
    diversity,
    frechet_distance,
    jerk,
    multimodality,
    nearest_distances,
)
from posegen.motion.pose_features import pose_features
from posegen.motion.quality import bone_drift, skate
from posegen.samples import Batch, MotionCrops, fixed_batch

MOTION_METRICS = (
    "fid",
    "accuracy",
    "diversity",
    "multimodality",
    "coverage",
    "nearest",
    "amplitude",
    "jerk",
    "foot_skate",
    "limb_drift",
)
MotionSet = Literal["real", "learned", "generated"]
"""Real motions, real motions of the people that a generator learned from, and what it generates."""
GenerateMotions = Callable[[Tensor, Tensor, torch.Generator], Tensor]
"""From actions (N,) int64, as indices of the samples' own list, lengths (N,) and the generator of random codes to
motions (N, T, 25, 6)."""
ComparedMotions = GenerateMotions | MotionCrops
"""Source of motions that are compared with real ones: a generator, or other real ones."""


@dataclass(frozen=True, kw_only=True)
class MotionProtocol:
    """Evaluation protocol of generated motions."""

    seeds: int = 20
    """Repeats, each with other windows, codes and pairs."""
    max_motions: int = 3000
    """Motions of each set at most."""
    batch_size: int = 64
    """Motions at a time."""
    nearest_motions: int = 200
    """Motions of each set whose nearest training motion is looked for; 0 looks for none."""
    random_state: bool = False
    """Start published classifiers from random states, as published; otherwise from zeros, which adds no noise."""

    def __post_init__(self) -> None:
        for name, least in (("seeds", 2), ("max_motions", 2), ("batch_size", 1), ("nearest_motions", 0)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name} must be at least {least}, got {getattr(self, name)}")


@dataclass(frozen=True)
class _Predictions:
    """Predictions of the classifier for a set of motions."""

    features: np.ndarray
    """(N, D)."""
    logits: np.ndarray
    """(N, A) of the samples' own actions."""
    labels: np.ndarray
    """(N,) indices of the true actions."""
    joints: np.ndarray
    """(N, T, 24, 3) metres since the first root, behind a motion's end its last frame."""
    lengths: np.ndarray
    """(N,) frames of each."""
    origins: tuple[int, ...] = ()
    """The real motion that each is a window of, by its position in the dataset; none of generated ones."""


def score_motions(
    samples: MotionCrops,
    recognizer: ActionClassifier,
    sources: Mapping[MotionSet, ComparedMotions],
    rest: Tensor,
    protocol: MotionProtocol,
    *,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[MotionSet, dict[str, list[float]]]:
    """Measure real motions and others beside them: every metric of `MOTION_METRICS` that they have, for each seed.

    ``fid`` of real motions is between two samples of their windows; that of others is between them and the real ones,
    whose actions and lengths generated ones have. ``accuracy`` is in [0, 1]; ``diversity`` and ``multimodality`` are in
    units of the classifier's features; ``coverage`` in [0, 1] is of the real windows, see
    `posegen.metrics.motion.coverage`; ``nearest`` in metres is the mean distance to the nearest window of the training
    split, of real motions to the nearest of another motion: less than they have says that a generator copies.
    ``amplitude`` is in metres, ``jerk`` in metres per second cubed, ``foot_skate`` in metres per second and
    ``limb_drift`` a share of the bones' lengths, see `posegen.motion.quality`.

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
    judge = _Judge(recognizer, columns, rest, protocol)
    training = _TrainingWindows(samples, rest) if protocol.nearest_motions else None
    scores: dict[MotionSet, dict[str, list[float]]] = {}
    for seed in range(protocol.seeds):
        on_progress(seed, protocol.seeds)
        windows, others = (list(_batches(samples, 2 * seed + half, protocol)) for half in (0, 1))
        real = judge.predict(windows, seed, _origins(samples, 2 * seed, protocol))
        again = judge.predict(others, seed + protocol.seeds, _origins(samples, 2 * seed + 1, protocol))
        sets: dict[MotionSet, tuple[_Predictions, _Predictions]] = {"real": (real, again)}
        for name, source in sources.items():
            if isinstance(source, MotionCrops):
                origins = _origins(source, 2 * seed, protocol)
                found = judge.predict(_batches(source, 2 * seed, protocol), seed, origins)
            else:
                found = judge.predict(_generate_like(windows, source, seed), seed)
            sets[name] = (found, real)
        for name, (found, reference) in sets.items():
            values = _measure(found, reference, seed, samples.dataset.rate())
            values["nearest"] = training.distance(found, protocol.nearest_motions) if training else float("nan")
            for metric in MOTION_METRICS:
                scores.setdefault(name, {}).setdefault(metric, []).append(values[metric])
    on_progress(protocol.seeds, protocol.seeds)
    return {
        name: {metric: values for metric, values in measured.items() if np.isfinite(values).all()}
        for name, measured in scores.items()
    }


def _measure(found: _Predictions, reference: _Predictions, seed: int, fps: float) -> dict[str, float]:
    """All metrics but the distance to training motions; NaN where no motion has one."""
    rng = np.random.default_rng(seed)
    motions = [joints[:length] for joints, length in zip(found.joints, found.lengths, strict=True)]
    return {
        "fid": frechet_distance(found.features, reference.features),
        "accuracy": accuracy(found.logits, found.labels),
        "diversity": diversity(found.features, rng),
        "multimodality": multimodality(found.features, found.labels, rng),
        "coverage": coverage(reference.features, found.features),
        "amplitude": _mean(amplitude(x) for x in motions),
        "jerk": _mean(jerk(x, fps) for x in motions),
        "foot_skate": _mean(skate(x, np.ones(len(x), bool), fps) for x in motions),
        "limb_drift": _mean(bone_drift(x) for x in motions),
    }


def _mean(values: Iterable[float]) -> float:
    """The mean of those that are numbers; NaN where none is."""
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")


class _TrainingWindows:
    """Windows of the motions to learn from, posed on one body: from every quarter of a window on."""

    def __init__(self, samples: MotionCrops, rest: Tensor):
        entries = samples.dataset.info.motions
        crops = MotionCrops(samples.dataset, "all", actions=samples.actions, window=samples.window)
        count = samples.window.most_frames
        windows, origins = [], []
        for index, entry in enumerate(crops.entries):
            if entry.split != "train":
                continue
            features = torch.from_numpy(crops.features(index)[0])
            joints = pose_features(features[None], rest.cpu()[None]).joints[0].numpy()
            for start in range(0, max(len(joints) - count, 0) + 1, max(count // 4, 1)):
                rows = np.minimum(np.arange(start, start + count), len(joints) - 1)
                windows.append(joints[rows] - joints[start, 0])
                origins.append(entries.index(entry))
        self._windows, self._origins = np.stack(windows), np.array(origins)

    def distance(self, found: _Predictions, most: int) -> float:
        """Metres from motions to the nearest window of another motion, the mean of so many; NaN where there is none."""
        joints = found.joints[:most]
        if not found.origins:
            return float(nearest_distances(joints, self._windows).mean())
        allowed = np.array(found.origins[:most])[:, None] != self._origins
        one = allowed.any(axis=1)
        return float(nearest_distances(joints[one], self._windows, allowed[one]).mean()) if one.any() else float("nan")


def _origins(samples: MotionCrops, epoch: int, protocol: MotionProtocol) -> tuple[int, ...]:
    """The motions of `_batches`, by their positions in the dataset."""
    entries = {entry.motion_id: index for index, entry in enumerate(samples.dataset.info.motions)}
    plan = samples.plan(epoch)[: protocol.max_motions]
    return tuple(entries[samples.entries[crop.motion].motion_id] for crop in plan)


def _batches(samples: MotionCrops, epoch: int, protocol: MotionProtocol) -> list[Batch]:
    return fixed_batch(samples, protocol.max_motions, protocol.batch_size, epoch=epoch)


def _generate_like(real: Sequence[Batch], generate: GenerateMotions, seed: int) -> Iterable[Batch]:
    """For each real motion a generated one of its action and length."""
    generator = torch.Generator().manual_seed(seed)
    for batch in real:
        motion = generate(batch["action"], batch["length"], generator).to(batch["motion"])
        missing = batch["motion"].shape[1] - motion.shape[1]  # the longest may be shorter than the window
        yield {**batch, "motion": F.pad(motion, (0, 0, 0, 0, 0, missing))}


@dataclass(frozen=True)
class _Judge:
    """Poses motions on one body, and asks the action classifier."""

    recognizer: ActionClassifier
    columns: Tensor
    """(A,) the classifier's labels of the samples' actions."""
    rest: Tensor
    """(24, 3) metres."""
    protocol: MotionProtocol

    @torch.no_grad()
    def predict(self, batches: Iterable[Batch], seed: int, origins: tuple[int, ...] = ()) -> _Predictions:
        """Return the predictions of the classifier for batches of motions."""
        generator = torch.Generator().manual_seed(seed) if self.protocol.random_state else None
        features, logits, labels, joints, lengths = [], [], [], [], []
        for batch in batches:
            body = self.rest.to(batch["motion"]).expand(len(batch["motion"]), -1, -1)
            posed = {**_fill(batch), "rest": body}
            on_device = {name: x.to(self.rest.device) for name, x in posed.items()}
            recognized = self.recognizer.recognize(on_device, generator)
            features.append(recognized.features.cpu().numpy())
            logits.append(recognized.logits.cpu()[:, self.columns].numpy())
            labels.append(batch["action"].numpy())
            places = pose_features(posed["motion"], body).joints
            joints.append((places - places[:, :1, :1]).numpy())
            lengths.append(batch["length"].numpy())
        return _Predictions(
            features=np.concatenate(features),
            logits=np.concatenate(logits),
            labels=np.concatenate(labels),
            joints=np.concatenate(joints),
            lengths=np.concatenate(lengths),
            origins=origins,
        )


def _fill(batch: Batch) -> Batch:
    """Repeat the last frame up to the end of the window, as classifiers of fixed windows were trained."""
    count = batch["motion"].shape[1]
    rows = torch.minimum(torch.arange(count), batch["length"][:, None] - 1)  # (N, T)
    filled = batch["motion"][torch.arange(len(rows))[:, None], rows]
    return {"motion": filled, "length": torch.full_like(batch["length"], count)}
