"""Forward kinematics: joint-angle curves and a person's proportions in, the pose of every bone out.

World axes: x to the right of the image, y up, z towards the camera, in metres; the floor is y = 0. A person who
faces the camera looks along +z and has the left arm at +x. A bone's own axes: torso and head have y up and z forward;
limbs have y along the bone (away from the body) and z towards the side to which the joint below bends; hands are thin
along x with the thumb on +z; feet have y towards the toes and z up.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from posegen.skeletons import OPENPOSE_18

SIDES = ("left", "right")
TORSO_BONES = ("pelvis", "abdomen", "chest", "neck", "head")
LIMB_BONES = ("upper_arm", "forearm", "hand", "thigh", "shin", "foot")
BONES: tuple[str, ...] = TORSO_BONES + tuple(f"{side}_{bone}" for side in SIDES for bone in LIMB_BONES)

STANCE = np.radians(4.0)
"""How far straight legs are spread at rest."""

Angles = dict[str, np.ndarray]
"""Curves by channel name: (T,) float64 radians; ``support``, ``jump`` and the anchors are not angles."""

_JOINT_BONES = {"shoulder": "upper_arm", "elbow": "forearm", "wrist": "hand"} | {
    "hip": "thigh",
    "knee": "shin",
    "ankle": "foot",
}
_FACE = {"nose": (0.0, 0.040, 0.062), "eye": (0.0185, 0.054, 0.047), "ear": (0.045, 0.044, 0.0)}


@dataclass(frozen=True)
class Proportions:
    """Bone lengths in metres."""

    height: float
    leg: float
    """Length of the thigh, and of the shin."""
    ankle: float
    foot: float
    hip: float
    """Half the distance of the hip joints."""
    shoulder: float
    """Half the distance of the shoulder joints."""
    upper_arm: float
    forearm: float
    spine: tuple[float, float, float, float]
    """Pelvis to abdomen, abdomen to chest, chest to neck, neck to head."""

    @staticmethod
    def of(height: float, *, legs: float, shoulders: float, hips: float) -> Proportions:
        """Return the proportions of an adult, from segment lengths as fractions of stature (Drillis and Contini).

        `legs`, `shoulders` and `hips` are relative to the average; the trunk makes up for longer legs, so that
        the stature stays.
        """
        trunk = 1 + (1 - legs) * 0.49 / 0.355
        return Proportions(
            height=height,
            leg=0.245 * legs * height,
            ankle=0.04 * height,
            foot=0.15 * height,
            hip=0.051 * hips * height,
            shoulder=0.102 * shoulders * height,
            upper_arm=0.166 * height,
            forearm=0.145 * height,
            spine=(0.05 * trunk * height, 0.09 * trunk * height, 0.165 * trunk * height, 0.05 * height),
        )


@dataclass(frozen=True)
class Skeleton:
    """The pose of every bone in every frame."""

    rotations: np.ndarray
    """(T, B, 3, 3): columns are the bone's axes in the world."""
    origins: np.ndarray
    """(T, B, 3): the joint where the bone starts, in the world."""

    def points(self, bone: str, offset: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> np.ndarray:
        """Return the world position (T, 3) of a point given in a bone's axes."""
        index = BONES.index(bone)
        return self.origins[:, index] + self.rotations[:, index] @ np.array(offset)

    def joints(self, height: float) -> np.ndarray:
        """Return the world positions (T, 18, 3) of the OpenPose joints of a person of this height."""
        return np.stack([self._joint(name, height) for name in OPENPOSE_18], axis=1)

    def _joint(self, name: str, height: float) -> np.ndarray:
        if name == "neck":
            return (self._joint("left_shoulder", height) + self._joint("right_shoulder", height)) / 2
        side, _, joint = name.rpartition("_")
        if joint in _JOINT_BONES:
            return self.points(f"{side}_{_JOINT_BONES[joint]}")
        x, y, z = _FACE[joint]
        return self.points("head", (-x * height if side == "right" else x * height, y * height, z * height))


def forward_kinematics(angles: Angles, proportions: Proportions) -> Skeleton:
    """Pose a skeleton whose feet stand on the floor, or `jump` above it.

    The supporting foot (``support``: 1 is the left, 0 the right) stays where it stood at rest, moved by its anchor in
    leg lengths, so that people of all sizes step without sliding though all of them follow the same angles.
    """
    root = rotation("y", angles["root_yaw"])  # (T, 3, 3)
    bones = _torso(angles, proportions, root)
    for side in SIDES:
        bones |= _arm(angles, proportions, side, *bones["chest"])
        bones |= _leg(angles, proportions, side, root, *bones["pelvis"])
    rotations = np.stack([bones[name][0] for name in BONES], axis=1)
    origins = np.stack([bones[name][1] for name in BONES], axis=1)
    skeleton = Skeleton(rotations, origins)
    return Skeleton(rotations, origins + _placement(angles, proportions, root, skeleton)[:, None])


def rotation(axis: str, angle: np.ndarray) -> np.ndarray:
    """Return right-handed rotations (T, 3, 3) about the x, y or z axis by angles (T,) in radians."""
    first, second = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    matrix = np.broadcast_to(np.eye(3), (len(angle), 3, 3)).copy()
    matrix[:, first, first] = matrix[:, second, second] = np.cos(angle)
    matrix[:, second, first] = np.sin(angle)
    matrix[:, first, second] = -np.sin(angle)
    return matrix


def _turn(angles: Angles, bone: str, share: float = 1.0) -> np.ndarray:
    """Yaw, then pitch (forward), then roll (to the person's right) of a bone against its parent."""
    yaw, pitch, roll = (angles[f"{bone}_{name}"] * share for name in ("yaw", "pitch", "roll"))
    return rotation("y", yaw) @ rotation("x", pitch) @ rotation("z", roll)


def _torso(angles: Angles, proportions: Proportions, root: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The pelvis at the origin and the chain from it to the head; neck and head share the neck's angles."""
    turn = root @ _turn(angles, "pelvis")
    origin = np.zeros((len(turn), 3))
    bones = {"pelvis": (turn, origin)}
    chain = (
        ("abdomen", "abdomen", 1.0),
        ("chest", "chest", 1.0),
        ("neck", "neck", 0.4),
        ("head", "neck", 0.6),
    )
    for length, (bone, channel, share) in zip(proportions.spine, chain, strict=True):
        origin = origin + turn[..., 1] * length
        turn = turn @ _turn(angles, channel, share)
        bones[bone] = (turn, origin)
    return bones


def _columns(y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """The right-handed frame (T, 3, 3) with the given y and z axes."""
    return np.stack([np.cross(y, z), y, z], axis=-1)


def _arm(
    angles: Angles, proportions: Proportions, side: str, chest: np.ndarray, origin: np.ndarray
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Upper arm, forearm and hand.

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
    shrug = 0.022 * np.clip((lift - 1.0) / 1.6, 0, 1)  # the collar bone rises with the arm
    height = proportions.height
    shoulder = np.stack([(1 - 4 * shrug) * proportions.shoulder * mirror[0], (0.130 + shrug) * height, zero], axis=-1)
    shoulder = origin + np.einsum("tij,tj->ti", chest, shoulder)
    elbow_joint = shoulder + upper[..., 1] * proportions.upper_arm
    wrist_joint = elbow_joint + lower[..., 1] * proportions.forearm
    joints = (shoulder, elbow_joint, wrist_joint)
    names = (f"{side}_upper_arm", f"{side}_forearm", f"{side}_hand")
    return dict(zip(names, zip((upper, lower, hand), joints, strict=True), strict=True))


def _leg(
    angles: Angles,
    proportions: Proportions,
    side: str,
    root: np.ndarray,
    pelvis: np.ndarray,
    origin: np.ndarray,
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Thigh, shin and foot, in the axes of the root: the legs stay upright while the pelvis tilts.

    ``leg_yaw`` turns knee and toes outwards; the foot is level but for its own ``foot_pitch`` (toes down).
    """
    flex, abduct, knee, yaw, pitch = (
        angles[f"{side}_{name}"] for name in ("leg_flex", "leg_abduct", "knee", "leg_yaw", "foot_pitch")
    )
    mirror = np.array([1.0 if side == "left" else -1.0, 1.0, 1.0])
    thigh_axis, pole = leg_axes(flex, abduct, yaw)
    forward = np.stack([np.sin(yaw), np.zeros_like(yaw), np.cos(yaw)], axis=-1)
    up = np.broadcast_to((0.0, 1.0, 0.0), forward.shape)
    thigh = root @ _columns(thigh_axis * mirror, pole * mirror)
    shin = thigh @ rotation("x", -knee)
    foot = root @ _columns(forward * mirror, up) @ rotation("x", -pitch)
    hip = origin + pelvis[..., 0] * proportions.hip * mirror[0]
    knee_joint = hip + thigh[..., 1] * proportions.leg
    ankle = knee_joint + shin[..., 1] * proportions.leg
    joints = (hip, knee_joint, ankle)
    names = (f"{side}_thigh", f"{side}_shin", f"{side}_foot")
    return dict(zip(names, zip((thigh, shin, foot), joints, strict=True), strict=True))


def leg_axes(flex: np.ndarray, abduct: np.ndarray, yaw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where a left thigh points and where its knee faces: unit vectors (T, 3) in the axes of the root.

    The knee faces where the toes point, but straight up where the thigh itself does.
    """
    thigh = np.stack([np.sin(abduct), -np.cos(abduct) * np.cos(flex), np.cos(abduct) * np.sin(flex)], axis=-1)
    pole = np.stack([np.sin(yaw) * np.cos(flex), np.sin(flex), np.cos(yaw) * np.cos(flex)], axis=-1)
    pole = pole - (pole * thigh).sum(axis=-1, keepdims=True) * thigh
    return thigh, pole / np.linalg.norm(pole, axis=-1, keepdims=True)


def _placement(angles: Angles, proportions: Proportions, root: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """Where the pelvis must be (T, 3) for the supporting foot to stay and the lowest sole to touch the floor."""
    weights = (angles["support"], 1 - angles["support"])
    shift = np.zeros((len(root), 3))
    for side, sign, weight in zip(SIDES, (1, -1), weights, strict=True):
        rest = np.array([sign * (proportions.hip + 2 * np.sin(STANCE) * proportions.leg), 0.0, 0.0])
        anchor = root @ rest
        anchor[:, 0] += angles[f"{side}_anchor"] * proportions.leg
        shift += weight[:, None] * (anchor - skeleton.points(f"{side}_foot"))
    soles = [
        skeleton.points(f"{side}_foot", (0.0, part * proportions.foot, -proportions.ankle))[:, 1]
        for side in SIDES
        for part in (-0.2, 0.75)
    ]
    shift[:, 1] = angles["jump"] * proportions.leg - np.min(soles, axis=0)
    return shift
