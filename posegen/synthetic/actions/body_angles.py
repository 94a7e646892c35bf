"""A body's pose by angles that people speak of: how far an arm is lifted, a knee bent, the trunk rolled.

A bone's own axes: trunk and head have y up and z forward; limbs have y along the bone (away from the body) and z
towards the side to which the joint below bends; hands have the thumb on +z; feet have y towards the toes and z up.
"""

from __future__ import annotations

import numpy as np
import torch

from posegen.motion.kinematics import local_rotations
from posegen.skeletons import SMPL_24
from posegen.synthetic.actions.take import SIDES

STANCE = np.radians(4.0)
"""Angle of straight legs at rest, in radians from the vertical."""

BodyAngles = dict[str, np.ndarray]
"""Curves by channel name: (T,) float64 radians."""

_TORSO = {f"{bone}_{turn}": 0.0 for bone in ("pelvis", "abdomen", "chest", "neck") for turn in ("pitch", "yaw", "roll")}
_ARM = {"arm_lift": 11.0, "arm_swing": 12.0, "elbow": 16.0, "arm_twist": 0.0, "forearm_roll": 0.0, "wrist": 6.0}
_LEG = {"leg_flex": 0.0, "leg_abduct": float(np.degrees(STANCE)), "knee": 0.0, "leg_yaw": 12.0, "foot_pitch": 0.0}

STANDING: dict[str, float] = dict(_TORSO)
STANDING |= {f"{side}_{name}": value for side in SIDES for name, value in (_ARM | _LEG).items()}
"""The angle of every channel in a person who just stands there."""


_SHRUG = 0.31  # radians: the collar bone rises with the arm


def rest_axes(joint: str) -> np.ndarray:
    """Return the axes (3, 3) as columns, in the world, that the bone of an SMPL-24 joint has in a T-pose."""
    side, _, name = joint.rpartition("_")
    if name in ("shoulder", "elbow", "wrist", "hand"):
        y = np.array([1.0 if side == "left" else -1.0, 0.0, 0.0])
        z = np.array([0.0, 0.0, 1.0])
    elif name in ("hip", "knee"):
        y, z = np.array([0.0, -1.0, 0.0]), np.array([0.0, 0.0, 1.0])
    elif name in ("ankle", "foot"):
        y, z = np.array([0.0, 0.0, 1.0]), np.array([0.0, 1.0, 0.0])
    else:
        y, z = np.array([0.0, 1.0, 0.0]), np.array([0.0, 0.0, 1.0])
    return np.stack([np.cross(y, z), y, z], axis=1)


def joint_rotations(angles: BodyAngles) -> torch.Tensor:
    """Return the rotations (T, 24, 3, 3) of SMPL-24's joints in their parents' axes that the angles say.

    Legs stay upright while the pelvis tilts: their angles are against the world.
    """
    bones = _trunk(angles)
    for side in SIDES:
        bones |= _arm(angles, side, bones["spine3"])
        bones |= _leg(angles, side)
    turned = np.stack([bones[name] @ rest_axes(name).T for name in SMPL_24], axis=1)
    return local_rotations(torch.from_numpy(turned))


def rotation(axis: str, angle: np.ndarray) -> np.ndarray:
    """Return right-handed rotations (T, 3, 3) about the x, y or z axis by angles (T,) in radians."""
    first, second = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    matrix = np.broadcast_to(np.eye(3), (len(angle), 3, 3)).copy()
    matrix[:, first, first] = matrix[:, second, second] = np.cos(angle)
    matrix[:, second, first] = np.sin(angle)
    matrix[:, first, second] = -np.sin(angle)
    return matrix


def _turn(angles: BodyAngles, bone: str, share: float = 1.0) -> np.ndarray:
    """Yaw, then pitch (forward), then roll (to the person's right) of a bone against its parent."""
    yaw, pitch, roll = (angles[f"{bone}_{name}"] * share for name in ("yaw", "pitch", "roll"))
    return rotation("y", yaw) @ rotation("x", pitch) @ rotation("z", roll)


