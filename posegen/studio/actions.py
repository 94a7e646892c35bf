"""The choreography: sixteen actions as curves of joint angles that all people share.

Every action starts and ends at rest, in the stance that it needs, and takes the whole clip, however many frames that has. Arms and legs keep
clear of each other and of the trunk as seen by the fixed camera; what would point into the camera is done half turned.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from posegen.studio.kinematics import SIDES, STANCE, Angles, leg_axes

Curve = np.ndarray
"""(T,) float64."""

_TORSO = {f"{bone}_{turn}": 0.0 for bone in ("pelvis", "abdomen", "chest", "neck") for turn in ("pitch", "yaw", "roll")}
_ARM = {"arm_lift": 11.0, "arm_swing": 12.0, "elbow": 16.0, "arm_twist": 0.0, "forearm_roll": 0.0, "wrist": 6.0}
_LEG = {"leg_flex": 0.0, "leg_abduct": np.degrees(STANCE), "knee": 0.0, "leg_yaw": 12.0, "foot_pitch": 0.0}
_REST = (
    {"root_yaw": 0.0} | _TORSO | {f"{side}_{name}": value for side in SIDES for name, value in (_ARM | _LEG).items()}
)
_LENGTHS = {"support": 0.5, "jump": 0.0, "left_anchor": 0.0, "right_anchor": 0.0}

FISTS = frozenset({"boxing_guard", "march_in_place", "punch"})
"""Actions that are done with closed hands."""


def joint_angles(action: str, num_frames: int) -> Angles:
    """Return the curves of an action: (T,) radians by channel, the same for every person.

    Raises ValueError for an unknown action.
    """
    if action not in _ACTIONS:
        raise ValueError(f"unknown action {action!r}, expected one of {sorted(_ACTIONS)}")
    phase = np.arange(num_frames) / num_frames
    moved = _ACTIONS[action](phase)
    still = np.zeros(num_frames)
    angles = {name: np.radians(still + moved.get(name, rest)) for name, rest in _REST.items()}
    lengths = {name: still + moved.get(name, rest) for name, rest in _LENGTHS.items()}
    return angles | lengths


def _ramp(phase: Curve, start: float, end: float) -> Curve:
    """From 0 to 1 between two phases, with zero velocity and acceleration at both (minimum jerk)."""
    x = np.clip((phase - start) / (end - start), 0, 1)
    return x * x * x * (x * (6 * x - 15) + 10)


def _hold(phase: Curve, start: float = 0.0, end: float = 1.0, rise: float = 0.14) -> Curve:
    """0, then 1 from `start + rise` to `end - rise`, then 0."""
    return _ramp(phase, start, start + rise) * (1 - _ramp(phase, end - rise, end))


def _wave(phase: Curve, cycles: float, start: float = 0.14, end: float = 0.86) -> Curve:
    """A sine of so many cycles between two phases, faded in and out."""
    angle = 2 * np.pi * cycles * (phase - start) / (end - start)
    return np.sin(angle) * _hold(phase, start, end, rise=0.08)


def _pulses(phase: Curve, count: int, start: float, end: float) -> np.ndarray:
    """So many bumps from 0 to 1 and back, one after the other: (count, T)."""
    edges = np.linspace(start, end, count + 1)
    return np.stack([np.sin(np.pi * _ramp(phase, a, b)) ** 2 for a, b in pairwise(edges)])


def _blend(name: str, weight: Curve, target: float | Curve) -> Curve:
    """From rest (weight 0) to a target (weight 1) on one channel."""
    return _REST[name] + weight * (target - _REST[name])


def _move(weight: Curve, **targets: float | Curve) -> dict[str, Curve]:
    """Several channels from rest to their targets; a name without a side moves both sides."""
    names = {name: [name] if name in _REST else [f"{side}_{name}" for side in SIDES] for name in targets}
    return {full: _blend(full, weight, targets[name]) for name in targets for full in names[name]}


def _planted(curves: dict[str, Curve], spread: Curve) -> dict[str, Curve]:
    """Abduct the legs so that the feet stand as far apart as straight legs at `spread` degrees, however they bend."""
    target = 2 * np.sin(np.radians(spread))
    abduct = {}
    for side in SIDES:
        flex, knee, yaw = (
            np.radians(curves.get(f"{side}_{name}", _REST[f"{side}_{name}"]) + np.zeros_like(spread))
            for name in ("leg_flex", "knee", "leg_yaw")
        )
        low, high = np.full_like(spread, np.radians(-30)), np.full_like(spread, np.radians(80))
        for _ in range(40):  # bisection: the foot goes out as the thigh does
            middle = (low + high) / 2
            thigh, pole = leg_axes(flex, middle, yaw)
            out = thigh[:, 0] * (1 + np.cos(knee)) - np.sin(knee) * pole[:, 0]
            low, high = np.where(out < target, middle, low), np.where(out < target, high, middle)
        abduct[f"{side}_leg_abduct"] = np.degrees(low)
    return abduct


def _wave_one_hand(phase: Curve) -> dict[str, Curve]:
    up, swing = _hold(phase), _wave(phase, 4)
    arm = _move(up, right_arm_lift=98, right_arm_swing=8, right_arm_twist=90, right_forearm_roll=90, right_wrist=0)
    arm |= {"right_elbow": _blend("right_elbow", up, 74) + 24 * swing}
    return arm | _move(up, chest_roll=-4, neck_roll=5, neck_yaw=-6)


def _wave_both_hands(phase: Curve) -> dict[str, Curve]:
    up, swing = _hold(phase), _wave(phase, 4)
    arms = _move(up, arm_lift=132, arm_swing=16, arm_twist=90, forearm_roll=90, wrist=0)
    elbows = {"right_elbow": 34 + 24 * swing, "left_elbow": 34 - 24 * swing}
    return arms | _move(up, **elbows) | {"chest_roll": 4 * swing, "neck_roll": -4 * swing}


def _salute(phase: Curve) -> dict[str, Curve]:
    first, second = _hold(phase, 0.05, 0.50, rise=0.12), _hold(phase, 0.50, 0.97, rise=0.12)
    up = first + second
    arm = _move(
        up, right_arm_lift=92, right_arm_swing=28, right_elbow=136, right_arm_twist=62, right_wrist=-8,
        right_forearm_roll=40,
    )  # fmt: skip
    attention = _hold(phase)
    return arm | _move(attention, left_arm_lift=7, left_elbow=6) | _move(up, neck_pitch=-3, chest_pitch=-3)


def _side_step(phase: Curve) -> dict[str, Curve]:
    """Out to the right, back, out to the left, back; each step is: foot out, weight over, other foot in."""
    stance = np.sin(STANCE)
    sine = np.sin(np.radians(22.0) + STANCE) - stance
    curves = {f"{side}_leg_abduct": np.full_like(phase, _REST["left_leg_abduct"]) for side in SIDES}
    curves |= {f"{side}_{name}": np.zeros_like(phase) for side in SIDES for name in ("knee", "leg_flex", "anchor")}
    support = np.full_like(phase, 0.5)
    for index, lead in enumerate(("right", "left", "left", "right")):
        start, other = index / 4, "left" if lead == "right" else "right"
        out = _ramp(phase, start + 0.01, start + 0.10)
        over = _ramp(phase, start + 0.10, start + 0.14)
        close = _ramp(phase, start + 0.14, start + 0.23)
        # While both feet stand, the sum of the sines is constant: neither slides.
        curves[f"{lead}_leg_abduct"] += np.degrees(np.arcsin(stance + sine * (out - over)) - STANCE)
        curves[f"{other}_leg_abduct"] += np.degrees(np.arcsin(stance + sine * (over - close)) - STANCE)
        for side, move in ((lead, out), (other, close)):
            lift = np.sin(np.pi * move) ** 2
            curves[f"{side}_knee"] += 34 * lift
            curves[f"{side}_leg_flex"] += 17 * lift
            curves[f"{side}_anchor"] += (1 if lead == "left" else -1) * 2 * sine * move
        onto_lead = over * (1 - _ramp(phase, start + 0.23, start + 0.25))
        off_lead = _ramp(phase, start, start + 0.01) * (1 - over)
        support += (0.5 if lead == "left" else -0.5) * (onto_lead - off_lead)
    arms = _hold(phase, rise=0.1)
    return curves | {"support": support} | _move(arms, arm_lift=34, elbow=40, arm_swing=20, arm_twist=-20)


def _jumping_jacks(phase: Curve) -> dict[str, Curve]:
    opened = sum(_pulses(phase, 4, 0.04, 0.96))
    hop = sum(_pulses(phase, 8, 0.04, 0.96))
    arms = _move(opened, arm_lift=158, arm_swing=26, elbow=22, arm_twist=70, leg_abduct=20)
    dip = _hold(phase, rise=0.06) * (1 - hop)
    return arms | {f"{side}_{name}": angle * dip for side in SIDES for name, angle in (("leg_flex", 10), ("knee", 20))} | {
        "jump": 0.16 * hop
    } | {f"{side}_foot_pitch": 26 * hop for side in SIDES}  # fmt: skip


def _squat(phase: Curve) -> dict[str, Curve]:
    wide, down = _hold(phase, rise=0.1), sum(_pulses(phase, 3, 0.1, 0.9))
    legs = _move(down, leg_flex=78, knee=98) | _move(wide, leg_yaw=30)
    legs |= _planted(legs, _blend("left_leg_abduct", wide, 15))
    arms = _move(down, arm_lift=80, arm_swing=38, elbow=24, arm_twist=20)
    return legs | arms | _move(down, pelvis_pitch=24, chest_pitch=8, neck_pitch=-20)


def _bow(phase: Curve) -> dict[str, Curve]:
    turned = _hold(phase, rise=0.12)
    down = _hold(phase, 0.12, 0.5) + _hold(phase, 0.5, 0.88)
    trunk = _move(down, pelvis_pitch=34, abdomen_pitch=20, chest_pitch=14, neck_pitch=14, leg_flex=-7)
    return trunk | _move(turned, root_yaw=42, arm_swing=60) | _move(down, arm_lift=14, elbow=10)


def _march_in_place(phase: Curve) -> dict[str, Curve]:
    curves: dict[str, Curve] = {"support": np.full_like(phase, 0.5)}
    turned = _hold(phase, rise=0.1)
    left = sum(_pulses(phase, 6, 0.08, 0.92)[0::2])
    right = sum(_pulses(phase, 6, 0.08, 0.92)[1::2])
    for side, lift, other in (("left", left, right), ("right", right, left)):
        curves |= _move(lift, **{f"{side}_leg_flex": 66.0, f"{side}_knee": 84.0, f"{side}_foot_pitch": 18.0})
        forward = other - lift
        curves[f"{side}_arm_swing"] = _blend(f"{side}_arm_swing", turned, 80)
        curves[f"{side}_arm_lift"] = _blend(f"{side}_arm_lift", turned, 16 + 22 * forward)
        curves[f"{side}_elbow"] = _blend(f"{side}_elbow", turned, 66 + 14 * forward)
        curves[f"{side}_arm_twist"] = _blend(f"{side}_arm_twist", turned, 78)
    lean = np.sqrt(right) - np.sqrt(left)
    curves["support"] += 0.5 * np.sign(right - left) * (np.maximum(left, right) > 1e-3)
    return curves | {"root_yaw": 24 * turned, "chest_yaw": 8 * (left - right), "pelvis_roll": 2 * lean}


def _clap(phase: Curve) -> dict[str, Curve]:
    up, apart = _hold(phase), 0.5 - 0.5 * np.cos(2 * np.pi * 6 * _ramp(phase, 0.1, 0.9))
    arms = _move(
        up, arm_lift=41 - 8 * apart, arm_swing=59 - 39 * apart, elbow=97 + 12 * apart, arm_twist=17 - 7 * apart, wrist=-12
    )  # fmt: skip
    return arms | _move(up, chest_pitch=3, neck_pitch=4)


def _guard(weight: Curve) -> dict[str, Curve]:
    """A boxer's stance: hands before the chin, elbows down, feet apart."""
    arms = _move(weight, arm_lift=40, arm_swing=66, elbow=125, arm_twist=49, wrist=0)
    legs = _move(weight, leg_flex=16, knee=32, leg_yaw=20)
    return (
        arms | legs | _planted(legs, _blend("left_leg_abduct", weight, 11)) | _move(weight, chest_pitch=8, neck_pitch=4)
    )


