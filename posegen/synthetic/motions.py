"""Procedural motions: people who do every action by curves of joint angles, for when there is no other data.

Angles are varied by subject (limbs, tempo, amplitude) and by take (phase, amplitude, side, slow noise). The foot that
stands stays where it is; the floor is y = 0.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch

from posegen.errors import ConfigError, suggestion
from posegen.motion import rotations
from posegen.motion.anatomy import REST
from posegen.motion.floor import FEET
from posegen.motion.kinematics import forward_kinematics
from posegen.motion.motion import Motion
from posegen.skeletons import SMPL_24, SMPL_24_PARENTS, joint_indices
from posegen.synthetic.actions import ACTIONS, ActionTake, Footing
from posegen.synthetic.actions.body_angles import STANCE

PROCEDURAL_FPS = 25.0
SECONDS = (3.0, 6.0)
"""The shortest and the longest take, unless others are given."""
NUM_SUBJECTS = 30

_SOLES: np.ndarray = np.concatenate([FEET, joint_indices(["left_ankle", "right_ankle"], SMPL_24)])
_SOLE_HEIGHTS = REST[_SOLES, 1] - REST[FEET, 1].min()  # at rest, above the floor
_STANDS = 0.01  # metres: a foot this much higher than the other carries less of the weight by a factor of e
_NOISE = 0.02  # radians of slow noise in every angle
_HIPS, _KNEES, _ANKLES = (
    joint_indices([f"left_{name}", f"right_{name}"], SMPL_24) for name in ("hip", "knee", "ankle")
)


@dataclass(frozen=True)
class Subject:
    """Someone of the corpus."""

    number: int
    rest: np.ndarray
    """(24, 3) metres, the pelvis at the origin."""
    tempo: float
    amplitude: float
    """Speed and range of the movement, relative to other people."""


def make_subject(number: int, seed: int = 0) -> Subject:
    """Return the subject of a number: always the same for a seed."""
    random = _random(seed, number)
    size, legs, arms, width = 1 + 0.04 * random.standard_normal(4)
    scale = np.full((len(SMPL_24), 3), size)
    for joint, name in enumerate(SMPL_24):
        part = name.rpartition("_")[2]
        scale[joint] *= legs if part in ("knee", "ankle", "foot") else arms if part in ("elbow", "wrist", "hand") else 1
        if part in ("hip", "collar", "shoulder"):
            scale[joint, 0] *= width
    rest = np.zeros_like(REST)
    for joint, parent in enumerate(SMPL_24_PARENTS[1:], start=1):
        rest[joint] = rest[parent] + scale[joint] * (REST[joint] - REST[parent])
    tempo, amplitude = np.exp(0.12 * random.standard_normal(2))
    return Subject(number, rest, float(tempo), float(np.clip(amplitude, 0.8, 1.25)))


def perform(
    action: str,
    subject: Subject,
    take: int = 0,
    seed: int = 0,
    *,
    frames: int | None = None,
    seconds: tuple[float, float] = SECONDS,
) -> Motion:
    """Return a motion with rotations, at 25 frames per second.

    It starts above the origin and faces +z. The same arguments give the same motion, a longer one goes on where a
    shorter one ends.

    Args:
        action: One of `ACTIONS`.
        subject: Who performs it.
        take: Number of the performance: each has other phases, amplitudes and noise.
        seed: Seed of the numbers drawn.
        frames: Frames of the motion; by default those of the time that is drawn from `seconds`.
        seconds: The shortest and the longest time in which most actions come back to rest.

    Raises:
        ConfigError: There is no such action, frames are less than 1, or seconds are no range of positive numbers.
    """
    _check(action, frames)
    if not 1 / PROCEDURAL_FPS <= seconds[0] <= seconds[1] < math.inf:
        shortest, longest = seconds
        raise ConfigError(f"got takes of {shortest:g} to {longest:g} seconds, expected the shortest first, above 0.04")
    drawn = _draw_take(subject, _random(seed, subject.number, action, take), frames, seconds)
    meta = {"source": "posegen.synthetic.motions", "subject": subject.number, "take": take, "seed": seed}
    return replace(_pose(action, drawn, subject.rest), meta=meta)


def perform_in_step(action: str, rest: np.ndarray, frames: int) -> Motion:
    """Return an action from rest to rest in so many frames: everybody's joints turn by the same angles in a frame.

    It starts above the origin and faces +z; its rate is said to be 25 frames per second, however many there are.

    Args:
        action: One of `ACTIONS`.
        rest: (24, 3) metres: the body, the pelvis at the origin.
        frames: About 100 are the action at its own speed.

    Raises:
        ConfigError: There is no such action, or frames are less than 1.
    """
    _check(action, frames)
    seconds = ACTIONS[action].seconds
    take = ActionTake(np.arange(frames) * (seconds / frames), seconds)
    return replace(_pose(action, take, rest), meta={"source": "posegen.synthetic.motions"})


def _check(action: str, frames: int | None) -> None:
    if action not in ACTIONS:
        raise ConfigError(
            f"unknown action {action!r}{suggestion(action, ACTIONS)}, expected one of {', '.join(ACTIONS)}"
        )
    if frames is not None and frames < 1:
        raise ConfigError(f"a motion must have at least 1 frame, got {frames}")


def _draw_take(
    subject: Subject, random: np.random.Generator, frames: int | None, seconds: tuple[float, float]
) -> ActionTake:
    usual = int(random.uniform(*seconds) * PROCEDURAL_FPS)
    time = np.arange(frames or usual) / PROCEDURAL_FPS
    size = subject.amplitude * random.uniform(0.9, 1.1)
    side = str(random.choice(["left", "right"]))
    tempo = subject.tempo * random.uniform(0.92, 1.08)
    start = random.uniform(0, 2 * np.pi)
    hertz = random.uniform(0.1, 0.8, (3, len(SMPL_24), 3))
    phases = random.uniform(0, 2 * np.pi, hertz.shape)
    waves = np.sin(2 * np.pi * hertz * time[:, None, None, None] + phases)
    noise = _NOISE * random.standard_normal(hertz.shape[1:]) * waves.sum(axis=1)
    return ActionTake(time, usual / PROCEDURAL_FPS, tempo, size, side, start, noise)


def _pose(action: str, take: ActionTake, rest: np.ndarray) -> Motion:
    performed = ACTIONS[action].perform(take)
    rotated = performed.rotations
    still = forward_kinematics(rotated, torch.from_numpy(rest), torch.zeros(len(take), 3, dtype=torch.float64))
    joints = still.joints.numpy()
    if performed.footing is None:
        root = _stand(joints[:, _SOLES], performed.rise)
    else:
        root = _step(joints, rest, performed.footing, performed.rise)
    rows = rotations.matrix_to_rot6d_rows(rotated).numpy()
    motion = Motion.from_rotations(rows, root, rest, PROCEDURAL_FPS)
    return replace(motion, label=list(ACTIONS).index(action), label_name=action)


def _stand(soles: np.ndarray, rise: np.ndarray) -> np.ndarray:
    """Compute root positions (T, 3) for which the lowest of the soles (T, 4, 3) touches the floor and stays there."""
    height = soles[..., 1] - _SOLE_HEIGHTS
    lowest = height.min(axis=1)
    weight = np.exp((lowest[:, None] - height) / _STANDS)
    weight = (weight / weight.sum(axis=1, keepdims=True))[1:, :, None]
    steps = -(weight * np.diff(soles, axis=0)).sum(axis=1)  # against how the standing foot moves below the root
    root = np.concatenate([np.zeros((1, 3)), np.cumsum(steps, axis=0)])
    root[:, 1] = rise - lowest
    return root


def _step(still: np.ndarray, rest: np.ndarray, footing: Footing, jump: np.ndarray) -> np.ndarray:
    """Compute root positions (T, 3) for which the supporting foot stays and the lowest sole touches the floor.

    Feet stand where straight legs have them, moved by the footing's anchors, so that people of all sizes step without
    sliding though all of them follow the same angles.
    """
    leg = np.linalg.norm(np.diff(rest[[_HIPS, _KNEES, _ANKLES]], axis=0), axis=-1).sum(axis=0).mean() / 2
    sides = np.array([1.0, -1.0])
    anchors = sides * (np.abs(rest[_HIPS, 0]).mean() + 2 * np.sin(STANCE) * leg) + footing.anchors * leg  # (T, 2)
    weights = np.stack([footing.support, 1 - footing.support], axis=1)
    feet = still[:, _ANKLES]  # (T, 2, 3)
    root = np.zeros((len(still), 3))
    root[:, 0] = (weights * (anchors - feet[..., 0])).sum(axis=1)
    root[:, 2] = -(weights * feet[..., 2]).sum(axis=1)
    root -= root[0]
    root[:, 1] = jump * leg - (still[:, _SOLES, 1] - _SOLE_HEIGHTS).min(axis=1)
    return root


def generate_corpus(
    subjects: int = NUM_SUBJECTS, takes: int = 1, seed: int = 0, seconds: tuple[float, float] = SECONDS
) -> Iterator[Motion]:
    """Yield every action of every subject, so often, see `perform`; whose it is says ``meta["subject"]``."""
    for number in range(subjects):
        subject = make_subject(number, seed)
        for action in ACTIONS:
            for take in range(takes):
                yield perform(action, subject, take, seed, seconds=seconds)


def _random(*key: object) -> np.random.Generator:
    """A generator for what the key names, the same on every machine."""
    return np.random.default_rng(list(hashlib.sha256(repr(key).encode()).digest()))
