"""Actions that begin and end at rest, in the stance that they need, as curves of angles over a period.

Arms and legs keep clear of each other and of the trunk as a camera in front sees them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from posegen.skeletons import SMPL_24, swap_left_right
from posegen.synthetic.actions.body_angles import STANCE, STANDING, joint_rotations
from posegen.synthetic.actions.curves import Curve, Curves, blend, hold, move, planted, pulses, ramp, wave
from posegen.synthetic.actions.repeated import euler_rotations
from posegen.synthetic.actions.take import SIDES, ActionTake, Footing, Perform, Performance

_LENGTHS = {"support": 0.5, "jump": 0.0, "left_anchor": 0.0, "right_anchor": 0.0}
_EXAGGERATION = 0.3  # of how far a performer moves in relation to others: more would break elbows
_WEIGHT = ("pelvis", "hip", "knee", "ankle", "foot")
_FREE = np.array([name.rpartition("_")[2] not in _WEIGHT for name in SMPL_24])  # joints that carry no weight
_LEGS = ("leg_flex", "leg_abduct", "knee", "leg_yaw", "foot_pitch")


def _staged(action: Callable[[Curve], Curves]) -> Perform:
    """Return what performs an action that is written as curves."""

    def perform(take: ActionTake) -> Performance:
        curves = action(take.progress)
        curves = _mirror(curves) if take.side == "left" else curves
        still, further = np.zeros(len(take)), 1 + _EXAGGERATION * (take.size - 1)
        angles = {}
        for name, rest in STANDING.items():
            far = 1.0 if name.endswith(_LEGS) else further
            angles[name] = np.radians(still + rest + far * (curves.get(name, rest) - rest))
        support, jump, left, right = (still + curves.get(name, rest) for name, rest in _LENGTHS.items())
        noise = euler_rotations(np.broadcast_to(take.noise * _FREE[:, None], (len(take), len(_FREE), 3)).copy())
        footing = Footing(support, np.stack([left, right], axis=1))
        return Performance(joint_rotations(angles) @ noise, jump, footing)

    return perform


def _mirror(curves: Curves) -> Curves:
    """Do with the left what is done with the right, and the other way round."""
    swapped = {}
    for name, curve in curves.items():
        turn = name.rpartition("_")[2]
        turned = (turn in ("yaw", "roll") and not name.startswith(SIDES)) or turn == "anchor"
        swapped[swap_left_right(name)] = 1 - curve if name == "support" else -curve if turned else curve
    return swapped


def _wave_one_hand(phase: Curve) -> Curves:
    up, swing = hold(phase), wave(phase, 4)
    arm = {"arm_lift": 98, "arm_swing": 8, "elbow": 74, "arm_twist": 90, "forearm_roll": 90, "wrist": 0}
    curves = move(up, {f"right_{name}": angle for name, angle in arm.items()})
    curves["right_elbow"] += 24 * swing
    return curves | move(up, {"chest_roll": -4, "neck_roll": 5, "neck_yaw": -6})


def _wave_both_hands(phase: Curve) -> Curves:
    up, swing = hold(phase), wave(phase, 4)
    arms = {"arm_lift": 132, "arm_swing": 16, "elbow": 34, "arm_twist": 90, "forearm_roll": 90, "wrist": 0}
    curves = move(up, arms)
    curves["right_elbow"] += 24 * swing
    curves["left_elbow"] -= 24 * swing
    return curves | {"chest_roll": 4 * swing, "neck_roll": -4 * swing}


def _jumping_jacks(phase: Curve) -> Curves:
    opened = pulses(phase, 4, 0.04, 0.96).sum(axis=0)
    hop = pulses(phase, 8, 0.04, 0.96).sum(axis=0)
    dip = hold(phase, rise=0.06) * (1 - hop)
    limbs = move(opened, {"arm_lift": 158, "arm_swing": 26, "elbow": 22, "arm_twist": 70, "leg_abduct": 20})
    return limbs | move(dip, {"leg_flex": 10, "knee": 20}) | move(hop, {"foot_pitch": 26}) | {"jump": 0.16 * hop}


def _side_step(phase: Curve) -> Curves:
    """Out to the right, back, out to the left, back; each step is: foot out, weight over, other foot in."""
    stance = np.sin(STANCE)
    reach = np.sin(np.radians(22.0) + STANCE) - stance
    abduct, lift, anchor = ({side: np.zeros_like(phase) for side in SIDES} for _ in range(3))
    support = np.full_like(phase, 0.5)
    for index, lead in enumerate(("right", "left", "left", "right")):
        start, sign, other = index / 4, 1 if lead == "left" else -1, "right" if lead == "left" else "left"
        out, over, close = (ramp(phase, start + a, start + b) for a, b in ((0.01, 0.10), (0.10, 0.14), (0.14, 0.23)))
        # While both feet stand, the sum of the sines is constant: neither slides.
        for side, open_, part in ((lead, out - over, out), (other, over - close, close)):
            abduct[side] += np.degrees(np.arcsin(stance + reach * open_) - STANCE)
            lift[side] += np.sin(np.pi * part) ** 2
            anchor[side] += sign * 2 * reach * part
        onto_lead = over * (1 - ramp(phase, start + 0.23, start + 0.25))
        off_lead = ramp(phase, start, start + 0.01) * (1 - over)
        support += 0.5 * sign * (onto_lead - off_lead)
    curves = move(hold(phase, rise=0.1), {"arm_lift": 34, "elbow": 40, "arm_swing": 20, "arm_twist": -20})
    for side in SIDES:
        curves |= {f"{side}_leg_abduct": STANDING[f"{side}_leg_abduct"] + abduct[side], f"{side}_anchor": anchor[side]}
        curves |= {f"{side}_knee": 34 * lift[side], f"{side}_leg_flex": 17 * lift[side]}
    return curves | {"support": support}


def _arm_circles(phase: Curve) -> Curves:
    up, angle = hold(phase), 2 * np.pi * 4 * ramp(phase, 0.06, 0.94)
    lift, swing = 92 + 26 * np.sin(angle), 24 - 20 * np.cos(angle)
    return move(up, {"arm_lift": lift, "arm_swing": swing, "elbow": 22, "wrist": 0})


def _salute(phase: Curve) -> Curves:
    """Twice, the hand at the brow."""
    up = hold(phase, 0.05, 0.50, rise=0.12) + hold(phase, 0.50, 0.97, rise=0.12)
    arm = {"arm_lift": 92, "arm_swing": 28, "elbow": 136, "arm_twist": 62, "wrist": -8, "forearm_roll": 40}
    curves = move(up, {f"right_{name}": angle for name, angle in arm.items()} | {"neck_pitch": -3, "chest_pitch": -3})
    return curves | move(hold(phase), {"left_arm_lift": 7, "left_elbow": 6})


def _stretch(phase: Curve) -> Curves:
    """One arm overhead and a bend to the other side, the free hand at the hip; then mirrored."""
    right, left = hold(phase, 0.04, 0.5, rise=0.16), hold(phase, 0.5, 0.96, rise=0.16)
    overhead = {"arm_lift": 164, "arm_swing": 14, "elbow": 38, "arm_twist": 90}
    akimbo = {"arm_lift": 54, "arm_swing": -11, "elbow": 97, "arm_twist": -83}
    curves = move(1, {"leg_abduct": 11})
    for side, up, low in (("right", right, left), ("left", left, right)):
        for name in overhead:
            key = f"{side}_{name}"
            curves[key] = blend(key, up, overhead[name]) + low * (akimbo[name] - STANDING[key])
    return curves | move(left - right, {"abdomen_roll": 15, "chest_roll": 15, "neck_roll": 8, "pelvis_roll": -3})


def _march_in_place(phase: Curve) -> Curves:
    steps = pulses(phase, 6, 0.06, 0.94)
    left, right = steps[0::2].sum(axis=0), steps[1::2].sum(axis=0)
    marching = hold(phase, rise=0.1)
    curves: Curves = {"chest_yaw": 8 * (left - right)}
    for side, lift, other in (("left", left, right), ("right", right, left)):
        forward = other - lift
        leg = {"leg_flex": 66, "knee": 84, "foot_pitch": 18}
        arm: Curves = {"arm_swing": 80, "arm_lift": 16 + 22 * forward, "elbow": 66 + 14 * forward, "arm_twist": 78}
        curves |= move(lift, {f"{side}_{name}": angle for name, angle in leg.items()})
        curves |= move(marching, {f"{side}_{name}": angle for name, angle in arm.items()})
    on_left, on_right = right > 1e-3, left > 1e-3
    return curves | {"support": 0.5 + 0.5 * (on_left.astype(float) - on_right)}


def _point(phase: Curve) -> Curves:
    """To the right, to the left, and up to the sky."""
    right, left = hold(phase, 0.03, 0.36, rise=0.12), hold(phase, 0.33, 0.66, rise=0.12)
    sky = hold(phase, 0.64, 0.97, rise=0.12)
    aside = {"arm_lift": 88, "arm_swing": 26, "elbow": 18, "wrist": 0, "forearm_roll": 60}
    upwards = {"arm_lift": 140, "arm_swing": 18, "elbow": 12, "wrist": 0, "forearm_roll": 60}
    curves = move(left, {f"left_{name}": angle for name, angle in aside.items()})
    for name in aside:
        key = f"right_{name}"
        curves[key] = blend(key, right, aside[name]) + sky * (upwards[name] - STANDING[key])
    look = left - right - 0.6 * sky
    return curves | {"neck_yaw": 26 * look, "chest_yaw": 6 * look, "neck_pitch": -12 * sky}


def _bow(phase: Curve) -> Curves:
    down = hold(phase, 0.02, 0.5, rise=0.18) + hold(phase, 0.5, 0.98, rise=0.18)
    trunk = {"pelvis_pitch": 34, "abdomen_pitch": 20, "chest_pitch": 14, "neck_pitch": 14, "leg_flex": -7}
    return move(down, trunk | {"arm_lift": 14, "elbow": 10}) | move(1, {"arm_swing": 60})


def _clap(phase: Curve) -> Curves:
    up, apart = hold(phase), 0.5 - 0.5 * np.cos(2 * np.pi * 6 * ramp(phase, 0.1, 0.9))
    together = {"arm_lift": 41, "arm_swing": 59, "elbow": 97, "arm_twist": 17, "wrist": -12}
    wide = {"arm_lift": 33, "arm_swing": 20, "elbow": 109, "arm_twist": 10, "wrist": -12}
    arms: Curves = {name: together[name] + apart * (wide[name] - together[name]) for name in together}
    return move(up, arms | {"chest_pitch": 3, "neck_pitch": 4})


def _turn_torso(phase: Curve) -> Curves:
    arms = move(hold(phase), {"arm_lift": 74, "arm_swing": 14, "elbow": 88, "arm_twist": 12, "wrist": 0})
    turn = move(wave(phase, 2), {"pelvis_yaw": 10, "abdomen_yaw": 20, "chest_yaw": 22, "neck_yaw": 6})
    return arms | turn | move(1, {"leg_abduct": 10})


def _guard(weight: Curve, sink: Curve | float) -> Curves:
    """A boxer's guard: hands before the chin, elbows down, feet apart, knees bent and, by `sink`, bent further."""
    arms = move(weight, {"arm_lift": 40, "arm_swing": 66, "elbow": 125, "arm_twist": 49, "wrist": 0})
    bent = move(weight, {"leg_flex": 16 + 12 * sink, "knee": 32 + 22 * sink}) | move(1, {"leg_yaw": 20})
    return arms | bent | planted(bent, 11) | move(weight, {"chest_pitch": 8, "neck_pitch": 4})