def _punch(phase: Curve) -> dict[str, Curve]:
    ready = _hold(phase, rise=0.12)
    pulses = _pulses(phase, 6, 0.14, 0.86)
    left, right = sum(pulses[0::2]), sum(pulses[1::2])
    curves = _guard(ready)
    for side, reach in (("left", left), ("right", right)):
        for name, target in {"arm_lift": 86, "arm_swing": 62, "elbow": 8, "arm_twist": 30}.items():
            key = f"{side}_{name}"
            curves[key] = curves[key] + reach * (target - curves[key])
    return curves | {"root_yaw": 34 * ready, "chest_yaw": 26 * (right - left), "abdomen_yaw": 12 * (right - left)}


def _boxing_guard(phase: Curve) -> dict[str, Curve]:
    ready, sway = _hold(phase, rise=0.12), _wave(phase, 3)
    bob = np.abs(sway)
    curves = _guard(ready)
    for side in SIDES:
        curves[f"{side}_knee"] = curves[f"{side}_knee"] + 22 * bob
        curves[f"{side}_leg_flex"] = curves[f"{side}_leg_flex"] + 12 * bob
    curves |= _planted(curves, _blend("left_leg_abduct", ready, 11))
    return curves | {"abdomen_roll": 9 * sway, "chest_roll": 8 * sway, "neck_roll": -9 * sway, "chest_yaw": 10 * sway}


