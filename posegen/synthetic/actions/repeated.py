"""Actions that repeat, as joint angles: sums of sines and pulses in the action's phase.

Gaits, turning and idling are always going on, and begin anywhere. The others begin and end at rest.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from posegen.motion import rotations
from posegen.skeletons import SMPL_24, swap_left_right
from posegen.synthetic.actions.curves import hold, wave
from posegen.synthetic.actions.take import ActionTake, Perform, Performance

X, Y, Z = range(3)


class Angles:
    """The angles of a take while they are made up; a body that hangs its arms to begin with."""

    def __init__(self, take: ActionTake):
        self.take = take
        self.values = np.zeros((len(take), len(SMPL_24), 3))
        """(T, 24, 3) radians about a joint's x, y and z, applied z first."""
        self.rise = np.zeros(len(take))
        """Metres of the feet above the floor."""
        self.both("shoulder", Z, -1.25)
        self.both("elbow", Y, -0.25)
        self.values += take.noise

    def turn(self, joint: str, axis: int, angle: np.ndarray | float) -> None:
        """Turn a joint, in the sense of the left side: what turns a left limb inwards also turns a right one."""
        mirrored = joint.startswith("right_") and axis != X
        self.values[:, SMPL_24.index(joint), axis] += -np.asarray(angle) if mirrored else angle

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


def _walk(angles: Angles) -> None:
    take = angles.take
    phase = take.phase(0.9)
    angles.step(phase, 0.4 * take.size, 1.1)
    for side, sign in (("left", 1.0), ("right", -1.0)):
        angles.turn(f"{side}_shoulder", X, sign * 0.4 * take.size * np.sin(phase))


def _run(angles: Angles) -> None:
    take = angles.take
    phase = take.phase(1.5)
    angles.step(phase, 0.65 * take.size, 1.6)
    angles.lean(0.25)
    angles.both("elbow", Y, -1.3)
    for side, sign in (("left", 1.0), ("right", -1.0)):
        angles.turn(f"{side}_shoulder", X, sign * 0.8 * take.size * np.sin(phase))
    angles.rise += 0.06 * np.sin(phase) ** 2


def _jump(angles: Angles) -> None:
    take = angles.take
    phase = np.pi + take.whole_phase(0.7)  # knees bend first
    up = np.maximum(np.sin(phase), 0) ** 2
    angles.crouch(0.7 * take.size * np.maximum(-np.sin(phase), 0) ** 2)
    angles.both("shoulder", X, -1.6 * take.size * up)
    angles.rise += 0.35 * take.size * up


def _wave(angles: Angles) -> None:
    take = angles.take
    up = hold(take.progress)
    swing = wave(take.progress, max(round(1.1 * take.tempo * take.period), 1))
    angles.turn(f"{take.side}_shoulder", Z, 2.2 * up + 0.15 * take.size * swing)
    angles.turn(f"{take.side}_elbow", Z, 0.5 * up + 0.6 * take.size * swing)


def _kick(angles: Angles) -> None:
    take = angles.take
    phase = take.whole_phase(0.6)
    up = take.pulse(0.6, 2.0)
    angles.turn(f"{take.side}_hip", X, -1.3 * take.size * up)
    angles.turn(f"{take.side}_knee", X, 0.45 * (1 - np.cos(2 * phase)) * up)
    angles.lean(-0.2 * up)
    angles.turn(f"{swap_left_right(take.side + '_')}shoulder", X, -0.7 * up)


def _squat(angles: Angles) -> None:
    take = angles.take
    down = take.pulse(0.5)
    angles.crouch(0.95 * take.size * down)
    angles.lean(0.4 * down)
    angles.both("shoulder", X, -1.3 * down)


def _sit(angles: Angles) -> None:
    take = angles.take
    down = 1 / (1 + np.exp(8 * np.cos(take.whole_phase(0.2))))  # stands for a while, sits for a while
    angles.both("hip", X, -1.5 * down)
    angles.both("knee", X, 1.5 * down)
    angles.lean(0.5 * take.size * 4 * down * (1 - down))
    angles.both("shoulder", X, -0.5 * down)
    angles.both("elbow", Y, -0.6 * down)


def _bend(angles: Angles) -> None:
    take = angles.take
    down = take.pulse(0.4)
    angles.lean(1.3 * take.size * down)
    angles.both("hip", X, -0.35 * down)
    angles.turn("pelvis", X, 0.35 * down)
    angles.both("shoulder", X, -1.2 * down)


def _raise_arms(angles: Angles) -> None:
    take = angles.take
    angles.both("shoulder", Z, 2.5 * np.minimum(take.size, 1.1) * take.pulse(0.5))


def _punch(angles: Angles) -> None:
    take = angles.take
    angles.crouch(np.full(len(take.time), 0.25))
    phase = take.whole_phase(1.1)
    for side, sign in (("left", 1.0), ("right", -1.0)):
        out = np.maximum(sign * np.sin(phase), 0) ** 2
        angles.turn(f"{side}_shoulder", X, -0.6 - 0.9 * take.size * out)
        angles.turn(f"{side}_elbow", Y, -1.7 + 1.8 * out)
        angles.turn("spine2", Y, -sign * 0.3 * out)


def _turn_around(angles: Angles) -> None:
    take = angles.take
    angles.step(take.phase(1.0), 0.05, 0.9)
    sign = 1.0 if take.side == "left" else -1.0
    angles.turn("pelvis", Y, sign * 1.6 * take.size * take.time)


def _idle(angles: Angles) -> None:
    take = angles.take
    sway = 0.06 * take.size * np.sin(take.phase(0.3))
    angles.turn("spine1", Z, sway)
    angles.turn("head", Y, 3 * sway)


def _repeated(action: Callable[[Angles], None]) -> Perform:
    """Return what performs an action that is written as joint angles."""

    def perform(take: ActionTake) -> Performance:
        angles = Angles(take)
        action(angles)
        return Performance(euler_rotations(angles.values), angles.rise)

    return perform


def euler_rotations(angles: np.ndarray) -> torch.Tensor:
    """Return rotations (..., 3, 3) by angles (..., 3) in radians about x, y and z, applied z first."""
    x, y, z = (rotations.twist(torch.eye(3, dtype=torch.float64)[axis], torch.from_numpy(angles[..., axis]))
               for axis in (X, Y, Z))  # fmt: skip
    return x @ y @ z


REPEATED: dict[str, Perform] = {
    name: _repeated(action)
    for name, action in {
        "walk": _walk, "run": _run, "jump": _jump, "wave": _wave, "kick": _kick, "squat": _squat, "sit": _sit,
        "bend": _bend, "raise_arms": _raise_arms, "punch": _punch, "turn": _turn_around, "idle": _idle,
    }.items()
}  # fmt: skip
"""Performers of the repeated actions, by name."""
