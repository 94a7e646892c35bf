"""Judge which actions suit a photo: how far they take each layer from what the photo shows.

Judged is what drawing does: which arm it takes from the other side, which bones it unfolds, stretches or foreshortens,
and where the head goes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np

from posegen.features.body_bones import (
    JOINTS_OF_FACE,
    foreshortening,
    shows_front,
    trunk_length,
)
from posegen.features.body_layers import ARMS, LIMB_CHAINS
from posegen.features.body_pose import BodyPoses
from posegen.features.layer_division import find_front_leg
from posegen.features.layered_person import FORESHORTENED, hides_hand
from posegen.inference.body_measures import BodyMeasures, facing_yaw, measure_body
from posegen.perception.body import FAINTEST
from posegen.skeletons import joint_indices

Suitability = Literal["good", "fair", "poor"]

BOTH_SIDES = ("right", "left")
LIMB_CHAIN = {"arm": ("shoulder", "elbow", "wrist"), "leg": ("hip", "knee", "ankle")}
"""Of each side, from the trunk on."""
SIDE_VIEW = 55.0
"""Degrees from the front, beyond which front and back of the trunk are guessed."""

_TURNED = 40.0  # degrees, from which legs that stand beside each other cross in the picture
_ARM_BONES = {side: LIMB_CHAINS[arm][:2] for side, arm in zip(BOTH_SIDES, ARMS, strict=True)}
_OFTEN = 0.25  # of the frames
_MOVES = 0.35  # lengths of the trunk by which a limb that an action needs moves
_SHOWS = 0.8  # lengths of the trunk from where the photo has a hand, at which it is looked at
_AWAY = 0.5  # lengths of the trunk by which a hand leaves the place before the trunk
_STRETCHED = 1.6  # how much longer than in the photo a limb is shown
_SHORTENED = 0.77  # how much shorter a thigh is shown
_BENT = 110.0  # degrees at an elbow or a knee, below which cloth and skin of both bones are pressed together
_OPENED = 45.0  # degrees by which it opens: what the photo shows of neither bone is seen
_LOW = 0.8  # of the photo's height of the face above the shoulders, along the trunk
_SHOULDERS = joint_indices(["right_shoulder", "left_shoulder"])
_HIPS = joint_indices(["right_hip", "left_hip"])
_ORDER: tuple[Suitability, ...] = ("good", "fair", "poor")
_ARMS_ASIDE = "a photo with straight arms beside the body, both hands in view"
_LEGS_APART = "a photo of the person standing with the legs apart"
_FROM_FRONT = "a photo from the front"


class ActionFit(NamedTuple):
    """Suitability of a photo for an action."""

    suitability: Suitability
    reason: str = ""
    """Empty where nothing is wrong."""
    better: str = ""
    """The photo that would suit; empty where no photo from the front would."""


@dataclass(frozen=True)
class PhotoBody:
    """A person in a photo, as far as actions depend on how the photo shows them."""

    pose: BodyPoses
    """The pose in the frame from which layers are taken."""
    hidden: tuple[str, ...] = ()
    """Sides whose hand the photo hides."""
    seen: BodyPoses | None = None
    """The pose as the whole photo shows it, in pixels of the frame; by default the other one."""

    @classmethod
    def of(cls, pose: BodyPoses, labels: np.ndarray, seen: BodyPoses | None = None) -> PhotoBody:
        """Return what a photo shows by the classes of its pixels, (H, W) uint8 of `PersonClass`."""
        return cls(pose, tuple(hidden_hands(pose, labels)), seen)

    @cached_property
    def trunk(self) -> float:
        """Length of the trunk in pixels."""
        return trunk_length(self.pose)

    @cached_property
    def measures(self) -> BodyMeasures:
        """Measures of the body, for poses to be fitted to it."""
        return measure_body(self.pose)

    @cached_property
    def yaw(self) -> float:
        """Degrees by which front or back of the trunk are turned from the viewer, 90 from the side."""
        return 90 - abs(90 - abs(facing_yaw(self.pose)))

    @cached_property
    def crosses_legs(self) -> bool:
        """True if one leg hides the lower part of the other one, other than by standing behind it."""
        return self.yaw < _TURNED and find_front_leg(self.pose) >= 0

    @cached_property
    def drawn_arms(self) -> dict[str, str]:
        """For each side the side whose arm is drawn; a side without is left out."""
        whole = [side for side in BOTH_SIDES if side not in self.hidden and self._shows_whole_arm(side)]
        return {side: side if side in whole else whole[0] for side in BOTH_SIDES} if whole else {}

    @property
    def bent_arms(self) -> list[str]:
        """Sides whose own arm is drawn, and whose upper arm and forearm are pressed together at the elbow."""
        own = [side for side in BOTH_SIDES if self.drawn_arms.get(side) == side]
        return [side for side in own if bend_angles(self.pose, side, "arm") < _BENT]

    def _shows_whole_arm(self, side: str) -> bool:
        joints = [f"{side}_{name}" for name in LIMB_CHAIN["arm"][1:]]
        return all(sees(self.pose, joint) for joint in joints) and (
            min(foreshortening(self.pose, bone) for bone in _ARM_BONES[side]) > FORESHORTENED
        )


def judge_action(photo: PhotoBody, poses: BodyPoses) -> ActionFit:
    """Judge an action by the worst that drawing has to do for it.

    Args:
        photo: What the photo shows.
        poses: What the action asks for, fitted to the person.
    """
    known = np.asarray((poses.keypoints[:, [*_SHOULDERS, *_HIPS], 2] > 0).all(axis=1))
    if not known.any():
        return ActionFit("good")
    shown = poses[known]
    found = [
        *_judge_view(photo, shown),
        *_judge_hands(photo, shown),
        *(fit for side in BOTH_SIDES for fit in _judge_arm(photo, shown, side)),
        *_judge_legs(photo, shown),
        *_judge_head(photo, shown),
    ]
    worst = max(found, key=lambda fit: _ORDER.index(fit.suitability), default=ActionFit("good"))
    return worst._replace(reason=_name_both(worst, found))


def hidden_hands(pose: BodyPoses, labels: np.ndarray) -> list[str]:
    """Return the sides, ``right`` and ``left``, whose hand is not seen at the end of an arm that is.

    Args:
        pose: One pose.
        labels: (H, W) uint8 of `PersonClass`.
    """
    return [side for side in BOTH_SIDES if hides_hand(pose, labels, side)]


def needed_limb(photo: BodyPoses, poses: BodyPoses) -> str:
    """Return ``arm`` or ``leg`` where poses move it and a photo shows neither of the two; empty otherwise.

    Args:
        photo: The pose in the photo.
        poses: What is asked for, fitted to the person.
    """
    moved = (limb for limb in LIMB_CHAIN if _movement(poses, limb) > _MOVES * trunk_length(photo))
    return next((limb for limb in moved if hides_limb(photo, limb)), "")


def hides_limb(pose: BodyPoses, limb: str) -> bool:
    """Return whether one pose shows nothing of ``arm`` or ``leg``, on either side, beyond shoulder or hip."""
    return not any(sees(pose, f"{side}_{name}") for side in BOTH_SIDES for name in LIMB_CHAIN[limb][1:])


def sees(pose: BodyPoses, joint: str) -> bool:
    """Return whether one pose shows a joint."""
    return bool(pose.keypoints[joint_indices([joint])[0], 2] > FAINTEST)


def point(pose: BodyPoses, joint: str) -> np.ndarray:
    """Return where a joint is in one pose or in several, (..., 2) float64 x and y in pixels."""
    return pose.keypoints[..., joint_indices([joint])[0], :2].astype(np.float64)


def lies_on_trunk(pose: BodyPoses, joint: str) -> bool:
    """Return whether a joint of one pose lies well within the quadrangle of shoulders and hips."""
    neck, hips = point(pose, "neck"), (point(pose, "right_hip") + point(pose, "left_hip")) / 2
    down = hips - neck
    t = (point(pose, joint) - neck) @ down / max(down @ down, 1e-9)
    half = np.linalg.norm(point(pose, "left_shoulder") - point(pose, "right_shoulder")) / 2
    aside = np.linalg.norm(point(pose, joint) - neck - t * down)
    return bool(0.1 < t < 0.9 and aside < 0.7 * half)


def bend_angles(poses: BodyPoses, side: str, limb: str) -> np.ndarray:
    """Return the angle at the elbow or the knee of one pose or of several, (...) degrees, 180 for a straight limb."""
    near, middle, far = (point(poses, f"{side}_{name}") for name in LIMB_CHAIN[limb])
    one, other = near - middle, far - middle
    lengths = np.linalg.norm(one, axis=-1) * np.linalg.norm(other, axis=-1)
    cosine = (one * other).sum(axis=-1) / np.maximum(lengths, 1e-9)
    return np.asarray(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


def _name_both(worst: ActionFit, found: Iterable[ActionFit]) -> str:
    """Return the reason of a fit, which names both sides where another one is the same on the other side."""
    reasons = {fit.reason for fit in found}
    for limb in LIMB_CHAIN:
        right, left = (f"the {side} {limb}" for side in BOTH_SIDES)
        of_sides = {worst.reason.replace(right, left), worst.reason.replace(left, right)}
        if len(of_sides) == len(BOTH_SIDES) and of_sides <= reasons:
            return worst.reason.replace(right, f"both {limb}s").replace(left, f"both {limb}s")
    return worst.reason


def _judge_view(photo: PhotoBody, poses: BodyPoses) -> Iterator[ActionFit]:
    """Judge the sides of the body that are shown, and limbs that are missing."""
    if limb := needed_limb(photo.seen or photo.pose, poses):
        yield ActionFit("poor", f"it needs {limb}s, which are not seen", "a photo of the whole person")
    turned = np.mean([shows_front(poses[row]) != shows_front(photo.pose) for row in range(len(poses))])
    if turned > _OFTEN:
        yield ActionFit("poor", "it shows the side of the person that the photo hides")
    elif turned > 0.02:
        yield ActionFit("fair", "it turns the person away for a moment")
    if photo.yaw > SIDE_VIEW:
        yield ActionFit("poor", "the photo shows the person from the side, and parts of limbs and cloth are torn",
                        _FROM_FRONT)  # fmt: skip


def _judge_hands(photo: PhotoBody, poses: BodyPoses) -> Iterator[ActionFit]:
    """Judge the arms of somebody of whom no whole arm is seen."""
    if photo.drawn_arms or hides_limb(photo.pose, "arm"):
        return
    moved = max(_reach(photo.pose, poses, side) for side in BOTH_SIDES) > _SHOWS * photo.trunk
    reason = "it moves arms of which the photo shows no whole one" if moved else "the photo shows no whole arm"
    yield ActionFit("poor" if moved else "fair", reason, _ARMS_ASIDE)


def _judge_arm(photo: PhotoBody, poses: BodyPoses, side: str) -> Iterator[ActionFit]:
    """Judge one arm: whether it is unfolded, stretched, or taken from before the trunk."""
    own = photo.drawn_arms.get(side)
    if own is None:
        return
    name = f"the {side} arm"
    before, after = float(bend_angles(photo.pose, own, "arm")), bend_angles(poses, side, "arm")
    if before < _BENT and np.mean(after - before > _OPENED) > _OFTEN:
        yield ActionFit("poor", f"it straightens {name} from a bend, with a tear at the elbow", _ARMS_ASIDE)
    leaves = own == side and _reach(photo.pose, poses, side) > _AWAY * photo.trunk
    if leaves and lies_on_trunk(photo.pose, f"{own}_wrist"):
        yield ActionFit("poor", f"it takes {name} away from the trunk, with pieces of both mixed up", _ARMS_ASIDE)
    yield from _judge_stretch(photo, poses, side, own, "arm")


def _judge_legs(photo: PhotoBody, poses: BodyPoses) -> Iterator[ActionFit]:
    """Judge the legs."""
    if hides_limb(photo.pose, "leg"):
        return
    if photo.crosses_legs:
        yield ActionFit("fair", "the photo shows the legs crossed: both have the shape of the front one", _LEGS_APART)
    for side in BOTH_SIDES:
        if not all(sees(photo.pose, f"{side}_{joint}") for joint in LIMB_CHAIN["leg"]):
            continue
        before, after = float(bend_angles(photo.pose, side, "leg")), bend_angles(poses, side, "leg")
        if before < _BENT and np.mean(after - before > _OPENED) > _OFTEN:
            yield ActionFit("poor", f"it straightens the {side} leg from a bend, with a tear at the knee",
                            _LEGS_APART)  # fmt: skip
        yield from _judge_stretch(photo, poses, side, side, "leg")
        if np.mean(_stretch(photo.pose, poses, side, side, ("hip", "knee")) < _SHORTENED) > _OFTEN:
            yield ActionFit("fair", "thighs that point to the viewer are drawn short")


def _judge_stretch(photo: PhotoBody, poses: BodyPoses, side: str, own: str, limb: str) -> Iterator[ActionFit]:
    """Judge how much longer than in the photo a limb is drawn that is that of its own or of the other side."""
    joints = LIMB_CHAIN[limb]
    for ends in (joints[:2], joints[1:]):
        if np.mean(_stretch(photo.pose, poses, side, own, ends) > _STRETCHED) > _OFTEN:
            yield ActionFit("fair", f"it stretches the {side} {limb}", _ARMS_ASIDE if limb == "arm" else _LEGS_APART)
            return


def _judge_head(photo: PhotoBody, poses: BodyPoses) -> Iterator[ActionFit]:
    """Judge a head that is shown before the trunk instead of above it."""
    shares = _heights_of_face(poses) / np.maximum(_heights_of_face(photo.pose), 1.0)
    if np.mean(shares < _LOW) > _OFTEN:
        yield ActionFit("fair", "it bends the head before the trunk, with a neck that is made up")


def _heights_of_face(poses: BodyPoses) -> np.ndarray:
    """Pixels (...) from the shoulders to the middle of the face along the trunk; NaN where no face is seen."""
    points = poses.keypoints.astype(np.float64)
    shoulders, hips = (points[..., joints, :2].mean(axis=-2) for joints in (_SHOULDERS, _HIPS))
    face = points[..., JOINTS_OF_FACE, :]
    known = face[..., 2:] > 0
    count = known.sum(axis=-2)
    middle = np.where(count > 0, (face[..., :2] * known).sum(axis=-2) / np.maximum(count, 1), np.nan)
    up = shoulders - hips
    return np.asarray(((middle - shoulders) * up).sum(axis=-1) / np.maximum(np.linalg.norm(up, axis=-1), 1e-9))


def _reach(photo: BodyPoses, poses: BodyPoses, side: str) -> float:
    """Pixels between a wrist and its place in the photo, as seen from its shoulder, at most."""
    of_photo, of_poses = (point(one, f"{side}_wrist") - point(one, f"{side}_shoulder") for one in (photo, poses))
    return float(np.linalg.norm(of_poses - of_photo, axis=-1).max())


def _movement(poses: BodyPoses, limb: str) -> float:
    """Pixels by which the ends of a pair of limbs move about the body."""
    base, end = LIMB_CHAIN[limb][0], LIMB_CHAIN[limb][-1]
    moves = [
        np.ptp(point(poses, f"{side}_{end}") - point(poses, f"{side}_{base}"), axis=0).max() for side in BOTH_SIDES
    ]
    return float(max(moves))


def _stretch(photo: BodyPoses, poses: BodyPoses, side: str, own: str, ends: tuple[str, ...]) -> np.ndarray:
    """Return the length of a bone in each pose over that of its own or of the other side in the photo, (T,); 1 if the
    photo does not show the bone."""
    if not all(sees(photo, f"{own}_{end}") for end in ends):
        return np.ones(len(poses))
    lengths = [
        np.linalg.norm(point(one, f"{of}_{ends[1]}") - point(one, f"{of}_{ends[0]}"), axis=-1)
        for one, of in ((photo, own), (poses, side))
    ]
    return np.asarray(lengths[1] / max(float(lengths[0]), 1.0))