def _kick(phase: Curve) -> dict[str, Curve]:
    """Two kicks with the right leg to the front, half turned, the weight first shifted onto the left."""
    turned = _hold(phase, rise=0.1)
    shift = _hold(phase, 0.06, 0.94, rise=0.08)
    chamber = sum(_hold(phase, a, a + 0.34, rise=0.12) for a in (0.15, 0.51))
    extend = sum(_hold(phase, a, a + 0.20, rise=0.09) for a in (0.22, 0.58))
    leg = {"right_leg_flex": 72 * chamber, "right_knee": 78 * chamber - 68 * extend, "right_foot_pitch": -14 * chamber}
    lean = {
        f"{side}_leg_abduct": _REST["left_leg_abduct"] - sign * 6 * shift for side, sign in (("left", 1), ("right", -1))
    }
    arms = _move(shift, arm_lift=48, arm_swing=30, elbow=62, arm_twist=40)
    trunk = {"root_yaw": -34 * turned, "pelvis_pitch": -10 * chamber, "chest_pitch": 8 * chamber}
    return leg | lean | arms | trunk | {"support": 0.5 + 0.5 * _hold(phase, 0.14, 0.86, rise=0.01)}


def _turn_torso(phase: Curve) -> dict[str, Curve]:
    ready, turn = _hold(phase), _wave(phase, 2)
    arms = _move(ready, arm_lift=74, arm_swing=14, elbow=88, arm_twist=12, wrist=0)
    trunk = {"pelvis_yaw": 10 * turn, "abdomen_yaw": 20 * turn, "chest_yaw": 22 * turn, "neck_yaw": 6 * turn}
    return arms | trunk | _move(ready, leg_abduct=10)