def _boxing_guard(phase: Curve) -> Curves:
    """Bobbing from side to side behind the guard."""
    sway = wave(phase, 3)
    rolls = {"abdomen_roll": 9, "chest_roll": 8, "neck_roll": -9, "chest_yaw": 10}
    return _guard(hold(phase, rise=0.12), np.abs(sway)) | move(sway, rolls)


def _drink(phase: Curve) -> Curves:
    """Two sips; the head goes back with the glass."""
    up, sips = hold(phase, rise=0.16), pulses(phase, 2, 0.2, 0.84).sum(axis=0)
    arm = {"arm_lift": 40 + 16 * sips, "arm_swing": 66, "elbow": 132, "arm_twist": 46, "wrist": 0}
    curves = move(up, {f"right_{name}": angle for name, angle in arm.items()})
    return curves | {"neck_pitch": -16 * sips, "chest_pitch": -5 * sips}


def _phone(phase: Curve) -> Curves:
    """A hand at the ear, and weight that goes from foot to foot while somebody listens."""
    up, sway = hold(phase, rise=0.12), wave(phase, 1.5, 0.1, 0.9)
    arm = {"arm_lift": 62, "arm_swing": 22, "elbow": 148, "arm_twist": 58, "wrist": 0, "forearm_roll": 30}
    curves = move(up, {f"right_{name}": angle for name, angle in arm.items()})
    return curves | {"neck_roll": 9 * up, "neck_yaw": 12 * sway, "abdomen_roll": 3 * sway, "chest_yaw": 6 * sway}


