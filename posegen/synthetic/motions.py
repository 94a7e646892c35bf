"""A procedural corpus: people who do twelve actions by curves of joint angles, for when there is no other data.

Angles are sums of sines and pulses in the action's phase, varied by subject (limbs, tempo, amplitude) and by take
(phase, amplitude, side, slow noise). The foot that stands stays where it is; the floor is y = 0.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch

from posegen.errors import ConfigError
from posegen.motion import rotations
from posegen.motion.anatomy import REST
from posegen.motion.floor import FEET
from posegen.motion.kinematics import forward_kinematics
from posegen.motion.motion import Motion
from posegen.skeletons import SMPL_24, SMPL_24_PARENTS, joint_indices, swap_left_right

FPS = 25.0
SECONDS = (3.0, 6.0)
"""The shortest and the longest take."""
SUBJECTS = 30

_SOLES: np.ndarray = np.concatenate([FEET, joint_indices(["left_ankle", "right_ankle"], SMPL_24)])
_SOLE_HEIGHTS = REST[_SOLES, 1] - REST[FEET, 1].min()  # at rest, above the floor
_STANDS = 0.01  # metres: a foot this much higher than the other carries less of the weight by a factor of e
_NOISE = 0.02  # radians of slow noise in every angle

X, Y, Z = range(3)


@dataclass(frozen=True)
class Subject:
    """Someone of the corpus."""

    number: int
    rest: np.ndarray
    """(24, 3) metres, the pelvis at the origin."""
    tempo: float
    amplitude: float
    """How fast and how far they move, in relation to others."""


def make_subject(number: int, seed: int = 0) -> Subject:
    """Return the subject of a number: always the same for a seed."""
    random = _random(seed, number)
    size, legs, arms, width = 1 + 0.04 * random.standard_normal(4)
    scale = np.full((len(SMPL_24), 3), size)
    for joint, name in enumerate(SMPL_24):
        part = name.rpartition("_")[2]
        scale[joint] *= legs if part in ("knee", "ankle", "foot") else arms if part in ("elbow", "wrist", "hand") else 1
        if part in ("hip", "collar", "shoulder"):
            scale[joint, X] *= width
    rest = np.zeros_like(REST)
    for joint, parent in enumerate(SMPL_24_PARENTS[1:], start=1):
        rest[joint] = rest[parent] + scale[joint] * (REST[joint] - REST[parent])
    tempo, amplitude = np.exp(0.12 * random.standard_normal(2))
    return Subject(number, rest, float(tempo), float(np.clip(amplitude, 0.8, 1.25)))


class _Take:
    """Angles while they are made up: (T, 24, 3) radians about a joint's x, y and z, applied z first."""

    def __init__(self, subject: Subject, random: np.random.Generator, frames: int | None = None):
        usual = int(random.uniform(*SECONDS) * FPS)
        frames = frames or usual
        self.time = np.arange(frames) / FPS
        self.size = subject.amplitude * random.uniform(0.9, 1.1)
        self.side = random.choice(["left", "right"])
        self._tempo = subject.tempo * random.uniform(0.92, 1.08)
        self._start = random.uniform(0, 2 * np.pi)
        self.angles = np.zeros((frames, len(SMPL_24), 3))
        self.rise = np.zeros(frames)
        """Metres of the feet above the floor."""
        self.both("shoulder", Z, -1.25)
        self.both("elbow", Y, -0.25)
        self._add_noise(random)

    def _add_noise(self, random: np.random.Generator) -> None:
        hertz = random.uniform(0.1, 0.8, (3, len(SMPL_24), 3))
        start = random.uniform(0, 2 * np.pi, hertz.shape)
        waves = np.sin(2 * np.pi * hertz * self.time[:, None, None, None] + start)
        self.angles += _NOISE * random.standard_normal(hertz.shape[1:]) * waves.sum(axis=1)

    def phase(self, hertz: float) -> np.ndarray:
        """The phase (T,) in radians of what is done so often a second."""
        return 2 * np.pi * hertz * self._tempo * self.time + self._start

    def pulse(self, hertz: float, sharpness: float = 1.0) -> np.ndarray:
        """A curve (T,) from 0 to 1 and back, so often a second; the sharper, the longer it stays at 0."""
        return ((1 - np.cos(self.phase(hertz))) / 2) ** sharpness

    def turn(self, joint: str, axis: int, angle: np.ndarray | float) -> None:
        """Turn a joint, in the sense of the left side: what turns a left limb inwards also turns a right one."""
        mirrored = joint.startswith("right_") and axis != X
        self.angles[:, SMPL_24.index(joint), axis] += -np.asarray(angle) if mirrored else angle

    def both(self, joint: str, axis: int, angle: np.ndarray | float) -> None:
        """Turn the joint of both sides."""
        for side in ("left", "right"):
            self.turn(f"{side}_{joint}", axis, angle)

    def lean(self, angle: np.ndarray | float) -> None:
        """Bend the trunk forward."""
        for joint in ("spine1", "spine2", "spine3"):
            self.turn(joint, X, np.asarray(angle) / 3)

    def crouch(self, angle: np.ndarray) -> None:
        """Bend the knees by twice an angle, with the trunk upright and the soles on the floor."""
        self.both("hip", X, -angle)
        self.both("knee", X, 2 * angle)
        self.both("ankle", X, -angle)

    def step(self, phase: np.ndarray, stride: float, lift: float) -> None:
        """Step in place or along: legs swing by turns, knees bend while their leg comes forward."""
        for side, shift in (("left", 0.0), ("right", np.pi)):
            swing = np.sin(phase + shift)
            bend = lift * np.maximum(np.cos(phase + shift), 0) ** 2 + 0.1
            self.turn(f"{side}_hip", X, -stride * swing - bend / 2)
            self.turn(f"{side}_knee", X, bend)
            self.turn(f"{side}_ankle", X, stride * swing - bend / 2)


