"""Assess a photo of a person: problems that affect the video, and the actions that suit the photo."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from posegen.color.garment_regions import Garment, garment_region
from posegen.features.body_bones import foreshortening, has_trunk, shows_front, trunk_length
from posegen.features.body_pose import BodyPoses
from posegen.features.layered_person import hides_hand
from posegen.inference.body_measures import facing_yaw
from posegen.inference.motion_to_pose import face_viewer
from posegen.inference.pose_fitting import fit_motion
from posegen.inference.view_choice import choose_yaw
from posegen.motion.motion import Motion
from posegen.perception.body import FAINTEST
from posegen.person_classes import PersonClass
from posegen.skeletons import joint_indices

Suitability = Literal["good", "fair", "poor"]

_SIDES = ("right", "left")
_LIMBS = {"arm": ("upper_arm", "forearm"), "leg": ("thigh", "calf")}
_JOINTS = {"arm": ("shoulder", "elbow", "wrist"), "leg": ("hip", "knee", "ankle")}
_SIDE_VIEW = 55.0  # degrees from the front
_SMALL = 200.0  # pixels of height, below which a face has no features
_CROSSED = 0.06  # lengths of the trunk by which a knee or an ankle is on the other's side
_BENT = 125.0  # degrees at a knee
_SHORT = 0.5  # share of a bone's length that is seen
_STRETCHED = 1.6  # how much longer than in the photo a limb is shown
_OFTEN = 0.25  # of the frames
_MOVES = 0.35  # lengths of the trunk by which a limb that an action needs moves
_SHOWS = 0.8  # lengths of the trunk from where the photo has a hand, at which it is looked at
_GARMENTS: tuple[Garment, ...] = ("upper", "lower")
_SLIVER = 0.02  # of the person's pixels, below which a class is an error of the parser
_WHOLE = 0.9  # of a garment's pixels in its largest piece, unless it is in several
_USUAL_HEIGHT = 3.3  # of a body, in lengths of the trunk


@dataclass(frozen=True)
class ActionFit:
    """Suitability of a photo for an action."""

    suitability: Suitability
    reason: str
    """Empty where nothing is wrong."""


@dataclass(frozen=True)
class PhotoReport:
    """Assessment of a photo."""

    findings: list[str]
    """Problems of the photo and their effect on a video; empty if there are none."""
    actions: dict[str, ActionFit]


def assess_photo(
    pose: BodyPoses,
    size: tuple[int, int],
    motions: Mapping[str, Motion],
    findings: list[str],
    hidden: Sequence[str] = (),
) -> PhotoReport:
    """Judge a photo by its pose, and by how far actions move the person from it.

    Args:
        pose: The pose in the photo.
        size: Height and width of the photo.
        motions: The actions, by name.
        findings: What is seen badly, from `find_weaknesses` and `find_garment_doubts`.
        hidden: Sides whose hand the photo hides, from `hidden_hands`.
    """
    if not has_trunk(pose):
        return PhotoReport(findings, {})
    actions = {}
    for name, motion in motions.items():
        front = face_viewer(motion)
        poses = fit_motion(face_viewer(motion, choose_yaw(front)), pose, size)
        actions[name] = judge_action(pose, poses, hidden)
    return PhotoReport(findings, actions)


def find_weaknesses(pose: BodyPoses, others: int = 0) -> list[str]:
    """Say what one pose hides of a person, one line for each thing; sizes are those of the picture it is of."""
    if not has_trunk(pose):
        return ["shoulders or hips are not seen: nothing can be moved; choose a photo that shows the trunk"]
    found = []
    height = _USUAL_HEIGHT * trunk_length(pose)
    if height < _SMALL:
        found.append(f"the person is about {height:.0f} pixels tall: from {_SMALL:.0f} on, faces and hands are clear")
    if others:
        found.append(f"{others} more of comparable size: --person 1 is the most prominent, 2 the next")
    if not shows_front(pose):
        found.append("the person is seen from behind: a face is never shown")
    elif abs(yaw := facing_yaw(pose)) > _SIDE_VIEW:
        found.append(f"the person is seen from the side ({abs(yaw):.0f}°): front and back of the trunk are guessed")
    if not all(_sees(pose, f"{side}_hip") for side in _SIDES):
        found.append("the hips are hidden or cut off: where they are is guessed")
    for limb, bones in _LIMBS.items():
        if hides_limb(pose, limb):
            found.append(f"no {limb} is seen: actions that need {limb}s are refused")
            continue
        neither = [name for name in _JOINTS[limb][1:] if not any(_sees(pose, f"{side}_{name}") for side in _SIDES)]
        if neither:
            found.append(f"no {' or '.join(neither)} is seen: {limb}s end where the picture does")
        for side in _SIDES:
            missing = [name for name in _JOINTS[limb] if not _sees(pose, f"{side}_{name}") and name not in neither]
            missing = [name for name in missing if name != "hip"]  # said above
            if missing:
                joints = " and ".join(missing)
                found.append(f"the {side} {joints} is not seen: the {limb} is taken from the other side, or left out")
            elif min(foreshortening(pose, f"{side}_{bone}") for bone in bones) < _SHORT:
                found.append(f"the {side} {limb} points to the viewer: stretched out, it is blurred")
    if _folds_arms(pose):
        found.append("the arms are folded: they come apart with seams, and the cloth behind them is made up")
    else:
        for side in _SIDES:
            if _sees(pose, f"{side}_wrist") and _lies_on_trunk(pose, f"{side}_wrist"):
                found.append(f"the {side} hand lies before the trunk: the cloth behind it is made up")
    if _crosses_legs(pose):
        found.append("the legs are crossed: what one hides of the other is made up")
    angles = [_knee_angle(pose, side) for side in _SIDES]
    if all(angle < _BENT for angle in angles):
        found.append("the person sits or squats: standing, trousers are stretched")
    return found


def hidden_hands(pose: BodyPoses, labels: np.ndarray) -> list[str]:
    """Return the sides, ``right`` and ``left``, whose hand is not seen at the end of an arm that is.

    Args:
        pose: One pose.
        labels: (H, W) uint8 of `PersonClass`.
    """
    return [side for side in _SIDES if hides_hand(pose, labels, side)]


def find_hidden_hands(pose: BodyPoses, labels: np.ndarray) -> list[str]:
    """Say which hands a picture hides, one line for each; arguments as of `hidden_hands`."""
    hidden = hidden_hands(pose, labels)
    if len(hidden) == len(_SIDES):
        return ["no hand is seen, as in pockets or behind the body: the arms end without hands"]
    return [
        f"the {side} hand is not seen, as in a pocket or behind the body: the arm is taken from the other side"
        for side in hidden
    ]


def find_garment_doubts(labels: np.ndarray) -> list[str]:
    """Say where the garments that are seen may not be what people mean by them, one line for each doubt.

    Args:
        labels: (H, W) uint8 of `PersonClass`.
    """
    upper, lower = (garment_region(labels, garment) for garment in _GARMENTS)
    one_piece = labels == PersonClass.ONE_PIECE
    doubts = []
    if (upper & lower).any():
        doubts.append(
            "the person seems to wear a one-piece, such as a dress: it counts as both garments, and takes one colour, "
            "by --upper or --lower"
        )
    elif one_piece.sum() > _SLIVER * (labels > 0).sum():
        owner = next((name for name, of in zip(_GARMENTS, (upper, lower), strict=True) if of[one_piece].any()), "")
        use = (
            f"the {owner} garment, and takes the colour of --{owner}" if owner else "neither garment, and keeps its own"
        )
        doubts.append(f"part of what is worn may be a one-piece, such as a dress: it counts as {use}")
    for garment, region in zip(_GARMENTS, (upper, lower), strict=True):
        _, _, stats, _ = cv2.connectedComponentsWithStats(region.astype(np.uint8), connectivity=8)
        pieces = stats[1:, cv2.CC_STAT_AREA]
        if len(pieces) > 1 and pieces.max() < _WHOLE * pieces.sum():
            doubts.append(
                f"the {garment} garment is seen in several pieces: not all may be of it, or some may be missing"
            )
    return doubts


def judge_action(photo: BodyPoses, poses: BodyPoses, hidden: Sequence[str] = ()) -> ActionFit:
    """Judge an action by the limbs that it moves, the stretch they need and how long it shows the other side.

    Args:
        photo: The pose in the photo.
        poses: What the action asks for, fitted to the person.
        hidden: Sides whose hand the photo hides.
    """
    if limb := needed_limb(photo, poses):
        return ActionFit("poor", f"it needs {limb}s, which are not seen")
    turned = np.mean([shows_front(poses[index]) != shows_front(photo) for index in range(len(poses))])
    if turned > _OFTEN:
        return ActionFit("poor", "it shows the side of the person that the photo hides")
    moved = [side for side in hidden if _reach(photo, poses, side) > _SHOWS * trunk_length(photo)]
    if len(moved) == len(_SIDES):
        return ActionFit("fair", "it moves both arms, whose hands the photo hides")
    if moved:
        return ActionFit("fair", f"it moves the {moved[0]} arm, whose hand the photo hides")
    stretched = []
    for limb in _LIMBS:
        for side in _SIDES:
            ratios = [
                _stretch(photo, poses, f"{side}_{_JOINTS[limb][i]}", f"{side}_{_JOINTS[limb][i + 1]}") for i in (0, 1)
            ]
            if max(np.mean(ratio > _STRETCHED) for ratio in ratios) > _OFTEN:
                stretched.append(f"{side} {limb}")
    if stretched:
        return ActionFit("fair", f"it stretches the {' and the '.join(stretched)}")
    return ActionFit("fair", "it turns the person away for a moment") if turned > 0.02 else ActionFit("good", "")


def needed_limb(photo: BodyPoses, poses: BodyPoses) -> str:
    """Return ``arm`` or ``leg`` where poses move it and a photo shows neither of the two; empty otherwise.

    Args:
        photo: The pose in the photo.
        poses: What is asked for, fitted to the person.
    """
    moved = (limb for limb in _LIMBS if _movement(poses, limb) > _MOVES * trunk_length(photo))
    return next((limb for limb in moved if hides_limb(photo, limb)), "")


def hides_limb(pose: BodyPoses, limb: str) -> bool:
    """Return whether one pose shows nothing of ``arm`` or ``leg``, on either side, beyond shoulder or hip."""
    return not any(_sees(pose, f"{side}_{name}") for side in _SIDES for name in _JOINTS[limb][1:])


def _sees(pose: BodyPoses, joint: str) -> bool:
    return bool(pose.keypoints[joint_indices([joint])[0], 2] > FAINTEST)


def _point(pose: BodyPoses, joint: str) -> np.ndarray:
    return pose.keypoints[..., joint_indices([joint])[0], :2].astype(np.float64)


def _lies_on_trunk(pose: BodyPoses, joint: str) -> bool:
    """Return True if a joint lies well within the quadrangle of shoulders and hips."""
    neck, hips = _point(pose, "neck"), (_point(pose, "right_hip") + _point(pose, "left_hip")) / 2
    down = hips - neck
    t = (_point(pose, joint) - neck) @ down / max(down @ down, 1e-9)
    half = np.linalg.norm(_point(pose, "left_shoulder") - _point(pose, "right_shoulder")) / 2
    aside = np.linalg.norm(_point(pose, joint) - neck - t * down)
    return bool(0.1 < t < 0.9 and aside < 0.7 * half)


def _folds_arms(pose: BodyPoses) -> bool:
    """Return True if both wrists lie before the trunk, at or beyond its middle as seen from their own shoulder."""
    if not all(_sees(pose, f"{side}_wrist") and _lies_on_trunk(pose, f"{side}_wrist") for side in _SIDES):
        return False
    right, left = (_point(pose, f"{side}_shoulder") for side in _SIDES)
    shares = [(_point(pose, f"{side}_wrist") - right) @ (left - right) / max((left - right) @ (left - right), 1e-9)
              for side in _SIDES]  # fmt: skip
    return bool(shares[0] > shares[1])


def _crosses_legs(pose: BodyPoses) -> bool:
    """Return True if knees or ankles lie on the other side, in a person who is not seen from the side."""
    if abs(facing_yaw(pose)) > _SIDE_VIEW:
        return False
    across = _point(pose, "left_hip") - _point(pose, "right_hip")
    across = across / max(np.linalg.norm(across), 1e-9)
    return any(
        (_point(pose, f"left_{name}") - _point(pose, f"right_{name}")) @ across < -_CROSSED * trunk_length(pose)
        for name in _JOINTS["leg"][1:]
        if all(_sees(pose, f"{side}_{name}") for side in _SIDES)
    )


def _knee_angle(pose: BodyPoses, side: str) -> float:
    """Degrees between thigh and calf in the picture, 180 for a straight leg; 180 where it is not seen."""
    if not all(_sees(pose, f"{side}_{name}") for name in _JOINTS["leg"]):
        return 180.0
    hip, knee, ankle = (_point(pose, f"{side}_{name}") for name in _JOINTS["leg"])
    cosine = (hip - knee) @ (ankle - knee) / max(np.linalg.norm(hip - knee) * np.linalg.norm(ankle - knee), 1e-9)
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


def _reach(photo: BodyPoses, poses: BodyPoses, side: str) -> float:
    """Pixels between a wrist and its place in the photo, as seen from its shoulder, at most."""
    of_photo, of_poses = (_point(one, f"{side}_wrist") - _point(one, f"{side}_shoulder") for one in (photo, poses))
    return float(np.linalg.norm(of_poses - of_photo, axis=-1).max())


def _movement(poses: BodyPoses, limb: str) -> float:
    """Pixels by which the ends of a pair of limbs move about the body."""
    base, end = _JOINTS[limb][0], _JOINTS[limb][-1]
    moves = [np.ptp(_point(poses, f"{side}_{end}") - _point(poses, f"{side}_{base}"), axis=0).max() for side in _SIDES]
    return float(max(moves))


def _stretch(photo: BodyPoses, poses: BodyPoses, near: str, far: str) -> np.ndarray:
    """Return the length of a bone in each pose over its length in the photo, (T,); 1 if the photo does not show the
    bone."""
    if not (_sees(photo, near) and _sees(photo, far)):
        return np.ones(len(poses))
    own = np.linalg.norm(_point(photo, far) - _point(photo, near))
    return np.linalg.norm(_point(poses, far) - _point(poses, near), axis=-1) / max(own, 1.0)