def _throw(phase: Curve) -> Curves:
    """Twice: the arm goes back over the shoulder, and forward with the trunk."""
    curves: Curves = {name: np.zeros_like(phase) for name in ("abdomen_yaw", "chest_yaw", "chest_pitch")}
    back, out = np.zeros_like(phase), np.zeros_like(phase)
    for start in (0.02, 0.5):
        drawn, thrown = ramp(phase, start, start + 0.16), ramp(phase, start + 0.2, start + 0.29)
        back += drawn - thrown
        out += thrown - ramp(phase, start + 0.33, start + 0.47)
    drawn_arm = {"arm_lift": 98, "arm_swing": -12, "elbow": 100, "arm_twist": 88, "wrist": 0}
    thrown_arm = {"arm_lift": 78, "arm_swing": 82, "elbow": 10, "arm_twist": 60, "wrist": 10}
    for name in drawn_arm:
        key = f"right_{name}"
        curves[key] = blend(key, back, drawn_arm[name]) + out * (thrown_arm[name] - STANDING[key])
    curves |= {"abdomen_yaw": 16 * (out - back), "chest_yaw": 20 * (out - back), "chest_pitch": 12 * out - 5 * back}
    return curves | move(back, {"left_arm_lift": 60, "left_arm_swing": 70}) | {"neck_yaw": -24 * (out - back)}


