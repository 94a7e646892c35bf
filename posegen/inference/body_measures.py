"""Limb lengths of a person in pixels, measured in pictures of the person."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from posegen.errors import ConfigError
from posegen.features.body_points import (
    ANKLES,
    BODY_BONES,
    FACE_POINTS,
    HIPS,
    MID_HIP,
    NECK,
    SHOULDERS,
    TOES,
    USUAL_LENGTHS,
    USUAL_NECK,
    bone_vectors,
    estimated_vectors,
    points_of_poses,
)
from posegen.features.body_pose import BodyPoses
from posegen.inference.head_pose import HeadPose, find_head
from posegen.motion.anatomy import FACE

_TELLING = ("trunk", "thigh", "calf", "upper_arm", "forearm")  # their lengths tell the size of a body
_FOOT_BELOW = np.radians(23.0)  # from an ankle to the toes of a foot that stands
_CAMERA_ABOVE = np.radians(12.0)  # usual angle at which a camera looks down on feet
_STEEPEST = np.radians(45.0)
_FACE = np.array(list(FACE.values()))
_HEADS = (0.7, 1.9)  # sizes of heads in relation to the body's: drawings have large ones
# How far lengths may be from the usual ones of a body of this size: shorter, longer, and longer where a picture shows
# the whole length, which no error of depth explains.
_BOUNDS = {
    "hip": (0.8, 1.9, 2.2), "shoulder": (0.75, 1.3, 1.6), "foot": (0.9, 1.4, 1.6), "trunk": (0.8, 1.25, 1.5),
}  # fmt: skip
_LIMB_BOUNDS = (0.8, 1.2, 1.45)


@dataclass(frozen=True)
class BodyMeasures:
    """Body size in pixels and position of a person, measured in pictures of the person."""

    lengths: dict[str, float]
    """Of each bone of `posegen.features.body_points.USUAL_LENGTHS`, both sides alike."""
    scale: float
    """Pixels per metre of a body of `posegen.motion.anatomy.HEIGHT`."""
    face: np.ndarray
    """(5, 3): the points of the face from the head joint, in the head's axes: left, up, forward."""
    neck: float
    """From the neck, between the shoulders, to the head joint."""
    hips: np.ndarray
    """(2,): where mid-hips are, x and minus y."""
    ground: float
    """Minus y of the lower ankle of somebody who stands."""
    pitch: float
    """Radians by which the camera looks down on the feet."""

    def bone_lengths(self) -> np.ndarray:
        """Return the lengths (B,) of `BODY_BONES`."""
        return np.array([self.lengths[bone.name] for bone in BODY_BONES])

    @property
    def leg(self) -> float:
        """Length of a leg from hip to ankle."""
        return self.lengths["thigh"] + self.lengths["calf"]


def measure_body(person: BodyPoses) -> BodyMeasures:
    """Measure a person from one pose, or from a sequence of them, in whose first frame they stand where they stand.

    A limb is as long as it is seen at most: in the picture alone, and with its depth where that is known. Both sides
    are of one length. Lengths are bounded by those that bodies have; what is not seen is as long as usual.

    Raises:
        ConfigError: Both shoulders are not seen in any frame, or the body has no size.
    """
    points = points_of_poses(person)
    return measure_points(points[None] if points.ndim == 2 else points)


def measure_points(points: np.ndarray) -> BodyMeasures:
    """Measure a person from points (T, 21, 3) of `posegen.features.body_points`; see `measure_body`."""
    if not np.isfinite(points[:, SHOULDERS, :2]).all(axis=(1, 2)).any():
        raise ConfigError("the person shows no two shoulders: choose a picture that shows the trunk")
    shown, whole = _measured(points)
    scale = _body_scale(shown, whole)
    lengths = {name: _bounded(name, shown[name], whole[name], scale) for name in USUAL_LENGTHS}
    face, neck = _measure_head(points, scale)
    hips = _first_known(points[:, MID_HIP, :2])
    if hips is None:  # a half body: the hips are below the neck
        neck_place = _first_known(points[:, NECK, :2])
        hips = np.zeros(2) if neck_place is None else neck_place - (0.0, lengths["trunk"])
    low = _first_known(points[:, ANKLES, 1], some=True)
    ground = hips[1] - (lengths["thigh"] + lengths["calf"]) if low is None else float(np.nanmin(low))
    return BodyMeasures(lengths, scale, face, neck, hips, float(ground), _measure_pitch(points, lengths["foot"]))


def facing_yaw(person: BodyPoses) -> float:
    """Return by how many degrees a person (one pose) is turned from the viewer, to their left where it is positive.

    Depths of shoulders and hips tell; where they are not known, it is 0, or 180 where left and right are swapped.
    """
    points = points_of_poses(person)
    across = [points[left] - points[right] for right, left in (SHOULDERS, HIPS)]
    known = [one for one in across if np.isfinite(one[:2]).all()]
    if not known:
        return 0.0
    x, _, z = np.nansum(known, axis=0)
    if not any(np.isfinite(one[2]) for one in known):
        return 0.0 if x > 0 else 180.0
    return float(np.degrees(np.arctan2(-z, x)))


