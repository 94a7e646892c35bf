"""Assess a photo of a person: problems that affect the video, and the actions that suit the photo."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

import cv2
import numpy as np

from posegen.color.garment_regions import Garment, garment_region
from posegen.features.body_bones import foreshortening, has_trunk, shows_front, trunk_length
from posegen.features.body_pose import BodyPoses
from posegen.inference.action_fit import (
    BOTH_SIDES,
    LIMB_CHAIN,
    SIDE_VIEW,
    ActionFit,
    PhotoBody,
    bend_angles,
    hidden_hands,
    hides_limb,
    judge_action,
    lies_on_trunk,
    point,
    sees,
)
from posegen.inference.body_measures import facing_yaw
from posegen.inference.motion_to_pose import face_viewer
from posegen.inference.pose_fitting import fit_motion
from posegen.inference.view_choice import yaw_for
from posegen.motion.motion import Motion
from posegen.person_classes import PersonClass
from posegen.synthetic import motions as corpus

_LIMBS = {"arm": ("upper_arm", "forearm"), "leg": ("thigh", "calf")}
_SMALL = 200.0  # pixels of height, below which a face has no features
_CROSSED = 0.06  # lengths of the trunk by which a knee or an ankle is on the other's side
_BENT = 125.0  # degrees at a knee
_SHORT = 0.5  # share of a bone's length that is seen
_SUGGESTED, _LOOKED_AT = 2, 8  # actions that are named instead of one, and among which they are looked for
_FEW_FRAMES = 12  # of these
_GARMENTS: tuple[Garment, ...] = ("upper", "lower")
_SLIVER = 0.02  # of the person's pixels, below which a class is an error of the parser
_WHOLE = 0.9  # of a garment's pixels in its largest piece, unless it is in several
_USUAL_HEIGHT = 3.3  # of a body, in lengths of the trunk


@dataclass(frozen=True)
class PhotoReport:
    """Assessment of a photo."""

    findings: list[str]
    """Problems of the photo and their effect on a video; empty if there are none."""
    actions: dict[str, ActionFit]


def assess_photo(
    body: PhotoBody, size: tuple[int, int], motions: Mapping[str, Motion], findings: list[str]
) -> PhotoReport:
    """Judge a photo by what it shows, and by how far actions move the person from it.

    Args:
        body: What it shows.
        size: Height and width of the frame.
        motions: The actions, by name.
        findings: What is seen badly, from `find_weaknesses` and `find_garment_doubts`.
    """
    if not has_trunk(body.pose):
        return PhotoReport(findings, {})
    return PhotoReport(findings, {name: _judge_motion(body, size, motion) for name, motion in motions.items()})


def warn_of_action(name: str, body: PhotoBody, poses: BodyPoses, size: tuple[int, int]) -> list[str]:
    """Say that a photo does not suit an action, why, and what would be better: one line, or none where it suits.

    Args:
        name: Of the action.
        body: What the photo shows.
        poses: What the action asks for, fitted to the person.
        size: Height and width of the frame.
    """
    fit = judge_action(body, poses)
    if fit.suitability == "good":
        return []
    others = " or ".join(islice(_find_suiting(body, size), _SUGGESTED))
    advice = [fit.better] * bool(fit.better) + [f"an action that suits this photo, such as {others}"] * bool(others)
    line = f"{name} will look {fit.suitability} with this photo: {fit.reason}"
    return [f"{line}; better: {', or '.join(advice)}" if advice else line]


def _find_suiting(body: PhotoBody, size: tuple[int, int]) -> Iterator[str]:
    """Find actions that a photo suits, of the first few."""
    subject = corpus.make_subject(0, 0)
    for name in islice(corpus.ACTIONS, _LOOKED_AT):
        if _judge_motion(body, size, corpus.perform(name, subject, frames=_FEW_FRAMES)).suitability == "good":
            yield name


def _judge_motion(body: PhotoBody, size: tuple[int, int], motion: Motion) -> ActionFit:
    """Judge a motion in the view in which it is drawn."""
    facing = face_viewer(motion)
    poses = fit_motion(face_viewer(facing, yaw_for(facing, body.pose)), body.pose, size, body.measures)
    return judge_action(body, poses)


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
    elif abs(yaw := facing_yaw(pose)) > SIDE_VIEW:
        found.append(f"the person is seen from the side ({abs(yaw):.0f}°): front and back of the trunk are guessed")
    if not all(sees(pose, f"{side}_hip") for side in BOTH_SIDES):
        found.append("the hips are hidden or cut off: where they are is guessed")
    for limb, bones in _LIMBS.items():
        if hides_limb(pose, limb):
            found.append(f"no {limb} is seen: actions that need {limb}s are refused")
            continue
        neither = [
            name for name in LIMB_CHAIN[limb][1:] if not any(sees(pose, f"{side}_{name}") for side in BOTH_SIDES)
        ]
        if neither:
            found.append(f"no {' or '.join(neither)} is seen: {limb}s end where the picture does")
        for side in BOTH_SIDES:
            missing = [name for name in LIMB_CHAIN[limb] if not sees(pose, f"{side}_{name}") and name not in neither]
            missing = [name for name in missing if name != "hip"]  # said above
            if missing:
                joints = " and ".join(missing)
                found.append(f"the {side} {joints} is not seen: the {limb} is taken from the other side, or left out")
            elif min(foreshortening(pose, f"{side}_{bone}") for bone in bones) < _SHORT:
                found.append(f"the {side} {limb} points to the viewer: stretched out, it is blurred")
    if _folds_arms(pose):
        found.append("the arms are folded: they come apart with seams, and the cloth behind them is made up")
    else:
        for side in BOTH_SIDES:
            if sees(pose, f"{side}_wrist") and lies_on_trunk(pose, f"{side}_wrist"):
                found.append(f"the {side} hand lies before the trunk: the cloth behind it is made up")
    body = PhotoBody(pose)
    for side in body.bent_arms:
        found.append(f"the {side} arm is bent: straightened, it tears at the elbow")
    if _crosses_legs(pose) or body.crosses_legs:
        found.append("the legs are crossed: what one hides of the other is made up")
    legs = [all(sees(pose, f"{side}_{name}") for name in LIMB_CHAIN["leg"]) for side in BOTH_SIDES]
    if all(legs) and all(bend_angles(pose, side, "leg") < _BENT for side in BOTH_SIDES):
        found.append("the person sits or squats: standing, trousers are stretched")
    return found


def find_hidden_hands(pose: BodyPoses, labels: np.ndarray) -> list[str]:
    """Say which hands a picture hides, one line for each; arguments as of `hidden_hands`."""
    hidden = hidden_hands(pose, labels)
    if len(hidden) == len(BOTH_SIDES):
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


def _folds_arms(pose: BodyPoses) -> bool:
    """Return True if both wrists lie before the trunk, at or beyond its middle as seen from their own shoulder."""
    if not all(sees(pose, f"{side}_wrist") and lies_on_trunk(pose, f"{side}_wrist") for side in BOTH_SIDES):
        return False
    right, left = (point(pose, f"{side}_shoulder") for side in BOTH_SIDES)
    shares = [(point(pose, f"{side}_wrist") - right) @ (left - right) / max((left - right) @ (left - right), 1e-9)
              for side in BOTH_SIDES]  # fmt: skip
    return bool(shares[0] > shares[1])


def _crosses_legs(pose: BodyPoses) -> bool:
    """Return True if knees or ankles lie on the other side, in a person who is not seen from the side."""
    if abs(facing_yaw(pose)) > SIDE_VIEW:
        return False
    across = point(pose, "left_hip") - point(pose, "right_hip")
    across = across / max(np.linalg.norm(across), 1e-9)
    return any(
        (point(pose, f"left_{name}") - point(pose, f"right_{name}")) @ across < -_CROSSED * trunk_length(pose)
        for name in LIMB_CHAIN["leg"][1:]
        if all(sees(pose, f"{side}_{name}") for side in BOTH_SIDES)
    )