def _walk(take: _Take) -> None:
    phase = take.phase(0.9)
    take.step(phase, 0.4 * take.size, 1.1)
    for side, sign in (("left", 1.0), ("right", -1.0)):
        take.turn(f"{side}_shoulder", X, sign * 0.4 * take.size * np.sin(phase))


def _run(take: _Take) -> None:
    phase = take.phase(1.5)
    take.step(phase, 0.65 * take.size, 1.6)
    take.lean(0.25)
    take.both("elbow", Y, -1.3)
    for side, sign in (("left", 1.0), ("right", -1.0)):
        take.turn(f"{side}_shoulder", X, sign * 0.8 * take.size * np.sin(phase))
    take.rise += 0.06 * np.sin(phase) ** 2


def _jump(take: _Take) -> None:
    phase = take.phase(0.7)
    up = np.maximum(np.sin(phase), 0) ** 2
    take.crouch(0.7 * take.size * np.maximum(-np.sin(phase), 0) ** 2)
    take.both("shoulder", X, -1.6 * take.size * up)
    take.rise += 0.35 * take.size * up


def _wave(take: _Take) -> None:
    take.turn(f"{take.side}_shoulder", Z, 1.7)
    take.turn(f"{take.side}_elbow", Z, 0.9 + 0.5 * take.size * np.sin(take.phase(1.6)))


def _kick(take: _Take) -> None:
    up = take.pulse(0.6, 2.0)
    take.turn(f"{take.side}_hip", X, -1.3 * take.size * up)
    take.turn(f"{take.side}_knee", X, 0.9 * take.pulse(1.2) * up)
    take.lean(-0.2 * up)
    take.turn(f"{swap_left_right(take.side + '_')}shoulder", X, -0.7 * up)


def _squat(take: _Take) -> None:
    down = take.pulse(0.5)
    take.crouch(0.95 * take.size * down)
    take.lean(0.4 * down)
    take.both("shoulder", X, -1.3 * down)


def _sit(take: _Take) -> None:
    down = 1 / (1 + np.exp(-8 * np.sin(take.phase(0.2))))  # sits for a while, stands for a while
    take.both("hip", X, -1.5 * down)
    take.both("knee", X, 1.5 * down)
    take.lean(0.5 * take.size * 4 * down * (1 - down))
    take.both("shoulder", X, -0.5 * down)
    take.both("elbow", Y, -0.6 * down)


def _bend(take: _Take) -> None:
    down = take.pulse(0.4)
    take.lean(1.3 * take.size * down)
    take.both("hip", X, -0.35 * down)
    take.turn("pelvis", X, 0.35 * down)
    take.both("shoulder", X, -1.2 * down)