def _measured(points: np.ndarray) -> tuple[dict[str, float], dict[str, float]]:
    """The longest that each bone is seen in the picture, and its length with depths; NaN where it is not seen."""
    flat, deep = (
        np.linalg.norm(x, axis=-1) for x in (bone_vectors(points[..., :2]), estimated_vectors(points))
    )  # (T, B)
    shown, whole = {}, {}
    for name in USUAL_LENGTHS:
        columns = [column for column, bone in enumerate(BODY_BONES) if bone.name == name]
        shown[name] = max((_quantile(flat[:, column], 0.92) for column in columns), key=lambda x: -1 if x != x else x)
        sides = [_quantile(deep[:, column], 0.5) for column in columns]
        whole[name] = float(np.nanmean(sides)) if np.isfinite(sides).any() else np.nan
    return shown, whole


def _quantile(lengths: np.ndarray, share: float) -> float:
    known = lengths[np.isfinite(lengths)]
    return float(np.quantile(known, share)) if len(known) else float("nan")


def _body_scale(shown: dict[str, float], whole: dict[str, float]) -> float:
    """Pixels per metre. Without depths a limb may be foreshortened, so that the larger of them tell."""
    longest = {name: np.nanmax([shown[name], whole[name]]) for name in _TELLING if np.isfinite(shown[name])}
    found = [length / USUAL_LENGTHS[name] for name, length in longest.items()]
    if not found and np.isfinite(shown["shoulder"]):
        found = [float(np.nanmax([shown["shoulder"], whole["shoulder"]])) / USUAL_LENGTHS["shoulder"]]
    deep = any(np.isfinite(whole[name]) for name in _TELLING)
    scale = float(np.quantile(found, 0.5 if deep else 0.7)) if found else 0.0
    if not scale > 0:
        raise ConfigError("the person has no size: choose a picture that shows trunk, arms or legs")
    return scale


def _bounded(name: str, shown: float, whole: float, scale: float) -> float:
    usual = USUAL_LENGTHS[name] * scale
    least, most, most_shown = _BOUNDS.get(name, _LIMB_BOUNDS)
    if not np.isfinite(shown):
        return usual
    deep = min(whole, most * usual) if np.isfinite(whole) else 0.0
    return float(np.clip(max(shown, deep), least * usual, most_shown * usual))


def _measure_head(points: np.ndarray, scale: float) -> tuple[np.ndarray, float]:
    """The layout of the face (5, 3), and the distance from the neck to the head joint."""
    faces = points[:, FACE_POINTS]  # (T, 5, 3)
    frames = np.argsort(-np.isfinite(faces[..., 0]).sum(axis=1), kind="stable")[:1]
    head = find_head(faces[frames[0]])
    if head is None:
        return scale * _FACE, scale * USUAL_NECK
    size = float(np.clip(head.scale, _HEADS[0] * scale, _HEADS[1] * scale))
    face = _face_layout(faces[frames[0]], head)
    face = face * (size / head.scale)
    neck = head.origin - points[frames[0], NECK]
    known = np.isfinite(neck)
    length = float(np.linalg.norm(neck[known])) if known[:2].all() else scale * USUAL_NECK
    return face, float(np.clip(length, 0.5 * scale * USUAL_NECK, 2.5 * scale * USUAL_NECK))


def _face_layout(face: np.ndarray, head: HeadPose) -> np.ndarray:
    """The points (5, 3) of a face in the head's axes: as in the picture, and as deep as a usual head is."""
    usual = head.scale * _FACE
    placed = usual @ head.axes.T  # from the origin, in the viewer's axes
    seen = np.isfinite(face[:, :2]).all(axis=1)
    placed[seen, :2] = face[seen, :2] - head.origin[:2]
    return placed @ head.axes


def _measure_pitch(points: np.ndarray, foot: float) -> float:
    """Measure the pitch of the camera at the feet, from the distance of the toes below the ankles."""
    below = (points[0, ANKLES, 1] - points[0, TOES, 1]) / foot
    known = below[np.isfinite(below)]
    if not len(known):
        return float(_CAMERA_ABOVE)
    return float(np.clip(np.arcsin(np.clip(known.mean(), 0, 1)) - _FOOT_BELOW, 0, _STEEPEST))


def _first_known(values: np.ndarray, some: bool = False) -> np.ndarray | None:
    """The first row of (T, …) in which all, or some, numbers are known."""
    known = np.isfinite(values).reshape(len(values), -1)
    rows = np.flatnonzero(known.any(axis=1) if some else known.all(axis=1))
    return values[rows[0]] if len(rows) else None
