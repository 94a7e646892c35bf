"""Building blocks of choreography: curves over a clip's phase, and channels that leave their rest and return.

A curve is an array (T,) over the frames, or a number that holds throughout. Angles are in degrees here.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np

from posegen.synthetic.actions.body_angles import STANDING, leg_axes
from posegen.synthetic.actions.take import SIDES

Curve = np.ndarray
Curves = dict[str, np.ndarray | float]
"""Curves by channel name; a channel that is missing rests."""


def ramp(phase: Curve, start: float, end: float) -> Curve:
    """Rise from 0 to 1 between two phases, with zero velocity and acceleration at both (minimum jerk)."""
    x = np.clip((phase - start) / (end - start), 0, 1)
    return x * x * x * (x * (6 * x - 15) + 10)


def hold(phase: Curve, start: float = 0.0, end: float = 1.0, rise: float = 0.14) -> Curve:
    """0, then 1 from `start + rise` to `end - rise`, then 0."""
    return ramp(phase, start, start + rise) * (1 - ramp(phase, end - rise, end))


def wave(phase: Curve, cycles: float, start: float = 0.14, end: float = 0.86) -> Curve:
    """Return a sine of so many cycles between two phases, faded in and out."""
    angle = 2 * np.pi * cycles * (phase - start) / (end - start)
    return np.sin(angle) * hold(phase, start, end, rise=0.08)


def pulses(phase: Curve, count: int, start: float, end: float) -> np.ndarray:
    """So many bumps from 0 to 1 and back, one after the other: (count, T)."""
    edges = np.linspace(start, end, count + 1)
    return np.stack([np.sin(np.pi * ramp(phase, first, last)) ** 2 for first, last in pairwise(edges)])


def blend(name: str, weight: Curve | float, target: Curve | float) -> Curve | float:
    """Blend from rest (weight 0) to a target (weight 1) on one channel."""
    return STANDING[name] + weight * (target - STANDING[name])


def move(weight: Curve | float, targets: Mapping[str, Curve | float]) -> Curves:
    """Several channels from rest to their targets; a name without a side moves both sides."""
    names = {name: [name] if name in STANDING else [f"{side}_{name}" for side in SIDES] for name in targets}
    return {full: blend(full, weight, targets[name]) for name in targets for full in names[name]}


def planted(curves: Curves, spread: float) -> Curves:
    """Abduct the legs so that the feet stay as far apart as those of straight legs at `spread` degrees.

    `curves` holds how the legs bend. The root is found by bisection: the foot goes out as the thigh does.
    """
    target = 2 * np.sin(np.radians(spread))
    abduct: Curves = {}
    for side in SIDES:
        names = (f"{side}_{name}" for name in ("leg_flex", "knee", "leg_yaw"))
        flex, knee, yaw = np.broadcast_arrays(*(np.radians(curves.get(name, STANDING[name])) for name in names))
        low, high = np.full(flex.shape, np.radians(-30)), np.full(flex.shape, np.radians(80))
        for _ in range(40):
            middle = (low + high) / 2
            thigh, pole = leg_axes(flex, middle, yaw)
            out = thigh[..., 0] * (1 + np.cos(knee)) - np.sin(knee) * pole[..., 0]
            low, high = np.where(out < target, middle, low), np.where(out < target, high, middle)
        abduct[f"{side}_leg_abduct"] = np.degrees(low)
    return abduct