def _raise_arms(take: _Take) -> None:
    take.both("shoulder", Z, 2.5 * np.minimum(take.size, 1.1) * take.pulse(0.5))


def _punch(take: _Take) -> None:
    take.crouch(np.full(len(take.time), 0.25))
    phase = take.phase(1.1)
    for side, sign in (("left", 1.0), ("right", -1.0)):
        out = np.maximum(sign * np.sin(phase), 0) ** 2
        take.turn(f"{side}_shoulder", X, -0.6 - 0.9 * take.size * out)
        take.turn(f"{side}_elbow", Y, -1.7 + 1.8 * out)
        take.turn("spine2", Y, -sign * 0.3 * out)


def _turn_around(take: _Take) -> None:
    take.step(take.phase(1.0), 0.05, 0.9)
    sign = 1.0 if take.side == "left" else -1.0
    take.turn("pelvis", Y, sign * 1.6 * take.size * take.time)


def _idle(take: _Take) -> None:
    sway = 0.06 * take.size * np.sin(take.phase(0.3))
    take.turn("spine1", Z, sway)
    take.turn("head", Y, 3 * sway)


ACTIONS: dict[str, Callable[[_Take], None]] = {
    "walk": _walk, "run": _run, "jump": _jump, "wave": _wave, "kick": _kick, "squat": _squat, "sit": _sit,
    "bend": _bend, "raise_arms": _raise_arms, "punch": _punch, "turn": _turn_around, "idle": _idle,
}  # fmt: skip
"""The actions by name; a label is the place in this order."""


def perform(action: str, subject: Subject, take: int = 0, seed: int = 0, frames: int | None = None) -> Motion:
    """Return a motion with rotations, at 25 frames per second, 3 to 6 seconds or so many frames long.

    It starts above the origin and faces +z. The same arguments give the same motion, a longer one goes on where a
    shorter one ends.

    Raises:
        ConfigError: There is no such action, or frames are less than 1.
    """
    if action not in ACTIONS:
        raise ConfigError(f"unknown action {action!r}, expected one of {list(ACTIONS)}")
    if frames is not None and frames < 1:
        raise ConfigError(f"a motion must have at least 1 frame, got {frames}")
    made = _Take(subject, _random(seed, subject.number, action, take), frames)
    ACTIONS[action](made)
    x, y, z = (rotations.twist(torch.eye(3, dtype=torch.float64)[axis], torch.from_numpy(made.angles[..., axis]))
               for axis in (X, Y, Z))  # fmt: skip
    local = x @ y @ z
    rest = torch.from_numpy(subject.rest)
    still = forward_kinematics(local, rest, torch.zeros(len(local), 3, dtype=torch.float64)).joints.numpy()
    rows = rotations.matrix_to_rot6d_rows(local).numpy()
    motion = Motion.from_rotations(rows, _stand(still[:, _SOLES], made.rise), subject.rest, FPS)
    meta = {"source": "posegen.synthetic.motions", "subject": subject.number, "take": take, "seed": seed}
    return replace(motion, label=list(ACTIONS).index(action), label_name=action, meta=meta)


def _stand(soles: np.ndarray, rise: np.ndarray) -> np.ndarray:
    """Where the root (T, 3) must be for the lowest of the soles (T, 4, 3) to touch the floor and to stay there."""
    height = soles[..., Y] - _SOLE_HEIGHTS
    lowest = height.min(axis=1)
    weight = np.exp((lowest[:, None] - height) / _STANDS)
    weight = (weight / weight.sum(axis=1, keepdims=True))[1:, :, None]
    steps = -(weight * np.diff(soles, axis=0)).sum(axis=1)  # against how the standing foot moves below the root
    root = np.concatenate([np.zeros((1, 3)), np.cumsum(steps, axis=0)])
    root[:, Y] = rise - lowest
    return root


def generate_corpus(subjects: int = SUBJECTS, takes: int = 1, seed: int = 0) -> Iterator[Motion]:
    """Yield every action of every subject, so often; whose it is says ``meta["subject"]``."""
    for number in range(subjects):
        subject = make_subject(number, seed)
        for action in ACTIONS:
            for take in range(takes):
                yield perform(action, subject, take, seed)


def _random(*key: object) -> np.random.Generator:
    """A generator for what the key names, the same on every machine."""
    return np.random.default_rng(list(hashlib.sha256(repr(key).encode()).digest()))
