"""Diversity, accuracy and separation of behaviour (Blattmann et al., 2021, arXiv:2103.04677, Section 4).

Distances are Euclidean norms of whole postures, all joints at once, not of single joints, as in the published code: of
17 joints they are about four times the distance of one. Postures may come as (..., D) or as joints (..., J, 3).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from posegen.errors import ConfigError
from posegen.skeletons import H36M_17, H36M_17_BONES, joint_indices

_LIMBS = [bone for bone in H36M_17_BONES if bone[1].endswith(("knee", "ankle", "elbow", "wrist"))]


class SelfDistance(NamedTuple):
    """Distance of random futures from their nearest neighbour, as a mean over all."""

    average: float
    """ASD: mean over the frames."""
    final: float
    """FSD: of the last frame."""


class DisplacementError(NamedTuple):
    """Distance of the nearest random future from the real one, as a mean over sequences."""

    average: float
    """ADE: mean over the frames."""
    final: float
    """FDE: of the last frame."""


class CodeDistance(NamedTuple):
    """Distance of codes from other codes."""

    mean: float
    std: float
    """Of the population."""


def self_distance(samples: np.ndarray) -> SelfDistance:
    """ASD and FSD of futures (C, S, T, ...), S at least 2, of C sequences.

    Raises ConfigError where there are fewer, or a number is not finite.
    """
    futures = _postures(samples, 4)
    if futures.shape[1] < 2:
        raise ConfigError(f"got futures of shape {np.shape(samples)}, expected at least 2 of each sequence")
    average, final = zip(*(_nearest_neighbors(of_one) for of_one in futures), strict=True)
    return SelfDistance(float(np.mean(average)), float(np.mean(final)))


def displacement_error(samples: np.ndarray, truth: np.ndarray) -> DisplacementError:
    """ADE and FDE of futures (C, S, T, ...) where (C, T, ...) happened.

    The nearest future is chosen for either on its own. Raises ConfigError where shapes are not these, or a number is
    not finite.
    """
    futures, real = _postures(samples, 4), _postures(truth, 3)
    if futures.shape[:1] + futures.shape[2:] != real.shape:
        raise ConfigError(
            f"got futures {np.shape(samples)} and truth {np.shape(truth)}, expected (C, S, T, D), (C, T, D)"
        )
    distances = np.linalg.norm(futures - real[:, None], axis=-1)  # (C, S, T)
    average, final = distances.mean(axis=2).min(axis=1), distances[:, :, -1].min(axis=1)
    return DisplacementError(float(average.mean()), float(final.mean()))


def average_pairwise_distance(samples: np.ndarray) -> float:
    """APD: mean distance of all pairs of futures (C, S, T, ...), each as one vector of all its frames.

    Raises ConfigError for fewer than 2 futures, or where a number is not finite.
    """
    futures = _postures(samples, 4)
    count = futures.shape[1]
    if count < 2:
        raise ConfigError(f"got futures of shape {np.shape(samples)}, expected at least 2 of each sequence")
    first, second = np.triu_indices(count, 1)
    flat = futures.reshape(*futures.shape[:2], -1)
    return float(np.mean([np.linalg.norm(one[first] - one[second], axis=1).mean() for one in flat]))


def cross_displacement(transferred: np.ndarray, source: np.ndarray) -> DisplacementError:
    """Distance of transferred postures (N, T, ...) from those of the source of their behaviour, (N, T, ...).

    Published for normalized postures. Where it is small, the source's postures were copied and not its behaviour alone.
    Raises ConfigError where shapes differ, or a number is not finite.
    """
    fake, real = _postures(transferred, 3), _postures(source, 3)
    if fake.shape != real.shape:
        raise ConfigError(f"got postures {np.shape(transferred)} and {np.shape(source)}, expected the same shape")
    distances = np.linalg.norm(fake - real, axis=-1)  # (N, T)
    return DisplacementError(float(distances.mean()), float(distances[:, -1].mean()))


def code_distance(codes: np.ndarray, others: np.ndarray) -> CodeDistance:
    """Distance of codes (N, Z), row by row.

    Of a sequence and of what its behaviour became on another person, this is behaviour consistency; of two sequences of
    one action it is the yardstick for it. Raises ConfigError where shapes differ, or a number is not finite.
    """
    codes, others = np.asarray(codes, np.float64), np.asarray(others, np.float64)
    finite = np.isfinite(codes).all() and np.isfinite(others).all()
    if codes.ndim != 2 or not codes.size or codes.shape != others.shape or not finite:
        raise ConfigError(f"got codes {codes.shape} and {others.shape}, expected finite ones, (N, Z) each")
    distances = np.linalg.norm(codes - others, axis=1)
    return CodeDistance(float(distances.mean()), float(distances.std()))


def limb_drift(motions: np.ndarray) -> float:
    """Measure length changes of thighs, shins, upper arms and forearms in motions (N, T, 17, 3): 0 in real bodies.

    Standard deviation over the frames / mean, in the mean over limbs and motions. What joints of `H36M_17` lie on the
    trunk has no fixed distances in real bodies either. Raises ConfigError where shapes are not these, or a number is
    not finite.
    """
    joints = np.asarray(motions, np.float64)
    if joints.ndim != 4 or joints.shape[2:] != (len(H36M_17), 3) or not joints.size or not np.isfinite(joints).all():
        raise ConfigError(f"got motions of shape {np.shape(motions)}, expected finite ones, (N, T, {len(H36M_17)}, 3)")
    near, far = (joint_indices(ends, H36M_17) for ends in zip(*_LIMBS, strict=True))
    lengths = np.linalg.norm(joints[:, :, near] - joints[:, :, far], axis=-1)  # (N, T, 8)
    return float((lengths.std(axis=1) / np.maximum(lengths.mean(axis=1), 1e-9)).mean())


def _nearest_neighbors(futures: np.ndarray) -> tuple[float, float]:
    """The mean distance of each of futures (S, T, D) to its nearest other, over all frames and in the last one."""
    distances = np.stack([np.linalg.norm(futures - one, axis=-1) for one in futures])  # (S, S, T)
    itself = np.diag(np.full(len(futures), np.inf))
    average, final = distances.mean(axis=2) + itself, distances[:, :, -1] + itself
    return float(average.min(axis=1).mean()), float(final.min(axis=1).mean())


def _postures(postures: np.ndarray, dimensions: int) -> np.ndarray:
    """Postures (..., D) in float64 with so many dimensions. Raises ConfigError where they are none."""
    flat = np.asarray(postures, np.float64)
    if flat.ndim == dimensions + 1:
        flat = flat.reshape(*flat.shape[:-2], -1)
    if flat.ndim != dimensions or not flat.size or not np.isfinite(flat).all():
        raise ConfigError(
            f"got postures of shape {np.shape(postures)}, expected finite ones with {dimensions} dimensions, or joints"
        )
    return flat