def _trunk(angles: BodyAngles) -> dict[str, np.ndarray]:
    """From the pelvis to the head; neck and head share the neck's angles."""
    bones = {"pelvis": _turn(angles, "pelvis")}
    bones["spine1"] = bones["pelvis"] @ _turn(angles, "abdomen")
    bones["spine2"] = bones["spine3"] = bones["spine1"] @ _turn(angles, "chest")
    bones["neck"] = bones["spine3"] @ _turn(angles, "neck", 0.4)
    bones["head"] = bones["neck"] @ _turn(angles, "neck", 0.6)
    return bones


def _columns(y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """The right-handed frame (T, 3, 3) with the given y and z axes."""
    return np.stack([np.cross(y, z), y, z], axis=-1)


def _arm(angles: BodyAngles, side: str, chest: np.ndarray) -> dict[str, np.ndarray]:
    """Collar bone, upper arm, forearm and hand.

    ``arm_lift`` raises the arm from hanging (0) over horizontal (90°) to overhead; ``arm_swing`` turns the plane of
    the lift from sideways (0) to forward (90°); ``elbow`` bends towards the inside at ``arm_twist`` 0 and towards
    where the lift goes at 90°.
    """
    lift, swing, elbow, twist, roll, wrist = (
        angles[f"{side}_{name}"] for name in ("arm_lift", "arm_swing", "elbow", "arm_twist", "forearm_roll", "wrist")
    )
    mirror = np.array([1.0 if side == "left" else -1.0, 1.0, 1.0])
    zero = np.zeros_like(lift)
    along = np.stack([np.sin(lift) * np.cos(swing), -np.cos(lift), np.sin(lift) * np.sin(swing)], axis=-1)
    rising = np.stack([np.cos(lift) * np.cos(swing), np.sin(lift), np.cos(lift) * np.sin(swing)], axis=-1)
    inside = np.stack([-np.sin(swing), zero, np.cos(swing)], axis=-1)
    bend = np.cos(twist)[:, None] * inside + np.sin(twist)[:, None] * rising
    upper = chest @ _columns(along * mirror, bend * mirror)
    lower = upper @ rotation("x", elbow)
    hand = lower @ rotation("y", roll * mirror[0]) @ rotation("x", wrist)
    shrug = _SHRUG * np.clip((lift - 1.0) / 1.6, 0, 1)
    collar = chest @ rotation("z", mirror[0] * shrug)
    bones = {"collar": collar, "shoulder": upper, "elbow": lower, "wrist": hand, "hand": hand}
    return {f"{side}_{name}": axes for name, axes in bones.items()}


def _leg(angles: BodyAngles, side: str) -> dict[str, np.ndarray]:
    """Thigh, shin and foot.

    ``leg_yaw`` turns knee and toes outwards; the foot is level but for its own ``foot_pitch`` (toes down).
    """
    flex, abduct, knee, yaw, pitch = (
        angles[f"{side}_{name}"] for name in ("leg_flex", "leg_abduct", "knee", "leg_yaw", "foot_pitch")
    )
    mirror = np.array([1.0 if side == "left" else -1.0, 1.0, 1.0])
    thigh_axis, pole = leg_axes(flex, abduct, yaw)
    forward = np.stack([np.sin(yaw), np.zeros_like(yaw), np.cos(yaw)], axis=-1)
    up = np.broadcast_to((0.0, 1.0, 0.0), forward.shape)
    thigh = _columns(thigh_axis * mirror, pole * mirror)
    shin = thigh @ rotation("x", -knee)
    foot = _columns(forward * mirror, up) @ rotation("x", -pitch)
    bones = {"hip": thigh, "knee": shin, "ankle": foot, "foot": foot}
    return {f"{side}_{name}": axes for name, axes in bones.items()}


def leg_axes(flex: np.ndarray, abduct: np.ndarray, yaw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where a left thigh points and where its knee faces: unit vectors (T, 3) in the axes of the root.

    The knee faces where the toes point, but straight up where the thigh itself does.
    """
    thigh = np.stack([np.sin(abduct), -np.cos(abduct) * np.cos(flex), np.cos(abduct) * np.sin(flex)], axis=-1)
    pole = np.stack([np.sin(yaw) * np.cos(flex), np.sin(flex), np.cos(yaw) * np.cos(flex)], axis=-1)
    pole = pole - (pole * thigh).sum(axis=-1, keepdims=True) * thigh
    return thigh, pole / np.linalg.norm(pole, axis=-1, keepdims=True)