def _lunge(phase: Curve) -> Curves:
    """A step forward and down with one leg and back, and with the other; the foot behind stays."""
    support: Curve = np.full_like(phase, 0.5)
    curves: Curves = dict(move(hold(phase, rise=0.1), {"arm_lift": 40, "elbow": 95, "arm_twist": -40, "arm_swing": 20}))
    downs = []
    for lead, other, start, sign in (("right", "left", 0.02, 1.0), ("left", "right", 0.51, -1.0)):
        out, home = ramp(phase, start + 0.01, start + 0.15), ramp(phase, start + 0.31, start + 0.45)
        down = out - home
        air = np.sin(np.pi * out) ** 2 + np.sin(np.pi * home) ** 2
        ahead = {"leg_flex": 55 * down + 22 * air, "knee": 70 * down + 44 * air}
        behind = {"leg_flex": -25 * down, "knee": 33 * down, "foot_pitch": 34 * down}
        for side, bent in ((lead, ahead), (other, behind)):
            for name, angle in bent.items():
                key = f"{side}_{name}"
                curves[key] = curves.get(key, STANDING[key]) + angle
        support += 0.5 * sign * (ramp(phase, start, start + 0.01) - ramp(phase, start + 0.45, start + 0.46))
        downs.append(down)
    return curves | {"chest_pitch": 6 * sum(downs), "support": support}


def _dance(phase: Curve) -> Curves:
    """Hips from side to side, knees that give twice as often, and arms that rise by turns."""
    on, sway = hold(phase, rise=0.1), wave(phase, 4, 0.06, 0.94)
    bounce = pulses(phase, 8, 0.06, 0.94).sum(axis=0)
    bent = move(on * bounce, {"leg_flex": 16, "knee": 32}) | move(1, {"leg_yaw": 16})
    curves = bent | planted(bent, 9)
    for side, sign in (("left", 1), ("right", -1)):
        arm: Curves = {"arm_lift": 84 + 46 * sign * sway, "arm_swing": 34, "elbow": 70, "arm_twist": 84, "wrist": 0}
        curves |= move(on, {f"{side}_{name}": angle for name, angle in arm.items()})
    trunk = {"pelvis_roll": 7, "abdomen_roll": -13, "chest_roll": -4, "chest_yaw": 12, "neck_roll": 6}
    return curves | move(sway, trunk)


STAGED: dict[str, Perform] = {
    name: _staged(action)
    for name, action in {
        "wave_one_hand": _wave_one_hand, "wave_both_hands": _wave_both_hands, "jumping_jacks": _jumping_jacks,
        "side_step": _side_step, "arm_circles": _arm_circles, "salute": _salute, "stretch": _stretch,
        "march_in_place": _march_in_place, "point": _point, "bow": _bow, "clap": _clap, "turn_torso": _turn_torso,
        "boxing_guard": _boxing_guard, "drink": _drink, "phone": _phone, "throw": _throw, "lunge": _lunge,
        "dance": _dance,
    }.items()
}  # fmt: skip
"""Performers of the staged actions, by name."""