def _arm_circles(phase: Curve) -> dict[str, Curve]:
    up, angle = _hold(phase), 2 * np.pi * 4 * _ramp(phase, 0.06, 0.94)
    lift, swing = 92 + 26 * np.sin(angle), 24 - 20 * np.cos(angle)
    return _move(up, arm_lift=lift, arm_swing=swing, elbow=22, wrist=0)


def _stretch(phase: Curve) -> dict[str, Curve]:
    """One arm overhead and a bend to the other side, the free hand at the hip; then mirrored."""
    curves = _move(_hold(phase, rise=0.1), leg_abduct=11)
    right, left = _hold(phase, 0.04, 0.5, rise=0.16), _hold(phase, 0.5, 0.96, rise=0.16)
    overhead = {"arm_lift": 164.0, "arm_swing": 14.0, "elbow": 38.0, "arm_twist": 90.0}
    akimbo = {"arm_lift": 54.0, "arm_swing": -11.0, "elbow": 97.0, "arm_twist": -83.0}
    for side, up, low in (("right", right, left), ("left", left, right)):
        for name in overhead:
            key = f"{side}_{name}"
            curves[key] = _blend(key, up, overhead[name]) + low * (akimbo[name] - _REST[key])
    bend = left - right
    return curves | {
        "abdomen_roll": 15 * bend,
        "chest_roll": 15 * bend,
        "neck_roll": 8 * bend,
        "pelvis_roll": -3 * bend,
    }


def _point(phase: Curve) -> dict[str, Curve]:
    right, left = _hold(phase, 0.03, 0.36, rise=0.12), _hold(phase, 0.33, 0.66, rise=0.12)
    both = _hold(phase, 0.64, 0.97, rise=0.12)
    curves: dict[str, Curve] = {}
    for side, level in (("right", right), ("left", left)):
        for name, to_side, to_sky in (
            ("arm_lift", 88, 140), ("arm_swing", 26, 18), ("elbow", 18, 12), ("wrist", 0, 0), ("forearm_roll", 60, 60),
        ):  # fmt: skip
            key = f"{side}_{name}"
            raised = both if side == "right" else np.zeros_like(both)
            curves[key] = _blend(key, level, to_side) + raised * (to_sky - _REST[key])
    look = left - right - 0.6 * both
    return curves | {"neck_yaw": 26 * look, "chest_yaw": 6 * look, "neck_pitch": -12 * both}


_ACTIONS: dict[str, Callable[[Curve], dict[str, Curve]]] = {
    "wave_one_hand": _wave_one_hand,
    "wave_both_hands": _wave_both_hands,
    "jumping_jacks": _jumping_jacks,
    "side_step": _side_step,
    "squat": _squat,
    "arm_circles": _arm_circles,
    "salute": _salute,
    "stretch": _stretch,
    "march_in_place": _march_in_place,
    "point": _point,
    "bow": _bow,
    "kick": _kick,
    "clap": _clap,
    "turn_torso": _turn_torso,
    "punch": _punch,
    "boxing_guard": _boxing_guard,
}

ACTIONS: tuple[str, ...] = tuple(_ACTIONS)
"""The names of the sixteen actions; the first few differ most."""
